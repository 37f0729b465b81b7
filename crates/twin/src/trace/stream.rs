//! Requests of a trace one after another, from files that need not fit into memory: CSV or JSON lines, plain, gzip or zstd.
//!
//! | form | time | prompt | answer | blocks of 512 tokens |
//! |---|---|---|---|---|
//! | ours, CSV or JSON | `arrival_ms` | `input_tokens` | `output_tokens` | `prefix_block_ids_512` |
//! | Azure's, CSV | `TIMESTAMP`, a date and time | `ContextTokens` | `GeneratedTokens` | |
//! | a gateway's recording, JSON | `now` of requests | `prompt_tokens` | as the engine counted | as the gateway hashed |
//! | Mooncake's, JSON | `timestamp`, in milliseconds | `input_length` | `output_length` | `hash_ids` |

use super::TraceError;
use super::error::wrong;
use super::form::{A_REQUEST, Columns, Row, json_row};
use super::lines::{Header, Lines};
use super::recording::{Recording, is_step};
use super::summary::TraceSummary;
use std::io::Read;
use std::sync::Arc;

/// A trace of a year and more is no trace.
pub(super) const DAYS_MAX: u64 = 400;
const MS_MAX: f64 = DAYS_MAX as f64 * 86_400_000.0;
/// Requests, and blocks of all prompts, of a trace that is held in memory.
const HELD_MAX: (usize, usize) = (10_000_000, 100_000_000);

/// A request of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Since the first one of the trace, in microseconds.
    pub arrival_us: u64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Ids of the prompt's blocks of 512 tokens; empty where the trace has none.
    pub blocks: Arc<[u64]>,
}

/// A trace that is being read.
pub struct Requests {
    lines: Lines<'static>,
    form: Form,
    /// The first line of a trace of JSON lines, which is a row already.
    pending: Option<String>,
    /// Of a recording, the only model whose requests are told.
    model: Option<String>,
    first_ms: Option<f64>,
    last_ms: f64,
}

enum Form {
    Table(Columns),
    Json,
    Recording(Box<Recording>),
}

/// The conversation trace that Azure published in 2023 (CC-BY 4.0; see `data/README.md`).
pub(crate) const AZURE_CONVERSATION: &[u8] = include_bytes!("../../data/azure-2023-conv.csv.gz");

impl Requests {
    /// Begins to read.
    ///
    /// # Errors
    /// It cannot be unpacked, or its first line says nothing that is known here.
    pub fn new(reader: Box<dyn Read + Send>) -> Result<Self, TraceError> {
        let mut lines = Lines::new(reader)?;
        let Some(first) = lines.next_line()? else {
            return Err(TraceError::Empty);
        };
        let (form, pending) = if is_step(&first) {
            (Form::Recording(Box::default()), Some(first))
        } else if first.starts_with('{') {
            (Form::Json, Some(first))
        } else if first.starts_with('[') {
            return Err(wrong(lines.number(), &first, A_REQUEST));
        } else {
            (Form::Table(Columns::of(Header::new(&first))?), None)
        };
        Ok(Self {
            lines,
            form,
            pending,
            model: None,
            first_ms: None,
            last_ms: 0.0,
        })
    }

    /// The built-in conversation trace.
    ///
    /// # Errors
    /// None: it is a part of the program, and a test reads it.
    pub fn azure_conversation() -> Result<Self, TraceError> {
        Self::new(Box::new(AZURE_CONVERSATION))
    }

    /// Of a recording the requests for one model alone.
    ///
    /// # Errors
    /// A model is named, and the trace is no recording.
    pub fn of_model(mut self, model: Option<&str>) -> Result<Self, TraceError> {
        match (&mut self.form, model) {
            (_, None) => {}
            (Form::Recording(recording), Some(model)) => {
                **recording = Recording::of_model(Some(model.to_owned()));
                self.model = Some(model.to_owned());
            }
            (_, Some(_)) => return Err(TraceError::OneModel),
        }
        Ok(self)
    }

    /// The next request; `None` at the end.
    ///
    /// # Errors
    /// What is wrong with its line.
    pub fn next_request(&mut self) -> Result<Option<Request>, TraceError> {
        let Some((at_ms, input, output, blocks)) = self.next_row()? else {
            return Ok(None);
        };
        let first_ms = *self.first_ms.get_or_insert(at_ms);
        let since_ms = at_ms - first_ms;
        if since_ms < self.last_ms {
            return Err(TraceError::Order(self.lines.number()));
        }
        if since_ms > MS_MAX {
            let shown = format!("{since_ms} ms after the first");
            return Err(wrong(self.lines.number(), &shown, "a time within 400 days"));
        }
        self.last_ms = since_ms;
        Ok(Some(Request {
            arrival_us: (since_ms * 1000.0).round() as u64,
            input_tokens: input.max(1),
            output_tokens: output.max(1),
            blocks,
        }))
    }

    fn next_row(&mut self) -> Result<Option<Row>, TraceError> {
        loop {
            let text = match self.pending.take() {
                Some(text) => Some(text),
                None => self.lines.next_line()?,
            };
            let line = self.lines.number();
            match (&mut self.form, text) {
                (Form::Recording(recording), text) => {
                    // Several may be known by one line: those first.
                    if let Some(recorded) = recording.take(text.is_none()) {
                        self.pending = text;
                        return Ok(Some((
                            recorded.at_ms,
                            recorded.input_tokens,
                            recorded.output_tokens,
                            recorded.blocks.into(),
                        )));
                    }
                    match text {
                        Some(text) => recording.read(line, &text)?,
                        None => return Ok(None),
                    }
                }
                (_, None) => return Ok(None),
                (Form::Table(columns), Some(text)) => return columns.row(line, &text).map(Some),
                (Form::Json, Some(text)) => return json_row(line, &text).map(Some),
            }
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn summary(self) -> Result<TraceSummary, TraceError> {
        self.walk(|_| Ok(()))
    }

    /// Reads all of it and holds it.
    ///
    /// # Errors
    /// What is wrong with it, and where; or it is too long to be held.
    pub fn all(self) -> Result<(Vec<Request>, TraceSummary), TraceError> {
        self.held(HELD_MAX)
    }

    fn held(
        self,
        (requests, blocks): (usize, usize),
    ) -> Result<(Vec<Request>, TraceSummary), TraceError> {
        let mut rows = Vec::new();
        let mut left = blocks;
        let summary = self.walk(|request| {
            let rest = left.checked_sub(request.blocks.len());
            left = rest
                .filter(|_| rows.len() < requests)
                .ok_or(TraceError::Size { requests, blocks })?;
            rows.push(request);
            Ok(())
        })?;
        Ok((rows, summary))
    }

    fn walk(
        mut self,
        mut each: impl FnMut(Request) -> Result<(), TraceError>,
    ) -> Result<TraceSummary, TraceError> {
        let counts_ms = match &self.form {
            Form::Table(columns) => !columns.dated,
            Form::Json => true,
            Form::Recording(_) => false,
        };
        let mut summary = TraceSummary {
            counts_ms,
            ..TraceSummary::default()
        };
        while let Some(request) = self.next_request()? {
            let gap = request.arrival_us - summary.span_us;
            if gap > summary.hole_us.0 {
                summary.hole_us = (gap, summary.span_us);
            }
            summary.span_us = request.arrival_us;
            summary.requests += 1;
            summary.input_tokens += request.input_tokens;
            summary.output_tokens += request.output_tokens;
            let tokens = request.input_tokens + request.output_tokens;
            summary.tokens_max = summary.tokens_max.max(tokens);
            each(request)?;
        }
        match (summary.requests, self.model) {
            (0, Some(model)) => Err(TraceError::Model(model)),
            (0, None) => Err(TraceError::Empty),
            _ => Ok(summary),
        }
    }
}

#[cfg(test)]
mod tests;
