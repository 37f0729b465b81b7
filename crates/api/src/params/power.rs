//! What callers say of a site's power.

use super::{Instant, Label};
use madang_types::POWER_EVENT_MS;
use serde::{Deserialize, Deserializer, de};
use utoipa::{IntoParams, ToSchema};

/// More than any site draws, in watts.
const WATTS_MAX: u64 = 10_000_000_000;

/// A cap of a site's power, or an event in which it draws less: `cap_watts` or `cut_milli`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PowerEventCreate {
    /// What it may draw at its meter, in watts. Without `for_ms` it holds until it is taken back, and takes the place of a cap of this
    /// kind that was set before.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 10_000_000_000_u64)]
    pub cap_watts: Option<CapWatts>,
    /// How much less than it draws when the event begins, in thousandths of that; wants `for_ms`.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 999)]
    pub cut_milli: Option<CutMilli>,
    /// From when on; at once where left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Instant>,
    /// For how long, in milliseconds; thirty days at most.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1000, maximum = 2_592_000_000_u64)]
    pub for_ms: Option<ForMs>,
    /// Why, for people.
    #[serde(default)]
    #[schema(value_type = String, max_length = 100)]
    pub reason: Label,
}

/// Which caps and events of a site are shown.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PowerEventQuery {
    /// Those too that were over since then, an instant of the last 31 days; of all the newest 1,000.
    #[param(value_type = Option<String>, example = "2026-11-21T09:00:00+09:00")]
    pub since: Option<Instant>,
}

/// Watts of a cap.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CapWatts(pub u64);

/// A part in thousandths, neither nothing nor all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutMilli(pub u32);

/// A span with an end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForMs(pub u64);

impl<'de> Deserialize<'de> for CapWatts {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        within(d, 1..=WATTS_MAX, "watts").map(Self)
    }
}

impl<'de> Deserialize<'de> for CutMilli {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        super::ranged(d, 1..=999).map(Self)
    }
}

impl<'de> Deserialize<'de> for ForMs {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        within(d, POWER_EVENT_MS, "milliseconds").map(Self)
    }
}

fn within<'de, D: Deserializer<'de>>(
    d: D,
    range: std::ops::RangeInclusive<u64>,
    unit: &str,
) -> Result<u64, D::Error> {
    let value = u64::deserialize(d)?;
    if range.contains(&value) {
        return Ok(value);
    }
    let (least, most) = (range.start(), range.end());
    Err(de::Error::custom(format_args!(
        "it is {least} to {most} {unit}"
    )))
}
