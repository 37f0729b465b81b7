//! Names that lead to one of several models.

use madang_types::{DataClass, DataFlags, ModelId, ProgrammeId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Which of several models that can serve alike is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prefer {
    /// The first in the list.
    #[default]
    Listed,
    /// The one with the least `cost`.
    Cost,
}

/// A name that leads to one of several models.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualModel {
    /// The models, in the order of preference.
    pub candidates: Vec<Candidate>,
}

/// A model that a name leads to, and for which requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The model, or an adapter's name.
    pub model: ModelId,
    /// For data up to this class.
    pub class_max: DataClass,
    /// For data with none of these flags.
    pub flags_none: DataFlags,
    /// For tenants of these programmes; `None`: of all, and of none.
    pub programme: Option<BTreeSet<ProgrammeId>>,
    /// What it costs beside the others.
    pub cost: Option<f64>,
}
