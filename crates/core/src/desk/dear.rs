//! Jobs that have begun and wait again for the hours in which electricity is dear: runs that go on from a checkpoint stop, and tasks of
//! arrays that have not begun wait.
//!
//! What decides is [`Shifts`](crate::flex::Shifts), which the twin asks too. A job's end is put off by no more than its start might have
//! been: what it ran moves the last moment at which the rest has to begin.

use super::entry::{self, Entry, TaskState};
use super::{Desk, DeskEffect};
use crate::flex::{TasksDone, Work};
use crate::jobs::NodesKey;
use madang_types::{JobId, Micros, RunState, StopWhy};
use std::collections::BTreeSet;

/// Between two looks at what has begun, in microseconds: as often as the twin looks.
const LOOK_US: u64 = 900_000_000;

/// A job that has begun, and what of it may wait.
struct Begun {
    job: JobId,
    nodes: BTreeSet<NodesKey>,
    work: Work,
}

impl Entry {
    /// Something of it may wait again though it has begun: it writes checkpoints, or is an array.
    fn may_wait_again(&self) -> bool {
        let spec = &self.job.spec;
        spec.flex.shift_ms > 0 && (spec.checkpoint.is_some() || spec.tasks() > 1)
    }

    /// What is not queued of it is to be weighed: nothing has begun, all of it has stopped, or the rest of an array may wait.
    pub(super) fn is_due(&self) -> bool {
        let waits = |task: &entry::Task| matches!(task.state, TaskState::Ready);
        match (self.next, self.job.spec.tasks()) {
            (0, _) => true,
            (_, 1) => self.may_wait_again() && self.open.values().all(waits),
            _ => self.weigh,
        }
    }

    /// How far its tasks have come.
    pub(super) fn done(&self, now: Micros) -> TasksDone {
        let milli = u128::from(self.job.spec.resources.accelerator_milli().max(1));
        let us = |used: u128| u64::try_from(used / milli).unwrap_or(u64::MAX);
        let (mut open_us, mut now_us, mut runs) = (0_u64, 0_u64, false);
        for task in self.open.values() {
            open_us = open_us.saturating_add(us(task.used));
            if let TaskState::Running(running) = &task.state {
                let ran = running.record.started_at.map_or(0, |at| now.since_us(at));
                now_us = now_us.saturating_add(ran);
                runs |= running.record.state != RunState::Stopping;
            }
        }
        let over = self.over;
        let over = [over.completed, over.failed, over.timed_out, over.cancelled];
        TasksDone {
            over: over.into_iter().map(u64::from).sum(),
            ran_us: now_us.saturating_add(us(self.used)),
            open_ran_us: now_us.saturating_add(open_us),
            runs: runs && self.job.spec.checkpoint.is_some(),
        }
    }
}

impl Desk {
    /// Something of it has begun, or was found: it is looked at, a single job's run as soon as it has begun.
    pub(super) fn may_stop(&mut self, id: JobId) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        if entry.next > 0 && entry.may_wait_again() {
            let is_new = self.shifting.may_stop.insert(id);
            // Of an array one task after another begins: that alone changes nothing.
            if is_new || entry.job.spec.tasks() == 1 {
                self.shifting.look_at = None;
            }
        }
    }

    /// When runs are looked at again.
    pub(super) fn look_at(&self) -> Option<Micros> {
        let looks = !self.shifting.may_stop.is_empty();
        self.shifting.look_at.filter(|_| looks)
    }

    /// Stops those for which it is worth it to wait for better hours, and holds back the rest of arrays. What waits then is weighed again,
    /// with all its places, before it is queued.
    pub(super) fn stop_in_dear_hours(&mut self, now: Micros) {
        let is_due = self.shifting.look_at.is_none_or(|at| at <= now);
        if self.shifting.may_stop.is_empty() || !is_due {
            return;
        }
        self.shifting.look_at = Some(self.next_look(now));
        let mut all: Vec<Begun> = Vec::new();
        for id in self.shifting.may_stop.clone() {
            match self.begun(now, id) {
                Some(begun) => all.push(begun),
                None if !self.entries.get(&id).is_some_and(is_still_begun) => {
                    self.shifting.may_stop.remove(&id);
                }
                None => {}
            }
        }
        all.sort_by_key(|begun| (begun.work.latest_start, begun.job));
        // Room that is kept for those that wait is not theirs; what they take of it is for this look alone.
        self.hours_anew(now);
        let Some((mut shifts, keys)) = self.shifting.shifts.clone() else {
            return;
        };
        for Begun { job, nodes, work } in all {
            let known = |key: &NodesKey| keys.get(key).copied();
            let places: Vec<usize> = nodes.iter().filter_map(known).collect();
            // Where nobody knows what it costs it may go on.
            if places.len() < nodes.len() {
                continue;
            }
            let shift = shifts.put(&work, &places);
            let is_better = |from, saves| from > now && saves > 0;
            if shift.is_some_and(|shift| is_better(shift.from, shift.saves_permille())) {
                self.wait_again(now, job);
            }
        }
    }

    /// A quarter of an hour later, or where prices change before.
    fn next_look(&self, now: Micros) -> Micros {
        let later = Micros(now.0.saturating_add_unsigned(LOOK_US));
        let ends = self.hour_ends(now).filter(|end| *end > now);
        ends.chain([later]).min().unwrap_or(later)
    }

    /// A job that has begun and of which something may wait now.
    fn begun(&self, now: Micros, id: JobId) -> Option<Begun> {
        let entry = self.entries.get(&id)?;
        let nodes = match entry.job.spec.tasks() {
            1 => self.run_on(entry)?,
            _ if entry.put_off.is_none() && entry.job.cancelled_at.is_none() => {
                entry::open_to(entry, &self.nodes, &self.bars, &self.sites.data)
            }
            _ => return None,
        };
        let mut work = self.work_left(now, entry, &nodes);
        work.left_us = work.left_us.max(LOOK_US);
        // The tasks that run of an array without checkpoints run through.
        let is_left = work.runs || waiting(entry) > 0;
        (is_left && work.latest_start > now && !nodes.is_empty()).then_some(Begun {
            job: id,
            nodes,
            work,
        })
    }

    /// Where a single job's program runs.
    fn run_on(&self, entry: &Entry) -> Option<BTreeSet<NodesKey>> {
        let TaskState::Running(running) = &entry.open.get(&0)?.state else {
            return None;
        };
        let record = &running.record;
        let runs = record.state == RunState::Running && record.started_at.is_some();
        let (nodes, _) = self.nodes_named(&record.nodes).filter(|_| runs)?;
        Some([nodes].into())
    }

    /// What runs of it stops, where it writes checkpoints, and what is queued of it waits.
    fn wait_again(&mut self, now: Micros, id: JobId) {
        self.unqueue(now, id);
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.weigh = true;
        self.feed.insert(id);
        let Some(checkpoint) = entry.job.spec.checkpoint else {
            return;
        };
        for task in entry.open.values_mut() {
            let TaskState::Running(running) = &mut task.state else {
                continue;
            };
            if running.record.state != RunState::Stopping {
                self.jobs.stopping(entry::key_of(running.record.run.task));
                let stop: DeskEffect = running.stop((StopWhy::Price, now), Some(checkpoint));
                self.effects.push(stop);
            }
        }
    }
}

/// Something of it may still have to wait: a single job that runs, an array that is not over.
fn is_still_begun(entry: &Entry) -> bool {
    entry.job.spec.tasks() > 1 || entry.is_running()
}

/// How many of its tasks have no machines.
fn waiting(entry: &Entry) -> usize {
    let has_none = |task: &&entry::Task| !matches!(task.state, TaskState::Running(_));
    let never = entry.job.spec.tasks().saturating_sub(entry.next);
    let open = entry.open.values().filter(has_none).count();
    open.saturating_add(usize::try_from(never).unwrap_or(usize::MAX))
}
