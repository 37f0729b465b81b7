//! What comes of requests, counted while they end: nothing is kept of any one of them.

use super::event::EventTally;
use super::model::GridEvent;
use crate::engine::Cached;
use crate::world::{Ended, Outcome};
use hdrhistogram::Histogram;
use madang_core::{EngineCosts, Refusal};
use std::collections::BTreeMap;

/// Longest time that is told apart, in microseconds: ten days.
const LATENCY_US_MAX: u64 = 10 * 86_400 * 1_000_000;
/// Significant digits of percentiles: they are within a hundredth of the true ones.
pub(super) const DIGITS: u8 = 2;
/// How far a percentile may be from the true one.
pub const PERCENTILE_ERROR: f64 = 0.01;

/// Why a request came to nothing, by its place in [`Cell::refused`]: the core's reasons, and
/// those of gateways and engines.
pub const REFUSALS: [&str; 16] = [
    "model_unknown",
    "endpoint_unsupported",
    "policy_denied",
    "no_replica",
    "queue_full",
    "queue_timeout",
    "overloaded",
    "shed",
    "attempts_exhausted",
    "draining",
    "context_too_long",
    "power_short",
    "allocation_missing",
    "budget_exhausted",
    "budget_busy",
    "broken_off",
];
/// The word of requests that no engine has the memory for.
pub(super) const TOO_LONG: &str = "context_too_long";
/// That of answers whose engine failed after their first token.
const BROKEN: &str = "broken_off";

fn refusal_place(refusal: Refusal) -> usize {
    match refusal {
        Refusal::ModelUnknown => 0,
        Refusal::EndpointUnsupported => 1,
        Refusal::PolicyDenied => 2,
        Refusal::NoReplica => 3,
        Refusal::QueueFull => 4,
        Refusal::QueueTimeout => 5,
        Refusal::Overloaded => 6,
        Refusal::Shed => 7,
        Refusal::AttemptsExhausted => 8,
        Refusal::Draining => 9,
        Refusal::PowerShort => 11,
    }
}

/// Where requests of one kind are counted: site (one more than there are for those that no engine had), tenant, hour.
pub type Key = (usize, usize, u32);

/// Times of those that were answered, in microseconds.
#[derive(Clone, Debug)]
pub struct Latencies {
    /// At the gateway, until it was sent to an engine.
    pub queue: Histogram<u64>,
    /// Until the first token.
    pub ttft: Histogram<u64>,
    /// Of each further token, the mean of an answer; answers of one token have none.
    pub tpot: Histogram<u64>,
    /// Until the last token.
    pub e2e: Histogram<u64>,
    /// Of KV between parts of an engine; `None` where none was sent.
    pub transfer: Option<Histogram<u64>>,
}

/// An empty one, which grows by itself.
pub(super) fn histogram() -> Option<Histogram<u64>> {
    let mut histogram = Histogram::new(DIGITS).ok()?;
    histogram.auto(true);
    Some(histogram)
}

impl Latencies {
    fn new() -> Option<Box<Self>> {
        let one = histogram;
        Some(Box::new(Self {
            queue: one()?,
            ttft: one()?,
            tpot: one()?,
            e2e: one()?,
            transfer: None,
        }))
    }

    fn each(&mut self) -> [&mut Histogram<u64>; 4] {
        [
            &mut self.queue,
            &mut self.ttft,
            &mut self.tpot,
            &mut self.e2e,
        ]
    }
}

/// What came of requests of one kind.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// That were answered.
    pub finished: u64,
    /// Whose clients left.
    pub left: u64,
    /// That were refused, by the places of [`REFUSALS`].
    pub refused: [u64; REFUSALS.len()],
    /// Prompt tokens of those that were answered.
    pub input_tokens: u64,
    /// Of them from a cache.
    pub cached: Cached,
    /// Tokens made.
    pub output_tokens: u64,
    /// Answers that kept what their model promises.
    pub good: u64,
    /// Tokens of those.
    pub good_output_tokens: u64,
    /// Accelerator time of all that was asked for, nothing cached, in microseconds.
    pub asked_us: u64,
    /// The same of what was answered.
    pub served_us: u64,
    /// Their times; `None` where nothing was answered.
    pub latencies: Option<Box<Latencies>>,
}

impl Cell {
    fn refuse(&mut self, why: &str) {
        let place = REFUSALS.iter().position(|word| *word == why);
        if let Some(count) = place.and_then(|place| self.refused.get_mut(place)) {
            *count += 1;
        }
    }

    /// All that asked.
    pub fn asked(&self) -> u64 {
        self.finished + self.left + self.refused.iter().sum::<u64>()
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.finished += other.finished;
        self.left += other.left;
        for (sum, more) in self.refused.iter_mut().zip(&other.refused) {
            *sum += more;
        }
        self.input_tokens += other.input_tokens;
        self.cached.add(&other.cached);
        self.output_tokens += other.output_tokens;
        self.good += other.good;
        self.good_output_tokens += other.good_output_tokens;
        self.asked_us += other.asked_us;
        self.served_us += other.served_us;
        let Some(more) = &other.latencies else { return };
        match &mut self.latencies {
            None => self.latencies = Some(more.clone()),
            Some(sum) => {
                let mut more = more.clone();
                for (sum, more) in sum.each().into_iter().zip(more.each()) {
                    // It grows by itself, so that there is room for each.
                    sum.add(&*more).unwrap_or_default();
                }
                match (&mut sum.transfer, more.transfer) {
                    (Some(sum), Some(more)) => sum.add(more).unwrap_or_default(),
                    (none, more) => *none = none.take().or(more),
                }
            }
        }
    }
}

/// What answers of a model are measured with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    pub ttft_ns: u64,
    pub tpot_ns: u64,
    /// What a request costs, to compare tenants by: of the first engines that serve the model.
    pub costs: EngineCosts,
    pub slots: u32,
}

impl Measure {
    /// Accelerator time of a request with nothing cached, in microseconds.
    fn work_us(&self, input: u64, output: u64) -> u64 {
        let costs = &self.costs;
        let made_ns = costs.output_ns + costs.step_us * 1_000 / u64::from(self.slots.max(1));
        let held_ns = output
            .saturating_mul(input + output / 2)
            .saturating_mul(costs.kv_ps)
            / 1_000;
        (prefill_ns(costs, input) + output.saturating_mul(made_ns) + held_ns) / 1_000
    }
}

/// Time in which an engine computes a prompt of which nothing is cached, in nanoseconds.
fn prefill_ns(costs: &EngineCosts, prompt: u64) -> u64 {
    let flat_ns = prompt.saturating_mul(costs.uncached_ns);
    let grown = u128::from(flat_ns) * u128::from(prompt / 2);
    let grown_ns = grown
        .checked_div(u128::from(costs.context_double_tokens))
        .unwrap_or(0);
    flat_ns + u64::try_from(grown_ns).unwrap_or(u64::MAX / 4)
}

/// All that one shard counts.
#[derive(Debug, Default)]
pub struct Tally {
    /// By site, tenant and hour.
    pub cells: BTreeMap<Key, Cell>,
    /// What each event changes for those who wait.
    pub events: Vec<EventTally>,
}

impl Tally {
    pub(super) fn new(events: &[GridEvent]) -> Self {
        Self {
            cells: BTreeMap::new(),
            events: events.iter().map(|_| EventTally::default()).collect(),
        }
    }

    /// A request ended.
    pub(super) fn ended(&mut self, key: Key, ended: &Ended, measure: &Measure) {
        let cell = self.cells.entry(key).or_default();
        let work_us = measure.work_us(ended.prompt_tokens, ended.output_tokens);
        cell.asked_us += work_us;
        match ended.outcome {
            Outcome::Refused(refusal) => cell.refused[refusal_place(refusal)] += 1,
            Outcome::Left => cell.left += 1,
            Outcome::Broken => cell.refuse(BROKEN),
            Outcome::Finished => {
                cell.served_us += work_us;
                answered(cell, ended, measure);
            }
        }
    }

    /// A request that never came to the core: one of the words of [`REFUSALS`] says why.
    pub(super) fn refused(&mut self, key: Key, why: &str) {
        self.cells.entry(key).or_default().refuse(why);
    }
}

fn answered(cell: &mut Cell, ended: &Ended, measure: &Measure) {
    cell.finished += 1;
    cell.input_tokens += ended.prompt_tokens;
    cell.cached.add(&ended.cached);
    cell.output_tokens += ended.output_tokens;
    let first_ns = ended.first_token_ns.unwrap_or(ended.at_ns);
    let ttft_ns = first_ns.saturating_sub(ended.asked_ns);
    let further = ended.output_tokens.saturating_sub(1);
    let tpot_ns = (ended.at_ns - first_ns).checked_div(further);
    if ttft_ns <= measure.ttft_ns && tpot_ns.is_none_or(|tpot| tpot <= measure.tpot_ns) {
        cell.good += 1;
        cell.good_output_tokens += ended.output_tokens;
    }
    if cell.latencies.is_none() {
        cell.latencies = Latencies::new();
    }
    let Some(latencies) = &mut cell.latencies else {
        return;
    };
    let queue_ns = ended.started_ns.unwrap_or(ended.asked_ns) - ended.asked_ns;
    record(&mut latencies.queue, queue_ns);
    record(&mut latencies.ttft, ttft_ns);
    record(&mut latencies.e2e, ended.at_ns - ended.asked_ns);
    if let Some(transfer_ns) = ended.transfer_ns {
        latencies.transfer = latencies.transfer.take().or_else(histogram);
        if let Some(transfer) = &mut latencies.transfer {
            record(transfer, transfer_ns);
        }
    }
    if let Some(tpot_ns) = tpot_ns {
        record(&mut latencies.tpot, tpot_ns);
    }
}

/// Notes a time in nanoseconds, to the microsecond.
pub(super) fn record(histogram: &mut Histogram<u64>, ns: u64) {
    let us = (ns / 1_000).min(LATENCY_US_MAX);
    // A histogram grows by itself up to any time that is noted.
    histogram.record(us).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words are the core's, at the places where they are counted.
    #[test]
    fn each_refusal_is_counted_under_its_word() {
        for refusal in [
            Refusal::ModelUnknown,
            Refusal::EndpointUnsupported,
            Refusal::PolicyDenied,
            Refusal::NoReplica,
            Refusal::QueueFull,
            Refusal::QueueTimeout,
            Refusal::Overloaded,
            Refusal::Shed,
            Refusal::PowerShort,
            Refusal::AttemptsExhausted,
            Refusal::Draining,
        ] {
            let word = serde_json::to_value(refusal).unwrap();
            assert_eq!(word, REFUSALS[refusal_place(refusal)]);
        }
        assert!(REFUSALS.contains(&TOO_LONG));
    }

    #[test]
    fn percentiles_are_as_near_as_they_are_said_to_be() {
        let mut histogram = Latencies::new().unwrap().ttft;
        for us in 1..=1_000_000_u64 {
            record(&mut histogram, us * 1_000);
        }
        for (quantile, us) in [(0.5, 500_000.0), (0.9, 900_000.0), (0.99, 990_000.0)] {
            let found = histogram.value_at_quantile(quantile) as f64;
            assert!(
                (found - us).abs() / us <= PERCENTILE_ERROR,
                "{quantile}: {found}"
            );
        }
        record(&mut histogram, u64::MAX);
        assert!(histogram.max() >= LATENCY_US_MAX);
    }
}
