//! What service costs: accelerator time by Madang's rule, tokens or turns by the rules that it is compared with.

use crate::fleet_view::{EngineCosts, ShareRule};

/// Service of one request, as predicted or as known so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    /// Prompt work, in microseconds.
    pub prefill_us: u64,
    pub prompt_tokens: u64,
    pub output_tokens: u64,
    /// Sequences that share a full batch: over so many an iteration's fixed time is spread.
    pub batch: u32,
    /// Speed of decoding against the prior, in thousandths of its time.
    pub pace_permille: u64,
}

impl Meter {
    /// Accelerator time, in microseconds: the prompt's work; for each output token its part of an iteration; for each iteration
    /// the memory held, which grows by one token each.
    pub fn accelerator_us(&self, costs: &EngineCosts) -> u64 {
        let each_ns = costs.output_ns + costs.step_us * 1000 / u64::from(self.batch.max(1));
        let output_us = self.output_tokens.saturating_mul(each_ns) / 1000;
        let held = self.prompt_tokens + self.output_tokens / 2;
        let held_us =
            u128::from(held) * u128::from(self.output_tokens) * u128::from(costs.kv_ps) / 1_000_000;
        let held_us = u64::try_from(held_us).unwrap_or(u64::MAX / 4);
        let decode_us = output_us
            .saturating_add(held_us)
            .saturating_mul(self.pace_permille)
            / 1000;
        self.prefill_us.saturating_add(decode_us)
    }

    /// What a flow is charged, in the rule's own unit.
    pub fn charge(&self, rule: ShareRule, costs: &EngineCosts) -> u64 {
        match rule {
            ShareRule::Madang => self.accelerator_us(costs),
            ShareRule::Vtc => self.prompt_tokens.saturating_add(2 * self.output_tokens),
            ShareRule::Drr => self.prompt_tokens,
            ShareRule::RoundRobin => 1,
            ShareRule::Fcfs => 0,
        }
    }
}
