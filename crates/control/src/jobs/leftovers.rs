//! What executors still have of runs that are over by the books: dropped after its time, and withdrawn where it is not over there.

use super::JobsPlane;
use madang_executor::jobs::{JobExecutor, RunStatus, StopHow};
use madang_gateway::clock;
use madang_store::StoreError;
use madang_types::{Micros, RunId, RunRecord};
use std::collections::BTreeSet;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks, and until this gateway drives.
const LOOK_TIME: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_secs(1);
/// How many are looked after in one look.
const LOOKED_AFTER_MAX: usize = 200;

/// Looks after them while this gateway drives, until the plane is gone. Whoever drives does not wait for executors that are away.
pub(super) async fn keep(plane: Weak<JobsPlane>) {
    let mut due = Instant::now();
    loop {
        sleep(REST).await;
        let Some(plane) = plane.upgrade() else {
            return;
        };
        if Instant::now() < due || plane.lock().is_none() {
            continue;
        }
        due = Instant::now() + LOOK_TIME;
        if let Err(error) = plane.forget_old(clock::now()).await {
            tracing::warn!(%error, "what runs left is not looked after: the books cannot be used");
        }
    }
}

impl JobsPlane {
    /// Drops what executors keep of jobs that were over long ago.
    async fn forget_old(&self, now: Micros) -> Result<(), StoreError> {
        let keep_ms = self.gateway.snapshot().fleet.jobs.keep_ms;
        for executor in self.executors.values() {
            let known = executor.runs().await.unwrap_or_default();
            let (over, open): (Vec<_>, Vec<_>) =
                known.into_iter().partition(|(_, status)| status.is_over());
            self.withdraw_over(&**executor, open).await?;
            let over = over.into_iter();
            for (run, _) in over.take(LOOKED_AFTER_MAX) {
                let job = self.book.job_get(run.task.job).await?;
                let ended_at = job.map_or(Some(Micros(0)), |job| job.ended_at);
                if ended_at.is_none_or(|at| now < at.plus_ms(keep_ms)) {
                    continue;
                }
                if let Err(error) = executor.forget(run).await {
                    tracing::warn!(%run, %error, "what a run left is not dropped yet");
                }
            }
        }
        Ok(())
    }

    /// Withdraws what an executor still has of runs that were given up while nobody could be asked how they stand.
    async fn withdraw_over(
        &self,
        executor: &dyn JobExecutor,
        open: Vec<(RunId, RunStatus)>,
    ) -> Result<(), StoreError> {
        let live: BTreeSet<RunId> = self.live().into_iter().map(|run| run.run).collect();
        let others = open.into_iter().filter(|(run, _)| !live.contains(run));
        for (run, _) in others.take(LOOKED_AFTER_MAX) {
            let before = RunId {
                number: run.number.saturating_sub(1),
                ..run
            };
            let found = self.book.run_list(run.task.job, Some(before)).await?;
            let given_up = |found: &RunRecord| found.end.is_some() && found.unseen_since.is_some();
            if !found
                .first()
                .is_some_and(|found| found.run == run && given_up(found))
            {
                continue;
            }
            tracing::warn!(%run, "a run that was given up is there again: it is withdrawn");
            if let Err(error) = executor.stop(run, StopHow::Cancel).await {
                tracing::warn!(%run, %error, "a run that was given up is not withdrawn yet");
            }
        }
        Ok(())
    }
}
