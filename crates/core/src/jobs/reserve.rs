//! Machines that are kept for somebody for a time, or for nobody: others are there only where they have ended by then.

use super::ask::{AccountKey, JobKey, NodesKey};
use super::nodes::{Floor, MachineKey, Placement, index};
use super::queue::{Job, State};
use super::{JobEffect, Jobs};
use madang_types::{Micros, RESERVATIONS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A set of reservations: one bit for each of [`RESERVATIONS_MAX`].
pub(super) type Kept = u64;

/// Machines that are kept for a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Which.
    pub machines: BTreeSet<MachineKey>,
    /// For whom, and all below it; `None` for nobody, as when they are mended.
    pub account: Option<AccountKey>,
    /// From when on.
    pub from: Micros,
    /// Until when.
    pub until: Micros,
    /// So long before its beginning those are stopped that can be, in microseconds.
    pub notice_us: u64,
}

impl Reservation {
    fn is_over(&self, now: Micros) -> bool {
        self.until <= now
    }

    /// When those are stopped that can be.
    fn clear_at(&self) -> Micros {
        Micros(self.from.0.saturating_sub_unsigned(self.notice_us))
    }
}

impl Jobs {
    /// Machines that are kept from now on; of more than [`RESERVATIONS_MAX`] the first count.
    pub fn reserve(&mut self, mut reservations: Vec<Reservation>) {
        reservations.truncate(RESERVATIONS_MAX);
        self.floor.keep(&reservations);
        self.reservations = reservations;
    }

    /// Those whose machines a job may not have that would begin now: by its time limit it would not have ended in time, and nobody
    /// would stop it.
    pub(super) fn closed(&self, now: Micros, job: &Job) -> Kept {
        let ends_at = now.plus_us(job.ask.run_us_max);
        let makes_room = self.rule.preempts() && job.ask.preemptible;
        let admits = |kept: &Reservation| {
            kept.is_over(now)
                || ends_at <= kept.from
                || (makes_room && now < kept.clear_at())
                || (ends_at <= kept.until && self.is_for(kept, job.ask.account))
        };
        self.set(|kept| !admits(kept))
    }

    /// Those that are kept for an account now.
    pub(super) fn own(&self, now: Micros, account: AccountKey) -> Kept {
        self.set(|kept| kept.from <= now && !kept.is_over(now) && self.is_for(kept, account))
    }

    /// Which reservations keep machines from a job that waits, and on which it could be else.
    pub fn kept_from(&self, now: Micros, job: JobKey) -> Vec<usize> {
        let Some(job) = self.jobs.get(&job) else {
            return Vec::new();
        };
        let closed = self.closed(now, job);
        let could = |(_, bit): &(&Reservation, Kept)| {
            let mut nodes = self.floor.nodes_in(job.ask.need.ground);
            nodes.any(|nodes| self.floor.kept_milli(nodes, *bit) > 0)
        };
        let each = self.to_come(now).filter(|(_, bit)| closed & bit != 0);
        each.filter(could)
            .filter_map(|(_, bit)| usize::try_from(bit.trailing_zeros()).ok())
            .collect()
    }

    fn set(&self, holds: impl Fn(&Reservation) -> bool) -> Kept {
        let each = self.reservations.iter().enumerate();
        each.fold(0, |set, (at, kept)| set | (u64::from(holds(kept)) << at))
    }

    pub(super) fn is_for(&self, kept: &Reservation, account: AccountKey) -> bool {
        let mut next = Some(account);
        while let (Some(here), Some(owner)) = (next, kept.account) {
            if here == owner {
                return true;
            }
            next = self.accounts.parent(here);
        }
        false
    }

    /// Those that have begun and are not over, or begin later, each with the set that it alone is.
    pub(super) fn to_come(&self, now: Micros) -> impl Iterator<Item = (&Reservation, Kept)> {
        let each = self.reservations.iter().enumerate();
        each.filter(move |(_, kept)| !kept.is_over(now))
            .map(|(at, kept)| (kept, 1 << at))
    }

    /// When the last of those ends that keep machines of a job now; `None` where none does.
    pub(super) fn kept_until(&self, now: Micros, placements: &[Placement]) -> Option<Micros> {
        if self.reservations.is_empty() {
            return None;
        }
        let on = placements
            .iter()
            .fold(0, |set, at| set | self.floor.kept(at.machine));
        let active = self
            .to_come(now)
            .filter(|(kept, bit)| kept.from <= now && on & bit != 0);
        active.map(|(kept, _)| kept.until).max()
    }

    /// Stops those who can be, where machines are about to be kept from them.
    pub(super) fn clear(&mut self, now: Micros, effects: &mut Vec<JobEffect>) {
        let soon = self.set(|kept| now >= kept.clear_at() && !kept.is_over(now));
        if soon == 0 || !self.rule.preempts() {
            return;
        }
        let mut stopped = Vec::new();
        for key in &self.running {
            let Some(job) = self.jobs.get(key).filter(|job| job.ask.preemptible) else {
                continue;
            };
            let State::Running {
                at,
                placements,
                stopping: false,
                ..
            } = &job.state
            else {
                continue;
            };
            let ends_at = at.plus_us(job.ask.run_us_max);
            let in_the_way =
                self.set(|kept| ends_at > kept.from && !self.is_for(kept, job.ask.account));
            let on =
                |placement: &Placement| self.floor.kept(placement.machine) & soon & in_the_way != 0;
            if placements.iter().any(on) {
                stopped.push(*key);
            }
        }
        for key in stopped {
            self.stop(key, effects);
        }
    }

    /// When machines begin to be kept, are cleared, or are kept no more.
    pub(super) fn kept_at(&self) -> impl Iterator<Item = Micros> + '_ {
        self.reservations
            .iter()
            .flat_map(|kept| [kept.clear_at(), kept.from, kept.until])
    }
}

/// What is free on machines that are kept, in thousandths: by those that keep them, and by [`NodesKey`].
#[derive(Clone, Debug, Default)]
pub(super) struct KeptFree(BTreeMap<Kept, Vec<u64>>);

impl KeptFree {
    pub(super) fn new(floor: &Floor) -> Self {
        let mut free = Self::default();
        for (kept, machine) in floor.kept_machines() {
            *free.at(kept, machine.nodes) += machine.milli();
        }
        free
    }

    fn at(&mut self, kept: Kept, nodes: NodesKey) -> &mut u64 {
        let by_nodes = self.0.entry(kept).or_default();
        let at = usize::from(nodes.0);
        if by_nodes.len() <= at {
            by_nodes.resize(at + 1, 0);
        }
        &mut by_nodes[at]
    }

    /// So much of `nodes` is free where one of `closed` keeps it.
    pub(super) fn closed_milli(&self, nodes: NodesKey, closed: Kept) -> u64 {
        let each = self.0.iter().filter(|(kept, _)| *kept & closed != 0);
        each.filter_map(|(_, by_nodes)| by_nodes.get(usize::from(nodes.0)))
            .sum()
    }

    /// Whether so much of `nodes` is free where only one of `own` keeps it; if so it is taken.
    pub(super) fn take_own(&mut self, nodes: NodesKey, milli: u64, own: Kept) -> bool {
        let at = usize::from(nodes.0);
        let fits = |(kept, by_nodes): &(&Kept, &mut Vec<u64>)| {
            **kept & own != 0
                && **kept & !own == 0
                && by_nodes.get(at).is_some_and(|free| *free >= milli)
        };
        let found = self.0.iter_mut().find(fits);
        found.is_some_and(|(_, by_nodes)| {
            by_nodes[at] -= milli;
            true
        })
    }

    /// What somebody has there is free, or is not any more.
    pub(super) fn change(&mut self, floor: &Floor, placements: &[Placement], is_free: bool) {
        for placement in placements {
            let kept = floor.kept(placement.machine);
            let Some(machine) = floor.machines.get(index(placement.machine)) else {
                continue;
            };
            if kept == 0 {
                continue;
            }
            let free = self.at(kept, machine.nodes);
            let milli = placement.piece.milli();
            *free = if is_free {
                free.saturating_add(milli)
            } else {
                free.saturating_sub(milli)
            };
        }
    }
}
