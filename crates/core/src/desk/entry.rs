//! A job on the desk, and its tasks.

use super::DeskEffect;
use super::bar::Bars;
use super::data::DataPlaces;
use crate::jobs::{
    AccountKey, Ask, JobClass, JobKey, MachineKey, Need, NodesKey, Piece, Placement,
};
use madang_types::{
    After, Job, JobCheckpoint, JobId, JobState, Micros, NodesId, RunEnd, RunOutcome, RunRecord,
    RunState, RunStop, StopWhy, TaskId,
};
use std::collections::{BTreeMap, BTreeSet};

/// Bits of a [`JobKey`] that tell the tasks of one job apart: there are at most 100,000.
const TASK_BITS: u32 = 17;

/// The key of a task: later jobs have greater ones, as do later tasks of one.
pub(super) fn key_of(task: TaskId) -> JobKey {
    let index = task.index.map_or(0, |index| u64::from(index) + 1);
    JobKey(task.job.0 << TASK_BITS | index)
}

/// The task of a key.
pub(super) fn task_of(key: JobKey) -> TaskId {
    let index = key.0 & ((1 << TASK_BITS) - 1);
    TaskId {
        job: JobId(key.0 >> TASK_BITS),
        index: index
            .checked_sub(1)
            .and_then(|index| u32::try_from(index).ok()),
    }
}

/// Where a piece of a run is, on the machine of that number.
pub(super) fn placement(machine: usize, piece: &madang_types::RunPiece) -> Option<Placement> {
    Some(Placement {
        machine: MachineKey(u32::try_from(machine).ok()?),
        accelerators: piece.accelerators.iter().copied().collect(),
        piece: Piece {
            accelerators: u16::try_from(piece.accelerators.len()).unwrap_or(u16::MAX),
            share_milli: u16::try_from(piece.share_milli).unwrap_or(u16::MAX),
            cpu_milli: piece.cpu_milli,
            memory_mib: piece.memory_mib,
        },
    })
}

/// A job.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) job: Job,
    pub(super) account: AccountKey,
    /// Where policy lets its data be.
    pub(super) allowed: BTreeSet<NodesId>,
    /// Where nobody would ever run it, and why.
    pub(super) unfit: BTreeMap<NodesId, String>,
    /// Jobs that it still waits for.
    pub(super) after: Vec<After>,
    /// The first task that was never begun.
    pub(super) next: u32,
    /// Tasks that were begun and are not over, by index.
    pub(super) open: BTreeMap<u32, Task>,
    /// Tasks that are over.
    pub(super) over: Over,
    /// Why its runs were refused, until when.
    pub(super) refused: Option<(Micros, String)>,
    /// Until when it is put off, and why.
    pub(super) put_off: Option<(Micros, String)>,
    /// Something of it has begun, and the rest is to be weighed again before it is queued.
    pub(super) weigh: bool,
    /// What all its runs that are over had, in milli-accelerator-µs.
    pub(super) used: u128,
}

/// Where policy lets a job's data be, and where nobody would ever run it, and why.
pub(super) type Places = (BTreeSet<NodesId>, BTreeMap<NodesId, String>);

/// How many tasks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Over {
    pub(super) completed: u32,
    pub(super) failed: u32,
    pub(super) timed_out: u32,
    pub(super) cancelled: u32,
}

/// A task.
#[derive(Clone, Debug, Default)]
pub(super) struct Task {
    /// Runs so far.
    pub(super) runs: u32,
    /// Runs that failed.
    pub(super) failed: u32,
    /// Runs that were lost with their machine.
    pub(super) lost: u32,
    /// What it had in runs that are over, in milli-accelerator-µs.
    pub(super) used: u128,
    /// When its last run ended.
    pub(super) ended_at: Option<Micros>,
    pub(super) state: TaskState,
}

#[derive(Clone, Debug, Default)]
pub(super) enum TaskState {
    /// It is to be queued.
    #[default]
    Ready,
    /// It is tried again then.
    Later(Micros),
    /// It waits in the queue.
    Queued,
    /// It has machines.
    Running(Box<Running>),
}

#[derive(Clone, Debug)]
pub(super) struct Running {
    pub(super) record: RunRecord,
    /// What its executor says that it still fetches.
    pub(super) prepares: Option<String>,
    /// Since when nobody could be asked how it stands.
    pub(super) unseen_since: Option<Micros>,
}

impl Running {
    /// It is told to stop: with the job's checkpoint, where it has one and was not withdrawn.
    pub(super) fn stop(
        &mut self,
        (why, at): (StopWhy, Micros),
        checkpoint: Option<JobCheckpoint>,
    ) -> DeskEffect {
        self.record.state = RunState::Stopping;
        self.record.stop = Some(RunStop { why, at });
        let checkpoint = checkpoint.filter(|_| why != StopWhy::Withdrawn);
        DeskEffect::Stop(Box::new(self.record.clone()), checkpoint)
    }
}

impl Entry {
    pub(super) fn new(job: Job, account: AccountKey, (allowed, unfit): Places) -> Self {
        Self {
            after: job.spec.after.clone(),
            job,
            account,
            allowed,
            unfit,
            next: 0,
            open: BTreeMap::new(),
            over: Over::default(),
            refused: None,
            put_off: None,
            weigh: false,
            used: 0,
        }
    }

    /// The id of its task with that index.
    pub(super) fn task_id(&self, index: u32) -> TaskId {
        TaskId {
            job: self.job.id,
            index: self.job.spec.array.map(|_| index),
        }
    }

    /// A task that has begun, or begins with this.
    pub(super) fn task(&mut self, task: TaskId) -> &mut Task {
        let index = task.index.unwrap_or(0);
        self.next = self.next.max(index.saturating_add(1));
        self.open.entry(index).or_default()
    }

    /// What a task asks the queue for.
    pub(super) fn ask(&self, task: TaskId, need: Need, class: JobClass) -> Ask {
        let spec = &self.job.spec;
        Ask {
            job: key_of(task),
            account: self.account,
            need,
            run_us_max: spec.time_limit_ms.saturating_mul(1_000),
            preemptible: spec.checkpoint.is_some(),
            priority: spec.priority,
            class,
        }
    }

    /// As many of its tasks are queued or run as it allows at once.
    pub(super) fn is_full(&self) -> bool {
        let busy = |task: &&Task| matches!(task.state, TaskState::Queued | TaskState::Running(_));
        let most = self.job.spec.array.and_then(|array| array.at_once_max);
        let busy = self.open.values().filter(busy).count();
        most.is_some_and(|most| usize::try_from(most).is_ok_and(|most| busy >= most))
    }

    /// The books have this run of it, and its end.
    pub(super) fn ended_before(&mut self, run: &RunRecord, end: &RunEnd) {
        let tries = self.job.spec.retries_max;
        let task = self.task(run.run.task);
        task.runs = task.runs.max(run.run.number);
        let used = task.had(run, end);
        if let Some(state) = task.count(run, &end.outcome, tries) {
            self.close(run.run.task, state);
        }
        self.used += used;
    }

    /// The books have this run of it, and no end.
    pub(super) fn running(&mut self, id: TaskId, record: RunRecord) {
        let task = self.task(id);
        task.runs = task.runs.max(record.run.number);
        task.state = TaskState::Running(Box::new(Running {
            unseen_since: record.unseen_since,
            record,
            prepares: None,
        }));
    }

    /// A task is over.
    pub(super) fn close(&mut self, task: TaskId, state: JobState) {
        if self.open.remove(&task.index.unwrap_or(0)).is_none() {
            return;
        }
        let count = match state {
            JobState::Completed => &mut self.over.completed,
            JobState::TimedOut => &mut self.over.timed_out,
            JobState::Cancelled => &mut self.over.cancelled,
            JobState::Pending | JobState::Held | JobState::Running | JobState::Failed => {
                &mut self.over.failed
            }
        };
        *count += 1;
    }

    /// Whether any of its tasks has machines.
    pub(super) fn is_running(&self) -> bool {
        let running = |task: &Task| matches!(task.state, TaskState::Running(_));
        self.open.values().any(running)
    }

    /// How the job stands by its tasks.
    pub(super) fn state(&self) -> JobState {
        let Over {
            completed,
            failed,
            timed_out,
            cancelled,
        } = self.over;
        if self.is_running() {
            JobState::Running
        } else if completed + failed + timed_out + cancelled < self.job.spec.tasks() {
            if self.job.held {
                JobState::Held
            } else {
                JobState::Pending
            }
        } else if failed > 0 {
            JobState::Failed
        } else if cancelled > 0 {
            JobState::Cancelled
        } else if timed_out > 0 {
            JobState::TimedOut
        } else {
            JobState::Completed
        }
    }
}

impl Task {
    /// Adds what a run had of accelerators, and says it.
    pub(super) fn had(&mut self, run: &RunRecord, end: &RunEnd) -> u128 {
        let us = end.started_at.map_or(0, |at| end.ended_at.since_us(at));
        self.ended_at = Some(end.ended_at);
        let used = u128::from(us) * u128::from(run.accelerator_milli);
        self.used += used;
        used
    }

    /// A run ended so: how the task stands then, where that is the end of it.
    pub(super) fn count(
        &mut self,
        run: &RunRecord,
        outcome: &RunOutcome,
        retries_max: u32,
    ) -> Option<JobState> {
        self.state = TaskState::Ready;
        if run.stop.is_some_and(|stop| stop.why == StopWhy::Requeued) {
            return None;
        }
        match outcome {
            RunOutcome::Completed => Some(JobState::Completed),
            RunOutcome::TimedOut => Some(JobState::TimedOut),
            RunOutcome::Cancelled => Some(JobState::Cancelled),
            RunOutcome::Stopped | RunOutcome::Refused { .. } => None,
            RunOutcome::Failed { .. }
            | RunOutcome::NotStarted { .. }
            | RunOutcome::NotKept { .. } => {
                self.failed += 1;
                (self.failed > retries_max).then_some(JobState::Failed)
            }
            RunOutcome::Lost { .. } => {
                self.lost += 1;
                // Nobody is sure that one has ended that was given up: it is not begun anew.
                let given_up = run.unseen_since.is_some();
                (given_up || self.lost > super::LOST_MAX).then_some(JobState::Failed)
            }
        }
    }
}

/// Those of `nodes` where a job may be and would fit.
pub(super) fn open_to(
    entry: &Entry,
    nodes: &[super::DeskNodes],
    bars: &Bars,
    data: &DataPlaces,
) -> BTreeSet<NodesKey> {
    let wanted = &entry.job.spec.resources;
    let is_open = |nodes: &super::DeskNodes| {
        entry.allowed.contains(&nodes.id)
            && nodes.fits(wanted).is_ok()
            && !entry.unfit.contains_key(&nodes.id)
            && bars.bar_at(&entry.job, nodes).is_none()
            && data.lacks(&entry.job, &nodes.site).is_none()
    };
    (0u8..)
        .zip(nodes)
        .filter(|(_, nodes)| is_open(nodes))
        .map(|(at, _)| NodesKey(at))
        .collect()
}
