//! The books: usage records, people and keys, behind one trait. It keeps what it is given and decides nothing.
//!
//! Every implementation passes [`conformance`]: SQLite for one gateway, PostgreSQL for many.

mod bank;
pub mod conformance;
mod count;
pub mod day;
mod extract;
mod jobs;
mod journal;
mod ledger;
mod list;
mod migration;
pub mod postgres;
mod power;
mod settlement;
pub mod sqlite;

pub use bank::{Bank, GatewayRow, GrantError, Moved, RateBooks};
pub use jobs::{
    BUSY_LIST_COUNT_MAX, BusyFilter, BusyRun, HELD_KEPT_HOURS, JOBS_LIST_COUNT_MAX,
    JOBS_USED_COUNT_MAX, JobBook, JobFilter, JobTerm, JobWish, JobsChange, JobsUsed, USED_SPAN_US,
};
pub use ledger::{
    BalanceRow, ENTRIES_APPEND_COUNT_MAX, EntryFilter, EntryRow, LEDGER_LIST_COUNT_MAX, Ledger,
};
pub use postgres::{PostgresOptions, PostgresStore, PostgresUrl};
pub use power::{ENERGY_NOTES_LIST_MAX, EnergyRow, POWER_EVENTS_MAX, PowerBook};
pub use settlement::Settlement;
pub use sqlite::{SqliteLedger, SqliteOptions, SqliteStore};

use async_trait::async_trait;
use madang_ledger::report::Extract;
use madang_types::{
    KeyId, KeyRecord, Micros, ModelId, Outcome, Programme, ProgrammeId, Project, ProjectId,
    RequestId, Stop, StopScope, Tenant, TenantId, UsageRecord,
};

/// Why the store could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The medium failed: full, read-only, gone, locked by another process. Nothing was written, except where the
    /// message says that the write may still happen (it was handed over and not confirmed in time).
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The row exists and may not be replaced.
    #[error("{0} exists already")]
    Exists(String),
    /// The row does not exist.
    #[error("{0} does not exist")]
    Absent(String),
    /// The value cannot be kept exactly: a count over [`i64::MAX`]. Nothing was written.
    #[error("the value cannot be stored: {0}")]
    Invalid(String),
    /// What was read is not what was written: a fault of ours or of the medium.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// The most records that one [`Store::usage_list`] gives.
pub const USAGE_LIST_COUNT_MAX: u32 = 1000;

/// Which usage records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// Only of tenants that are in this programme now.
    pub programme: Option<ProgrammeId>,
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only of projects of this name.
    pub project: Option<ProjectId>,
    /// Only this model's.
    pub model: Option<ModelId>,
    /// Arrived at or after.
    pub from: Option<Micros>,
    /// Arrived before.
    pub until: Option<Micros>,
}

/// What sums are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageGroup {
    /// One row in all.
    All,
    /// Per model.
    Model,
    /// Per tenant.
    Tenant,
    /// Per project, as `tenant/project`, or `tenant/-` for what has none.
    Project,
    /// Per tenant and model, as `tenant/model`, or `tenant/-` for what named no model.
    TenantModel,
    /// Per civil day of the arrival at this fixed offset from UTC (seconds east; Asia/Seoul is 32400).
    Day {
        /// Seconds east of UTC.
        offset_s: i32,
    },
}

/// One row of sums over usage records. A sum over [`u64::MAX`] reads as [`u64::MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// The group: a model, a tenant, a project, a tenant's model, a day as `YYYY-MM-DD`, or empty for all. Absent models read as `-`.
    pub group: String,
    /// Records.
    pub requests: u64,
    /// Records whose outcome is [`Outcome::Finished`].
    pub finished: u64,
    /// Prompt tokens computed.
    pub uncached_tokens: u64,
    /// Prompt tokens from cache.
    pub cached_tokens: u64,
    /// Tokens made.
    pub output_tokens: u64,
    /// Records whose counts are estimates.
    pub estimated: u64,
    /// Bytes of requests' bodies.
    pub bytes_in: u64,
    /// Bytes of answers.
    pub bytes_out: u64,
}

/// The books. Every write outlives the process, and is visible to every later read, when it returns `Ok`; it outlives the
/// machine too, but for what [`Store::usage_sync_ms_max_set`] allows. Where several processes share the books, a usage
/// record is visible to the others half a second later at most, while the database takes what it is given.
///
/// A write whose future is dropped may still happen. Every wait has a bound and ends in [`StoreError::Unavailable`].
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes one usage record and its entry in the ledger; a second write of the same id changes nothing and is `Ok`. An entry that
    /// the ledger's rules refuse is kept apart and does not take the record with it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] where a count is over [`i64::MAX`]; [`StoreError::Unavailable`].
    async fn usage_settle(&self, settlement: Settlement) -> Result<(), StoreError>;
    /// Writes a usage record that moves nothing.
    ///
    /// # Errors
    /// As [`Store::usage_settle`].
    async fn usage_append(&self, record: UsageRecord) -> Result<(), StoreError> {
        self.usage_settle(record.into()).await
    }
    /// Keeps what is to be settled of requests under way, should nothing more be heard of them: whoever opens the store next, after
    /// this process has died, settles them. A later draft of the same id replaces it; a settled request has none.
    ///
    /// # Errors
    /// [`StoreError::Invalid`], [`StoreError::Unavailable`]: some of them may be kept.
    async fn usage_draft(&self, drafts: Vec<Settlement>) -> Result<(), StoreError>;
    /// From now on a usage record may be confirmed up to so many milliseconds before it is synced, so that the death of the
    /// machine (not of the process) loses the records of that time at most. 0, as at the start: only once it is synced.
    /// A store may sync sooner.
    fn usage_sync_ms_max_set(&self, _ms_max: u64) {}
    /// One record.
    async fn usage_get(&self, id: RequestId) -> Result<Option<UsageRecord>, StoreError>;
    /// Records, newest first (by arrival, then by id); `before` continues after the last record of a page; at most
    /// `count_max`, and never more than [`USAGE_LIST_COUNT_MAX`].
    ///
    /// # Errors
    /// [`StoreError::Absent`] where `before` names no record.
    async fn usage_list(
        &self,
        filter: UsageFilter,
        before: Option<RequestId>,
        count_max: u32,
    ) -> Result<Vec<UsageRecord>, StoreError>;
    /// Sums, ordered by group as text. [`UsageGroup::All`] always gives one row, the others only groups with records.
    async fn usage_sum(
        &self,
        filter: UsageFilter,
        group: UsageGroup,
    ) -> Result<Vec<UsageSum>, StoreError>;
    /// What a report of a span is made of, all as it stands at one instant: sums over records by tenant, model, site and day (of the
    /// arrival, `offset_s` seconds east of UTC), and over the legs of entries about requests of the same span.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for more than [`madang_ledger::report::EXTRACT_ROWS_MAX`] of either; [`StoreError::Unavailable`],
    /// [`StoreError::Damaged`].
    async fn usage_extract(
        &self,
        filter: UsageFilter,
        offset_s: i32,
    ) -> Result<Extract, StoreError>;

    /// Inserts or replaces a programme, every field as given.
    async fn programme_put(&self, programme: Programme) -> Result<(), StoreError>;
    /// All programmes, by id.
    async fn programme_list(&self) -> Result<Vec<Programme>, StoreError>;
    /// One programme.
    async fn programme_get(&self, id: ProgrammeId) -> Result<Option<Programme>, StoreError>;
    /// Inserts or replaces a tenant, every field as given.
    async fn tenant_put(&self, tenant: Tenant) -> Result<(), StoreError>;
    /// All tenants, by id.
    async fn tenant_list(&self) -> Result<Vec<Tenant>, StoreError>;
    /// One tenant.
    async fn tenant_get(&self, id: TenantId) -> Result<Option<Tenant>, StoreError>;

    /// Inserts or replaces a project, every field as given.
    async fn project_put(&self, project: Project) -> Result<(), StoreError>;
    /// All projects, by tenant and id; only those of one tenant where given.
    async fn project_list(&self, tenant: Option<TenantId>) -> Result<Vec<Project>, StoreError>;
    /// One project of a tenant.
    async fn project_get(
        &self,
        tenant: TenantId,
        id: ProjectId,
    ) -> Result<Option<Project>, StoreError>;

    /// Adds a key. [`StoreError::Exists`] where the id is taken.
    async fn key_insert(&self, key: KeyRecord) -> Result<(), StoreError>;
    /// Inserts or replaces a key, every field as given.
    async fn key_put(&self, key: KeyRecord) -> Result<(), StoreError>;
    /// All keys, by id; only those of one tenant where given.
    async fn key_list(&self, tenant: Option<TenantId>) -> Result<Vec<KeyRecord>, StoreError>;
    /// One key.
    async fn key_get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;
    /// Marks a key revoked and gives it as it now stands; a second call keeps the first instant. [`StoreError::Absent`] where there is none.
    async fn key_revoke(&self, id: KeyId, at: Micros) -> Result<KeyRecord, StoreError>;

    /// A number that is another one once anybody has changed programmes, tenants, keys, stops, budgets, allocations or prices; `None` where nobody but
    /// this process writes to these books.
    async fn people_revision(&self) -> Result<Option<u64>, StoreError> {
        Ok(None)
    }

    /// Sets a stop and gives it as it now stands: one that is in force already stays as it was set.
    async fn stop_put(&self, stop: Stop) -> Result<Stop, StoreError>;
    /// All stops in force, by scope.
    async fn stop_list(&self) -> Result<Vec<Stop>, StoreError>;
    /// Lifts a stop and gives it as it stood. [`StoreError::Absent`] where there is none.
    async fn stop_delete(&self, scope: StopScope) -> Result<Stop, StoreError>;
}

/// Whether a record counts as finished work (used by every implementation's sums).
pub fn is_finished(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Finished)
}
