//! Runs that stop for the hours in which electricity is dear: those of jobs that may be put off (`flex.shift`) and go on from a checkpoint.
//!
//! What decides is [`Shifts`](crate::flex::Shifts), which the twin asks too. A job's end is put off by no more than its start might have
//! been: what it ran moves the last moment at which the rest has to begin.

use super::entry::{self, Entry, TaskState};
use super::{Desk, DeskEffect};
use crate::flex::Work;
use crate::jobs::NodesKey;
use madang_types::{JobId, Micros, RunState, StopWhy};

/// Between two looks at the runs, in microseconds: as often as the twin looks.
const LOOK_US: u64 = 900_000_000;

/// A run that may stop.
struct Stoppable {
    job: JobId,
    nodes: NodesKey,
    work: Work,
}

impl Entry {
    /// It may stop in the middle and go on later: it writes checkpoints, and is one task.
    pub(super) fn parts(&self) -> bool {
        let spec = &self.job.spec;
        spec.flex.shift_ms > 0 && spec.checkpoint.is_some() && spec.tasks() == 1
    }

    /// How long its task ran in runs that are over, in microseconds.
    pub(super) fn ran_us(&self) -> u64 {
        let milli = u128::from(self.job.spec.resources.accelerator_milli().max(1));
        let used: u128 = self.open.values().map(|task| task.used).sum();
        u64::try_from(used / milli).unwrap_or(u64::MAX)
    }

    /// When the rest of it has to begin at the latest, where it ran for so long.
    pub(super) fn latest_start(&self, ran_us: u64) -> Micros {
        let submitted_at = self.job.submitted_at;
        let latest = submitted_at.plus_ms(self.job.spec.flex.shift_ms);
        Micros(latest.0.saturating_add_unsigned(ran_us))
    }
}

impl Desk {
    /// A run of it has begun, or was found.
    pub(super) fn may_stop(&mut self, id: JobId) {
        if self.entries.get(&id).is_some_and(Entry::parts) {
            self.shifting.may_stop.insert(id);
            self.shifting.look_at = None;
        }
    }

    /// When runs are looked at again.
    pub(super) fn look_at(&self) -> Option<Micros> {
        let looks = !self.shifting.may_stop.is_empty();
        self.shifting.look_at.filter(|_| looks)
    }

    /// Stops those for which it is worth it to wait for better hours. What has stopped is weighed again, with all its places, once it
    /// waits.
    pub(super) fn stop_in_dear_hours(&mut self, now: Micros) {
        let is_due = self.shifting.look_at.is_none_or(|at| at <= now);
        if self.shifting.may_stop.is_empty() || !is_due {
            return;
        }
        self.shifting.look_at = Some(Micros(now.0.saturating_add_unsigned(LOOK_US)));
        let mut runs: Vec<Stoppable> = Vec::new();
        for id in self.shifting.may_stop.clone() {
            match self.stoppable(now, id) {
                Some(run) => runs.push(run),
                None if !self.entries.get(&id).is_some_and(Entry::is_running) => {
                    self.shifting.may_stop.remove(&id);
                }
                None => {}
            }
        }
        runs.sort_by_key(|run| (run.work.latest_start, run.job));
        // Room that is kept for those that wait is not theirs; what they take of it is for this look alone.
        self.hours_are_known(now);
        let Some((mut shifts, keys)) = self.shifting.shifts.clone() else {
            return;
        };
        shifts.advance(now);
        for Stoppable { job, nodes, work } in runs {
            let place = keys.get(&nodes).copied();
            let shift = place.and_then(|place| shifts.put(&work, &[place]));
            let is_better = |from, saves| from > now && saves > 0;
            if shift.is_some_and(|shift| is_better(shift.from, shift.saves_permille())) {
                self.stop_for_price(now, job);
            }
        }
    }

    fn stoppable(&self, now: Micros, id: JobId) -> Option<Stoppable> {
        let entry = self.entries.get(&id)?;
        let task = entry.open.get(&0)?;
        let TaskState::Running(running) = &task.state else {
            return None;
        };
        let record = &running.record;
        let started_at = record
            .started_at
            .filter(|_| record.state == RunState::Running)?;
        let (nodes, _) = self.nodes_named(&record.nodes)?;
        let ran_us = entry.ran_us().saturating_add(now.since_us(started_at));
        let latest_start = entry.latest_start(ran_us);
        let need = super::fit::need(&entry.job.spec.resources, &[nodes].into());
        let class = super::qos::class(&self.qos, &entry.job.spec);
        let ask = entry.ask(record.run.task, need, class);
        let left_us = self.jobs.foretold_us(&ask).saturating_sub(ran_us);
        (latest_start > now).then_some(Stoppable {
            job: id,
            nodes,
            work: Work {
                accelerator_milli: record.accelerator_milli,
                left_us: left_us.max(LOOK_US),
                latest_start,
                parts: true,
                runs: true,
            },
        })
    }

    fn stop_for_price(&mut self, now: Micros, id: JobId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let checkpoint = entry.job.spec.checkpoint;
        let task = entry.task_id(0);
        if let TaskState::Running(running) = &mut entry.task(task).state {
            self.jobs.stopping(entry::key_of(task));
            let stop: DeskEffect = running.stop((StopWhy::Price, now), checkpoint);
            self.effects.push(stop);
        }
    }
}
