//! How fast a member is: priors from the fleet file, learnt from its own answers.

use crate::fleet_view::EngineCosts;
use crate::learn::{Mean, rounded, whole};

/// Weight of the latest observation.
const PART: f64 = 0.05;
/// How much of the sums that give the factor each observation forgets.
const KEEP: f64 = 0.98;
/// The factor's bounds: a prior may be wrong, a single strange answer must not close a member for good.
const FACTOR_MIN: f64 = 0.001;
const FACTOR_MAX: f64 = 1_000.0;
/// Observed over predicted, of late against before, at which an engine is taken to be overloaded.
const LATE_RATIO: f64 = 2.0;
/// Small times are late by chance: this is added to both.
const LATE_SLACK_S: f64 = 0.25;

/// Prompt tokens of one iteration: what vLLM's server takes by itself on large cards. A longer prompt takes several, each with all
/// that is decoding.
const ITERATION_TOKENS: u64 = 8_192;

/// A prompt of more work than this is long.
const LONG_PREFILL_US: u64 = 300_000;

/// What is known of a member's speed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speed {
    costs: EngineCosts,
    /// Observed and predicted seconds to first tokens, fading, and their ratio.
    observed: f64,
    predicted: f64,
    factor: f64,
    /// |observed − predicted| ÷ observed.
    error: Mean,
    /// Observed ÷ predicted, quickly forgetting.
    late: Mean,
    /// Microseconds per output token.
    tpot: Mean,
    /// Time per output token ÷ what the prior says of a batch of that size.
    pace: Mean,
}

/// What a request is predicted to take at a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Estimate {
    /// Prompt work of its own.
    pub prefill_us: u64,
    /// From start to the first token.
    pub ttft_us: u64,
    /// From start to the first token, before the learnt factor.
    pub raw_us: u64,
    /// From start to the last token.
    pub total_us: u64,
    /// It takes the member for so long that others' first tokens wait for it.
    pub long: bool,
}

impl Estimate {
    /// What it adds to its member's account.
    pub fn work(&self) -> super::Work {
        super::Work {
            prefill_us: self.prefill_us,
            long: self.long,
        }
    }
}

impl Speed {
    pub fn new(costs: &EngineCosts) -> Self {
        // The prior weighs as much as a second of work.
        let iteration_us = whole(costs.step_us) + whole(costs.output_ns) * 16.0 / 1000.0;
        Self {
            costs: *costs,
            observed: 1.0,
            predicted: 1.0,
            factor: 1.0,
            error: Mean::new(0.0),
            late: Mean::new(1.0),
            tpot: Mean::new(iteration_us),
            pace: Mean::new(1.0),
        }
    }

    /// Another engine, or another prior: what was learnt is forgotten where the prior changed.
    pub fn costs_apply(&mut self, costs: &EngineCosts) {
        if self.costs != *costs {
            *self = Self::new(costs);
        }
    }

    /// First tokens seen.
    pub fn seen(&self) -> u64 {
        self.error.count
    }

    /// Nothing was seen of it yet: it is taken to be like another of its kind, so that the first one to answer does not get all.
    pub fn learn_from(&mut self, other: &Self) {
        if self.error.count == 0 && self.costs == other.costs {
            let error = Mean {
                count: 0,
                ..other.error
            };
            *self = Self { error, ..*other };
        }
    }

    /// Time of one batch iteration beside prompts.
    pub fn iteration_us(&self, running: u32, kv_tokens: u64) -> u64 {
        let costs = &self.costs;
        costs.step_us
            + u64::from(running) * costs.output_ns / 1000
            + kv_tokens.saturating_mul(costs.kv_ps) / 1_000_000
    }

    /// Prompt work by the prior: `uncached` tokens after `cached` ones.
    fn prefill_raw_us(&self, uncached: u64, cached: u64) -> u64 {
        let costs = &self.costs;
        let flat_ns = uncached.saturating_mul(costs.uncached_ns);
        // Below 2^64 for any prompt of less than a hundred million tokens.
        let position = cached + uncached / 2;
        let grown_ns = flat_ns
            .saturating_mul(position)
            .checked_div(costs.context_double_tokens)
            .unwrap_or(0);
        (flat_ns
            .saturating_add(grown_ns)
            .saturating_add(cached.saturating_mul(costs.cached_ns)))
            / 1000
    }

    /// Prompt work as learnt.
    pub fn prefill_us(&self, uncached: u64, cached: u64) -> u64 {
        rounded(whole(self.prefill_raw_us(uncached, cached)) * self.factor)
    }

    /// Prompt work of the iteration that computes the first of `uncached` tokens behind `cached` ones.
    pub fn iteration_prefill_us(&self, uncached: u64, cached: u64) -> u64 {
        self.prefill_us(uncached.min(ITERATION_TOKENS), cached)
    }

    /// What a request takes behind `outstanding_us` of (learnt) prompt work, beside `iteration_us` for each iteration.
    pub fn estimate(
        &self,
        (uncached, cached, output): (u64, u64, u64),
        (outstanding_us, iteration_us): (u64, u64),
    ) -> Estimate {
        let factor = self.factor;
        let raw_us = self.prefill_raw_us(uncached, cached);
        let prefill_us = rounded(whole(raw_us) * factor);
        // On average half of the iteration under way, then its own.
        let iterations = uncached / ITERATION_TOKENS + 1;
        let beside_us = iteration_us.saturating_mul(iterations) + iteration_us / 2;
        let ttft_us = outstanding_us + prefill_us + beside_us;
        let decode_us = output
            .saturating_sub(1)
            .saturating_mul(rounded(self.tpot.value));
        Estimate {
            prefill_us,
            ttft_us,
            raw_us: rounded(whole(outstanding_us) / factor) + raw_us + beside_us,
            total_us: ttft_us.saturating_add(decode_us),
            long: prefill_us > LONG_PREFILL_US,
        }
    }

    /// A first token came.
    pub fn first_token(&mut self, observed_us: u64, estimate: (u64, u64)) {
        let (ttft_us, raw_us) = estimate;
        let observed = whole(observed_us.max(1)) / 1e6;
        self.observed = self.observed * KEEP + observed;
        self.predicted = self.predicted * KEEP + whole(raw_us.max(1)) / 1e6;
        self.factor = (self.observed / self.predicted).clamp(FACTOR_MIN, FACTOR_MAX);
        let predicted = whole(ttft_us.max(1)) / 1e6;
        let error = (observed - predicted).abs() / observed;
        self.error.add(error.min(10.0), PART);
        let lateness = (observed + LATE_SLACK_S) / (predicted + LATE_SLACK_S);
        self.late.add(lateness.min(10.0), 0.2);
    }

    /// Whether first tokens came much later than predicted, of late.
    pub fn is_late(&self) -> bool {
        self.late.count >= 5 && self.late.value > LATE_RATIO
    }

    /// The lateness is dealt with: it has to show anew.
    pub fn late_forget(&mut self) {
        self.late = Mean::new(1.0);
    }

    /// An answer's pace is known, and what the prior says of a batch like the one at its end.
    pub fn pace(&mut self, tpot_us: u64, iteration_us: u64) {
        self.tpot.add(whole(tpot_us), PART);
        let ratio = whole(tpot_us.max(1)) / whole(iteration_us.max(1));
        self.pace.add(ratio.clamp(FACTOR_MIN, FACTOR_MAX), PART);
    }

    /// What decoding costs ÷ what the prior says, in thousandths. Other requests' prompts lengthen iterations too: a slower pace
    /// than prompts show is theirs.
    pub fn pace_permille(&self) -> u64 {
        rounded(self.pace.value.min(self.factor.max(1.0)) * 1000.0).max(1)
    }

    pub fn tpot_us(&self) -> u64 {
        rounded(self.tpot.value)
    }

    /// In thousandths; `None` before the first observation.
    pub fn error_permille(&self) -> Option<u32> {
        (self.error.count > 0)
            .then(|| u32::try_from(rounded(self.error.value * 1000.0)).unwrap_or(u32::MAX))
    }
}
