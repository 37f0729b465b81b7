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
}

impl Estimates {
    /// A job of that kind ran for `run_us`.
    pub(super) fn ended(&mut self, ask: &Ask, run_us: u64) {
        let last = self.last_us.entry((ask.account, ask.need));
        let last = last.or_insert((run_us, run_us));
        *last = (last.1, run_us);
    }

    /// How long one like it will run in all, in microseconds, where it has run for `run_us`.
    pub(super) fn run_us(&self, ask: &Ask, run_us: u64) -> u64 {
        let last = self.last_us.get(&(ask.account, ask.need));
        let mean = last.map_or(ask.run_us_max, |(one, two)| one.midpoint(*two));
        let longer = if mean > run_us {
            mean
        } else {
            run_us.saturating_mul(2).max(1)
        };
        longer.min(ask.run_us_max.max(run_us))
    }
}
