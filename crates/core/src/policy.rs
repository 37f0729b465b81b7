//! Where a request's bytes may go. Deny by default: what no rule allows is denied, and a fact that is missing counts as the worst.

use crate::input::Place;
use madang_types::DataClass;

/// A policy answer with the rule that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the bytes may go there.
    pub allowed: bool,
    /// The rule's id, stable, for records and refusals.
    pub rule: &'static str,
}

/// May a request of this class be served at this place? Called for every attempt.
///
/// The built-in rules: a site of ours serves every class; a service run by others serves `open` only, and only
/// where both its country and its operator's country are known.
pub fn decide(class: DataClass, place: &Place) -> Verdict {
    let verdict = |allowed, rule| Verdict { allowed, rule };
    if place.own {
        return verdict(true, "own-site");
    }
    if place.country.is_none() || place.operator_country.is_none() {
        return verdict(false, "unknown-location");
    }
    match class {
        DataClass::Open => verdict(true, "others-open"),
        DataClass::Sensitive | DataClass::Classified => verdict(false, "others-open-only"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(class: DataClass, own: bool, country: Option<&str>, expected: (bool, &str)) {
        let place = Place {
            own,
            country: country.map(Into::into),
            operator_country: country.map(Into::into),
        };
        let Verdict { allowed, rule } = decide(class, &place);
        assert_eq!((allowed, rule), expected, "{class} {place:?}");
    }

    #[test]
    fn only_open_data_leaves_our_own_ground() {
        use DataClass::{Classified, Open, Sensitive};
        for class in [Open, Sensitive, Classified] {
            check(class, true, Some("KR"), (true, "own-site"));
            check(class, false, None, (false, "unknown-location"));
        }
        check(Open, false, Some("US"), (true, "others-open"));
        check(Sensitive, false, Some("US"), (false, "others-open-only"));
        check(Sensitive, false, Some("KR"), (false, "others-open-only"));
        check(Classified, false, Some("KR"), (false, "others-open-only"));
    }
}
