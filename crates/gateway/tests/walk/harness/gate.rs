//! A store whose writes of usage records can be held back or refused.

use async_trait::async_trait;
use madang_ledger::report::Extract;
use madang_store::{Settlement, SqliteStore, Store, StoreError, UsageFilter, UsageGroup, UsageSum};
use madang_types::{
    KeyId, KeyRecord, Micros, Programme, ProgrammeId, Project, ProjectId, RequestId, Stop,
    StopScope, Tenant, TenantId, UsageRecord,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What happens to writes of usage records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Open,
    /// They wait.
    Held,
    /// They fail.
    Broken,
}

pub struct GateStore {
    inner: Arc<SqliteStore>,
    gate: watch::Sender<Gate>,
    waiting: watch::Sender<usize>,
}

impl GateStore {
    pub fn new(inner: SqliteStore) -> Self {
        Self {
            inner: Arc::new(inner),
            gate: watch::Sender::new(Gate::Open),
            waiting: watch::Sender::new(0),
        }
    }

    /// The same books as the bank, which no gate stands before.
    pub fn bank(&self) -> Arc<SqliteStore> {
        Arc::clone(&self.inner)
    }

    pub fn set(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }

    /// Returns once so many writes have come to the closed gate since the start.
    pub async fn until_waiting(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        let come = waiting.wait_for(|waiting| *waiting >= count);
        let come = tokio::time::timeout(Duration::from_secs(30), come).await;
        come.expect("the writes come to the gate").unwrap();
    }
}

#[async_trait]
impl Store for GateStore {
    async fn usage_settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        if *self.gate.borrow() == Gate::Held {
            self.waiting.send_modify(|waiting| *waiting += 1);
        }
        let mut gate = self.gate.subscribe();
        let gate = *gate.wait_for(|gate| *gate != Gate::Held).await.unwrap();
        if gate == Gate::Broken {
            return Err(StoreError::Unavailable("the disk is full".into()));
        }
        self.inner.usage_settle(settlement).await
    }
    async fn usage_draft(&self, drafts: Vec<Settlement>) -> Result<(), StoreError> {
        self.inner.usage_draft(drafts).await
    }
    fn usage_sync_ms_max_set(&self, ms_max: u64) {
        self.inner.usage_sync_ms_max_set(ms_max);
    }
    async fn usage_get(&self, id: RequestId) -> Result<Option<UsageRecord>, StoreError> {
        self.inner.usage_get(id).await
    }
    async fn usage_list(
        &self,
        filter: UsageFilter,
        before: Option<RequestId>,
        count_max: u32,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        self.inner.usage_list(filter, before, count_max).await
    }
    async fn usage_sum(
        &self,
        filter: UsageFilter,
        group: UsageGroup,
    ) -> Result<Vec<UsageSum>, StoreError> {
        self.inner.usage_sum(filter, group).await
    }
    async fn usage_extract(
        &self,
        filter: UsageFilter,
        offset_s: i32,
    ) -> Result<Extract, StoreError> {
        self.inner.usage_extract(filter, offset_s).await
    }
    async fn programme_put(&self, programme: Programme) -> Result<(), StoreError> {
        self.inner.programme_put(programme).await
    }
    async fn programme_list(&self) -> Result<Vec<Programme>, StoreError> {
        self.inner.programme_list().await
    }
    async fn programme_get(&self, id: ProgrammeId) -> Result<Option<Programme>, StoreError> {
        self.inner.programme_get(id).await
    }
    async fn tenant_put(&self, tenant: Tenant) -> Result<(), StoreError> {
        self.inner.tenant_put(tenant).await
    }
    async fn tenant_list(&self) -> Result<Vec<Tenant>, StoreError> {
        self.inner.tenant_list().await
    }
    async fn tenant_get(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        self.inner.tenant_get(id).await
    }
    async fn project_put(&self, project: Project) -> Result<(), StoreError> {
        self.inner.project_put(project).await
    }
    async fn project_list(&self, tenant: Option<TenantId>) -> Result<Vec<Project>, StoreError> {
        self.inner.project_list(tenant).await
    }
    async fn project_get(
        &self,
        tenant: TenantId,
        id: ProjectId,
    ) -> Result<Option<Project>, StoreError> {
        self.inner.project_get(tenant, id).await
    }
    async fn key_insert(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.inner.key_insert(key).await
    }
    async fn key_put(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.inner.key_put(key).await
    }
    async fn key_list(&self, tenant: Option<TenantId>) -> Result<Vec<KeyRecord>, StoreError> {
        self.inner.key_list(tenant).await
    }
    async fn key_get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.inner.key_get(id).await
    }
    async fn key_revoke(&self, id: KeyId, at: Micros) -> Result<KeyRecord, StoreError> {
        self.inner.key_revoke(id, at).await
    }
    async fn stop_put(&self, stop: Stop) -> Result<Stop, StoreError> {
        self.inner.stop_put(stop).await
    }
    async fn stop_list(&self) -> Result<Vec<Stop>, StoreError> {
        self.inner.stop_list().await
    }
    async fn stop_delete(&self, scope: StopScope) -> Result<Stop, StoreError> {
        self.inner.stop_delete(scope).await
    }
}
