//! What an owner is told.

use super::Desk;
use super::entry::{self, Entry, TaskState};
use crate::jobs::{AHEAD_MAX, JobKey};
use madang_types::{Job, JobId, Micros, RunCandidate, RunRecord, RunState, SiteId, StopWhy};
use std::collections::BTreeMap;

/// Machines that are told of on which a job may not be.
const CLOSED_MAX: usize = 32;

/// How many tasks of a job stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// They wait.
    pub pending: u32,
    /// They have machines.
    pub running: u32,
    /// They ended well.
    pub completed: u32,
    /// They did not, were stopped at their time limit, or were withdrawn.
    pub failed: u32,
}

/// How all that is on the desk stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Tasks that wait, those that are held back too.
    pub waiting: u64,
    /// Runs that hold machines, by site and by how they stand; without a site those from before that was kept.
    pub runs: BTreeMap<(Option<SiteId>, RunState), u64>,
}

/// Why something does not run, and when it will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// Why, in a line.
    pub why: String,
    /// Tasks of anybody that are before it.
    pub ahead: Option<usize>,
    /// When it will start, as things stand.
    pub starts_at: Option<Micros>,
    /// Where it may be, and what that would cost, the cheapest first; none where it has no choice.
    pub candidates: Vec<RunCandidate>,
}

impl Waits {
    fn because(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            ahead: None,
            starts_at: None,
            candidates: Vec::new(),
        }
    }
}

impl Desk {
    /// Jobs that are not over, by number.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.entries.values().map(|entry| &entry.job)
    }

    /// A job that is not over.
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.entries.get(&id).map(|entry| &entry.job)
    }

    /// Runs that hold machines.
    pub fn runs(&self) -> impl Iterator<Item = &RunRecord> {
        // Not of all jobs: those that wait may be a hundred thousand, and this is asked at each look.
        self.jobs.keys_running().filter_map(|key| {
            let task = entry::task_of(key);
            let open = &self.entries.get(&task.job)?.open;
            match &open.get(&task.index.unwrap_or(0))?.state {
                TaskState::Running(running) => Some(&running.record),
                TaskState::Ready | TaskState::Later(_) | TaskState::Queued => None,
            }
        })
    }

    /// Some job waits as what it needs was refused to it for now.
    pub fn has_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// How all that is on the desk stands.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for run in self.runs() {
            let site = run.place.as_ref().map(|place| place.site.clone());
            *totals.runs.entry((site, run.state)).or_default() += 1;
        }
        let counts = self.entries.keys().filter_map(|id| self.counts(*id));
        totals.waiting = counts.map(|counts| u64::from(counts.pending)).sum();
        totals
    }

    /// How many of a job's tasks stand how; `None` for one that is over.
    pub fn counts(&self, id: JobId) -> Option<Counts> {
        let entry = self.entries.get(&id)?;
        let is_running = |task: &&entry::Task| matches!(task.state, TaskState::Running(_));
        let running = entry.open.values().filter(is_running).count();
        let running = u32::try_from(running).unwrap_or(u32::MAX);
        let over = entry.over;
        let failed = over.failed + over.timed_out + over.cancelled;
        Some(Counts {
            pending: entry
                .job
                .spec
                .tasks()
                .saturating_sub(running + over.completed + failed),
            running,
            completed: over.completed,
            failed,
        })
    }

    /// Why a job, or the first task of it that waits, does not run; `None` where nothing of it waits.
    pub fn waits(&self, now: Micros, id: JobId) -> Option<Waits> {
        let entry = self.entries.get(&id)?;
        let job = &entry.job;
        let prepares = entry.open.values().find_map(|task| match &task.state {
            TaskState::Running(running) => running.prepares.clone(),
            TaskState::Ready | TaskState::Later(_) | TaskState::Queued => None,
        });
        if let Some(why) = prepares {
            let begins = "it has machines, and begins".to_owned();
            return Some(Waits::because(if why.is_empty() { begins } else { why }));
        }
        if self.counts(id)?.pending == 0 {
            return None;
        }
        if job.held {
            let why = format!("it is held back; `madang job release {id}` lets it go on");
            return Some(Waits::because(why));
        }
        if let Some(after) = entry.after.first() {
            let why = format!("it waits until job {} is {}", after.job, after.when);
            return Some(Waits::because(why));
        }
        if let Some(why) = self.barred(entry) {
            return Some(Waits::because(why));
        }
        let put_off = entry.put_off.as_ref().filter(|(until, _)| *until > now);
        if let Some((until, why)) = entry.refused.as_ref().or(put_off) {
            let waits = Waits::because(why.clone());
            return Some(Waits {
                starts_at: Some(*until),
                ..waits
            });
        }
        if let Some(why) = self.bound_by(id) {
            return Some(Waits::because(why));
        }
        if entry::open_to(entry, &self.nodes, &self.bars, &self.sites.data).is_empty() {
            return Some(Waits::because(self.nowhere(id)));
        }
        let mut tasks = entry.open.iter();
        let queued = tasks.find(|(_, task)| matches!(task.state, TaskState::Queued));
        if let Some((index, _)) = queued {
            return self.turn(now, entry, entry::key_of(entry.task_id(*index)));
        }
        let later = entry.open.values().find_map(|task| match task.state {
            TaskState::Later(at) => Some(at),
            TaskState::Ready | TaskState::Queued | TaskState::Running(_) => None,
        });
        Some(match later {
            Some(at) => Waits {
                starts_at: Some(at),
                ..Waits::because("its last try failed; it is tried again")
            },
            None if entry.is_full() => {
                Waits::because("as many of its tasks run as it allows at once")
            }
            None => Waits::because("it has just come"),
        })
    }

    fn turn(&self, now: Micros, entry: &Entry, key: JobKey) -> Option<Waits> {
        let outlook = self.jobs.outlook(now, key)?;
        let unqueued = self.unqueued_before(entry);
        let ahead = outlook.ahead.saturating_add(unqueued);
        let why = match (ahead, outlook.starts_at) {
            (_, None) => "it needs more than its machines have together".to_owned(),
            (_, Some(_)) if unqueued > 0 => {
                format!("{ahead} tasks are before it: not before the time that is told")
            }
            (0, Some(_)) => "it is next, and waits for machines to be free".to_owned(),
            (1, Some(_)) => "1 task is before it".to_owned(),
            (AHEAD_MAX.., Some(_)) => {
                format!("{AHEAD_MAX} tasks or more are before it: not before the time that is told")
            }
            (ahead, Some(_)) => format!("{ahead} tasks are before it"),
        };
        let kept = self
            .kept_from(now, key)
            .filter(|_| outlook.starts_at.is_some());
        let why = match kept {
            Some(kept) => format!("{why}; {kept}"),
            None => why,
        };
        let (why, starts_at) = match self.held_back(key) {
            Some((why, starts_at)) => (why, Some(starts_at)),
            None => (why, outlook.starts_at),
        };
        Some(Waits {
            why,
            ahead: Some(ahead),
            starts_at,
            candidates: self.told(&outlook.offers),
        })
    }

    /// Tasks of its account's arrays that came before it and want the same, and are not in the queue yet: they will be before it there.
    fn unqueued_before(&self, entry: &Entry) -> usize {
        let wants = |entry: &Entry| {
            let spec = &entry.job.spec;
            let like = (spec.resources.clone(), spec.priority, spec.qos.clone());
            (entry.account, like, spec.checkpoint.is_some())
        };
        let wanted = wants(entry);
        let before = self.arrays.range(..entry.job.id);
        let before = before.filter_map(|id| self.entries.get(id));
        let before = before.filter(|before| before.next < before.job.spec.tasks());
        let like = before.filter(|before| {
            let array = before.job.spec.array;
            let all_at_once = array.is_some_and(|array| array.at_once_max.is_none());
            let comes = all_at_once && !before.job.held && before.after.is_empty();
            comes && wants(before) == wanted
        });
        let tasks: u32 = like
            .map(|before| before.job.spec.tasks() - before.next)
            .fold(0, u32::saturating_add);
        usize::try_from(tasks).unwrap_or(usize::MAX)
    }

    /// What all machines lack for a job.
    fn nowhere(&self, id: JobId) -> String {
        super::nowhere(self.closed(id))
    }

    /// Machines on which a job that is not over may not be, and why; so many at most.
    pub fn closed(&self, id: JobId) -> Vec<super::Lack> {
        let entry = self.entries.get(&id);
        let lack = |nodes: &super::DeskNodes| Some(nodes.lack(self.lacks(entry?, nodes)?));
        let closed = self.nodes.iter().filter_map(lack);
        closed.take(CLOSED_MAX).collect()
    }

    /// Why a job may not be on machines; `None` where it may.
    fn lacks(&self, entry: &Entry, nodes: &super::DeskNodes) -> Option<String> {
        if let Err(lack) = nodes.fits(&entry.job.spec.resources) {
            return Some(lack.what);
        }
        let is_allowed = entry.allowed.contains(&nodes.id);
        match self.bars.bar_at(&entry.job, nodes) {
            Some(bar) if is_allowed || bar.why == StopWhy::Switch => Some(bar.text),
            _ if is_allowed => {
                let unfit = entry.unfit.get(&nodes.id).cloned();
                unfit.or_else(|| self.sites.data.lacks(&entry.job, &nodes.site))
            }
            _ => Some("policy keeps its data away".to_owned()),
        }
    }
}
