//! Stop switches: places to which nothing goes until somebody lifts the stop.

use crate::{Country, KeyId, Micros, Place, SiteId, UpstreamId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a stop covers. In text its kind, a colon and a name: `country:US`, `upstream:openai`, `site:pohang`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StopScope {
    /// Every place whose data or operator is, or may come to be, in that country.
    Country(Country),
    /// A model service run by others.
    Upstream(UpstreamId),
    /// A site of ours.
    Site(SiteId),
}

/// The text names no scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stop is country:CC (two capital letters), upstream:ID or site:ID")]
pub struct StopScopeError;

impl StopScope {
    /// Whether it stops the place that goes by that id.
    pub fn stops(&self, id: &SiteId, place: &Place) -> bool {
        match self {
            Self::Country(country) => {
                place.operator_country == Some(*country) || place.countries().any(|c| c == *country)
            }
            Self::Upstream(upstream) => !place.own && upstream.as_str() == id.as_str(),
            Self::Site(site) => place.own && site == id,
        }
    }

    /// The kind of place.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Country(_) => "country",
            Self::Upstream(_) => "upstream",
            Self::Site(_) => "site",
        }
    }

    /// Which one.
    pub fn name(&self) -> &str {
        match self {
            Self::Country(country) => country.as_str(),
            Self::Upstream(id) => id.as_str(),
            Self::Site(id) => id.as_str(),
        }
    }
}

impl fmt::Display for StopScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind(), self.name())
    }
}

impl FromStr for StopScope {
    type Err = StopScopeError;

    fn from_str(text: &str) -> Result<Self, StopScopeError> {
        let (kind, name) = text.split_once(':').ok_or(StopScopeError)?;
        match kind {
            "country" => name.parse().map(Self::Country).map_err(|_| StopScopeError),
            "upstream" => UpstreamId::new(name)
                .map(Self::Upstream)
                .map_err(|_| StopScopeError),
            "site" => SiteId::new(name)
                .map(Self::Site)
                .map_err(|_| StopScopeError),
            _ => Err(StopScopeError),
        }
    }
}

impl TryFrom<String> for StopScope {
    type Error = StopScopeError;

    fn try_from(text: String) -> Result<Self, StopScopeError> {
        text.parse()
    }
}

impl From<StopScope> for String {
    fn from(scope: StopScope) -> Self {
        scope.to_string()
    }
}

/// A stop in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// What it covers.
    pub scope: StopScope,
    /// Why, for people; one line.
    pub reason: String,
    /// The operator's key that set it.
    pub set_by: KeyId,
    /// Since when.
    pub set_at: Micros,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, sound: bool) {
        let scope = text.parse::<StopScope>();
        assert_eq!(scope.is_ok(), sound, "{text}");
        if let Ok(scope) = scope {
            assert_eq!(scope.to_string(), text);
        }
    }

    #[test]
    fn scopes_read_back_and_others_are_refused() {
        for text in ["country:US", "upstream:openai", "site:pohang-2"] {
            check(text, true);
        }
        for text in [
            "",
            "US",
            "country:us",
            "country:USA",
            "upstream:",
            "planet:earth",
            "site:a/b",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn a_country_is_stopped_wherever_data_may_come_to_it() {
        let [korea, us] = ["KR", "US"].map(|code| code.parse().unwrap());
        let id = SiteId::new("a").unwrap();
        let place = Place {
            stored_in: [us].into(),
            ..Place::own(korea)
        };
        assert!(StopScope::Country(us).stops(&id, &place));
        assert!(!StopScope::Country(us).stops(&id, &Place::own(korea)));
        assert!(StopScope::Site(id.clone()).stops(&id, &place));
        assert!(!StopScope::Upstream(UpstreamId::new("a").unwrap()).stops(&id, &place));
    }
}
