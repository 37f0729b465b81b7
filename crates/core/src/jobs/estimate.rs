//! How long a job will run, as its account's last ones of that size did.

use super::ask::{AccountKey, Ask, Need};
use std::collections::BTreeMap;

/// Run times of the last two, of an account and of everybody.
///
/// The mean of a user's last two jobs foretells the next one better than the limit that the user names, and twice the time so far does
/// where it is passed (Tsafrir, Etsion and Feitelson, "Backfilling Using System-Generated Predictions", IEEE TPDS 2007).
#[derive(Clone, Debug, Default)]
pub(super) struct Estimates {
    last_us: BTreeMap<(AccountKey, Need), (u64, u64)>,
    /// The mean of all, of which the latest weigh most: few are much longer than the others, and cost most.
    mean_us: BTreeMap<(AccountKey, Need), u64>,
}

/// The latest run weighs so much of the mean of all: a sixteenth.
const MEAN_PARTS: u64 = 16;
/// Of a job of whose like nobody knows anything no more than this is counted on: people name limits that are much too long.
const UNKNOWN_US_MAX: u64 = 86_400_000_000;

impl Estimates {
    /// A job of that kind ran for `run_us`.
    pub(super) fn ended(&mut self, ask: &Ask, run_us: u64) {
        let last = self.last_us.entry((ask.account, ask.need));
        let last = last.or_insert((run_us, run_us));
        *last = (last.1, run_us);
        let mean = self.mean_us.entry((ask.account, ask.need));
        let mean = mean.or_insert(run_us);
        let before = *mean - *mean / MEAN_PARTS;
        *mean = before.saturating_add(run_us / MEAN_PARTS);
    }

    /// For how long more one like it is to be paid for, in microseconds, where it has run for `run_us`.
    pub(super) fn left_us(&self, ask: &Ask, run_us: u64) -> u64 {
        let mean = self.mean_us.get(&(ask.account, ask.need));
        let mean = mean.copied().unwrap_or(UNKNOWN_US_MAX);
        // Who has run for longer than its like runs for as long again.
        let left = if mean > run_us { mean - run_us } else { run_us };
        left.min(ask.run_us_max.saturating_sub(run_us))
    }

    /// How long its account's last two of that size ran, on the mean; `None` of those of which none has ended.
    pub(super) fn last_us(&self, ask: &Ask) -> Option<u64> {
        let last = self.last_us.get(&(ask.account, ask.need));
        last.map(|(one, two)| one.midpoint(*two))
    }

    /// How long one like it will run in all, in microseconds, where it has run for `run_us`.
    pub(super) fn run_us(&self, ask: &Ask, run_us: u64) -> u64 {
        let mean = self.last_us(ask).unwrap_or(ask.run_us_max);
        let longer = if mean > run_us {
            mean
        } else {
            run_us.saturating_mul(2).max(1)
        };
        longer.min(ask.run_us_max.max(run_us))
    }
}
