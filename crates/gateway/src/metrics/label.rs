//! Labels whose number is bounded.

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};
use std::collections::HashSet;
use std::fmt::{self, Display, Write};
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

/// The value of a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Label<T> {
    /// A known id.
    Known(T),
    /// One of those beyond the bound.
    Other,
    /// There is none.
    None,
}

impl<T: Display> EncodeLabelValue for Label<T> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Known(id) => write!(encoder, "{id}"),
            Self::Other => encoder.write_str("other"),
            Self::None => encoder.write_str("-"),
        }
    }
}

/// The first so many ids; later ones share a label.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    count_max: usize,
    seen: RwLock<HashSet<T>>,
}

impl<T: Clone + Eq + Hash> Bounded<T> {
    pub(super) fn new(count_max: usize) -> Self {
        Self {
            count_max,
            seen: RwLock::default(),
        }
    }

    pub(super) fn label(&self, id: &T) -> Label<T> {
        if self
            .seen
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(id)
        {
            return Label::Known(id.clone());
        }
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < self.count_max {
            seen.insert(id.clone());
        }
        if seen.contains(id) {
            Label::Known(id.clone())
        } else {
            Label::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_beyond_the_bound_share_a_label() {
        let bounded = Bounded::new(2);
        let labels: Vec<_> = [1, 2, 3, 1, 2, 4]
            .iter()
            .map(|id| bounded.label(id))
            .collect();
        let known = |id| Label::Known(id);
        assert_eq!(
            labels,
            [
                known(1),
                known(2),
                Label::Other,
                known(1),
                known(2),
                Label::Other
            ]
        );
    }
}
