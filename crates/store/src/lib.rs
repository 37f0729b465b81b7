//! The books: usage records, people and keys, behind one trait. It keeps what it is given and decides nothing.
//!
//! Every implementation passes [`conformance`]. SQLite is the one today.

pub mod conformance;
pub mod sqlite;

use async_trait::async_trait;
use madang_types::{
    KeyId, KeyRecord, Micros, ModelId, Outcome, Programme, ProgrammeId, RequestId, Tenant,
    TenantId, UsageRecord,
};

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The medium failed: full, read-only, gone, locked by another process. Nothing was written.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The row exists and may not be replaced.
    #[error("{0} exists already")]
    Exists(String),
    /// The row does not exist.
    #[error("{0} does not exist")]
    Absent(String),
    /// What was read is not what was written: a fault of ours or of the medium.
    #[error("the store is damaged: {0}")]
    Damaged(String),
}

/// Which usage records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
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
    /// Per civil day at this fixed offset from UTC (seconds east; Asia/Seoul is 32400).
    Day {
        /// Seconds east of UTC.
        offset_s: i32,
    },
}

/// One row of sums over usage records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageSum {
    /// The group: a model, a tenant, a day as `YYYY-MM-DD`, or empty for all. Absent models read as `-`.
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
    /// Bytes of bodies, both ways.
    pub bytes_in: u64,
    /// Bytes of answers.
    pub bytes_out: u64,
}

/// The books. Every method is durable when it returns `Ok`.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes one usage record; a second write of the same id changes nothing and is `Ok`.
    async fn usage_append(&self, record: UsageRecord) -> Result<(), StoreError>;
    /// One record.
    async fn usage_get(&self, id: RequestId) -> Result<Option<UsageRecord>, StoreError>;
    /// Records, newest first; `before` continues a page; at most `count_max` (itself at most 1000).
    async fn usage_list(
        &self,
        filter: UsageFilter,
        before: Option<RequestId>,
        count_max: u32,
    ) -> Result<Vec<UsageRecord>, StoreError>;
    /// Sums, ordered by group.
    async fn usage_sum(&self, filter: UsageFilter, group: UsageGroup) -> Result<Vec<UsageSum>, StoreError>;

    /// Inserts or replaces a programme.
    async fn programme_put(&self, programme: Programme) -> Result<(), StoreError>;
    /// All programmes, by id.
    async fn programme_list(&self) -> Result<Vec<Programme>, StoreError>;
    /// One programme.
    async fn programme_get(&self, id: ProgrammeId) -> Result<Option<Programme>, StoreError>;
    /// Inserts or replaces a tenant.
    async fn tenant_put(&self, tenant: Tenant) -> Result<(), StoreError>;
    /// All tenants, by id.
    async fn tenant_list(&self) -> Result<Vec<Tenant>, StoreError>;
    /// One tenant.
    async fn tenant_get(&self, id: TenantId) -> Result<Option<Tenant>, StoreError>;

    /// Adds a key. [`StoreError::Exists`] where the id is taken.
    async fn key_insert(&self, key: KeyRecord) -> Result<(), StoreError>;
    /// All keys, by id; of one tenant where given.
    async fn key_list(&self, tenant: Option<TenantId>) -> Result<Vec<KeyRecord>, StoreError>;
    /// One key.
    async fn key_get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;
    /// Marks a key revoked; a second call keeps the first instant. [`StoreError::Absent`] where there is none.
    async fn key_revoke(&self, id: KeyId, at: Micros) -> Result<KeyRecord, StoreError>;
}

/// Whether a record counts as finished work (used by every implementation's sums).
pub fn is_finished(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Finished)
}
