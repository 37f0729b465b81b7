//! Virtual models as written: names that lead to one of several models.

use super::policy::{CLASSES, FLAGS};
use super::{Text, Texts, words};
use crate::at::At;
use crate::model::Prefer;
use schemars::JsonSchema;
use serde::Deserialize;

/// A name that leads to one of several models: policy first, then who can serve now, then the order here.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawVirtualModel {
    /// What a client writes in `model`; no model, adapter or upstream's model has it.
    #[schemars(required)]
    pub id: Text,
    /// The models, best first; at most 16.
    #[schemars(required)]
    pub candidates: Option<At<Vec<At<RawCandidate>>>>,
    /// Which of those that can serve alike is taken.
    #[schemars(extend("default" = "listed"))]
    pub prefer: Option<At<Prefer>>,
}

/// A model that a name leads to. Policy is asked besides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCandidate {
    /// A model, an adapter or an upstream's model.
    #[schemars(required)]
    pub model: Text,
    /// Only for data up to this class.
    #[schemars(extend("enum" = CLASSES, "default" = "classified"))]
    pub class_max: Text,
    /// Only for data with none of these flags: `pii`, `unique_id`, `health`, `credit`, `pseudonymised`, `minor`.
    #[schemars(extend("items" = words(FLAGS)))]
    pub flags_none: Texts,
    /// Only for tenants of these programmes.
    pub programme: Texts,
    /// What it costs beside the others, in any unit: with `prefer = "cost"` the cheapest goes first, one without a cost last.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub cost: Option<At<f64>>,
}
