//! Step 4: what can it cost at most? That is set aside before anything is sent; a request that does not fit is clamped where its caller
//! allows that, or refused.

use super::classify::Ask;
use super::flight::Flight;
use crate::clock::clock_text;
use crate::headers;
use crate::refused::Refused;
use http::HeaderMap;
use madang_core::budget::{Bound, OUTPUT_TOKENS_MIN, Short, Spender, TEMPLATE_TOKENS};
use madang_ledger::{RateCard, TokenRates, decimal_text};
use madang_types::{ErrorCode, Micros, ModelId, Unit};

/// Sets aside what the request can cost at most, where anything has a price or a budget.
///
/// # Errors
/// The refusal to send.
pub(super) async fn reserve(
    flight: &mut Flight,
    ask: &mut Ask,
    request_headers: &HeaderMap,
) -> Result<(), Refused> {
    // An unknown word is refused where nothing has a price, too.
    let may_clamp = may_clamp(request_headers)?;
    let purses = &flight.gateway.purses;
    if !purses.is_metered() {
        return Ok(());
    }
    let unbounded = ask.features.output_tokens_max().is_none();
    let may_clamp = may_clamp.unwrap_or(unbounded);
    let rates = dearest(ask, &purses.card(), flight.record.arrived_at)?;
    let spender = Spender {
        tenant: flight.record.tenant.clone(),
        project: flight.record.project.clone(),
        key: flight.record.key.clone(),
    };
    let bound = Bound {
        model_class: ask.entry.model_class.clone(),
        prompt_tokens_max: ask
            .prompt_tokens
            .saturating_mul(2)
            .saturating_add(TEMPLATE_TOKENS),
        prompt_tokens: ask.prompt_tokens,
        output_tokens_max: ask.output_tokens_max,
        output_tokens_min: match may_clamp {
            true => ask.output_tokens_max.min(OUTPUT_TOKENS_MIN),
            false => ask.output_tokens_max,
        },
        rates,
    };
    let hold = purses.reserve(flight.record.id, (&spender, &bound)).await;
    let hold = hold.map_err(|short| refused(short, &spender, ask))?;
    // What was set aside is for so many tokens: the engine is told, whoever runs it.
    ask.bounded = unbounded || hold.output_tokens_max() < ask.output_tokens_max;
    if hold.output_tokens_max() < ask.output_tokens_max {
        ask.output_tokens_max = hold.output_tokens_max();
        ask.clamped = true;
    }
    flight.rates = rates;
    flight.hold = Some(hold);
    Ok(())
}

/// Whether the caller takes a shorter answer where the budget ends, as far as it says so.
fn may_clamp(request_headers: &HeaderMap) -> Result<Option<bool>, Refused> {
    let Some(value) = request_headers.get(headers::CLAMP) else {
        return Ok(None);
    };
    match value.as_bytes() {
        b"allow" => Ok(Some(true)),
        b"refuse" => Ok(Some(false)),
        _ => {
            let message = "x-madang-clamp is 'allow' or 'refuse'";
            Err(Refused::new(ErrorCode::HeaderInvalid, message).at(headers::CLAMP.as_str()))
        }
    }
}

/// The dearest rates of all places that may serve it.
fn dearest(ask: &Ask, card: &RateCard, now: Micros) -> Result<TokenRates, Refused> {
    if card.is_empty(now) {
        return Ok(TokenRates::default());
    }
    let asked = std::slice::from_ref(&ask.model);
    let models: &[ModelId] = match ask.entry.candidates.as_slice() {
        [] => asked,
        candidates => candidates,
    };
    let mut dearest = TokenRates::default();
    for model in models {
        for target in ask
            .snapshot
            .targets
            .values()
            .filter(|target| target.serves(model))
        {
            let rates = card.rates(model, &target.site, now);
            let rates =
                rates.map_err(|error| Refused::new(ErrorCode::PriceMissing, error.to_string()))?;
            dearest = dearest.max(rates);
        }
    }
    Ok(dearest)
}

fn refused(short: Short, spender: &Spender, ask: &Ask) -> Refused {
    let tenant = &spender.tenant;
    match short {
        Short::NoAllocation => {
            let model = &ask.model;
            let of = match &ask.entry.model_class {
                Some(class) => format!(", a model of the class '{class}'"),
                None => String::new(),
            };
            let message = format!(
                "'{tenant}' has no allocation that is valid now and pays for '{model}'{of}"
            );
            Refused::new(ErrorCode::AllocationMissing, message)
        }
        Short::Exhausted {
            purse,
            unit,
            left,
            renews_at,
        } => {
            let left = shown(left, unit);
            let renews = match renews_at {
                Some(at) => format!("more comes at {}", clock_text(at)),
                None => "nothing more is granted yet".to_owned(),
            };
            let message =
                format!("this request can cost more than is left of {purse}: {left}; {renews}");
            Refused::new(ErrorCode::BudgetExhausted, message)
        }
        Short::Busy {
            purse,
            retry_after_ms,
        } => {
            let message =
                format!("all that is left of {purse} is set aside for requests under way");
            Refused::new(ErrorCode::BudgetBusy, message).retry_after_ms(Some(retry_after_ms))
        }
        Short::Asked(_) | Short::LeaseOver => {
            let message = "the books do not answer, so that it is not known what may be spent";
            Refused::new(ErrorCode::BudgetUnreachable, message).retry_after_ms(Some(1_000))
        }
    }
}

fn shown(amount: i64, unit: Unit) -> String {
    match unit {
        Unit::MicroWon => format!("{} won", decimal_text(amount)),
        unit => format!("{amount} {unit}"),
    }
}
