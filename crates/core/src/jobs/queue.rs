//! Jobs, and the lines in which they wait.

use super::ask::{AccountKey, Ask, JobClass, JobKey, Need};
use super::nodes::Placement;
use super::rule::{JobTerms, LEVELS};
use super::{AGED, Rank};
use madang_types::Micros;
use std::collections::{BTreeMap, BTreeSet};

/// A job.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) ask: Ask,
    /// What it had in runs that are over, in milli-accelerator-µs.
    pub(super) used: u128,
    /// It waited for so long that it is its account's first until it ends.
    pub(super) is_aged: bool,
    pub(super) state: State,
}

/// What it does.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// It waits.
    Waiting {
        /// In whose line.
        account: AccountKey,
        since: Micros,
        rank: Rank,
    },
    /// It has machines.
    Running {
        at: Micros,
        placements: Vec<Placement>,
        /// What it holds of its account's share: its accelerators, in thousandths, by what one of their kind counts.
        counts_milli: u64,
        /// It was told to stop.
        stopping: bool,
    },
}

impl Job {
    pub(super) fn new(ask: Ask, now: Micros) -> Self {
        Self {
            ask,
            used: 0,
            is_aged: false,
            state: State::Waiting {
                account: ask.account,
                since: now,
                rank: 0,
            },
        }
    }

    /// In whose line it waits, since when, and its rank there.
    fn waits(&self) -> Option<(AccountKey, Micros, Rank)> {
        match self.state {
            State::Waiting {
                account,
                since,
                rank,
            } => Some((account, since, rank)),
            State::Running { .. } => None,
        }
    }

    /// Its place among its account's by how urgent it is, and then by what it has had, where that is `used` milli-accelerator-µs.
    pub(super) fn rank(&self, terms: &JobTerms, used: u128) -> Rank {
        if self.is_aged {
            return AGED;
        }
        let urgency = u64::from(self.ask.class.rank) * URGENCIES + self.ask.priority as u64;
        1 + urgency * LEVELS + u64::from(terms.level(used))
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Accelerators, in thousandths.
    pub(super) fn milli(&self) -> u64 {
        self.ask.need.milli()
    }

    /// What it has had until `now`.
    pub(super) fn used_at(&self, now: Micros) -> u128 {
        match &self.state {
            State::Waiting { .. } => self.used,
            State::Running { at, .. } => {
                self.used + u128::from(now.since_us(*at)) * u128::from(self.milli())
            }
        }
    }

    /// How long it ran, in runs that are over, in microseconds.
    pub(super) fn run_us(&self) -> u64 {
        let us = self.used / u128::from(self.milli().max(1));
        u64::try_from(us).unwrap_or(u64::MAX)
    }

    /// When it may be stopped, or has had so much that others come first.
    pub(super) fn changes_at(&self, terms: &JobTerms, now: Micros) -> Option<Micros> {
        let State::Running {
            at,
            stopping: false,
            ..
        } = &self.state
        else {
            return None;
        };
        if !self.ask.preemptible {
            return None;
        }
        let may_stop_at = at.plus_us(terms.run_us_min);
        if may_stop_at > now {
            return Some(may_stop_at);
        }
        let used = self.used_at(now);
        let left = terms.level_end(terms.level(used)).saturating_sub(used);
        let us = left.div_ceil(u128::from(self.milli().max(1)));
        Some(now.plus_us(u64::try_from(us).unwrap_or(u64::MAX)))
    }
}

/// How many ways there are to be urgent inside a class.
const URGENCIES: u64 = 3;

/// Those of an account that wait: by what they need and by their class, and then by rank. What one cannot have, none of its kind can.
pub(super) type Line = BTreeMap<(Need, JobClass), BTreeSet<(Rank, JobKey)>>;

/// All lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    pub(super) lines: BTreeMap<AccountKey, Line>,
    /// Those of each account that are not its first yet, the oldest first.
    since: BTreeMap<AccountKey, BTreeSet<(Micros, JobKey)>>,
    /// Accounts with a job that waited for too long, and has not ended.
    aged: BTreeSet<AccountKey>,
}

impl Queues {
    /// Puts a job that waits into its line.
    pub(super) fn add(&mut self, job: &Job) {
        let Some((account, since, rank)) = job.waits() else {
            return;
        };
        let line = self.lines.entry(account).or_default();
        line.entry((job.ask.need, job.ask.class))
            .or_default()
            .insert((rank, job.ask.job));
        if job.is_aged {
            self.aged.insert(account);
        } else {
            let old = self.since.entry(account).or_default();
            old.insert((since, job.ask.job));
        }
    }

    /// Takes a job that waits out of its line.
    pub(super) fn remove(&mut self, job: &Job) {
        let Some((account, since, rank)) = job.waits() else {
            return;
        };
        if let Some(old) = self.since.get_mut(&account) {
            old.remove(&(since, job.ask.job));
            if old.is_empty() {
                self.since.remove(&account);
            }
        }
        let Some(line) = self.lines.get_mut(&account) else {
            return;
        };
        let kind_key = (job.ask.need, job.ask.class);
        if let Some(kind) = line.get_mut(&kind_key) {
            kind.remove(&(rank, job.ask.job));
            if kind.is_empty() {
                line.remove(&kind_key);
            }
        }
        if line.is_empty() {
            self.lines.remove(&account);
        }
    }

    /// A job is over, whether it waited or not.
    pub(super) fn ended(&mut self, job: &Job) {
        self.remove(job);
        if job.is_aged {
            self.aged.remove(&job.ask.account);
        }
    }

    /// The oldest of each account that has no overdue one yet.
    fn oldest(&self) -> impl Iterator<Item = (Micros, JobKey)> + '_ {
        let without = self
            .since
            .iter()
            .filter(|(account, _)| !self.aged.contains(account));
        without.filter_map(|(_, old)| old.first().copied())
    }

    /// Those of them that have waited for `us`.
    pub(super) fn overdue(&self, now: Micros, us: u64) -> Vec<JobKey> {
        let old = self
            .oldest()
            .filter(|(since, _)| now.since_us(*since) >= us);
        old.map(|(_, job)| job).collect()
    }

    /// When the next one has waited for `us`.
    pub(super) fn overdue_at(&self, us: u64) -> Option<Micros> {
        let (since, _) = self.oldest().min()?;
        Some(since.plus_us(us))
    }
}
