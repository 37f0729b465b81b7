//! One line of a report.

use super::Group;
use crate::engine::Cached;
use crate::scenario::shard::{INTERVAL_NS, Use};
use crate::scenario::tally::REFUSALS;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;

/// What came of the requests of one kind. Times in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Of which kind.
    pub name: String,
    /// Requests.
    pub asked: u64,
    /// That were answered.
    pub finished: u64,
    /// Whose clients left before their first token.
    pub left: u64,
    /// That were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Prompt tokens of those that were answered.
    pub input_tokens: u64,
    /// Part of them that came from a cache.
    pub cache_hit_ratio: f64,
    /// Tokens of that part, by where they were.
    pub cached: Cached,
    /// Tokens made.
    pub output_tokens: u64,
    /// At the gateway, until it was sent to an engine.
    pub queue_ms: Option<Percentiles>,
    /// Until the first token.
    pub ttft_ms: Option<Percentiles>,
    /// Of each further token, the mean of an answer.
    pub tpot_ms: Option<Percentiles>,
    /// Until the last token.
    pub e2e_ms: Option<Percentiles>,
    /// Of KV between parts of an engine, its wait for the link included; `None` where none was sent. A part of `ttft_ms`.
    pub kv_transfer_ms: Option<Percentiles>,
    /// Part of all that asked whose answer kept what its model promises.
    pub goodput_ratio: f64,
    /// Such answers a second.
    pub goodput_per_s: f64,
    /// Their tokens a second.
    pub goodput_tokens_per_s: f64,
    /// How much engines were used; `None` where that cannot be told apart.
    pub utilisation: Option<Utilisation>,
    /// Mean power at the meter, in watts; 0 where no engine's power is known.
    pub watts: f64,
    /// Energy at the meter.
    pub joules: f64,
    /// What electricity from the grid cost.
    pub won: f64,
    /// Grams of CO2 of the same.
    pub gco2: f64,
}

/// Of one time, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half are below.
    pub p50: f64,
    /// Nine of ten are below.
    pub p90: f64,
    /// Ninety-nine of a hundred are below.
    pub p99: f64,
}

/// Parts of what there is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Utilisation {
    /// Time in which engines iterated.
    pub busy: f64,
    /// Time in which arithmetic bound them: prompts.
    pub compute: f64,
    /// Time in which the bandwidth of memory bound them: weights and KV are read for each token.
    pub bandwidth: f64,
    /// KV memory held by running sequences.
    pub kv: f64,
}

/// Time of engines, added up.
#[derive(Default)]
pub(super) struct UsedTime {
    all_ns: f64,
    prefill_ns: f64,
    decode_ns: f64,
    kv_held: f64,
    kv_all: f64,
}

impl UsedTime {
    pub fn add(&mut self, used: &Use, kv_tokens: u64) {
        self.all_ns += f64::from(used.engines) * INTERVAL_NS as f64;
        self.prefill_ns += used.prefill_ns as f64;
        self.decode_ns += used.decode_ns as f64;
        self.kv_held += used.kv_tokens as f64;
        self.kv_all += used.samples as f64 * kv_tokens as f64;
    }

    pub fn utilisation(&self) -> Option<Utilisation> {
        (self.all_ns > 0.0).then(|| Utilisation {
            busy: (self.prefill_ns + self.decode_ns) / self.all_ns,
            compute: self.prefill_ns / self.all_ns,
            bandwidth: self.decode_ns / self.all_ns,
            kv: self.kv_held / self.kv_all.max(1.0),
        })
    }
}

pub(super) fn line(name: &str, group: &Group) -> Line {
    let (cell, account) = (&group.cell, &group.account);
    let percentiles = |which: fn(&super::super::tally::Latencies) -> &Histogram<u64>| {
        let histogram = which(cell.latencies.as_ref()?);
        (!histogram.is_empty()).then(|| percentiles(histogram))
    };
    let part = |count: u64, of: u64| {
        if of == 0 {
            0.0
        } else {
            count as f64 / of as f64
        }
    };
    let refused = REFUSALS.iter().zip(cell.refused);
    Line {
        name: name.to_owned(),
        asked: cell.asked(),
        finished: cell.finished,
        left: cell.left,
        refused: refused
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| (*word, count))
            .collect(),
        input_tokens: cell.input_tokens,
        cache_hit_ratio: part(cell.cached.tokens(), cell.input_tokens),
        cached: cell.cached,
        output_tokens: cell.output_tokens,
        queue_ms: percentiles(|latencies| &latencies.queue),
        ttft_ms: percentiles(|latencies| &latencies.ttft),
        tpot_ms: percentiles(|latencies| &latencies.tpot),
        e2e_ms: percentiles(|latencies| &latencies.e2e),
        kv_transfer_ms: cell
            .latencies
            .as_ref()
            .and_then(|latencies| latencies.transfer.as_ref().map(self::percentiles)),
        goodput_ratio: part(cell.good, cell.asked()),
        goodput_per_s: cell.good as f64 / group.seconds,
        goodput_tokens_per_s: cell.good_output_tokens as f64 / group.seconds,
        utilisation: group.utilisation,
        watts: account.joules / group.seconds,
        joules: account.joules,
        won: account.won,
        gco2: account.gco2,
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let ms = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    Percentiles {
        p50: ms(0.5),
        p90: ms(0.9),
        p99: ms(0.99),
    }
}
