//! Counts what an answer used: the engine's own count where it gives one, else an estimate that is marked.

use crate::walk::flight::Flight;
use madang_core::Spent;
use madang_types::{TokenUse, Tokens};
use madang_wire::{AnswerFacts, EngineUsage, EventFacts, text};

/// The core hears of a stream's tokens at most so often, in microseconds …
const PROGRESS_US_MIN: u64 = 1_000_000;
/// … and not of fewer new ones than this.
const PROGRESS_TOKENS_MIN: u64 = 64;

/// What is known of an answer's use so far.
#[derive(Debug, Default)]
pub(super) struct Meter {
    usage: Option<EngineUsage>,
    /// The prompt's counts, where they came before the answer's.
    prompt_usage: Option<EngineUsage>,
    suspicious: bool,
    prompt_tokens_estimate: u64,
    /// What was asked for at most; no estimate of ours is above it, and no count of the engine's is believed there.
    output_tokens_max: Option<u64>,
    output_chunks: u64,
    output_bytes: u64,
    output_non_ascii_bytes: u64,
    first_output_us: Option<u64>,
    last_output_us: Option<u64>,
    /// When the core may hear of progress next, and what it heard of last.
    progress_from_us: u64,
    progress_tokens: u64,
}

impl Meter {
    pub fn new(prompt_tokens_estimate: u64, output_tokens_max: Option<u64>) -> Self {
        Self {
            prompt_tokens_estimate,
            output_tokens_max,
            ..Self::default()
        }
    }

    /// One event of a stream, seen at `elapsed_us` after the request's arrival.
    pub fn event(&mut self, facts: &EventFacts, elapsed_us: u64) {
        self.usage = facts.usage.or(self.usage);
        self.prompt_usage = facts.prompt_usage.or(self.prompt_usage);
        if let (Some(output_tokens), Some(prompt)) = (facts.output_tokens, self.prompt_usage) {
            self.usage = Some(EngineUsage {
                output_tokens,
                ..prompt
            });
        }
        self.suspicious |= facts.suspicious;
        self.output_bytes += facts.output_bytes;
        self.output_non_ascii_bytes += facts.output_non_ascii_bytes;
        if facts.output_chunk {
            self.output_chunks += 1;
            self.first_output_us.get_or_insert(elapsed_us);
            self.last_output_us = Some(elapsed_us);
        }
    }

    /// A whole answer.
    pub fn answer(&mut self, facts: &AnswerFacts) {
        self.usage = facts.usage;
        self.suspicious |= facts.suspicious;
        self.output_bytes = facts.output_bytes;
        self.output_non_ascii_bytes = facts.output_non_ascii_bytes;
    }

    /// Output tokens so far, where it is time that the core hears of them.
    pub fn progress(&mut self, elapsed_us: u64) -> Option<u64> {
        if elapsed_us < self.progress_from_us {
            return None;
        }
        let tokens = self.output_tokens();
        if tokens < self.progress_tokens + PROGRESS_TOKENS_MIN {
            return None;
        }
        self.progress_from_us = elapsed_us + PROGRESS_US_MIN;
        self.progress_tokens = tokens;
        Some(tokens)
    }

    /// Output tokens so far.
    pub fn output_tokens(&self) -> u64 {
        match self.usage {
            Some(usage) => usage.output_tokens.min(self.asked_max()),
            None => self.output_estimate(),
        }
    }

    /// Output tokens that there must have been so far, whatever was asked for: engines send a chunk per token or fewer.
    pub fn output_tokens_min(&self) -> u64 {
        let counted = self.usage.map_or(0, |usage| usage.output_tokens);
        self.output_chunks.max(counted)
    }

    /// Writes what is known into the flight's record.
    pub fn write(&self, flight: &mut Flight) {
        if let Some(told) = self.beyond() {
            tracing::warn!(
                request = %flight.record.id, replica = flight.record.replica.as_ref().map(tracing::field::display),
                told, asked = self.asked_max(),
                "an engine counts more tokens than were asked for: what was asked for counts"
            );
        }
        flight.spent = self.spent();
        let record = &mut flight.record;
        record.tokens = self.tokens();
        if let (Some(first), Some(last)) = (self.first_output_us, self.last_output_us) {
            record.first_token_us = Some(first);
            let gaps = record.tokens.output.0.saturating_sub(1);
            record.per_token_us = (gaps > 0).then(|| (last - first) / gaps);
        }
    }

    /// The engine's own count. One that contradicts itself teaches nothing.
    fn spent(&self) -> Option<Spent> {
        let usage = self.usage.filter(|_| !self.is_doubtful())?;
        Some(Spent {
            prompt_tokens: usage.prompt_tokens,
            cached_tokens: usage.cached_tokens,
            output_tokens: usage.output_tokens,
        })
    }

    fn tokens(&self) -> TokenUse {
        let Some(usage) = self.usage.or(self.prompt_usage) else {
            return TokenUse {
                uncached: Tokens(self.prompt_tokens_estimate),
                cached: Tokens(0),
                output: Tokens(self.output_estimate()),
                estimated: true,
            };
        };
        let cached = usage.cached_tokens.unwrap_or_default();
        let cached = cached.min(usage.prompt_tokens);
        let output = match self.usage {
            Some(usage) => usage.output_tokens.min(self.asked_max()),
            // It broke off before it was counted.
            None => self.output_estimate(),
        };
        TokenUse {
            uncached: Tokens(usage.prompt_tokens - cached),
            cached: Tokens(cached),
            output: Tokens(output),
            // A count that contradicts itself was clamped: it is ours as much as the engine's.
            estimated: self.is_doubtful() || self.usage.is_none(),
        }
    }

    /// Engines send a chunk per token or fewer, so the chunks are a floor.
    fn output_estimate(&self) -> u64 {
        let estimate = match self.output_bytes {
            0 => 0,
            bytes => text::estimate_tokens(bytes, self.output_non_ascii_bytes),
        };
        self.output_chunks.max(estimate).min(self.asked_max())
    }

    fn asked_max(&self) -> u64 {
        self.output_tokens_max.unwrap_or(u64::MAX)
    }

    /// The engine's count, where it is more than was asked for: nobody pays for that.
    fn beyond(&self) -> Option<u64> {
        let told = self.usage?.output_tokens;
        Some(told).filter(|told| *told > self.asked_max())
    }

    fn is_doubtful(&self) -> bool {
        self.suspicious || self.beyond().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One chunk of output at each time; when the core hears of how many tokens.
    fn check(times_us: &[u64], expected: &[(u64, u64)]) {
        let mut meter = Meter::new(10, None);
        let facts = EventFacts {
            output_chunk: true,
            output_bytes: 4,
            ..EventFacts::default()
        };
        let mut heard = Vec::new();
        for &time_us in times_us {
            meter.event(&facts, time_us);
            heard.extend(meter.progress(time_us).map(|tokens| (time_us, tokens)));
        }
        assert_eq!(heard, expected);
    }

    #[test]
    fn the_core_hears_of_progress_seldom() {
        let every = |step_us: u64| (1..=200).map(|n| n * step_us).collect::<Vec<u64>>();
        check(&every(1_000), &[(64_000, 64)]);
        check(&every(10_000), &[(640_000, 64), (1_640_000, 164)]);
        check(
            &every(100_000),
            &[(6_400_000, 64), (12_800_000, 128), (19_200_000, 192)],
        );
        check(&every(1_000)[..60], &[]);
    }
}
