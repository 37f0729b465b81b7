//! What callers send: bodies and query strings. Reading one checks everything that needs no look at the books.

mod jobs;
mod money;
mod people;
mod power;
mod report;
mod secrets;

pub(crate) use jobs::*;
pub(crate) use money::*;
pub(crate) use people::*;
pub(crate) use power::*;
pub(crate) use report::*;
pub(crate) use secrets::*;

use madang_audit::Month;
use madang_types::{
    DataClass, DataFlags, Endpoint, KeyId, Micros, ModelId, ProjectId, RequestId, StopScope,
    TenantId,
};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

/// The greatest weight, as in the fleet file.
pub(crate) const WEIGHT_MAX: u32 = 1_000_000;
/// The greatest length of a key's label, in characters.
pub(crate) const LABEL_CHARS_MAX: usize = 100;
/// Offsets from UTC that some place on earth has, in seconds.
pub(crate) const OFFSET_S_RANGE: std::ops::RangeInclusive<i32> = -43_200..=50_400;
/// Asia/Seoul.
pub(crate) const OFFSET_S_DEFAULT: i32 = 32_400;
/// The most requests on one page.
pub(crate) const REQUESTS_MAX: u32 = madang_store::USAGE_LIST_COUNT_MAX;
/// The most lines of a log.
pub(crate) const LOG_LINES_MAX: u32 = 10_000;

/// A share beside others: 1 to [`WEIGHT_MAX`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weight(pub u32);

impl Default for Weight {
    fn default() -> Self {
        Self(1)
    }
}

impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        ranged(d, 1..=WEIGHT_MAX).map(Self)
    }
}

fn ranged<'de, D: Deserializer<'de>>(
    d: D,
    range: std::ops::RangeInclusive<u32>,
) -> Result<u32, D::Error> {
    let value = u32::deserialize(d)?;
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = range.into_inner();
    Err(de::Error::custom(format_args!(
        "{value} is not between {low} and {high}"
    )))
}

/// An instant, written as in RFC 3339.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instant(pub Micros);

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let read: Result<jiff::Timestamp, _> = text.parse();
        let instant = read.map_err(|_| {
            de::Error::custom("not an RFC 3339 instant such as 2026-11-21T09:00:00+09:00")
        })?;
        Ok(Self(Micros(instant.as_microsecond())))
    }
}

/// Words for people: one line of at most [`LABEL_CHARS_MAX`] characters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Label(pub String);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        if text.chars().count() > LABEL_CHARS_MAX {
            return Err(de::Error::custom(format_args!(
                "a label has at most {LABEL_CHARS_MAX} characters"
            )));
        }
        if text.chars().any(char::is_control) {
            return Err(de::Error::custom("a label is one line of printable text"));
        }
        Ok(Self(text))
    }
}

/// Tells a field that is `null` from one that is not there.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

/// A place to stop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopCreate {
    /// `country:CC`, `upstream:ID` or `site:ID`.
    #[schema(value_type = String, example = "upstream:openai")]
    pub scope: StopScope,
    /// Why, for people.
    #[serde(default)]
    #[schema(value_type = String, max_length = 100)]
    pub reason: Label,
}

/// A key of the audit log's hashes to destroy.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErasureCreate {
    /// Whose hashes.
    #[schema(value_type = String, max_length = 96)]
    pub tenant: TenantId,
    /// Of which month, as the keys count months (`[audit] offset_s`).
    #[schema(value_type = String, example = "2026-11")]
    pub month: Month,
}

/// A request to explain.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainQuestion {
    /// Whose it would be; with a tenant's key, that tenant.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// With which key of the tenant, by its public part; without one no key's floor counts.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub key: Option<KeyId>,
    /// The model.
    #[schema(value_type = String)]
    pub model: ModelId,
    /// The door: `chat` where not given.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub endpoint: Option<Endpoint>,
    /// The class that it would claim.
    #[serde(default)]
    #[schema(value_type = Option<ClassWord>)]
    pub class: Option<DataClass>,
    /// Flags that it would claim.
    #[serde(default)]
    #[schema(value_type = Vec<FlagWord>, required = false)]
    pub flags: DataFlags,
    /// Its body, for the scanner.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub body: Option<Box<RawValue>>,
}

/// How many lines of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    /// Newest lines to show.
    #[serde(default = "lines_default", deserialize_with = "lines")]
    #[param(minimum = 1, maximum = 10_000, default = 100, required = false)]
    pub lines: u32,
}

fn lines_default() -> u32 {
    100
}

fn lines<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    ranged(d, 1..=LOG_LINES_MAX)
}

/// What usage is grouped by.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UsageBy {
    /// Per model.
    Model,
    /// Per tenant.
    Tenant,
    /// Per project, as `tenant/project`.
    Project,
    /// Per civil day.
    Day,
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UsageFormat {
    /// A list of objects.
    #[default]
    Json,
    /// RFC 4180, with a line of names.
    Csv,
}

/// Which usage, and how it is summed.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageQuery {
    /// One row per model, tenant, project or day; one row in all without it.
    #[param(inline)]
    pub by: Option<UsageBy>,
    /// Only this tenant's.
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// Only this project's; with `tenant`, where the key belongs to none.
    #[param(value_type = Option<String>)]
    pub project: Option<ProjectId>,
    /// Only this model's.
    #[param(value_type = Option<String>)]
    pub model: Option<ModelId>,
    /// Arrived at or after this RFC 3339 instant.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Instant>,
    /// Arrived before this RFC 3339 instant.
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Instant>,
    /// The form of the answer.
    #[serde(default)]
    #[param(inline, required = false)]
    pub format: UsageFormat,
    /// Where a day begins: seconds east of UTC; Asia/Seoul is 32400.
    #[serde(default = "offset_default", deserialize_with = "offset")]
    #[param(minimum = -43_200, maximum = 50_400, default = 32_400, required = false)]
    pub offset_s: i32,
}

fn offset_default() -> i32 {
    OFFSET_S_DEFAULT
}

fn offset<'de, D: Deserializer<'de>>(d: D) -> Result<i32, D::Error> {
    let value = i32::deserialize(d)?;
    if OFFSET_S_RANGE.contains(&value) {
        return Ok(value);
    }
    let (low, high) = OFFSET_S_RANGE.into_inner();
    Err(de::Error::custom(format_args!(
        "{value} is not between {low} and {high}"
    )))
}

/// Which requests.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestQuery {
    /// Only this tenant's.
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// Only this project's; with `tenant`, where the key belongs to none.
    #[param(value_type = Option<String>)]
    pub project: Option<ProjectId>,
    /// Only this model's.
    #[param(value_type = Option<String>)]
    pub model: Option<ModelId>,
    /// Arrived at or after this RFC 3339 instant.
    #[param(value_type = Option<String>, format = DateTime)]
    pub from: Option<Instant>,
    /// Arrived before this RFC 3339 instant.
    #[param(value_type = Option<String>, format = DateTime)]
    pub until: Option<Instant>,
    /// Continue after this request, the last of a page.
    #[param(value_type = Option<String>)]
    pub before: Option<RequestId>,
    /// Requests on the page.
    #[serde(default = "limit_default", deserialize_with = "limit")]
    #[param(minimum = 1, maximum = 1000, default = 100, required = false)]
    pub limit: u32,
}

fn limit_default() -> u32 {
    100
}

fn limit<'de, D: Deserializer<'de>>(d: D) -> Result<u32, D::Error> {
    ranged(d, 1..=REQUESTS_MAX)
}
