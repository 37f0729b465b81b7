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
    pub(super) fn is_measured(&self) -> bool {
        self.ttft_s.is_some() && self.e2e_s.is_some()
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

/// Reads a log, plain, gzip or zstd, that may hold several runs.
///
/// # Errors
/// It is no such table, or a row says no lengths.
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
    }
    Ok(runs)
}

/// Accelerators that share the layers, where the log says it.
fn tensor(cells: &Cells<'_>) -> Result<Option<u32>, String> {
    for name in ["tp", "tp_size"] {
        let Some(tensor) = cells.up_to(name, f64::from(TENSOR_MAX))? else {
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
    Ok(LoggedRequest {
        request: cells.text("request").to_owned(),
        arrival_s,
        input_tokens: tokens("input_tokens")?,
        output_tokens: tokens("output_tokens")?,
        blocks: blocks.into(),
        ttft_s: cells.time("ttft_s")?,
        e2e_s: cells.time("e2e_s")?,
        line,
    })
}
