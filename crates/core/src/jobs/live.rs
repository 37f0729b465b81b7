//! What a live queue needs beside the rule: it begins with jobs that run, its machines change, and people ask when it is their turn.

use super::ask::{Ask, JobKey, NodesKey};
use super::nodes::{Floor, Machine, MachineKey, Placement};
use super::queue::{Job, State, later};
use super::reserve::KeptFree;
use super::{AccountKey, JobTerms, Jobs};
use crate::learn::whole;
use madang_types::Micros;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// So far down the queue one looks: whoever stands there waits for long, and need not know to the minute.
pub const AHEAD_MAX: usize = 10_000;

/// What somebody who waits is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Jobs that are before it, as things stand; at least so many where they are [`AHEAD_MAX`].
    pub ahead: usize,
    /// When it will start if nobody else comes, nobody is stopped, and jobs run as long as their like did; not before then where
    /// [`AHEAD_MAX`] are before it. `None` where its like has no room even on empty machines.
    pub starts_at: Option<Micros>,
}

impl Jobs {
    /// The weight of an account among its siblings from now on.
    pub fn weigh(&mut self, account: AccountKey, weight: u32) {
        self.accounts.weigh(account, weight);
    }

    /// What an accelerator of each `[[nodes]]` counts in shares, in thousandths, by [`NodesKey`]; whole where nothing is said. What runs
    /// goes on to count as it did.
    pub fn worth(&mut self, worth_milli: Vec<u32>) {
        self.worth_milli = worth_milli;
    }

    /// Other terms from now on; what was used fades as it did.
    pub fn terms(&mut self, terms: JobTerms) {
        self.terms = terms;
    }

    /// An account used so much before anything was told, in milliseconds of a whole accelerator, at about that instant. It fades as what
    /// was told.
    pub fn used_before(&mut self, now: Micros, account: AccountKey, (ms, at): (u64, Micros)) {
        let now = self.present(now);
        // In thousandths of an accelerator, for microseconds.
        self.accounts
            .used_before(account, (whole(ms) * 1e6, at), now);
    }

    /// A job that ran before anything was told: since `at`, on those machines. One that is known already stays as it is.
    pub fn found(&mut self, ask: Ask, at: Micros, placements: Vec<Placement>) {
        if self.jobs.contains_key(&ask.job) {
            return;
        }
        self.jobs.insert(ask.job, Job::new(ask, at));
        self.start(at, ask.job, placements);
    }

    /// A job that waits had so many milli-accelerator-µs before it came, and has waited since then.
    pub fn had(&mut self, job: JobKey, used: u128, since: Micros) {
        let since = since.min(self.latest);
        if let Some(waiting) = self.jobs.get_mut(&job).filter(|job| !job.is_running()) {
            self.queues.remove(waiting);
            waiting.used = used;
            self.wait(since, job);
        }
    }

    /// It was told to stop by somebody else, and makes room: it is not counted on.
    pub fn stopping(&mut self, job: JobKey) {
        let running = self.jobs.get_mut(&job).map(|job| &mut job.state);
        if let Some(State::Running { stopping, .. }) = running {
            *stopping = true;
        }
    }

    /// Other machines from now on; `now_is` says which one a machine is now. Who runs on one that is gone goes on, and holds nothing here.
    pub fn refit(
        &mut self,
        machines: &[Machine],
        now_is: impl Fn(MachineKey) -> Option<MachineKey>,
    ) {
        self.floor = Floor::new(machines);
        // They name machines by their old numbers.
        self.reservations.clear();
        for key in &self.running {
            let Some(job) = self.jobs.get_mut(key) else {
                continue;
            };
            if let State::Running { placements, .. } = &mut job.state {
                placements.retain_mut(|placement| {
                    let machine = now_is(placement.machine);
                    placement.machine = machine.unwrap_or(placement.machine);
                    machine.is_some()
                });
                self.floor.take(placements);
            }
        }
    }

    /// When those start that wait and are planned: nobody who comes later delays them, unless it is before them in the queue.
    pub fn planned(&self, now: Micros) -> Vec<(JobKey, Micros)> {
        self.walk(self.latest.max(now), &BTreeSet::new()).planned
    }

    /// When a job that waits will start; `None` for one that does not wait.
    pub fn outlook(&self, now: Micros, job: JobKey) -> Option<Outlook> {
        let now = self.latest.max(now);
        let State::Waiting { .. } = self.jobs.get(&job)?.state else {
            return None;
        };
        let mut halls = self.halls(now);
        self.keep_halls(now, job, &mut halls);
        let need = self.jobs.get(&job)?.ask.need;
        let fits = |(nodes, hall): (u8, &Hall)| {
            need.ground.has(NodesKey(nodes)) && hall.all_milli >= need.milli()
        };
        let is_possible = (0u8..).zip(&halls).any(fits);
        let order = self.order(now, job, AHEAD_MAX);
        let seats = order.iter().filter_map(|key| self.jobs.get(key));
        let last = seats.map(|waiting| self.seat(waiting, &mut halls)).last();
        let is_it = order.last() == Some(&job);
        Some(Outlook {
            ahead: order.len() - usize::from(is_it),
            starts_at: self
                .promised(now, job)
                .or(last.flatten())
                .filter(|_| is_possible),
        })
    }

    /// When a job starts at the latest, where each one that waits is promised a start.
    fn promised(&self, now: Micros, job: JobKey) -> Option<Micros> {
        let planned = self.promises().then(|| self.planned(now))?;
        let found = planned.into_iter().find(|(other, _)| *other == job);
        found.map(|(_, at)| at)
    }

    /// What is free on machines that are kept from a job is free for it once they are kept no more.
    fn keep_halls(&self, now: Micros, job: JobKey, halls: &mut [Hall]) {
        let closed = self.jobs.get(&job).map_or(0, |job| self.closed(now, job));
        if closed == 0 {
            return;
        }
        let kept_free = KeptFree::new(&self.floor);
        for (kept, bit) in self.to_come(now).filter(|(_, bit)| closed & bit != 0) {
            for (nodes, hall) in (0u8..).zip(&mut *halls) {
                let free = kept_free.closed_milli(NodesKey(nodes), bit);
                let free = free.min(hall.free_milli);
                hall.free_milli -= free;
                hall.ends.push(Reverse((kept.until, free)));
            }
        }
    }

    /// Machines of each `[[nodes]]`, with all that runs there.
    fn halls(&self, now: Micros) -> Vec<Hall> {
        let mut halls: Vec<Hall> = (self.floor.free_milli().iter())
            .map(|free_milli| Hall {
                at: now,
                free_milli: *free_milli,
                all_milli: *free_milli,
                ends: BinaryHeap::new(),
            })
            .collect();
        for key in &self.running {
            let Some(job) = self.jobs.get(key) else {
                continue;
            };
            let State::Running { placements, .. } = &job.state else {
                continue;
            };
            let nodes = self.floor.nodes_of(placements);
            if let Some(hall) = nodes.and_then(|nodes| halls.get_mut(usize::from(nodes.0))) {
                hall.all_milli += job.milli();
                let ends_at = self.ends_at(now, job);
                hall.ends.push(Reverse((ends_at, job.milli())));
            }
        }
        halls
    }

    /// Where a job starts first, and when; its place is taken from then on.
    fn seat(&self, job: &Job, halls: &mut [Hall]) -> Option<Micros> {
        let need = &job.ask.need;
        let open = (0u8..)
            .zip(halls)
            .filter(|(nodes, _)| need.ground.has(NodesKey(*nodes)));
        let best = open
            .map(|(_, hall)| hall)
            .filter(|hall| hall.all_milli >= need.milli())
            .max_by_key(|hall| (hall.free_milli, Reverse(hall.at)))?;
        let at = best.wait_for(need.milli());
        let run_us = self.estimates.run_us(&job.ask, 0);
        best.ends.push(Reverse((later(at, run_us), need.milli())));
        best.free_milli -= need.milli();
        Some(at)
    }
}

/// Machines of one `[[nodes]]` on the way into the future.
struct Hall {
    at: Micros,
    free_milli: u64,
    /// Free or not.
    all_milli: u64,
    ends: BinaryHeap<Reverse<(Micros, u64)>>,
}

impl Hall {
    /// The time goes on until so much is free.
    fn wait_for(&mut self, milli: u64) -> Micros {
        while self.free_milli < milli {
            let Some(Reverse((at, freed))) = self.ends.pop() else {
                break;
            };
            self.at = self.at.max(at);
            self.free_milli += freed;
        }
        self.at
    }
}
