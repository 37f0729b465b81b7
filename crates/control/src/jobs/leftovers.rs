//! What is looked after from time to time: what executors keep of runs that are over is dropped after its time, and they are asked about
//! runs that were given up.

use super::JobsPlane;
use madang_gateway::clock;
use madang_store::StoreError;
use madang_types::Micros;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks, and until this gateway drives.
const LOOK_TIME: Duration = Duration::from_secs(60);
const REST: Duration = Duration::from_secs(1);
/// The first where somebody is being withdrawn that had been given up.
const SOON: Duration = Duration::from_secs(5);
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
        match plane.look_after(clock::now()).await {
            Ok(true) => due = Instant::now() + SOON,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "what runs left is not looked after: the books cannot be used");
            }
        }
    }
}

impl JobsPlane {
    /// One look; whether the next one is to be soon.
    async fn look_after(&self, now: Micros) -> Result<bool, StoreError> {
        let is_soon = self.ask_after(now).await?;
        self.forget_old(now).await?;
        Ok(is_soon)
    }

    /// Drops what executors keep of jobs that were over long ago.
    async fn forget_old(&self, now: Micros) -> Result<(), StoreError> {
        let keep_ms = self.gateway.snapshot().fleet.jobs.keep_ms;
        for executor in self.executors.values() {
            let known = executor.runs().await.unwrap_or_default();
            let over = known.into_iter().filter(|(_, status)| status.is_over());
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
}
