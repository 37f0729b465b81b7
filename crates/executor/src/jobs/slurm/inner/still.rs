//! Runs that stand still for want of power: their batch scripts are told, which stop and continue their programs.
//!
//! It is the owner's right, unlike `scontrol suspend`, which is an operator's, gives the processors to others meanwhile and does not count
//! the time. What is wanted is written down, and told beside all else: whoever asks does not wait for Slurm.

use super::refresh::Failed;
use super::{ELSEWHERE, Inner, now_ms};
use crate::jobs::slurm::book::{Entry, Known};
use crate::jobs::slurm::job::word;
use crate::jobs::{JobsError, RunStatus};
use madang_types::RunId;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Who stands still is told so again: its script may not have listened yet, and its program may have begun new processes.
const AGAIN: Duration = Duration::from_secs(10);

impl Inner {
    /// See [`crate::jobs::JobExecutor::freeze`].
    pub(in crate::jobs::slurm) async fn freeze(
        &self,
        run: RunId,
        still: bool,
    ) -> Result<(), JobsError> {
        let known = {
            let known = self.book.lock();
            let known = known.get(&run);
            known.map(|known| (known.entry.clone(), known.doubted))
        };
        let Some((entry, doubted)) = known else {
            // Whoever drove before may have it: it is found once it is asked how it stands.
            return match self.options.shared {
                true => Err(JobsError::Absent(run)),
                false => Ok(()),
            };
        };
        // Whoever is being stopped needs its time for that, and its script lets it go on.
        if (entry.still == still && !doubted) || entry.stop.is_some() {
            return Ok(());
        }
        let change = move |entry: &mut Entry| {
            entry.still = still;
            if doubted {
                entry.still_told = !still;
            }
        };
        self.book.change(run, change).await?;
        if let Some(known) = self.book.lock().get_mut(&run) {
            known.doubted = false;
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Runs are told from here how to stand, or from elsewhere. Of none it is known then how it was told to stand last.
    pub(in crate::jobs::slurm) fn leads(&self, leads: bool) {
        let since_ms = if leads { now_ms() } else { ELSEWHERE };
        if leads {
            self.doubt(None);
        }
        self.leads_since_ms.store(since_ms, Ordering::Relaxed);
    }

    /// Somebody else may have told that run, or any, how to stand.
    pub(super) fn doubt(&self, run: Option<RunId>) {
        for (id, known) in self.book.lock().iter_mut() {
            known.doubted |= run.is_none_or(|run| run == *id);
        }
    }

    /// Tells scripts of those that stand otherwise than they should.
    pub(super) async fn stand(&self) -> Result<(), JobsError> {
        if self.leads_since_ms.load(Ordering::Relaxed) == ELSEWHERE {
            return Ok(());
        }
        let due: Vec<(RunId, u32, bool)> = {
            let known = self.book.lock();
            known.values().filter_map(due).collect()
        };
        let mut failed = Failed::default();
        for (run, id, still) in due {
            failed.note(self.stand_one(run, id, still).await);
        }
        failed.told()
    }

    async fn stand_one(&self, run: RunId, id: u32, still: bool) -> Result<(), JobsError> {
        let _turn = self.lock(run).lock().await;
        let signal = if still { word::STILL } else { word::GO };
        let told = self.transport.signal(id, signal).await;
        told.map_err(|fault| self.named(fault))?;
        if let Some(known) = self.book.lock().get_mut(&run) {
            known.stilled_at = still.then(Instant::now);
            if known.entry.still_told == still {
                return Ok(());
            }
        }
        tracing::info!(%run, still, cluster = self.options.cluster, at_ms = now_ms(), "a run on Slurm was told how to stand");
        self.book
            .change(run, move |entry| entry.still_told = still)
            .await
    }
}

/// A run whose script is to be told: one that runs, of which somebody here said how it is to stand, and that is not being stopped.
fn due(known: &Known) -> Option<(RunId, u32, bool)> {
    let entry = &known.entry;
    let runs = matches!(known.seen, Some((_, RunStatus::Running { .. })));
    if !runs || known.doubted || entry.end.is_some() || entry.stop.is_some() {
        return None;
    }
    let is_old = known.stilled_at.is_none_or(|at| at.elapsed() >= AGAIN);
    let is_due = entry.still != entry.still_told || (entry.still && is_old);
    is_due.then_some((entry.run, entry.job?, entry.still))
}
