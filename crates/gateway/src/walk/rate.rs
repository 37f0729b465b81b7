//! The end of step 2: does the key come too soon? Its rates are the core's word; here they are asked, trued up and told.

use crate::gateway::Gateway;
use crate::headers;
use crate::refused::Refused;
use crate::walk::flight::Flight;
use http::{HeaderMap, HeaderName, HeaderValue};
use madang_core::rate::{Bucket, RateBounds, RateRefusal, RateStanding, RateUnit};
use madang_types::{ErrorCode, KeyTerms, UsageRecord};

/// Tokens taken from a key's rate for a request under way.
pub struct RateHold {
    bounds: RateBounds,
    taken: u64,
}

/// Takes a request and its tokens, as they are estimated, from the key's rates: how these stand then (`None` where the key has
/// none), or also the refusal to send, with the time after which it would be let through.
pub(super) async fn take(
    flight: &mut Flight,
    tokens: u64,
) -> (Option<RateStanding>, Result<(), Refused>) {
    let bounds = bounds(&flight.terms);
    if bounds == RateBounds::default() {
        return (None, Ok(()));
    }
    let key = &flight.record.key;
    let taken = flight.gateway.rates.admit((key, bounds), tokens).await;
    match taken {
        Ok(standing) => {
            flight.rate = Some(RateHold {
                bounds,
                taken: tokens,
            });
            (Some(standing), Ok(()))
        }
        Err(refusal) => (Some(refusal.standing), Err(refused(&refusal))),
    }
}

/// A request is over: what it did not use goes back.
pub(super) fn settle(gateway: &Gateway, hold: &RateHold, record: &UsageRecord) {
    let tokens = &record.tokens;
    let used = tokens.uncached.saturating_add(tokens.cached);
    let used = used.saturating_add(tokens.output).0;
    let key = (&record.key, hold.bounds);
    gateway.rates.settle(key, (hold.taken, used));
}

fn bounds(terms: &KeyTerms) -> RateBounds {
    RateBounds {
        requests_per_min: terms.rate_requests_per_min,
        tokens_per_min: terms.rate_tokens_per_min,
    }
}

fn refused(refusal: &RateRefusal) -> Refused {
    let RateRefusal {
        unit,
        wait_us,
        standing,
        part_comes_us,
    } = refusal;
    let (what, name, bucket) = match unit {
        RateUnit::Requests => ("requests", "rate_requests_per_min", standing.requests),
        RateUnit::Tokens => ("tokens", "rate_tokens_per_min", standing.tokens),
    };
    let limit = bucket.map_or(0, |bucket| bucket.limit);
    let mut message = format!("this key may have {limit} {what} in a minute ({name})");
    if part_comes_us.is_some() {
        message.push_str(", and this gateway holds no part of them yet");
    }
    Refused::new(ErrorCode::RateLimited, message).retry_after_ms(Some(wait_us.div_ceil(1_000)))
}

/// Tells the caller how its key stands, by the names that OpenAI has for it.
pub(super) fn mark(standing: &RateStanding, response_headers: &mut HeaderMap) {
    let RateStanding { requests, tokens } = standing;
    if let Some(bucket) = requests {
        put(response_headers, &headers::RATE_REQUESTS, bucket);
    }
    if let Some(bucket) = tokens {
        put(response_headers, &headers::RATE_TOKENS, bucket);
    }
}

fn put(response_headers: &mut HeaderMap, names: &[HeaderName; 3], bucket: &Bucket) {
    let Bucket {
        limit,
        remaining,
        reset_us,
    } = *bucket;
    let [limit_name, remaining_name, reset_name] = names;
    response_headers.insert(limit_name, HeaderValue::from(limit));
    response_headers.insert(remaining_name, HeaderValue::from(remaining));
    if let Ok(reset) = HeaderValue::from_str(&span_text(reset_us)) {
        response_headers.insert(reset_name, reset);
    }
}

/// A span as OpenAI writes it: `0s`, `120ms`, `8.64s`, `6m0s`; rounded up to a millisecond.
fn span_text(us: u64) -> String {
    let ms = us.div_ceil(1_000);
    match ms {
        0 => "0s".into(),
        1..1_000 => format!("{ms}ms"),
        _ => {
            let (minutes, ms) = (ms / 60_000, ms % 60_000);
            let fraction = format!("{:03}", ms % 1_000);
            let fraction = fraction.trim_end_matches('0');
            let point = if fraction.is_empty() { "" } else { "." };
            let seconds = format!("{}{point}{fraction}s", ms / 1_000);
            match minutes {
                0 => seconds,
                minutes => format!("{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_openai_writes_them() {
        let check = |us: u64, text: &str| assert_eq!(span_text(us), text);
        check(0, "0s");
        check(1, "1ms");
        check(120_000, "120ms");
        check(1_000_000, "1s");
        check(8_640_000, "8.64s");
        check(8_000_001, "8.001s");
        check(360_000_000, "6m0s");
        check(7_230_500_000, "120m30.5s");
        assert!(span_text(u64::MAX).ends_with('s'));
    }
}
