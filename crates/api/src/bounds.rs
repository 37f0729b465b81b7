//! What a caller may hand on: no key comes to do more than the one that made it, and no floor is lowered but by an operator.

use crate::refusal::Refusal;
use madang_gateway::keyring::Identity;
use madang_types::{DataFlag, DataMark, ErrorCode, KeyTerms, Micros};

/// Refuses marks that ask less of data than those before, or a flag that permits what is refused without it.
pub(crate) fn floors(before: DataMark, after: DataMark) -> Result<(), Refusal> {
    if after.class < before.class {
        let message = format!(
            "a class floor of {} is lowered by an operator",
            before.class
        );
        return Err(forbidden(message, "class_floor"));
    }
    let opened = |flag: &DataFlag| match flag {
        DataFlag::Pseudonymised => after.flags.has(*flag) && !before.flags.has(*flag),
        _ => before.flags.has(*flag) && !after.flags.has(*flag),
    };
    match DataFlag::ALL.iter().find(|flag| opened(flag)) {
        None => Ok(()),
        Some(DataFlag::Pseudonymised) => {
            let message = "the flag pseudonymised is set by an operator";
            Err(forbidden(message, "data_flags"))
        }
        Some(flag) => {
            let message = format!("the flag {flag} is taken away by an operator");
            Err(forbidden(message, "data_flags"))
        }
    }
}

/// Refuses a key that would be wider than its maker: for more, faster, dearer or for longer.
pub(crate) fn key(
    maker: &Identity,
    terms: &KeyTerms,
    expires_at: Option<Micros>,
) -> Result<(), Refusal> {
    let own = &maker.terms;
    let outlives = maker
        .expires_at
        .is_some_and(|own| expires_at.is_none_or(|at| at > own));
    let wider = [
        (
            !own.models.is_empty()
                && (terms.models.is_empty() || !terms.models.is_subset(&own.models)),
            "models",
        ),
        (
            !own.endpoints.is_empty()
                && (terms.endpoints.is_empty() || !terms.endpoints.is_subset(&own.endpoints)),
            "endpoints",
        ),
        (
            over(own.rate_requests_per_min, terms.rate_requests_per_min),
            "rate_requests_per_min",
        ),
        (
            over(own.rate_tokens_per_min, terms.rate_tokens_per_min),
            "rate_tokens_per_min",
        ),
        (over(own.won_limit, terms.won_limit), "limit_micro_won"),
        (outlives, "expires_at"),
    ];
    match wider.iter().find(|(is_wider, _)| *is_wider) {
        None => Ok(()),
        Some((_, field)) => {
            let message = format!(
                "{field} would be wider than that of the key sent: no key makes one that may do more than itself"
            );
            Err(forbidden(message, field))
        }
    }
}

/// Whether a bound is wider than the maker's.
fn over<T: PartialOrd>(own: Option<T>, asked: Option<T>) -> bool {
    own.is_some_and(|own| asked.is_none_or(|asked| asked > own))
}

fn forbidden(message: impl Into<String>, field: &str) -> Refusal {
    Refusal::new(ErrorCode::RoleForbidden, message).at(field)
}
