//! How far predictions of a run were from what was measured.

use super::carry::RequestPrediction;
use super::log::RequestRun;
use super::replay::Took;
use crate::stats::percentile;
use serde::Serialize;

/// Errors of a run, as parts of what was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Score {
    /// Hardware and model.
    pub run: String,
    /// Requests.
    pub requests: usize,
    /// Mean error of a request's time to its last token.
    pub e2e_mean_error: f64,
    /// Mean error of its time to the first.
    pub ttft_mean_error: f64,
    /// Nine of ten errors of times to the last token are below.
    pub e2e_p90_error: f64,
    /// Likewise to the first.
    pub ttft_p90_error: f64,
    /// Errors, with their sign, of the mean, median, 90th and 99th percentile: first token, further tokens, last token.
    pub aggregates: [[f64; 4]; 3],
    /// The largest of them.
    pub aggregates_worst: f64,
}

/// Errors of predictions for a run that says what was measured.
pub fn scores(run: &RequestRun, said: &[RequestPrediction]) -> Score {
    let took: Vec<Took> = said
        .iter()
        .map(|said| Took {
            ttft_s: said.ttft_s,
            e2e_s: said.e2e_s,
        })
        .collect();
    score(run, &took)
}

/// Measured times to the first and the last token, tokens between them, and what was predicted.
type Point = (f64, f64, f64, Took);
/// Something of a request: predicted, and measured.
type Pair = fn(&Point) -> (f64, f64);

pub(super) fn score(run: &RequestRun, took: &[Took]) -> Score {
    let measured: Vec<Point> = run
        .requests
        .iter()
        .zip(took)
        .filter_map(|(request, took)| {
            let further = request.output_tokens.saturating_sub(1).max(1) as f64;
            Some((request.ttft_s?, request.e2e_s?, further, *took))
        })
        .collect();
    // The mean of all errors, and what nine of ten are below.
    let error = |pair: Pair| {
        let pairs = measured.iter().map(pair);
        let mut errors: Vec<f64> = pairs
            .map(|(said, true_s)| (said / true_s - 1.0).abs())
            .collect();
        errors.sort_by(f64::total_cmp);
        let mean = errors.iter().sum::<f64>() / errors.len().max(1) as f64;
        (mean, percentile(&errors, 900).unwrap_or(0.0))
    };
    let (e2e_mean_error, e2e_p90_error) = error(|(_, e2e_s, _, took)| (took.e2e_s, *e2e_s));
    let (ttft_mean_error, ttft_p90_error) = error(|(ttft_s, .., took)| (took.ttft_s, *ttft_s));
    let aggregate = |pair: Pair| {
        let (said, true_s): (Vec<f64>, Vec<f64>) = measured.iter().map(pair).unzip();
        let (said, true_s) = (summary(said), summary(true_s));
        // Where every answer is one token there is nothing between tokens to be off.
        std::array::from_fn(|at| match true_s[at] > 0.0 {
            true => said[at] / true_s[at] - 1.0,
            false => 0.0,
        })
    };
    let aggregates = [
        aggregate(|(ttft_s, .., took)| (took.ttft_s, *ttft_s)),
        aggregate(|(ttft_s, e2e_s, further, took)| {
            (
                (took.e2e_s - took.ttft_s) / further,
                (e2e_s - ttft_s) / further,
            )
        }),
        aggregate(|(_, e2e_s, _, took)| (took.e2e_s, *e2e_s)),
    ];
    let largest = aggregates.iter().flatten().map(|error: &f64| error.abs());
    Score {
        run: format!("{} on {}", run.model, run.hardware),
        requests: measured.len(),
        e2e_mean_error,
        ttft_mean_error,
        e2e_p90_error,
        ttft_p90_error,
        aggregates_worst: largest.fold(0.0, f64::max),
        aggregates,
    }
}

/// Mean, median, 90th and 99th percentile.
fn summary(mut values: Vec<f64>) -> [f64; 4] {
    values.sort_by(f64::total_cmp);
    let at = |permille| percentile(&values, permille).unwrap_or(f64::NAN);
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    [mean, at(500), at(900), at(990)]
}
