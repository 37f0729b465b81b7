//! Logs of requests, as the twin's data folder has them (`vllm_requests`).

use crate::fidelity::RowsError;
use crate::fidelity::rows::{Cells, line, table};
use std::sync::Arc;

/// Tokens of a block of a prompt.
pub(super) const BLOCK_TOKENS: u64 = 16;
/// Blocks of one prompt.
const BLOCKS_MAX: usize = 1_000_000;

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
    table(bytes, &needed, |number, cells| {
        let request = request(cells).map_err(|problem| line(number, problem))?;
        let (hardware, model) = (cells.text("hardware"), cells.text("model"));
        let tensor = cells
            .number("tp")
            .or_else(|| cells.number("tp_size"))
            .map(|tensor| tensor.clamp(1.0, 1_024.0) as u32);
        let same = |run: &&mut RequestRun| {
            run.hardware == hardware && run.model == model && run.tensor == tensor
        };
        match runs.iter_mut().find(same) {
            Some(run) => run.requests.push(request),
            None => runs.push(RequestRun {
                hardware: hardware.to_owned(),
                model: model.to_owned(),
                tensor,
                requests: vec![request],
            }),
        }
        Ok(())
    })?;
    for run in &mut runs {
        run.requests
            .sort_by(|a, b| a.arrival_s.total_cmp(&b.arrival_s));
    }
    Ok(runs)
}

fn request(cells: &Cells<'_>) -> Result<LoggedRequest, String> {
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
        .take(BLOCKS_MAX)
        .map(str::parse)
        .collect();
    Ok(LoggedRequest {
        request: cells.text("request").to_owned(),
        arrival_s,
        input_tokens: tokens("input_tokens")?,
        output_tokens: tokens("output_tokens")?,
        blocks: blocks
            .map_err(|_| "prefix_block_ids_16 holds something else than numbers".to_owned())?
            .into(),
        ttft_s: cells.number("ttft_s"),
        e2e_s: cells.number("e2e_s"),
    })
}
