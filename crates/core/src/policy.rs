//! Where a request's bytes may go. Deny by default: what no rule allows is denied, and a fact that is missing counts as the worst.

use crate::fleet_view::Place;
use madang_types::DataClass;
use serde::{Deserialize, Serialize};

/// A policy answer with the rule that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the bytes may go there.
    pub allowed: bool,
    /// The rule.
    pub rule: PolicyRule,
}

/// A built-in rule; its word is stable, for records and refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyRule {
    /// A site of ours serves every class.
    OwnSite,
    /// A service run by others serves open data.
    OthersOpen,
    /// A service run by others serves nothing but open data.
    OthersOpenOnly,
    /// Nobody said where the bytes would go.
    UnknownLocation,
}

impl PolicyRule {
    /// The word that stands for it in headers and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OwnSite => "own-site",
            Self::OthersOpen => "others-open",
            Self::OthersOpenOnly => "others-open-only",
            Self::UnknownLocation => "unknown-location",
        }
    }
}

/// May a request of this class be served at this place? Called for every attempt.
///
/// The built-in rules: a site of ours serves every class; a service run by others serves `open` only, and only
/// where both its country and its operator's country are known.
pub fn decide(class: DataClass, place: &Place) -> Verdict {
    let verdict = |allowed, rule| Verdict { allowed, rule };
    if place.own {
        return verdict(true, PolicyRule::OwnSite);
    }
    if place.country.is_none() || place.operator_country.is_none() {
        return verdict(false, PolicyRule::UnknownLocation);
    }
    match class {
        DataClass::Open => verdict(true, PolicyRule::OthersOpen),
        DataClass::Sensitive | DataClass::Classified => verdict(false, PolicyRule::OthersOpenOnly),
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
        assert_eq!((allowed, rule.as_str()), expected, "{class} {place:?}");
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
