//! What electricity costs, as written.

use super::Text;
use crate::at::At;
use schemars::JsonSchema;
use serde::Deserialize;

/// A price of electricity, and when it holds.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBand {
    /// The first day, as `2026-04-16`.
    pub from: Text,
    /// The first day that is no longer in it.
    pub until: Text,
    /// Months, as `6-8` or `11-2 5`; all where not given.
    pub months: Text,
    /// Days of the week.
    #[schemars(extend("enum" = ["all", "weekday", "weekend"], "default" = "all"))]
    pub days: Text,
    /// Hours of the day, as `22-8 12`: the end of a range is no longer in it; all where not given.
    pub hours: Text,
    /// Won for a kilowatt-hour.
    #[schemars(required, range(min = -100_000, max = 100_000))]
    pub won_per_kwh: Option<At<f64>>,
}
