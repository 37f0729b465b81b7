//! What an event of the grid changes: how soon it is met, and what those notice who wait for first tokens.

use super::model::GridEvent;
use super::tally::{histogram, record};
use crate::world::{Ended, Outcome};
use hdrhistogram::Histogram;
use serde::Serialize;

/// First tokens are measured for as long before and after an event as it lasts, and for no longer than that, in microseconds.
const WINDOW_US_MAX: u64 = 3_600_000_000;

/// Requests that are not of the batch class, before, in and after an event.
#[derive(Debug, Default)]
pub struct EventTally {
    first_tokens: [Option<Histogram<u64>>; 3],
    answered: u64,
    refused: u64,
}

impl EventTally {
    /// A request ended that the event's site answered, or might have.
    pub(super) fn ended(&mut self, event: &GridEvent, ended: &Ended) {
        let asked_us = ended.asked_ns / 1_000;
        let window_us = (event.until_us - event.from_us).min(WINDOW_US_MAX);
        let (before, after) = (
            event.from_us.saturating_sub(window_us)..event.from_us,
            event.until_us..event.until_us + window_us,
        );
        let meanwhile = event.from_us..event.until_us;
        let windows = [before, meanwhile, after];
        let Some(at) = windows.iter().position(|window| window.contains(&asked_us)) else {
            return;
        };
        if let (Outcome::Finished, Some(first_ns)) = (ended.outcome, ended.first_token_ns) {
            let first_tokens = &mut self.first_tokens[at];
            *first_tokens = first_tokens.take().or_else(histogram);
            if let Some(first_tokens) = first_tokens {
                record(first_tokens, first_ns.saturating_sub(ended.asked_ns));
            }
        }
        if at == 1 {
            match ended.outcome {
                Outcome::Finished => self.answered += 1,
                Outcome::Refused(_) => self.refused += 1,
                Outcome::Left | Outcome::Broken => {}
            }
        }
    }

    /// Adds what another one counted.
    pub(super) fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        for (sum, more) in self.first_tokens.iter_mut().zip(&other.first_tokens) {
            match (sum, more) {
                (_, None) => {}
                (sum @ None, Some(more)) => *sum = Some(more.clone()),
                // It grows by itself, so that there is room for each.
                (Some(sum), Some(more)) => sum.add(more).unwrap_or_default(),
            }
        }
    }

    fn p99_ms(&self, at: usize) -> Option<f64> {
        let histogram = self.first_tokens[at].as_ref()?;
        Some(histogram.value_at_quantile(0.99) as f64 / 1_000.0)
    }
}

/// What came of an event.
#[derive(Clone, Debug, Serialize)]
pub struct EventLine {
    /// Its name.
    pub id: String,
    /// Where.
    pub site: String,
    /// When it was told.
    pub told_at: String,
    /// When it began.
    pub begins_at: String,
    /// When it ended.
    pub ends_at: String,
    /// What the site drew when it began, or half a minute before where it was told earlier, in kW at the meter; `None` where the run
    /// did not come so far.
    pub baseline_kw: Option<f64>,
    /// What it left, in kW at the meter.
    pub cap_kw: Option<f64>,
    /// Seconds from its beginning until no more was drawn; `None`: never.
    pub met_after_s: Option<f64>,
    /// Time above it after that, in milliseconds.
    pub over_cap_ms: u64,
    /// What was drawn while it lasted, the mean, in kW at the meter.
    pub mean_kw: f64,
    /// What was not drawn beside the baseline, in kWh.
    pub saved_kwh: f64,
    /// Accelerator-hours in which jobs stood still.
    pub stood_accelerator_h: f64,
    /// Seconds from its end until all that was bent had come back; `None`: not all did.
    pub back_after_s: Option<f64>,
    /// The 99th percentile of first tokens that are not of the batch class, of requests that the site answered, in milliseconds: of
    /// those that were asked before it, for as long as it lasted and an hour at most.
    pub ttft_p99_ms_before: Option<f64>,
    /// Of those that were asked while it lasted.
    pub ttft_p99_ms_during: Option<f64>,
    /// Of those that were asked after it, as long as before it.
    pub ttft_p99_ms_after: Option<f64>,
    /// That while it lasted by that before.
    pub ttft_p99_ratio: Option<f64>,
    /// Such requests that were asked while it lasted, and answered there.
    pub answered: u64,
    /// The same, refused at a gateway before the site.
    pub refused: u64,
}

impl EventLine {
    /// What those noticed who waited.
    pub(super) fn notice(&mut self, tally: &EventTally) {
        let [before, during, after] = [0, 1, 2].map(|at| tally.p99_ms(at));
        self.ttft_p99_ms_before = before;
        self.ttft_p99_ms_during = during;
        self.ttft_p99_ms_after = after;
        let ratio = |(before, during): (f64, f64)| (before > 0.0).then(|| during / before);
        self.ttft_p99_ratio = before.zip(during).and_then(ratio);
        (self.answered, self.refused) = (tally.answered, tally.refused);
    }
}
