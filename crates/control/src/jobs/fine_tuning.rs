//! What fine-tuning asks of whoever drives jobs.

use super::JobsPlane;
use async_trait::async_trait;
use madang_gateway::fine_tuning::Jobs;
use madang_gateway::refused::Refused;
use madang_store::{JobBook, JobWish, StoreError};
use madang_types::{Job, JobId, JobSpec, KeyId, RunRecord, TenantId};

#[async_trait]
impl Jobs for JobsPlane {
    async fn submit(&self, whose: (TenantId, KeyId), spec: JobSpec) -> Result<Job, Refused> {
        Self::submit(self, whose, spec).await
    }

    async fn wish(&self, id: JobId, wish: JobWish) -> Result<Job, StoreError> {
        Self::wish(self, id, wish).await
    }

    fn book(&self) -> &dyn JobBook {
        Self::book(self)
    }

    async fn output(
        &self,
        run: &RunRecord,
        from: u64,
        bytes_max: usize,
    ) -> Result<(u64, Vec<u8>), String> {
        let read = self.log(run, from, bytes_max).await;
        let log = read.map_err(|error| error.to_string())?;
        Ok((log.from, log.bytes))
    }
}
