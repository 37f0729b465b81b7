//! What a live queue needs beside the rule: it begins with jobs that run, its machines change, and people ask when it is their turn.

use super::ask::{Ask, JobKey, NodesKey};
use super::crowd::Crowds;
use super::fits::FitsKnown;
use super::nodes::{Floor, Machine, MachineKey, Placement};
use super::queue::{Job, State};
use super::reserve::{Kept, KeptFree, Reservation};
use super::site::{Offer, OfferLack};
use super::{AccountKey, JobTerms, Jobs};
use crate::learn::whole;
use madang_types::Micros;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

/// So far down the queue one looks: whoever stands there waits for long, and need not know to the minute.
pub const AHEAD_MAX: usize = 10_000;

/// What somebody who waits is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Jobs that are before it, as things stand; at least so many where they are [`AHEAD_MAX`].
    pub ahead: usize,
    /// When it will start if nobody else comes, nobody is stopped, and jobs run as long as their like did; not before then where
    /// [`AHEAD_MAX`] are before it. `None` where its like has no room even on empty machines.
    pub starts_at: Option<Micros>,
    /// Where it may be, when it would start there, and what that would cost: that where it costs least first.
    pub offers: Vec<Offer>,
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
        self.work_hours();
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
        self.sites.renumbered();
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
        let waiting = self.jobs.get(&job)?;
        let need = waiting.ask.need;
        let fits = |(nodes, hall): (u8, &Hall)| {
            need.ground.has(NodesKey(nodes))
                && hall.all_milli >= need.milli()
                && self.fits_at(now, waiting, NodesKey(nodes)).is_some()
        };
        let is_possible = (0u8..).zip(&halls).any(fits);
        let order = self.order(now, job, AHEAD_MAX);
        let is_it = order.last() == Some(&job);
        let others = &order[..order.len() - usize::from(is_it)];
        let seats = others.iter().filter_map(|key| self.jobs.get(key));
        let mut fits = FitsKnown::new(now);
        let seat = |waiting| self.seat(waiting, &mut halls, &mut fits);
        let last = seats.map(seat).last();
        let offers = self.prospects(now, job, &halls);
        let first = offers.iter().find_map(|offer| offer.wait_us);
        let last = match is_it {
            true => first.map(|us| now.plus_us(us)),
            false => last.flatten(),
        };
        let own = self.own_from(now, job, others);
        let last = match (last, own) {
            (Some(at), Some(own)) => Some(at.min(own)),
            (at, _) => at,
        };
        Some(Outlook {
            ahead: others.len(),
            starts_at: self.promised(now, job).or(last).filter(|_| is_possible),
            offers,
        })
    }

    /// Where a job may be that comes after those who have their places, the cheapest first.
    fn prospects(&self, now: Micros, job: JobKey, halls: &[Hall]) -> Vec<Offer> {
        let Some(waiting) = self.jobs.get(&job) else {
            return Vec::new();
        };
        let milli = waiting.milli();
        let mut crowds = Crowds::new();
        let mut offers = self.offers_of(now, job, &mut crowds);
        let rivals = self.rivals_of(now, waiting, &mut crowds);
        for offer in &mut offers {
            let hall = halls.get(usize::from(offer.nodes.0));
            let hall = hall.filter(|hall| hall.all_milli >= milli);
            // Those before it are counted by accelerators, each from when a machine has room for its pieces on, as has its own.
            let at = hall.and_then(|hall| {
                let fits_at = self.fits_at(now, waiting, offer.nodes)?;
                Some(hall.clone().wait_for(milli).max(fits_at))
            });
            let wait_us = at.map(|at| at.since_us(now));
            offer.wait_us = wait_us.filter(|_| offer.lacks != Some(OfferLack::Power));
            if let Some(wait_us) = offer.wait_us {
                offer.lacks = (wait_us > 0).then_some(OfferLack::Room);
                offer.cost = rivals.cost(self.cost(now, waiting, offer.nodes, wait_us));
            }
        }
        let is_away = |offer: &Offer| offer.wait_us.is_none();
        offers.sort_by_key(|offer| (is_away(offer), offer.cost.total(), offer.wait_us));
        offers
    }

    /// When machines are kept for a job's account, on which it has room beside those of its own that come first; `None` where none are.
    fn own_from(&self, now: Micros, key: JobKey, others: &[JobKey]) -> Option<Micros> {
        let job = self.jobs.get(&key)?;
        let may = |(kept, _): &(&Reservation, Kept)| {
            let ends_at = kept.from.max(now).plus_us(job.ask.run_us_max);
            ends_at <= kept.until && self.is_for(kept, job.ask.account)
        };
        let has_room = |(kept, bit): &(&Reservation, Kept)| {
            let own = |key: &&JobKey| {
                let other = self.jobs.get(key);
                other.is_some_and(|other| self.is_for(kept, other.ask.account))
            };
            let first = others.iter().filter(own);
            let first_milli: u64 = first
                .filter_map(|key| Some(self.jobs.get(key)?.milli()))
                .sum();
            let wanted_milli = first_milli.saturating_add(job.milli());
            let mut nodes = self.floor.nodes_in(job.ask.need.ground);
            nodes.any(|nodes| {
                let kept_milli = self.floor.kept_milli(nodes, *bit);
                let held_milli = self.held_beyond((kept, *bit), nodes, now);
                kept_milli.saturating_sub(held_milli) >= wanted_milli
            })
        };
        let each = self.to_come(now).filter(may).filter(has_room);
        each.map(|(kept, _)| kept.from.max(now)).min()
    }

    /// What those hold of kept machines who are not stopped when these begin to be kept and may not have ended, in thousandths.
    fn held_beyond(&self, (kept, bit): (&Reservation, Kept), nodes: NodesKey, now: Micros) -> u64 {
        let from = kept.from.max(now);
        let running = self.running.iter().filter_map(|key| self.jobs.get(key));
        let held = running.map(|job| {
            let State::Running { at, placements, .. } = &job.state else {
                return 0;
            };
            let stays = at.plus_us(job.ask.run_us_max) > from
                && (!job.ask.preemptible || self.is_for(kept, job.ask.account));
            let on = placements.iter().filter(|at| {
                self.floor.kept(at.machine) & bit != 0
                    && self.floor.nodes_of(std::slice::from_ref(at)) == Some(nodes)
            });
            let milli: u64 = on.map(|at| at.piece.milli()).sum();
            if stays { milli } else { 0 }
        });
        held.sum()
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

    /// When a job starts that has its turn, where most is free of machines that have room for its pieces; its place is taken from now on.
    /// One for which none ever have room takes none.
    fn seat(&self, job: &Job, halls: &mut [Hall], fits: &mut FitsKnown) -> Option<Micros> {
        let need = &job.ask.need;
        let open = (0u8..).zip(halls).filter(|(nodes, hall)| {
            need.ground.has(NodesKey(*nodes)) && hall.all_milli >= need.milli()
        });
        let mut open: Vec<(u8, &mut Hall)> = open.collect();
        open.sort_by_key(|(nodes, hall)| (Reverse(hall.free_milli), hall.at, Reverse(*nodes)));
        let (hall, fits_at) = open.into_iter().find_map(|(nodes, hall)| {
            let fits_at = fits.at(self, job, NodesKey(nodes))?;
            Some((hall, fits_at))
        })?;
        let at = hall.wait_for(need.milli()).max(fits_at);
        let run_us = self.estimates.run_us(&job.ask, 0);
        hall.ends.push(Reverse((at.plus_us(run_us), need.milli())));
        hall.free_milli -= need.milli();
        Some(at)
    }
}

/// Machines of one `[[nodes]]` on the way into the future.
#[derive(Clone)]
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
