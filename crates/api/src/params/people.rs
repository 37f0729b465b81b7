//! Bodies and query strings about programmes, tenants, projects and keys.

use super::{Instant, Label, Weight, present};
use madang_types::{
    DataClass, DataFlags, Endpoint, MicroWon, ModelId, Preempted, ProgrammeId, ProjectId, Role,
    TenantId, WhenEnded, Zone,
};
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeSet;
use utoipa::{IntoParams, ToSchema};

/// The longest that a key made with `expires_days` lives.
const EXPIRES_DAYS_MAX: u32 = 3650;
/// The most models that a key is for by name.
const KEY_MODELS_MAX: usize = 100;
/// The greatest rate in requests.
const RATE_REQUESTS_PER_MIN_MAX: u32 = 1_000_000;
/// The greatest rate in tokens: as much as hundreds of accelerators make.
const RATE_TOKENS_PER_MIN_MAX: u32 = 1_000_000_000;
/// The most that a key or a project may spend: a trillion won.
const MICRO_WON_MAX: i64 = 1_000_000_000_000_000_000;

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
    /// Its tenants are served from then on; at once where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Instant>,
    /// Its tenants are served until then; for good where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Instant>,
    /// Who may take part, in words for people.
    #[serde(default)]
    #[schema(max_length = 1000, default = "")]
    pub eligibility: String,
    /// The data of its tenants is served on this ground or a better one.
    #[serde(default)]
    #[schema(value_type = Option<ZoneWord>)]
    pub residency_floor: Option<Zone>,
    /// What becomes of its tenants' batch jobs that run when nothing pays for them any more: they run on until their time limit, or are
    /// sent their checkpoint signal, given its grace, and stopped.
    #[serde(default)]
    #[schema(value_type = WhenEndedWord, default = "run_on")]
    pub jobs_when_ended: WhenEnded,
    /// What a stretch of a batch job costs that was stopped for others, or by a stop switch, and left no checkpoint.
    #[serde(default)]
    #[schema(value_type = PreemptedWord, default = "charged")]
    pub jobs_preempted: Preempted,
}

/// What to change of a programme; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProgrammePatch {
    /// Its share beside the other programmes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = u32, minimum = 1, maximum = 1_000_000, required = false)]
    pub weight: Option<Weight>,
    /// Its tenants are served from then on; null for no beginning.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub from: Option<Option<Instant>>,
    /// Its tenants are served until then; null for no end.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Option<Instant>>,
    /// Who may take part, in words for people.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, max_length = 1000, required = false)]
    pub eligibility: Option<String>,
    /// The data of its tenants is served on this ground or a better one; null for wherever policy permits.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<ZoneWord>)]
    pub residency_floor: Option<Option<Zone>>,
    /// What becomes of its tenants' batch jobs that run when nothing pays for them any more.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = WhenEndedWord, required = false)]
    pub jobs_when_ended: Option<WhenEnded>,
    /// What a stretch of a batch job costs that was stopped for others, or by a stop switch, and left no checkpoint.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = PreemptedWord, required = false)]
    pub jobs_preempted: Option<Preempted>,
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

/// A project to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectCreate {
    /// Its name, unique in its tenant.
    #[schema(value_type = String, max_length = 96)]
    pub id: ProjectId,
    /// Whose; with a tenant's key, that tenant where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// Words for people.
    #[serde(default)]
    #[schema(value_type = String, max_length = 100)]
    pub label: Label,
    /// What its keys may spend together from now on, in millionths of a won, up to a trillion won; no bound where it is left out.
    #[serde(default, deserialize_with = "limit_micro_won")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000_000_000_000_000_i64)]
    pub limit_micro_won: Option<MicroWon>,
}

/// What to change of a project; what is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectPatch {
    /// Words for people.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, max_length = 100, required = false)]
    pub label: Option<Label>,
    /// What its keys may spend together, in millionths of a won. It is raised, and never lowered or taken away.
    #[serde(default, deserialize_with = "limit_raised")]
    #[schema(value_type = i64, minimum = 1, maximum = 1_000_000_000_000_000_000_i64, required = false)]
    pub limit_micro_won: Option<MicroWon>,
}

/// Which projects.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectQuery {
    /// Only this tenant's.
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
}

/// A key to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyCreate {
    /// Whose key, with a role of a tenant; with a tenant's key, that tenant where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// Whose key, with the role `programme_manager`; with a manager's key, its programme where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub programme: Option<ProgrammeId>,
    /// The tenant's project that its usage counts for.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub project: Option<ProjectId>,
    /// `member` where it is left out.
    #[serde(default)]
    #[schema(value_type = Option<RoleWord>)]
    pub role: Option<Role>,
    /// Models that it may ask for; all where the list is empty or left out.
    #[serde(default, deserialize_with = "models")]
    #[schema(value_type = Vec<String>, required = false, max_items = 100)]
    pub models: BTreeSet<ModelId>,
    /// Doors that it may come through; all where the list is empty or left out.
    #[serde(default)]
    #[schema(value_type = Vec<EndpointWord>, required = false)]
    pub endpoints: BTreeSet<Endpoint>,
    /// Requests in a minute, 1 to a million; no bound where it is left out.
    #[serde(default, deserialize_with = "rate_requests")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub rate_requests_per_min: Option<u32>,
    /// Tokens in a minute, 1 to a thousand million; no bound where it is left out.
    #[serde(default, deserialize_with = "rate_tokens")]
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pub rate_tokens_per_min: Option<u32>,
    /// What it may spend, in millionths of a won, up to a trillion won; no bound where it is left out.
    #[serde(default, deserialize_with = "limit_micro_won")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1_000_000_000_000_000_000_i64)]
    pub limit_micro_won: Option<MicroWon>,
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

fn models<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeSet<ModelId>, D::Error> {
    let names = Vec::<ModelId>::deserialize(d)?;
    if names.len() > KEY_MODELS_MAX {
        return Err(de::Error::custom(format_args!(
            "a key is for at most {KEY_MODELS_MAX} models, or for all"
        )));
    }
    Ok(names.into_iter().collect())
}

fn rate_requests<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    bounded(d, RATE_REQUESTS_PER_MIN_MAX)
}

fn rate_tokens<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    bounded(d, RATE_TOKENS_PER_MIN_MAX)
}

fn limit_micro_won<'de, D: Deserializer<'de>>(d: D) -> Result<Option<MicroWon>, D::Error> {
    bounded(d, MICRO_WON_MAX).map(|limit: Option<i64>| limit.map(MicroWon))
}

fn limit_raised<'de, D: Deserializer<'de>>(d: D) -> Result<Option<MicroWon>, D::Error> {
    match limit_micro_won(d)? {
        None => Err(de::Error::custom(
            "a project's limit is raised and never taken away",
        )),
        limit => Ok(limit),
    }
}

fn expires_days<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    bounded(d, EXPIRES_DAYS_MAX)
}

/// A number from 1 to `max`, or none.
fn bounded<'de, D: Deserializer<'de>, T>(d: D, max: T) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + PartialOrd + From<bool> + std::fmt::Display,
{
    match Option::<T>::deserialize(d)? {
        Some(value) if value < T::from(true) || value > max => Err(de::Error::custom(
            format_args!("{value} is not between 1 and {max}"),
        )),
        value => Ok(value),
    }
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

/// A kind of ground, the best first.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the words in the document")]
pub(crate) enum ZoneWord {
    /// Cut off from public networks, for public bodies.
    GovIsolated,
    /// At home, for one organisation.
    DomesticPrivate,
    /// At home, shared by many organisations.
    DomesticPublic,
    /// Anything else.
    Foreign,
}

/// What becomes of jobs at the end of their budget.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the words in the document")]
pub(crate) enum WhenEndedWord {
    /// They run until their time limit.
    RunOn,
    /// They are sent their checkpoint signal, given its grace, and stopped.
    Stop,
}

/// What a stretch costs that was stopped and left no checkpoint.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the words in the document")]
pub(crate) enum PreemptedWord {
    /// What it used.
    Charged,
    /// Nothing.
    Free,
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

/// Whose key it is; docs/roles.md says what each may do.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the words in the document")]
pub(crate) enum RoleWord {
    /// Runs the sites.
    Operator,
    /// Runs a programme.
    ProgrammeManager,
    /// Runs a tenant.
    TenantAdmin,
    /// A tenant's developer.
    Member,
    /// Reads everything.
    Auditor,
}

/// A door of the data plane.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "names the words in the document")]
pub(crate) enum EndpointWord {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/completions`
    Completions,
    /// `/v1/embeddings`
    Embeddings,
    /// `/v1/responses`
    Responses,
    /// `/v1/messages`
    Messages,
}

/// Where a person goes after a sign-in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginQuery {
    pub return_to: Option<String>,
}

/// What a terminal asks a person in the browser for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TerminalQuery {
    pub redirect_uri: String,
    pub challenge: String,
    pub state: String,
}

/// A code for a key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TerminalTrade {
    pub code: String,
    pub verifier: String,
}
