//! What power asks of jobs: which of their runs bend, and that they do.

use super::JobsPlane;
use crate::power::{BendingRun, Governors};
use madang_core::desk::{Desk, DeskInput};
use madang_executor::jobs::JobsError;
use madang_types::{RunId, RunRecord};
use std::collections::BTreeSet;
use std::sync::Arc;

impl JobsPlane {
    /// Who is asked for power before a run begins.
    pub(crate) fn governors(&self) -> &Arc<Governors> {
        &self.governors
    }

    /// Runs that hold machines, where this gateway drives jobs. Of some it is known that they stand still, or that they cannot.
    pub(crate) fn bending(
        &self,
        (frozen, cannot): &(BTreeSet<RunId>, BTreeSet<RunId>),
    ) -> Vec<BendingRun> {
        let desk = self.lock();
        let Some(desk) = desk.as_ref() else {
            return Vec::new();
        };
        let bending = |run: &RunRecord| {
            let spec = &desk.job(run.run.task.job)?.spec;
            Some(BendingRun {
                run: run.run,
                nodes: run.nodes.clone(),
                accelerator_milli: run.accelerator_milli,
                has_begun: run.started_at.is_some(),
                flex: spec.flex,
                checkpoint: spec.checkpoint,
                freezes: !cannot.contains(&run.run),
                is_frozen: frozen.contains(&run.run),
            })
        };
        desk.runs().filter_map(bending).collect()
    }

    /// A run that writes checkpoints is stopped for want of power.
    pub(crate) fn power_short(&self, run: RunId) {
        self.tell(DeskInput::Power(run));
    }

    /// Those that were refused for want of power may try again.
    pub(crate) fn power_free(&self) {
        let refused = |desk: &Desk| desk.has_refused();
        if self.lock().as_ref().is_some_and(refused) {
            self.tell(DeskInput::Granted);
        }
    }

    /// Has a run stand still, or go on.
    pub(crate) async fn freeze(&self, run: RunId, still: bool) -> Result<(), JobsError> {
        let record = {
            let desk = self.lock();
            let mut runs = desk.as_ref().into_iter().flat_map(Desk::runs);
            runs.find(|record| record.run == run).cloned()
        };
        let record = record.ok_or(JobsError::Absent(run))?;
        match self.executor_of(&record).await? {
            Some(executor) => executor.freeze(run, still).await,
            None => Err(JobsError::Absent(run)),
        }
    }
}
