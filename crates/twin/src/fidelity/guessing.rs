//! Engines that guess tokens ahead: what a row says of it, and public runs of which their own configurations say it.

use super::rows::EngineRow;
use super::shipped_rows;
use crate::engine::Speculation;
use serde::Deserialize;
use std::sync::LazyLock;

const SHIPPED: &str = include_str!("../../data/guessing.csv");

static RUNS: LazyLock<Vec<Run>> = LazyLock::new(|| shipped_rows(SHIPPED));

/// Part of the guesses that hold where those before them do. DeepSeek's report on V3 (2024) says 0.85 to 0.9 of a first guess; later
/// ones hold less often, and runs with one and with three guesses both agree with those without any at this.
const ACCEPTANCE: f64 = 0.7;
/// Time of one guess beside an iteration: one layer of some sixty, the words' matrix, and what the host takes to begin it.
const DRAFT_PART: f64 = 0.05;

/// Runs of one engine's version whose rows do not say that it guesses.
#[derive(Debug, Deserialize)]
struct Run {
    backend: String,
    version: String,
    model: String,
    /// The first day of it, as rows have it; none: all of them.
    measured_from: Option<String>,
    draft_tokens: u32,
    /// Where attention has ranks of its own.
    draft_tokens_ranks: u32,
    #[expect(dead_code, reason = "for who reads the table")]
    source: String,
}

/// How the engine of a row guesses ahead; `None`: it does not, or nothing says so. `model` is the catalogue's name.
pub(super) fn guessing(row: &EngineRow, model: &str, ranks: bool) -> Option<Speculation> {
    let draft_tokens = row.draft_tokens.map_or_else(
        || {
            let run = RUNS.iter().find(|run| {
                run.backend == row.backend
                    && run.version == row.version
                    && run.model == model
                    && (run.measured_from.as_deref())
                        .is_none_or(|from| row.measured.as_str() >= from)
            });
            run.map_or(0, |run| {
                if ranks {
                    run.draft_tokens_ranks
                } else {
                    run.draft_tokens
                }
            })
        },
        |said| said as u32,
    );
    (draft_tokens > 0).then_some(Speculation {
        draft_tokens,
        acceptance: ACCEPTANCE,
        draft_part: DRAFT_PART,
    })
}
