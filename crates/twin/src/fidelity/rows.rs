//! Rows of measured engines, as the twin's data folder has them (`engine_e2e`).

use crate::trace::{RecordError, Records, unpacked_text};
use std::collections::HashMap;
use thiserror::Error;

/// The most tokens that an engine guesses ahead.
const DRAFT_TOKENS_MAX: u8 = 64;
/// Accelerators, ranks, engines or requests at once of one row.
const SIZE_MAX: f64 = 1_000_000.0;
/// The longest time of a request, in seconds or in milliseconds.
const TIME_MAX: f64 = 1e9;
/// No engine makes a token of an answer in less, or takes more, in milliseconds: who writes that has another unit.
const TOKEN_MS: std::ops::RangeInclusive<f64> = 0.02..=10_000.0;
/// Rows of one file.
const ROWS_MAX: usize = 1_000_000;

/// Why a file holds no rows.
#[derive(Debug, Error)]
pub enum RowsError {
    /// It cannot be unpacked, or is no text.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// A line is not one of the table.
    #[error("line {line}: {problem}")]
    Line {
        /// From 1, the header included.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing after the header.
    #[error("no rows: a header and at least one row are wanted")]
    Empty,
    /// Too much.
    #[error("more than {ROWS_MAX} rows: cut the file")]
    Size,
}

/// One measured point: a closed loop at a concurrency. Numbers that are not there are `None`.
#[derive(Clone, Debug, Default)]
pub struct EngineRow {
    /// Its name.
    pub id: String,
    /// The chip, as in `h100_sxm`.
    pub system: String,
    /// The engine, as in `vllm`.
    pub backend: String,
    /// Its version.
    pub version: String,
    /// The day that it was measured on, as in `2026-01-14`; empty where it is not known.
    pub measured: String,
    /// The model, as in `Qwen/Qwen3-32B`.
    pub model_path: String,
    /// As in `fp8`; empty where it is not known.
    pub precision: String,
    /// Prefill and decode have engines of their own.
    pub split: bool,
    /// Prompt tokens.
    pub input_tokens: f64,
    /// Output tokens.
    pub output_tokens: f64,
    /// Tokens that the engine guesses ahead in each iteration; 0: none.
    pub draft_tokens: Option<f64>,
    /// How the engine is divided.
    pub own: Side,
    /// Of engines for prompts: how many, and how each is divided.
    pub prefill: Side,
    /// Likewise for decoding.
    pub decode: Side,
    /// Measured time to the first token, in milliseconds.
    pub ttft_ms: Option<f64>,
    /// Measured time of each further token, in milliseconds.
    pub tpot_ms: Option<f64>,
}

impl EngineRow {
    /// It says what was measured.
    pub fn is_measured(&self) -> bool {
        self.ttft_ms.is_some() && self.tpot_ms.is_some()
    }
}

/// How an engine is divided.
#[derive(Clone, Copy, Debug, Default)]
pub struct Side {
    /// Engines.
    pub workers: Option<f64>,
    /// Requests at once on each attention rank.
    pub batch: Option<f64>,
    /// Tensor parallel.
    pub tensor: Option<f64>,
    /// Attention ranks.
    pub data: Option<f64>,
    /// Tensor parallel of experts.
    pub expert_tensor: Option<f64>,
    /// Ranks with whole experts.
    pub expert: Option<f64>,
}

/// Reads a table, plain, gzip or zstd. Columns that say what was measured may be empty or missing.
///
/// # Errors
/// It is no such table, or says no lengths in a row.
pub fn engine_rows(bytes: &[u8]) -> Result<Vec<EngineRow>, RowsError> {
    let mut rows = Vec::new();
    let needed = ["system", "backend", "model_path", "isl", "osl"];
    table(bytes, &needed, |number, cells| {
        rows.push(row(cells).map_err(|problem| line(number, problem))?);
        Ok(())
    })?;
    Ok(rows)
}

/// Hands each row of a table on, with the number of its line.
pub(super) fn table(
    bytes: &[u8],
    needed: &[&str],
    mut each: impl FnMut(u64, &Cells<'_>) -> Result<(), RowsError>,
) -> Result<(), RowsError> {
    let text = unpacked_text(bytes)?;
    let mut reader = Records::new(&text, None);
    let header = reader.header()?;
    let columns: HashMap<String, usize> = header.iter().map(str::to_owned).zip(0..).collect();
    if let Some(missing) = needed.iter().find(|name| !columns.contains_key(**name)) {
        return Err(line(1, format!("no column {missing}")));
    }
    let (mut rows, mut record) = (0, csv::StringRecord::new());
    while let Some(number) = reader.next(&mut record)? {
        rows += 1;
        if rows > ROWS_MAX {
            return Err(RowsError::Size);
        }
        let cells = Cells {
            columns: &columns,
            record: &record,
        };
        each(number, &cells)?;
    }
    if rows == 0 {
        return Err(RowsError::Empty);
    }
    Ok(())
}

impl From<RecordError> for RowsError {
    fn from(error: RecordError) -> Self {
        line(error.line, error.problem)
    }
}

pub(super) fn line(line: u64, problem: impl ToString) -> RowsError {
    RowsError::Line {
        line,
        problem: problem.to_string(),
    }
}

pub(super) struct Cells<'a> {
    columns: &'a HashMap<String, usize>,
    record: &'a csv::StringRecord,
}

impl Cells<'_> {
    pub(super) fn text(&self, name: &str) -> &str {
        let at = self.columns.get(name).copied();
        at.and_then(|at| self.record.get(at)).unwrap_or_default()
    }

    fn owned(&self, name: &str) -> String {
        self.text(name).to_owned()
    }

    /// A time that was measured, in whatever unit its column has.
    pub(super) fn time(&self, name: &str) -> Result<Option<f64>, String> {
        self.up_to(name, TIME_MAX)
    }

    pub(super) fn length(&self, name: &str) -> Result<f64, String> {
        let value = self.text(name).parse().ok();
        let value = value.filter(|value| (1.0..1e8).contains(value));
        value.ok_or_else(|| {
            format!(
                "{name} is \"{}\": a number of tokens is wanted",
                self.text(name)
            )
        })
    }

    /// Tokens guessed ahead, as a row says it: 0 is none, too; a row that says nothing leaves it open.
    fn drafts(&self) -> Result<Option<f64>, String> {
        let text = self.text("draft_tokens");
        if text.is_empty() {
            return Ok(None);
        }
        let tokens = text
            .parse()
            .ok()
            .filter(|tokens: &u8| *tokens <= DRAFT_TOKENS_MAX);
        let wrong = || {
            format!(
                "draft_tokens is \"{text}\": a whole number from 0 to {DRAFT_TOKENS_MAX} is wanted, or nothing"
            )
        };
        tokens
            .map(|tokens| Some(f64::from(tokens)))
            .ok_or_else(wrong)
    }

    /// How many of something, where a row says it.
    fn size(&self, name: &str) -> Result<Option<f64>, String> {
        self.up_to(name, SIZE_MAX)
    }

    /// The same, where 0 is a mistake and no way to say nothing.
    pub(super) fn at_least_one(&self, name: &str, most: f64) -> Result<Option<f64>, String> {
        let text = self.text(name);
        match text.parse() {
            Ok(0.0) => Err(format!(
                "{name} is \"{text}\": a number from 1 to {most} is wanted; leave the cell empty where it is not known"
            )),
            _ => self.up_to(name, most),
        }
    }

    /// The time of a token, in milliseconds.
    fn token_ms(&self, name: &str) -> Result<Option<f64>, String> {
        let value = self.time(name)?;
        match value.filter(|ms| !TOKEN_MS.contains(ms)) {
            None => Ok(value),
            Some(ms) => {
                let how = match ms < *TOKEN_MS.start() {
                    true => "multiply by 1,000 where it is in seconds",
                    false => "divide by 1,000 where it is in microseconds",
                };
                Err(format!(
                    "{name} is \"{}\": milliseconds for each token are wanted, from {} to {}; {how}",
                    self.text(name),
                    TOKEN_MS.start(),
                    TOKEN_MS.end()
                ))
            }
        }
    }

    /// A number, where a row says it: 0, nothing and `NaN` say nothing.
    pub(super) fn up_to(&self, name: &str, most: f64) -> Result<Option<f64>, String> {
        let text = self.text(name);
        match text.parse::<f64>() {
            Ok(value) if value.is_nan() => Ok(None),
            Ok(value) if (0.0..=most).contains(&value) => Ok((value > 0.0).then_some(value)),
            Err(_) if text.is_empty() => Ok(None),
            _ => Err(format!(
                "{name} is \"{text}\": a number from 0 to {most} is wanted, or nothing"
            )),
        }
    }

    fn side(&self, prefix: &str) -> Result<Side, String> {
        let size = |name: &str| self.size(&format!("{prefix}{name}"));
        let whole = |name: &str| self.at_least_one(&format!("{prefix}{name}"), SIZE_MAX);
        Ok(Side {
            workers: size("num_workers")?,
            batch: whole("batch_size")?,
            tensor: whole("tp_size")?,
            data: size("attention_dp_size")?,
            expert_tensor: size("moe_tp_size")?,
            expert: size("moe_ep_size")?,
        })
    }

    fn split(&self) -> Result<bool, String> {
        match self.text("mode") {
            "agg" | "" => Ok(false),
            "disagg" => Ok(true),
            other => Err(format!(
                "mode is \"{other}\": agg or disagg is wanted, or nothing"
            )),
        }
    }
}

fn row(cells: &Cells<'_>) -> Result<EngineRow, String> {
    let quant = cells.text("gemm_quant_mode");
    let precision = match (cells.text("precision"), quant) {
        ("", "nvfp4") => "fp4",
        ("", "int4_wo") => "int4",
        ("", quant) if quant.starts_with("fp8") => "fp8",
        (precision, _) => precision,
    };
    Ok(EngineRow {
        id: cells.owned("id"),
        system: cells.owned("system"),
        backend: cells.owned("backend"),
        version: cells.owned("backend_version"),
        measured: cells.owned("measured"),
        model_path: cells.owned("model_path"),
        precision: precision.to_owned(),
        split: cells.split()?,
        input_tokens: cells.length("isl")?,
        output_tokens: cells.length("osl")?,
        draft_tokens: cells.drafts()?,
        own: cells.side("")?,
        prefill: cells.side("prefill_")?,
        decode: cells.side("decode_")?,
        ttft_ms: cells.time("ttft_ms")?,
        tpot_ms: cells.token_ms("tpot_ms")?,
    })
}

/// The number after a mark in an id, as 64 after `_c` in `x_c64_tp2`.
pub(super) fn number_in(id: &str, mark: &str) -> Option<f64> {
    id.match_indices(mark).find_map(|(at, _)| {
        let rest = &id[at + mark.len()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        rest.get(..digits)?.parse().ok()
    })
}
