//! What callers send: bodies and query strings. Reading one checks everything that needs no look at the books.

use madang_audit::Month;
use madang_types::{
    DataClass, DataFlags, Endpoint, KeyId, Micros, ModelId, ProgrammeId, RequestId, StopScope,
    TenantId,
};
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

/// The greatest weight, as in the fleet file.
pub(crate) const WEIGHT_MAX: u32 = 1_000_000;
/// The greatest length of a key's label, in characters.
pub(crate) const LABEL_CHARS_MAX: usize = 100;
/// The longest that a key made with `expires_days` lives.
pub(crate) const EXPIRES_DAYS_MAX: u32 = 3650;
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

/// A programme to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgrammeCreate {
    /// Its name.
    #[schema(value_type = String, max_length = 96)]
    pub id: ProgrammeId,
    /// Its share beside the other programmes.
    #[serde(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 1_000_000, default = 1)]
    pub weight: Weight,
}

/// A tenant to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantCreate {
    /// Its name.
    #[schema(value_type = String, max_length = 96)]
    pub id: TenantId,
    /// The programme that it belongs to.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub programme: Option<ProgrammeId>,
    /// Its share beside the programme's other tenants.
    #[serde(default)]
    #[schema(value_type = u32, minimum = 1, maximum = 1_000_000, default = 1)]
    pub weight: Weight,
    /// No request of the tenant has a lower class.
    #[serde(default)]
    #[schema(value_type = ClassWord, default = "open")]
    pub class_floor: DataClass,
    /// What all data of the tenant is.
    #[serde(default)]
    #[schema(value_type = Vec<FlagWord>, required = false)]
    pub data_flags: DataFlags,
}

/// What to change of a tenant; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantPatch {
    /// The programme that it belongs to; null for none.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub programme: Option<Option<ProgrammeId>>,
    /// Its share beside the programme's other tenants.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u32, minimum = 1, maximum = 1_000_000, required = false)]
    pub weight: Option<Weight>,
    /// No request of the tenant has a lower class.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = ClassWord, required = false)]
    pub class_floor: Option<DataClass>,
    /// What all data of the tenant is; the list replaces the one before.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<FlagWord>, required = false)]
    pub data_flags: Option<DataFlags>,
}

/// A key to make: for a tenant, or with the role of an operator.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyCreate {
    /// Whose key; not with the role `operator`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// `operator` for a key that belongs to no tenant; `member` (the default) needs a tenant.
    #[serde(default)]
    #[schema(value_type = Option<RoleWord>)]
    pub role: Option<madang_types::Role>,
    /// No request with this key has a lower class.
    #[serde(default)]
    #[schema(value_type = ClassWord, default = "open")]
    pub class_floor: DataClass,
    /// What all data sent with this key is.
    #[serde(default)]
    #[schema(value_type = Vec<FlagWord>, required = false)]
    pub data_flags: DataFlags,
    /// Words for people.
    #[serde(default)]
    #[schema(value_type = String, max_length = 100)]
    pub label: Label,
    /// Refused from this instant on; not with `expires_days`.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Instant>,
    /// Days until it expires, 1 to 3650.
    #[serde(default, deserialize_with = "expires_days")]
    #[schema(minimum = 1, maximum = 3650)]
    pub expires_days: Option<u32>,
}

fn expires_days<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    match Option::<u32>::deserialize(d)? {
        Some(days) if !(1..=EXPIRES_DAYS_MAX).contains(&days) => Err(de::Error::custom(
            format_args!("{days} is not between 1 and {EXPIRES_DAYS_MAX}"),
        )),
        days => Ok(days),
    }
}

/// A data class.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the words in the document")]
pub(crate) enum ClassWord {
    /// 공개
    Open,
    /// 민감
    Sensitive,
    /// 기밀
    Classified,
}

/// A fact about data that policy may look at.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the words in the document")]
pub(crate) enum FlagWord {
    /// Personal data.
    Pii,
    /// Unique identifiers, such as resident registration numbers.
    UniqueId,
    /// Health and medical records.
    Health,
    /// Personal credit information.
    Credit,
    /// Pseudonymised for statistics, research or archives.
    Pseudonymised,
    /// Of children under 14.
    Minor,
}

/// What a key may do.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the words in the document")]
pub(crate) enum RoleWord {
    /// Runs the sites.
    Operator,
    /// A tenant's developer.
    Member,
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

/// Which keys.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyQuery {
    /// Only this tenant's.
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
}

/// What usage is grouped by.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UsageBy {
    /// Per model.
    Model,
    /// Per tenant.
    Tenant,
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
    /// One row per model, tenant or day; one row in all without it.
    #[param(inline)]
    pub by: Option<UsageBy>,
    /// Only this tenant's.
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
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
