//! What is looked after from time to time: what executors keep of runs that are over is dropped after its time, and they are asked about
//! runs that were given up.

use super::JobsPlane;
use madang_fleet::JobsExecutor;
use madang_gateway::clock;
use madang_store::StoreError;
use madang_types::{Micros, RunId};
use std::collections::{BTreeMap, BTreeSet};
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

/// The last run of each executor's that was looked after.
type Last = BTreeMap<(JobsExecutor, Option<String>), RunId>;

/// Looks after them while this gateway drives, until the plane is gone. Whoever drives does not wait for executors that are away.
pub(super) async fn keep(plane: Weak<JobsPlane>) {
    let mut due = Instant::now();
    let mut last = Last::default();
    loop {
        sleep(REST).await;
        let Some(plane) = plane.upgrade() else {
            return;
        };
        if Instant::now() < due || plane.lock().is_none() {
            continue;
        }
        due = Instant::now() + LOOK_TIME;
        match plane.look_after(clock::now(), &mut last).await {
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
    async fn look_after(&self, now: Micros, last: &mut Last) -> Result<bool, StoreError> {
        let is_soon = self.ask_after(now).await?;
        self.forget_old(now, last).await?;
        Ok(is_soon)
    }

    /// Drops what executors keep of jobs that were over long ago.
    async fn forget_old(&self, now: Micros, last: &mut Last) -> Result<(), StoreError> {
        let keep_ms = self.gateway.snapshot().fleet.jobs.keep_ms;
        for (key, executor) in &self.executors {
            let known = executor.runs().await.unwrap_or_default();
            let over = known.into_iter().filter(|(_, status)| status.is_over());
            let over: BTreeSet<RunId> = over.map(|(run, _)| run).collect();
            let turn = turn(&over, last.get(key).copied(), LOOKED_AFTER_MAX);
            last.extend(turn.last().map(|run| (key.clone(), *run)));
            for run in turn {
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

/// Whose turn it is after that one, at most so many, and from the first again after the last one: many that have to stay, such as ended
/// tasks of an array that still runs, keep nobody behind them from being dropped.
fn turn(over: &BTreeSet<RunId>, last: Option<RunId>, count_max: usize) -> Vec<RunId> {
    let is_next = |run: &&RunId| last.is_none_or(|last| **run > last);
    let (next, before): (Vec<&RunId>, Vec<&RunId>) = over.iter().partition(is_next);
    let in_turn = next.into_iter().chain(before);
    in_turn.take(count_max).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::{JobId, TaskId};

    #[test]
    fn who_stays_keeps_nobody_from_having_a_turn() {
        let run = |job| RunId {
            task: TaskId::from(JobId(job)),
            number: 1,
        };
        let over: BTreeSet<RunId> = (1..=7).map(run).collect();
        let mut last = None;
        let mut next = || {
            let turn = turn(&over, last, 3);
            last = turn.last().copied();
            turn
        };
        assert_eq!(next(), [run(1), run(2), run(3)]);
        assert_eq!(next(), [run(4), run(5), run(6)]);
        assert_eq!(next(), [run(7), run(1), run(2)]);
        assert_eq!(turn(&over, Some(run(9)), 9), Vec::from_iter(over.clone()));
        assert_eq!(turn(&BTreeSet::new(), Some(run(9)), 3), []);
    }
}
