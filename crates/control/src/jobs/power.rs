//! What power asks of jobs: which of their runs bend, and that they do.

use super::JobsPlane;
use crate::power::{BendingRun, Governors};
use madang_core::desk::{Desk, DeskInput};
use madang_executor::jobs::{JobExecutor, JobsError};
use madang_fleet::{Fleet, JobsExecutor, Nodes};
use madang_types::{RunId, RunRecord, SiteId};
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
            let is_reached = self.has_left(&run.nodes) || self.executor(&run.nodes).is_some();
            let is_frozen = frozen.contains(&run.run);
            Some(BendingRun {
                run: run.run,
                nodes: run.nodes.clone(),
                accelerator_milli: run.accelerator_milli,
                has_begun: run.started_at.is_some(),
                flex: spec.flex,
                checkpoint: spec.checkpoint.filter(|_| is_reached),
                // One that stands still on another gateway's machine stands there until that one is told; nothing more is had of it.
                freezes: match is_reached {
                    true => !cannot.contains(&run.run),
                    false => is_frozen,
                },
                is_frozen,
                is_reached,
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

    /// Has a run stand still, or go on: one of this gateway's own machine where another one drives.
    pub(crate) async fn freeze(&self, run: RunId, still: bool) -> Result<(), JobsError> {
        let record = {
            let desk = self.lock();
            let find = |desk: &Desk| desk.runs().find(|record| record.run == run).cloned();
            desk.as_ref().map(find)
        };
        let executor = match record {
            Some(Some(record)) => self.executor_of(&record).await?,
            Some(None) => None,
            None => self.own_machine(),
        };
        match executor {
            Some(executor) => executor.freeze(run, still).await,
            None => Err(JobsError::Absent(run)),
        }
    }

    /// Runs of this gateway's own machine that are not over, where another one may drive: no other gateway can tell them anything.
    ///
    /// # Errors
    /// Its executor does not tell.
    pub(crate) async fn own_runs(&self) -> Result<Vec<RunId>, JobsError> {
        let Some(executor) = self.own_machine().filter(|_| self.shared) else {
            return Ok(Vec::new());
        };
        let runs = executor.runs().await?.into_iter();
        let open = runs.filter(|(_, status)| !status.is_over());
        Ok(open.map(|(run, _)| run).collect())
    }

    /// Sites of this gateway's own machines.
    pub(crate) fn own_sites(&self, fleet: &Fleet) -> BTreeSet<SiteId> {
        let is_own = |nodes: &&Nodes| {
            let jobs = nodes.jobs.as_ref();
            jobs.is_some_and(|jobs| jobs.gateway.as_deref() == Some(self.id.as_str()))
        };
        let own = fleet.nodes.values().filter(is_own);
        own.map(|nodes| nodes.site.clone()).collect()
    }

    fn own_machine(&self) -> Option<Arc<dyn JobExecutor>> {
        self.executors.get(&(JobsExecutor::Local, None)).cloned()
    }
}
