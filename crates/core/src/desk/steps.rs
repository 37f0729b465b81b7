//! What happens to a job that is on the desk, step by step.

use super::entry::{self, Places, Running, TaskState};
use super::{Desk, DeskEffect, DeskNodes, QUEUED_MAX};
use crate::jobs::{JobInput, Placement};
use madang_types::{
    AfterWhen, JobId, JobState, Micros, RunEnd, RunId, RunOutcome, RunPiece, RunPlace, RunRecord,
    RunState, StopWhy, TaskId,
};

/// How long who was refused waits until it is tried again, in microseconds.
const REFUSED_US: i64 = 60_000_000;
/// From a failed run to the next try; doubled with each, up to [`TRY_US_MAX`].
const TRY_US: i64 = 10_000_000;
const TRY_US_MAX: i64 = 600_000_000;

impl Desk {
    /// Puts what may run of a job into the queue.
    pub(super) fn feed(&mut self, now: Micros, id: JobId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let waits = entry.job.held || entry.job.cancelled_at.is_some() || !entry.after.is_empty();
        if waits || entry.refused.is_some() {
            return;
        }
        let nodes = entry::open_to(entry, &self.nodes, &self.bars, &self.sites.data);
        if nodes.is_empty() || self.is_put_off(now, id, &nodes) {
            return;
        }
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let need = super::fit::need(&entry.job.spec.resources, &nodes);
        let class = super::qos::class(&self.qos, &entry.job.spec);
        let in_queue = |task: &entry::Task| matches!(task.state, TaskState::Queued);
        let active =
            |task: &entry::Task| !matches!(task.state, TaskState::Later(_) | TaskState::Ready);
        let queued = entry.open.values().filter(|task| in_queue(task)).count();
        let busy = entry.open.values().filter(|task| active(task)).count();
        let at_once = entry.job.spec.array.and_then(|array| array.at_once_max);
        let at_once = at_once.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        });
        let room = (QUEUED_MAX.saturating_sub(queued)).min(at_once.saturating_sub(busy));
        let ready = |task: &entry::Task| matches!(task.state, TaskState::Ready);
        let again = entry
            .open
            .iter()
            .filter(|(_, task)| ready(task))
            .map(|(index, _)| *index);
        let new = entry.next..entry.job.spec.tasks();
        let chosen: Vec<u32> = again.chain(new).take(room).collect();
        for index in chosen {
            let task = entry.task_id(index);
            let ask = entry.ask(task, need, class);
            let state = entry.task(task);
            state.state = TaskState::Queued;
            let (used, since) = (state.used, state.ended_at);
            self.jobs.apply(now, JobInput::Submitted(ask));
            let since = since.unwrap_or(entry.job.submitted_at);
            self.jobs.had(ask.job, used, since);
        }
        self.tell_moves(id);
        self.tell_foretold(now, id);
    }

    /// Takes what waits of a job out of the queue; where it is put off it is weighed again.
    pub(super) fn unqueue(&mut self, now: Micros, id: JobId) {
        self.put_off_no_more(id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        for (index, task) in &mut entry.open {
            if matches!(task.state, TaskState::Queued) {
                task.state = TaskState::Ready;
                let index = entry.job.spec.array.map(|_| *index);
                let key = entry::key_of(TaskId { job: id, index });
                self.jobs.apply(now, JobInput::Withdrawn(key));
            }
        }
    }

    /// Who was refused, or failed, and may try again by now.
    pub(super) fn due(&mut self, now: Micros) {
        while let Some((at, task)) = self.later.first().copied() {
            if at > now {
                return;
            }
            self.later.pop_first();
            let Some(entry) = self.entries.get_mut(&task.job) else {
                continue;
            };
            if entry
                .refused
                .as_ref()
                .is_some_and(|(until, _)| *until <= now)
            {
                entry.refused = None;
                self.refused.remove(&task.job);
            }
            if let Some(state) = entry.open.get_mut(&task.index.unwrap_or(0))
                && matches!(state.state, TaskState::Later(until) if until <= now)
            {
                state.state = TaskState::Ready;
            }
            self.feed.insert(task.job);
        }
    }

    /// A task is given its machines.
    pub(super) fn begin(&mut self, now: Micros, task: TaskId, placements: &[Placement]) {
        let Some((nodes, pieces)) = self.pieces(placements) else {
            return;
        };
        let place = RunPlace {
            site: nodes.site.clone(),
            accelerator: nodes.accelerator.clone(),
        };
        let nodes = nodes.id.clone();
        self.given(now, &nodes);
        let candidates = self.candidates(entry::key_of(task));
        let Some(entry) = self.entries.get_mut(&task.job) else {
            return;
        };
        let accelerator_milli = entry.job.spec.resources.accelerator_milli();
        let number = entry.task(task).runs + 1;
        let record = RunRecord {
            run: RunId { task, number },
            nodes,
            place: Some(place),
            pieces,
            accelerator_milli,
            state: RunState::Starting,
            stop: None,
            created_at: now,
            started_at: None,
            unseen_since: None,
            unseen_until: None,
            end: None,
            charge: None,
            candidates,
        };
        entry.running(task, record.clone());
        self.effects.push(DeskEffect::Begin(Box::new(record)));
        self.may_stop(task.job);
        self.settle_state(now, task.job);
    }

    fn pieces(&self, placements: &[Placement]) -> Option<(&DeskNodes, Vec<RunPiece>)> {
        let piece = |placement: &Placement| {
            let at = usize::try_from(placement.machine.0).ok()?;
            let (_, number) = self.machines.get(at)?;
            Some(RunPiece {
                node: *number,
                accelerators: placement.accelerators.to_vec(),
                share_milli: u32::from(placement.piece.share_milli),
                cpu_milli: placement.piece.cpu_milli,
                memory_mib: placement.piece.memory_mib,
            })
        };
        let first = usize::try_from(placements.first()?.machine.0).ok()?;
        let (key, _) = self.machines.get(first)?;
        let nodes = self.nodes.get(usize::from(key.0))?;
        Some((nodes, placements.iter().filter_map(piece).collect()))
    }

    /// A task is stopped for others.
    pub(super) fn make_room(&mut self, now: Micros, task: TaskId) {
        let Some(entry) = self.entries.get_mut(&task.job) else {
            return;
        };
        let checkpoint = entry.job.spec.checkpoint;
        if let Some(running) = running(entry.task(task), None) {
            self.effects
                .push(running.stop((StopWhy::Room, now), checkpoint));
        }
    }

    /// A run is stopped for want of power, where it writes a checkpoint and nobody has stopped it yet.
    pub(super) fn power_short(&mut self, now: Micros, run: RunId) {
        let Some(entry) = self.entries.get_mut(&run.task.job) else {
            return;
        };
        let Some(checkpoint) = entry.job.spec.checkpoint else {
            return;
        };
        let Some(task) = entry.open.get_mut(&run.task.index.unwrap_or(0)) else {
            return;
        };
        let is_told = |running: &&mut Running| running.record.state != RunState::Stopping;
        if let Some(running) = running(task, Some(run)).filter(is_told) {
            self.jobs.stopping(entry::key_of(run.task));
            let stop = running.stop((StopWhy::Power, now), Some(checkpoint));
            self.effects.push(stop);
        }
    }

    pub(super) fn held(&mut self, now: Micros, id: JobId, held: bool) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.job.held = held;
        if held {
            self.unqueue(now, id);
        }
        self.feed.insert(id);
        self.settle_state(now, id);
    }

    pub(super) fn allowed(&mut self, now: Micros, id: JobId, (allowed, unfit): Places) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        if entry.allowed != allowed || entry.unfit != unfit {
            (entry.allowed, entry.unfit) = (allowed, unfit);
            self.unqueue(now, id);
            self.feed.insert(id);
        }
    }

    pub(super) fn cancelled(&mut self, now: Micros, id: JobId, at: Micros) {
        self.unqueue(now, id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.job.cancelled_at = entry.job.cancelled_at.or(Some(at));
        let never = entry.job.spec.tasks().saturating_sub(entry.next);
        entry.next += never;
        entry.over.cancelled += never;
        let open: Vec<u32> = entry.open.keys().copied().collect();
        for index in open {
            let task = entry.task_id(index);
            match running(entry.task(task), None) {
                Some(running) => {
                    self.jobs.stopping(entry::key_of(task));
                    self.effects
                        .push(running.stop((StopWhy::Withdrawn, now), None));
                }
                None => entry.close(task, JobState::Cancelled),
            }
        }
        self.settle_state(now, id);
    }

    pub(super) fn requeued(&mut self, now: Micros, id: JobId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let checkpoint = entry.job.spec.checkpoint;
        for task in entry.open.values_mut() {
            // Who was withdrawn does not come back.
            let stays = |running: &&mut Running| {
                let stop = running.record.stop;
                stop.is_none_or(|stop| stop.why != StopWhy::Withdrawn)
            };
            if let Some(running) = running(task, None).filter(stays) {
                let task = running.record.run.task;
                self.jobs.stopping(entry::key_of(task));
                self.effects
                    .push(running.stop((StopWhy::Requeued, now), checkpoint));
            }
        }
    }

    /// A run may not begin: nothing of it is in the books.
    pub(super) fn refused(&mut self, now: Micros, run: RunId, why: String) {
        let id = run.task.job;
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let task = entry.task(run.task);
        if running(task, Some(run)).is_none() {
            return;
        }
        task.state = TaskState::Ready;
        task.runs = run.number - 1;
        // It never ran: how long it had its machines tells nothing of how long its like run.
        self.jobs
            .apply(now, JobInput::Withdrawn(entry::key_of(run.task)));
        self.refuse(now, run.task, why);
        // It was withdrawn meanwhile: there is nothing that could stop.
        if let Some(at) = self
            .entries
            .get(&id)
            .and_then(|entry| entry.job.cancelled_at)
        {
            self.cancelled(now, id, at);
        }
        self.settle_state(now, id);
    }

    /// A job waits for a while, as what a task of it would cost cannot be set aside.
    fn refuse(&mut self, now: Micros, task: TaskId, why: String) {
        let until = Micros(now.0.saturating_add(REFUSED_US));
        if let Some(entry) = self.entries.get_mut(&task.job) {
            entry.refused = Some((until, why));
            self.refused.insert(task.job);
        }
        self.later.insert((until, task));
        self.unqueue(now, task.job);
    }

    pub(super) fn granted(&mut self) {
        for id in std::mem::take(&mut self.refused) {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.refused = None;
                self.feed.insert(id);
            }
        }
    }

    pub(super) fn prepares(&mut self, run: RunId, why: String) {
        let entry = self.entries.get_mut(&run.task.job);
        if let Some(running) = entry.and_then(|entry| running(entry.task(run.task), Some(run))) {
            running.prepares = Some(why);
        }
    }

    pub(super) fn began(&mut self, run: RunId, at: Micros) {
        let entry = self.entries.get_mut(&run.task.job);
        let Some(running) = entry.and_then(|entry| running(entry.task(run.task), Some(run))) else {
            return;
        };
        running.prepares = None;
        if running.record.started_at.is_none() {
            running.record.started_at = Some(at);
            if running.record.state == RunState::Starting {
                running.record.state = RunState::Running;
            }
            let record = running.record.clone();
            self.learn(&record, at);
            self.effects.push(DeskEffect::Run(Box::new(record)));
        }
    }

    pub(super) fn run_ended(&mut self, now: Micros, run: RunId, mut end: RunEnd) {
        let id = run.task.job;
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let withdrawn = entry.job.cancelled_at.is_some();
        let retries_max = entry.job.spec.retries_max;
        let task = entry.task(run.task);
        let Some(running) = running(task, Some(run)) else {
            return;
        };
        let mut record = running.record.clone();
        let stopped = record.stop.is_some_and(|s| s.why != StopWhy::Withdrawn);
        if stopped && end.outcome == RunOutcome::Cancelled {
            // An executor ends whoever writes no checkpoint as if it had been withdrawn.
            end.outcome = RunOutcome::Stopped;
        }
        record.state = RunState::Ended;
        record.started_at = end.started_at;
        let used = task.had(&record, &end);
        let failed_before = task.failed;
        let over = task.count(&record, &end.outcome, retries_max);
        let failed = task.failed > failed_before;
        let state = match over {
            None if withdrawn => Some(JobState::Cancelled),
            other => other,
        };
        match state {
            Some(state) => entry.close(run.task, state),
            None if failed => {
                let wait = TRY_US.saturating_mul(1 << task.failed.min(10)) / 2;
                let at = Micros(now.0.saturating_add(wait.min(TRY_US_MAX)));
                task.state = TaskState::Later(at);
                self.later.insert((at, run.task));
            }
            None => {}
        }
        entry.used += used;
        let why = match &end.outcome {
            RunOutcome::Cancelled if !withdrawn => Some("it was withdrawn at its site".to_owned()),
            outcome => why_of(outcome),
        };
        if why.is_some() && entry.job.why.is_none() {
            entry.job.why = why.map(|why| format!("{run}: {why}"));
        }
        let refused = match &end.outcome {
            RunOutcome::Refused { why } if !withdrawn => Some(why.clone()),
            _ => None,
        };
        record.end = Some(end);
        self.jobs
            .apply(now, JobInput::Ended(entry::key_of(run.task)));
        if let Some(why) = refused {
            self.refuse(now, run.task, why);
        }
        self.effects.push(DeskEffect::Settle(Box::new(record)));
        self.feed.insert(id);
        self.settle_state(now, id);
    }

    /// A job that this one waits for is over.
    pub(super) fn other_over(&mut self, now: Micros, id: JobId, other: JobId, state: JobState) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let met = |when: AfterWhen| match when {
            AfterWhen::Completed => state == JobState::Completed,
            AfterWhen::Failed => state != JobState::Completed,
            AfterWhen::Ended => true,
        };
        let asked = entry
            .job
            .spec
            .after
            .iter()
            .filter(|after| after.job == other);
        let unmet = asked.clone().any(|after| !met(after.when));
        entry.after.retain(|after| after.job != other);
        self.feed.insert(id);
        if unmet && entry.job.cancelled_at.is_none() {
            entry.job.why = Some(format!("job {other}, for which it waited, is {state}"));
            self.cancelled(now, id, now);
        }
    }

    /// Says how a job stands where that has changed; one that is over leaves the desk.
    pub(super) fn settle_state(&mut self, now: Micros, id: JobId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let state = entry.state();
        if state == entry.job.state {
            return;
        }
        entry.job.state = state;
        if !state.is_over() {
            self.effects
                .push(DeskEffect::Job(Box::new(entry.job.clone())));
            return;
        }
        entry.job.ended_at = Some(now);
        if state == JobState::Completed {
            entry.job.why = None;
        }
        let Some(entry) = self.entries.remove(&id) else {
            return;
        };
        self.refused.remove(&id);
        self.arrays.remove(&id);
        self.bars.left(&entry.job);
        self.effects.push(DeskEffect::Job(Box::new(entry.job)));
        for waiting in self.waits.remove(&id).unwrap_or_default() {
            self.other_over(now, waiting, id, state);
        }
    }
}

/// What a task runs; only that run where one is named.
pub(super) fn running(task: &mut entry::Task, run: Option<RunId>) -> Option<&mut Running> {
    match &mut task.state {
        TaskState::Running(running) if run.is_none_or(|run| running.record.run == run) => {
            Some(running)
        }
        TaskState::Running(_) | TaskState::Ready | TaskState::Later(_) | TaskState::Queued => None,
    }
}

/// What there is to say of an end that is not a good one.
fn why_of(outcome: &RunOutcome) -> Option<String> {
    match outcome {
        RunOutcome::Completed
        | RunOutcome::Stopped
        | RunOutcome::Cancelled
        | RunOutcome::Refused { .. } => None,
        RunOutcome::Failed { exit_code } => Some(format!("it ended with {exit_code}")),
        RunOutcome::TimedOut => Some("it was stopped at its time limit".to_owned()),
        RunOutcome::NotStarted { why } | RunOutcome::NotKept { why } | RunOutcome::Lost { why } => {
            Some(why.clone())
        }
    }
}
