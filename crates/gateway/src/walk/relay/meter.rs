//! Counts what an answer used: the engine's own count where it gives one, else an estimate that is marked.

use madang_types::{TokenUse, Tokens, UsageRecord};
use madang_wire::{AnswerFacts, EngineUsage, EventFacts, text};

/// What is known of an answer's use so far.
#[derive(Debug, Default)]
pub(super) struct Meter {
    usage: Option<EngineUsage>,
    suspicious: bool,
    prompt_tokens_estimate: u64,
    /// What the caller asked for at most; no estimate of ours is above it.
    output_tokens_max: Option<u64>,
    output_chunks: u64,
    output_bytes: u64,
    output_non_ascii_bytes: u64,
    first_output_us: Option<u64>,
    last_output_us: Option<u64>,
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

    /// Writes what is known into the record.
    pub fn write(&self, record: &mut UsageRecord) {
        record.tokens = self.tokens();
        if let (Some(first), Some(last)) = (self.first_output_us, self.last_output_us) {
            record.first_token_us = Some(first);
            let gaps = record.tokens.output.0.saturating_sub(1);
            record.per_token_us = (gaps > 0).then(|| (last - first) / gaps);
        }
    }

    fn tokens(&self) -> TokenUse {
        match self.usage {
            Some(usage) => {
                let cached = usage.cached_tokens.min(usage.prompt_tokens);
                TokenUse {
                    uncached: Tokens(usage.prompt_tokens - cached),
                    cached: Tokens(cached),
                    output: Tokens(usage.output_tokens),
                    // A count that contradicts itself was clamped: it is ours as much as the engine's.
                    estimated: self.suspicious,
                }
            }
            None => TokenUse {
                uncached: Tokens(self.prompt_tokens_estimate),
                cached: Tokens(0),
                output: Tokens(self.output_estimate()),
                estimated: true,
            },
        }
    }

    /// Engines send a chunk per token or fewer, so the chunks are a floor.
    fn output_estimate(&self) -> u64 {
        let estimate = match self.output_bytes {
            0 => 0,
            bytes => text::estimate_tokens(bytes, self.output_non_ascii_bytes),
        };
        let asked_max = self.output_tokens_max.unwrap_or(u64::MAX);
        self.output_chunks.max(estimate).min(asked_max)
    }
}
