//! What pays for jobs, and what operators stopped: the desk is told where that has changed.

use super::JobsPlane;
use madang_core::desk::{Desk, DeskInput, Funds, Payer};
use madang_types::{Job, Micros, RunRecord, SiteId, StopWhy};
use std::collections::BTreeMap;

impl JobsPlane {
    /// Tells the desk of budgets that ended or came, of stops, and of what policy says since then.
    pub(super) fn follow_bars(&self, now: Micros) {
        let stopped = self.gateway.sites_stopped();
        if self.tell_bars(now, stopped) {
            // A stop is a part of policy's word of where data may be.
            self.allow_anew(now);
        }
    }

    /// Tells the desk of budgets and of stops; whether it knew of other stops.
    fn tell_bars(&self, now: Micros, stopped: BTreeMap<SiteId, String>) -> bool {
        let mut lock = self.lock();
        let Some(desk) = lock.as_mut() else {
            return false;
        };
        let payers: Vec<Payer> = desk.payers().cloned().collect();
        for (payer, funds) in self.gateway.job_funds(payers.into_iter(), now) {
            let before = desk.funds(&payer);
            if before.is_none_or(|before| *before != funds) {
                told(&payer, before, &funds);
                desk.apply(now, DeskInput::Funds(payer, funds));
            }
        }
        let is_other = *desk.stopped() != stopped;
        if is_other {
            for (site, switch) in &stopped {
                tracing::warn!(%site, switch, "jobs are stopped there, and none begins");
            }
            desk.apply(now, DeskInput::Stopped(stopped));
        }
        is_other
    }

    /// Asks policy again where each job may be, and executors where they would never run it. Nobody who asks of jobs waits for it meanwhile.
    pub(super) fn allow_anew(&self, now: Micros) {
        let jobs = |desk: &Desk| desk.jobs().cloned().collect::<Vec<Job>>();
        let jobs = self.lock().as_ref().map(jobs).unwrap_or_default();
        let nodes = self.nodes(Self::takes);
        let each = jobs.iter().map(|job| {
            let (allowed, unfit) = (self.allowed(job, &nodes), self.unfit(job, &nodes));
            DeskInput::Allowed(job.id, allowed, unfit)
        });
        let each: Vec<DeskInput> = each.collect();
        let mut lock = self.lock();
        let Some(desk) = lock.as_mut() else {
            return;
        };
        for input in each {
            desk.apply(now, input);
        }
    }
}

/// An operator is told once that a budget of jobs has ended, and that one is there again.
fn told((programme, tenant): &Payer, before: Option<&Funds>, funds: &Funds) {
    let programme = programme.as_ref().map(|id| id.as_str());
    let has_ended = |funds: &Funds| {
        funds.closed.is_some() || funds.kinds.as_ref().is_some_and(|kinds| kinds.is_empty())
    };
    let why = funds
        .closed
        .as_deref()
        .unwrap_or("nothing that it was granted is in force");
    match (before.is_some_and(has_ended), has_ended(funds)) {
        (false, true) if funds.stops => {
            tracing::warn!(%tenant, programme, why, "no budget for jobs: none begins, and those that run are stopped");
        }
        (false, true) => {
            tracing::warn!(%tenant, programme, why, "no budget for jobs: none begins, and those that run do so until their time limit");
        }
        (true, false) => tracing::info!(%tenant, programme, "there is a budget for jobs again"),
        _ => {}
    }
}

/// Whether a run was stopped by nobody's wish of its owner's, and left no checkpoint: none was to be written, or its time for that was
/// over and it was killed.
pub(super) fn left_nothing(job: &Job, run: &RunRecord) -> bool {
    let (Some(stop), Some(end)) = (run.stop, &run.end) else {
        return false;
    };
    let by_others = match stop.why {
        StopWhy::Room | StopWhy::Switch | StopWhy::Power | StopWhy::Price => true,
        StopWhy::Withdrawn | StopWhy::Requeued | StopWhy::Budget => false,
    };
    let in_time = |grace_ms| end.ended_at < stop.at.plus_ms(grace_ms);
    let wrote = job
        .spec
        .checkpoint
        .is_some_and(|checkpoint| in_time(checkpoint.grace_ms));
    by_others && end.outcome == madang_types::RunOutcome::Stopped && !wrote
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_store::conformance::jobs;
    use madang_types::{JobCheckpoint, RunEnd, RunOutcome, RunStop, StopSignal};

    #[test]
    fn a_stretch_left_nothing_where_it_was_stopped_by_others_and_wrote_no_checkpoint() {
        let check = |why, grace_ms: Option<u64>, (outcome, ended_at), expected| {
            let mut job = jobs::job("demo").unwrap();
            job.spec.checkpoint = grace_ms.map(|grace_ms| JobCheckpoint {
                signal: StopSignal::Usr1,
                grace_ms,
            });
            let mut run = jobs::run("1-1".parse().unwrap()).unwrap();
            run.stop = Some(RunStop {
                why,
                at: Micros(1_000_000),
            });
            run.end = Some(RunEnd {
                outcome,
                started_at: Some(Micros(0)),
                ended_at: Micros(ended_at),
                energy: None,
            });
            assert_eq!(
                left_nothing(&job, &run),
                expected,
                "{why} {grace_ms:?} {ended_at}"
            );
        };
        let stopped = |at| (RunOutcome::Stopped, at);
        check(StopWhy::Room, Some(2_000), stopped(2_999_999), false);
        check(StopWhy::Room, Some(2_000), stopped(3_000_000), true);
        check(StopWhy::Switch, None, stopped(1_000_001), true);
        check(
            StopWhy::Switch,
            None,
            (RunOutcome::Completed, 1_000_001),
            false,
        );
        for own in [StopWhy::Withdrawn, StopWhy::Requeued, StopWhy::Budget] {
            check(own, None, stopped(9_000_000), false);
        }
    }
}
