//! Logs of requests, as the twin's data folder has them (`vllm_requests`).

use crate::fidelity::RowsError;
use crate::fidelity::rows::{Cells, line, table};
use crate::trace::Unordered;
use std::sync::Arc;

/// Tokens of a block of a prompt.
pub(super) const BLOCK_TOKENS: u64 = 16;
/// Blocks of one prompt.
const BLOCKS_MAX: usize = 1_000_000;
/// Runs of one log.
const RUNS_MAX: usize = 1_000;
/// Accelerators that share a model's layers.
const TENSOR_MAX: u32 = 1_024;
/// Half of a run's requests take no longer for each token, in seconds: who writes that has another unit.
const TOKEN_S_MAX: f64 = 2.0;
/// Requests of a run come no farther apart in the mean, in seconds, likewise.
const GAP_S_MAX: f64 = 86_400.0;
/// By so much the last token may be before the first, in seconds: what clocks and rounding do.
const CLOCK_S: f64 = 0.001;

/// One request of a log. Times in seconds; those that are not there are `None`.
#[derive(Clone, Debug)]
pub struct LoggedRequest {
    /// Its name in the log.
    pub request: String,
    /// Since the first one.
    pub arrival_s: f64,
    /// Tokens of its prompt.
    pub input_tokens: u64,
    /// Tokens of its answer.
    pub output_tokens: u64,
    /// Blocks of 16 tokens: the same number is the same beginning.
    pub blocks: Arc<[u64]>,
    /// To its first token, from when the engine takes it.
    pub ttft_s: Option<f64>,
    /// To its last token, likewise.
    pub e2e_s: Option<f64>,
    /// Its line in the log.
    pub line: u64,
}

impl LoggedRequest {
    /// It says what it took.
    pub fn is_measured(&self) -> bool {
        self.ttft_s.is_some() && self.e2e_s.is_some()
    }

    /// What each token after the first took, in seconds; `None` where that is not known.
    fn token_s(&self) -> Option<f64> {
        let further = self.output_tokens.checked_sub(1).filter(|of| *of > 0)?;
        Some((self.e2e_s? - self.ttft_s?) / further as f64)
    }
}

/// Requests of one model on one kind of hardware, in the order of their arrival.
#[derive(Clone, Debug)]
pub struct RequestRun {
    /// As in the log.
    pub hardware: String,
    /// As in the log.
    pub model: String,
    /// Accelerators that share the layers, where the log says it.
    pub tensor: Option<u32>,
    /// Its requests.
    pub requests: Vec<LoggedRequest>,
    /// Rows of the log that stood below later ones of this run.
    pub unordered: Option<Unordered>,
}

impl RequestRun {
    /// How far apart its requests come in the mean, in seconds; `None` of one request.
    pub fn gap_s(&self) -> Option<f64> {
        let (first, last) = (self.requests.first()?, self.requests.last()?);
        let gaps = self.requests.len().checked_sub(1).filter(|of| *of > 0)?;
        Some((last.arrival_s - first.arrival_s) / gaps as f64)
    }

    /// Times that no run in seconds has: another unit was written.
    fn check_units(&self) -> Result<(), RowsError> {
        let timed = |request: &LoggedRequest| Some((request.token_s()?, request.line));
        let mut paces: Vec<(f64, u64)> = self.requests.iter().filter_map(timed).collect();
        paces.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (model, hardware) = (&self.model, &self.hardware);
        let half = paces.get(paces.len() / 2);
        if let Some((pace_s, at)) = half.filter(|(pace_s, _)| *pace_s > TOKEN_S_MAX) {
            return Err(line(
                *at,
                format!(
                    "ttft_s and e2e_s say {pace_s:.1} s for each token, and half of the requests for {model} on {hardware} are as slow or slower: seconds are wanted, up to {TOKEN_S_MAX} for a token; divide both by 1,000 where they are in milliseconds"
                ),
            ));
        }
        let gap_s = self.gap_s().filter(|gap_s| *gap_s > GAP_S_MAX);
        if let (Some(gap_s), Some(last)) = (gap_s, self.requests.last()) {
            return Err(line(
                last.line,
                format!(
                    "arrival_s says that requests for {model} on {hardware} come {gap_s:.0} s apart in the mean: seconds since the first are wanted, {GAP_S_MAX} apart at most; divide it by 1,000 where it is in milliseconds"
                ),
            ));
        }
        Ok(())
    }
}

/// Reads a log, plain, gzip or zstd, that may hold several runs.
///
/// # Errors
/// It is no such table, a row says no lengths or that it ended before it began, or times are in another unit.
pub fn request_runs(bytes: &[u8]) -> Result<Vec<RequestRun>, RowsError> {
    let needed = [
        "hardware",
        "model",
        "arrival_s",
        "input_tokens",
        "output_tokens",
    ];
    let mut runs: Vec<RequestRun> = Vec::new();
    // When the latest of each run came that was read so far.
    let mut latest_s: Vec<f64> = Vec::new();
    table(bytes, &needed, |number, cells| {
        let request = request(number, cells).map_err(|problem| line(number, problem))?;
        let tensor = tensor(cells).map_err(|problem| line(number, problem))?;
        let (hardware, model) = (cells.text("hardware"), cells.text("model"));
        let same = |run: &RequestRun| {
            run.hardware == hardware && run.model == model && run.tensor == tensor
        };
        let at = runs.iter().position(same).unwrap_or(runs.len());
        if at == runs.len() {
            if at == RUNS_MAX {
                return Err(line(number, format!("more than {RUNS_MAX} runs")));
            }
            runs.push(RequestRun {
                hardware: hardware.to_owned(),
                model: model.to_owned(),
                tensor,
                requests: Vec::new(),
                unordered: None,
            });
            latest_s.push(request.arrival_s);
        }
        let (run, latest_s) = (&mut runs[at], &mut latest_s[at]);
        if request.arrival_s < *latest_s {
            Unordered::note(&mut run.unordered, usize::try_from(number).unwrap_or(0));
        }
        *latest_s = latest_s.max(request.arrival_s);
        run.requests.push(request);
        Ok(())
    })?;
    for run in &mut runs {
        run.requests
            .sort_by(|a, b| a.arrival_s.total_cmp(&b.arrival_s));
        run.check_units()?;
    }
    Ok(runs)
}

/// Accelerators that share the layers, where the log says it.
fn tensor(cells: &Cells<'_>) -> Result<Option<u32>, String> {
    for name in ["tp", "tp_size"] {
        let Some(tensor) = cells.at_least_one(name, f64::from(TENSOR_MAX))? else {
            continue;
        };
        if tensor.fract() != 0.0 {
            return Err(format!(
                "{name} is \"{tensor}\": a whole number up to {TENSOR_MAX} is wanted, or nothing"
            ));
        }
        return Ok(Some(tensor as u32));
    }
    Ok(None)
}

fn request(line: u64, cells: &Cells<'_>) -> Result<LoggedRequest, String> {
    let tokens = |name| cells.length(name).map(|value| value as u64);
    let arrival = cells.text("arrival_s");
    let arrival_s: f64 = arrival.parse().unwrap_or(f64::NAN);
    if !(0.0..1e9).contains(&arrival_s) {
        return Err(format!(
            "arrival_s is \"{arrival}\": seconds since the first are wanted"
        ));
    }
    let blocks: Result<Vec<u64>, _> = cells
        .text("prefix_block_ids_16")
        .split_whitespace()
        .take(BLOCKS_MAX + 1)
        .map(str::parse)
        .collect();
    let blocks =
        blocks.map_err(|_| "prefix_block_ids_16 holds something else than numbers".to_owned())?;
    if blocks.len() > BLOCKS_MAX {
        return Err(format!(
            "prefix_block_ids_16 holds more than {BLOCKS_MAX} blocks"
        ));
    }
    let (ttft_s, e2e_s) = (cells.time("ttft_s")?, cells.time("e2e_s")?);
    if let (Some(ttft_s), Some(e2e_s)) = (ttft_s, e2e_s)
        && e2e_s + CLOCK_S < ttft_s
    {
        return Err(format!(
            "e2e_s is {e2e_s}, ttft_s {ttft_s}: the last token cannot come before the first; both are in seconds, from when the engine takes the request"
        ));
    }
    Ok(LoggedRequest {
        request: cells.text("request").to_owned(),
        arrival_s,
        input_tokens: tokens("input_tokens")?,
        output_tokens: tokens("output_tokens")?,
        blocks: blocks.into(),
        ttft_s,
        e2e_s,
        line,
    })
}
