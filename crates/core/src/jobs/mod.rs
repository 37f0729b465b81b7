//! Batch jobs: which of them start now, where, and which make room.
//!
//! A job needs all its pieces at once. Accounts (programme, tenant, project) have shares of all accelerators, which fade: who had
//! least of its share is next. Inside an account those jobs come first that have had least accelerator time, as most jobs are short and
//! nobody knows which; a job that writes checkpoints makes room for them. A job that cannot be stopped is let by only where those that are
//! planned start no later for it. Places are chosen so that what stays free is of use to the jobs that usually come.
//!
//! [`Jobs::apply`] notes what happened, [`Jobs::pass`] says what to do: first *who* (`walk.rs`, in thousandths of accelerators), then
//! *where* (`room.rs`, on machines).

mod account;
mod ask;
mod crowd;
mod estimate;
mod fits;
mod live;
mod nodes;
mod place;
mod plan;
mod queue;
mod reserve;
mod room;
mod rule;
mod site;
mod tariff;
mod walk;

pub use ask::{AccountKey, Ask, Ground, JobClass, JobKey, Need, NodesKey, Piece, WHOLE_MILLI};
pub use live::{AHEAD_MAX, Outlook};
pub use nodes::{Machine, MachineKey, Placement};
pub use plan::Backfill;
pub use reserve::Reservation;
pub use rule::{JobRule, JobTerms};
pub use site::{Feed, Forecast, Held, Move, Offer, OfferLack, SiteCost, SiteTerms, WAIT_HOUR};
pub use tariff::Tariffs;

use account::Accounts;
use estimate::Estimates;
use madang_types::Micros;
use nodes::Floor;
use place::Placer;
use queue::{Job, Queues, State};
use serde::{Deserialize, Serialize};
use site::Sites;
use std::collections::{BTreeMap, BTreeSet};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobInput {
    /// A job came.
    Submitted(Ask),
    /// It is over: it ended by itself or failed.
    Ended(JobKey),
    /// It is taken out, for now: how long it ran says nothing of how long its like will.
    Withdrawn(JobKey),
    /// It was stopped for others, as it was told, and waits again.
    Stopped(JobKey),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobEffect {
    /// Start it there.
    Start {
        /// Which.
        job: JobKey,
        /// One for each of its pieces.
        placements: Vec<Placement>,
    },
    /// Have it write a checkpoint and stop; say [`JobInput::Stopped`] once it has.
    Stop {
        /// Which.
        job: JobKey,
    },
}

/// All jobs, and the machines that they run on.
#[derive(Debug)]
pub struct Jobs {
    rule: JobRule,
    terms: JobTerms,
    floor: Floor,
    accounts: Accounts,
    placer: Placer,
    estimates: Estimates,
    jobs: BTreeMap<JobKey, Job>,
    /// Those that hold machines.
    running: BTreeSet<JobKey>,
    queues: Queues,
    /// What an accelerator of each `[[nodes]]` counts in shares, in thousandths, by [`NodesKey`].
    worth_milli: Vec<u32>,
    sites: Sites,
    /// Machines that are kept for somebody.
    reservations: Vec<Reservation>,
    /// The latest instant that was told: time does not go back here.
    latest: Micros,
}

impl Jobs {
    /// No job, on those machines.
    pub fn new(rule: JobRule, terms: JobTerms, machines: &[Machine]) -> Self {
        Self {
            rule,
            terms,
            floor: Floor::new(machines),
            accounts: Accounts::new(terms.half_life_us, terms.horizon_us),
            placer: Placer::default(),
            estimates: Estimates::default(),
            jobs: BTreeMap::new(),
            running: BTreeSet::new(),
            queues: Queues::default(),
            worth_milli: Vec::new(),
            sites: Sites::default(),
            reservations: Vec::new(),
            latest: Micros(0),
        }
    }

    /// The account that holds all others.
    pub const ROOT: AccountKey = Accounts::ROOT;

    /// A new account below another one. Those that have jobs have no accounts below them.
    pub fn account(&mut self, parent: AccountKey, weight: u32) -> AccountKey {
        self.accounts.add(parent, weight)
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.jobs.len() - self.running.len()
    }

    /// Jobs that hold machines.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Which they are, by their keys.
    pub fn keys_running(&self) -> impl Iterator<Item = JobKey> {
        self.running.iter().copied()
    }

    /// How long a job like that will run, as far as is known of those before it, in microseconds.
    pub fn foretold_us(&self, ask: &Ask) -> u64 {
        self.estimates.run_us(ask, 0)
    }

    /// What `account` and all below it used until `now`, as far as it has not faded, in seconds of an accelerator that counts whole.
    pub fn used_s(&self, account: AccountKey, now: Micros) -> f64 {
        self.accounts.used_s(account, now)
    }

    /// Notes what happened. What is said of a job that is not known changes nothing.
    pub fn apply(&mut self, now: Micros, input: JobInput) {
        let now = self.present(now);
        match input {
            JobInput::Submitted(ask) => self.submitted(now, ask),
            JobInput::Ended(job) => self.ended(now, job),
            JobInput::Withdrawn(job) => drop(self.take_out(now, job)),
            JobInput::Stopped(job) => self.stopped(now, job),
        }
    }

    fn submitted(&mut self, now: Micros, ask: Ask) {
        if self.jobs.contains_key(&ask.job) {
            return;
        }
        self.placer.came(&ask.need);
        self.jobs.insert(ask.job, Job::new(ask, now));
        self.wait(now, ask.job);
    }

    fn ended(&mut self, now: Micros, key: JobKey) {
        let Some(job) = self.take_out(now, key).filter(|job| job.used > 0) else {
            return;
        };
        let level = |jobs: &Self| {
            let us = jobs.estimates.last_us(&job.ask)?;
            Some(jobs.terms.level(u128::from(us) * u128::from(job.milli())))
        };
        let before = level(self);
        self.estimates.ended(&job.ask, job.run_us());
        if level(self) != before && self.rule.is_fair() {
            self.rank_anew(job.ask.account, job.ask.need);
        }
    }

    /// What runs of an account's jobs of one size are foretold to take has changed: those that wait are judged by it as well as those that
    /// come later, who else would all go before them.
    fn rank_anew(&mut self, account: AccountKey, need: Need) {
        let line = self.queues.lines.get(&account).into_iter().flatten();
        let kinds = line.filter(|((of, _), _)| *of == need);
        let waiting: Vec<JobKey> = kinds
            .flat_map(|(_, kind)| kind.iter().map(|(_, key)| *key))
            .collect();
        for key in waiting {
            let Some(job) = self.jobs.get_mut(&key) else {
                continue;
            };
            self.queues.remove(job);
            let anew = rank(self.rule, &self.terms, &self.estimates, job);
            if let State::Waiting { rank, .. } = &mut job.state {
                *rank = anew;
            }
            self.queues.add(job);
        }
    }

    fn take_out(&mut self, now: Micros, key: JobKey) -> Option<Job> {
        self.leave(now, key);
        let job = self.jobs.remove(&key)?;
        self.queues.ended(&job);
        self.sites.forget(key);
        Some(job)
    }

    fn stopped(&mut self, now: Micros, key: JobKey) {
        if self.leave(now, key) {
            self.wait(now, key);
        }
    }

    /// Puts a job where it waits since then.
    fn wait(&mut self, since: Micros, key: JobKey) {
        let Some(job) = self.jobs.get_mut(&key) else {
            return;
        };
        let account = if self.rule.is_fair() {
            job.ask.account
        } else {
            Accounts::ROOT
        };
        job.state = State::Waiting {
            account,
            since,
            rank: rank(self.rule, &self.terms, &self.estimates, job),
        };
        self.queues.add(job);
    }

    /// Takes a job from its machines; false where it has none.
    fn leave(&mut self, now: Micros, key: JobKey) -> bool {
        let Some(job) = self.jobs.get_mut(&key) else {
            return false;
        };
        let State::Running {
            at,
            placements,
            counts_milli,
            ..
        } = &job.state
        else {
            return false;
        };
        job.used += u128::from(now.since_us(*at)) * u128::from(job.milli());
        self.floor.give(placements);
        let milli = i64::try_from(*counts_milli).unwrap_or(i64::MAX);
        self.accounts.hold(job.ask.account, -milli, now);
        self.running.remove(&key);
        true
    }

    /// The job of each account that has waited longest, and for too long, is the account's first from now on, until it ends.
    fn promote(&mut self, now: Micros) {
        if !self.rule.is_fair() {
            return;
        }
        for key in self.queues.overdue(now, self.terms.wait_us_max) {
            if let Some(job) = self.jobs.get_mut(&key) {
                self.queues.remove(job);
                job.is_aged = true;
                if let State::Waiting { rank, .. } = &mut job.state {
                    *rank = AGED;
                }
                self.queues.add(job);
            }
        }
    }

    /// When there may be something to do though nothing happens; `None` where there is no job, or none waits and no machines are
    /// kept.
    pub fn wake_at(&self, now: Micros) -> Option<Micros> {
        let kept = self.kept_at().chain(self.held_until());
        let kept = kept.filter(|at| *at > now).min();
        let kept = kept.filter(|_| !self.jobs.is_empty());
        if self.waiting() == 0 || !self.rule.preempts() {
            return kept;
        }
        let running = self.running.iter().filter_map(|key| self.jobs.get(key));
        let changes = running.filter_map(|job| job.changes_at(&self.terms, now));
        let overdue = self.queues.overdue_at(self.terms.wait_us_max);
        changes
            .chain(overdue)
            .filter(|at| *at > now)
            .chain(kept)
            .min()
    }

    /// What so many accelerators of `nodes`, in thousandths, count in shares.
    fn counts(&self, nodes: Option<NodesKey>, milli: u64) -> u64 {
        let worth = nodes.and_then(|nodes| self.worth_milli.get(usize::from(nodes.0)));
        worth.map_or(milli, |worth| {
            milli.saturating_mul(u64::from(*worth)) / u64::from(WHOLE_MILLI)
        })
    }

    /// Each job that waits has a planned start which nobody behind it delays.
    fn promises(&self) -> bool {
        self.rule.backfill(&self.terms) == Some(Backfill::Conservative)
    }

    fn present(&mut self, now: Micros) -> Micros {
        self.latest = self.latest.max(now);
        self.latest
    }
}

/// Who of an account is next: the least.
type Rank = u64;

/// The rank of those that waited for too long.
const AGED: Rank = 0;

fn rank(rule: JobRule, terms: &JobTerms, estimates: &Estimates, job: &Job) -> Rank {
    match rule {
        JobRule::Fifo | JobRule::Easy | JobRule::Conservative => 1,
        JobRule::Sjf | JobRule::SjfBackfill => job.ask.run_us_max.saturating_add(1),
        JobRule::Madang if job.ask.preemptible => job.rank(terms, job.used),
        JobRule::Madang => {
            // What cannot be stopped is judged before by what it will have had.
            let run_us = estimates.run_us(&job.ask, 0);
            job.rank(terms, u128::from(run_us) * u128::from(job.milli()))
        }
    }
}

#[cfg(test)]
mod tests;
