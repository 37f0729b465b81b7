//! Who is next. One rule is Madang's; the others are the field's yardsticks, which the twin prints beside it.

use super::plan::Backfill;
use serde::{Deserialize, Serialize};

/// How jobs are ordered, and what may be done to start one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobRule {
    /// Shares that fade between accounts; inside one, those that have had least accelerator time first, and others make room.
    Madang,
    /// First come, first served.
    Fifo,
    /// The same, and who delays the first that waits by nothing goes before it (Lifka, "The ANL/IBM SP Scheduling System", 1995).
    Easy,
    /// The same where nobody is delayed who waits.
    Conservative,
    /// Shortest run time first: as if it were known.
    Sjf,
    /// The same with backfill as in `Easy`.
    SjfBackfill,
}

impl JobRule {
    /// Accounts have shares.
    pub(super) fn is_fair(self) -> bool {
        self == Self::Madang
    }

    /// A job that runs may be stopped for another.
    pub(super) fn preempts(self) -> bool {
        self == Self::Madang
    }

    /// Jobs behind one that has to wait may start, where they delay none of these.
    pub(super) fn backfill(self, terms: &JobTerms) -> Option<Backfill> {
        match self {
            Self::Fifo | Self::Sjf => None,
            Self::Easy | Self::SjfBackfill => Some(Backfill::Easy),
            Self::Conservative => Some(Backfill::Conservative),
            Self::Madang => Some(terms.backfill),
        }
    }
}

/// How Madang's rule works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobTerms {
    /// What was used counts half after so long, in microseconds.
    pub half_life_us: u64,
    /// What an account is about to hold counts as if it were used for so long, in microseconds: the longer, the more even is what
    /// accounts hold at one time, the shorter, the more what they held before decides.
    pub horizon_us: u64,
    /// A job's first level ends once it has had so many accelerator-seconds.
    pub level_accelerator_s: u64,
    /// Each further level is so many times longer.
    pub level_factor: u64,
    /// A job that has begun is let run for so long, in microseconds.
    pub run_us_min: u64,
    /// A job that has waited for so long, in microseconds, is its account's first, until it has ended.
    pub wait_us_max: u64,
    /// Whose start a job may not delay that goes before it and cannot be stopped.
    pub backfill: Backfill,
}

impl Default for JobTerms {
    fn default() -> Self {
        const DAY_US: u64 = 86_400_000_000;
        Self {
            half_life_us: 7 * DAY_US,
            horizon_us: DAY_US / 2,
            level_accelerator_s: 3_600,
            level_factor: 10,
            run_us_min: 60_000_000,
            wait_us_max: 7 * DAY_US,
            backfill: Backfill::Easy,
        }
    }
}

impl JobTerms {
    /// How long ago something was used that makes no difference any more, in milliseconds: after seven half-lives less than a hundredth
    /// of it is left.
    pub fn memory_ms(&self) -> u64 {
        self.half_life_us.saturating_mul(7) / 1_000
    }

    /// The level of a job that has had `used` milli-accelerator-µs: first those that have had least, as most jobs are short and nobody
    /// knows which (foreground–background; Tiresias, NSDI 2019, on accelerators).
    pub(super) fn level(&self, used: u128) -> u32 {
        let mut ends = self.level_end(0);
        let mut level = 0;
        while used >= ends && level < LEVEL_MAX {
            level += 1;
            ends = ends.saturating_mul(u128::from(self.level_factor.max(2)));
        }
        level
    }

    /// Where `level` ends, in milli-accelerator-µs.
    pub(super) fn level_end(&self, level: u32) -> u128 {
        let first = u128::from(self.level_accelerator_s.max(1)) * 1_000_000_000;
        let factor = u128::from(self.level_factor.max(2));
        factor
            .checked_pow(level)
            .and_then(|times| times.checked_mul(first))
            .unwrap_or(u128::MAX)
    }
}

/// Nothing is that long.
const LEVEL_MAX: u32 = 32;
/// There are fewer levels than this.
pub(super) const LEVELS: u64 = 64;
