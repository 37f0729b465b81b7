//! What a caller may do: its role by the one table of rights, and its key by the key's own terms.

use crate::clock::clock_text;
use crate::keyring::Identity;
use crate::refused::Refused;
use madang_types::{
    Action, Endpoint, ErrorCode, KeyTerms, Micros, ModelId, Period, ProgrammeId, Reach,
};

/// Names that a refusal lists.
const NAMES_MAX: usize = 5;

impl Identity {
    /// How far this caller may do that.
    ///
    /// # Errors
    /// The refusal to send where its role may not do it at all.
    pub fn may(&self, action: Action) -> Result<Reach, Refused> {
        match self.role.reach(action) {
            Reach::Nothing => {
                let message = format!("a key of the role {} may not {}", self.role, action.what());
                Err(Refused::new(ErrorCode::RoleForbidden, message))
            }
            reach => Ok(reach),
        }
    }
}

/// Refuses a door that the key is not for.
pub(crate) fn permit_endpoint(terms: &KeyTerms, endpoint: Endpoint) -> Result<(), Refused> {
    if terms.permit_endpoint(endpoint) {
        return Ok(());
    }
    let doors = names(terms.endpoints.iter().map(|endpoint| endpoint.as_str()));
    let message = format!("this key is not for {endpoint}; it is for {doors}");
    Err(Refused::new(ErrorCode::EndpointNotPermitted, message))
}

/// Refuses a tenant whose programme has not begun, or has ended.
pub(crate) fn permit_period(
    (programme, period): (Option<&ProgrammeId>, Period),
    now: Micros,
) -> Result<(), Refused> {
    if period.contains(now) {
        return Ok(());
    }
    let Period { from, until } = period;
    let programme = programme.map_or("", ProgrammeId::as_str);
    let message = match (from.filter(|from| now < *from), until) {
        (Some(from), _) => format!("the programme '{programme}' begins at {}", clock_text(from)),
        (None, Some(until)) => {
            format!("the programme '{programme}' ended at {}", clock_text(until))
        }
        (None, None) => format!("the programme '{programme}' is closed"),
    };
    Err(Refused::new(ErrorCode::ProgrammeClosed, message))
}

/// Refuses a model that the key is not for.
pub(crate) fn permit_model(terms: &KeyTerms, model: &ModelId) -> Result<(), Refused> {
    if terms.permit_model(model) {
        return Ok(());
    }
    let models = names(terms.models.iter().map(ModelId::as_str));
    let message = format!("this key is not for the model '{model}'; it is for {models}");
    Err(Refused::new(ErrorCode::ModelNotPermitted, message).at("model"))
}

fn names<'a>(all: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = all.len().saturating_sub(NAMES_MAX);
    let shown: Vec<&str> = all.take(NAMES_MAX).collect();
    let shown = shown.join(", ");
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_a_few_of_what_is_permitted() {
        assert_eq!(names(["a", "b"].into_iter()), "a, b");
        let many = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(names(many.into_iter()), "a, b, c, d, e and 2 more");
    }
}
