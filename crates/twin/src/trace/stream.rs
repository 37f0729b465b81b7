//! Requests of a trace one after another, from files that need not fit into memory: CSV or JSON lines, plain, gzip or zstd.
//!
//! | form | time | prompt | answer | blocks of 512 tokens |
//! |---|---|---|---|---|
//! | ours, CSV or JSON | `arrival_ms` | `input_tokens` | `output_tokens` | `prefix_block_ids_512` |
//! | Azure's, CSV | `TIMESTAMP`, a date and time | `ContextTokens` | `GeneratedTokens` | |
//! | a gateway's recording, JSON | `now` of requests | `prompt_tokens` | as the engine counted | as the gateway hashed |
//! | Mooncake's, JSON | `timestamp`, in milliseconds | `input_length` | `output_length` | `hash_ids` |

use super::TraceError;
use super::read::{DAYS_MAX, TOKENS_MAX, block_ids};
use super::recording::{Recording, is_step};
use super::table::wrong;
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

/// Bytes of one line.
const LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;
const MS_MAX: f64 = DAYS_MAX as f64 * 86_400_000.0;

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
    lines: Box<dyn BufRead + Send>,
    form: Form,
    line: usize,
    /// The first line of a trace of JSON lines, which is a row already.
    pending: Option<String>,
    first_ms: Option<f64>,
    last_ms: f64,
}

/// What a look through a whole trace shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Requests.
    pub requests: u64,
    /// From the first to the last, in microseconds.
    pub span_us: u64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Prompt and answer of the longest request, in tokens.
    pub tokens_max: u64,
    /// The longest time without a request, and when it began, in microseconds.
    pub hole_us: (u64, u64),
}

enum Form {
    /// Columns of time, prompt, answer and blocks; whether the time is a date.
    Table([usize; 3], Option<usize>, bool),
    Json,
    Recording(Box<Recording>),
}

const TIMES: [&str; 3] = ["arrival_ms", "timestamp", "TIMESTAMP"];
const INPUTS: [&str; 3] = ["input_tokens", "input_length", "ContextTokens"];
const OUTPUTS: [&str; 3] = ["output_tokens", "output_length", "GeneratedTokens"];

impl Requests {
    /// Begins to read.
    ///
    /// # Errors
    /// It cannot be unpacked, or its first line says nothing that is known here.
    pub fn new(reader: Box<dyn Read + Send>) -> Result<Self, TraceError> {
        let mut lines = unpacked(reader)?;
        let mut line = 0;
        let Some(first) = next_line(&mut lines, &mut line)? else {
            return Err(TraceError::Empty);
        };
        let (form, pending) = if is_step(&first) {
            (Form::Recording(Box::default()), Some(first))
        } else if first.starts_with('{') {
            (Form::Json, Some(first))
        } else {
            (table_form(&first)?, None)
        };
        Ok(Self {
            lines,
            form,
            line,
            pending,
            first_ms: None,
            last_ms: 0.0,
        })
    }

    /// Of a recording the requests for one model alone.
    #[must_use]
    pub fn of_model(mut self, model: Option<&str>) -> Self {
        if let Form::Recording(recording) = &mut self.form {
            **recording = Recording::of_model(model.map(str::to_owned));
        }
        self
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
            return Err(TraceError::Order(self.line));
        }
        if since_ms > MS_MAX {
            let shown = format!("{since_ms} ms after the first");
            return Err(wrong(self.line, &shown, "a time within 400 days"));
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
                None => next_line(&mut self.lines, &mut self.line)?,
            };
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
                        Some(text) => recording.read(self.line, &text)?,
                        None => return Ok(None),
                    }
                }
                (_, None) => return Ok(None),
                (Form::Table(columns, blocks, dated), Some(text)) => {
                    return table_row(&text, self.line, (columns, *blocks, *dated)).map(Some);
                }
                (Form::Json, Some(text)) => return json_row(&text, self.line).map(Some),
            }
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn summary(mut self) -> Result<TraceSummary, TraceError> {
        let mut summary = TraceSummary::default();
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
        }
        match summary.requests {
            0 => Err(TraceError::Empty),
            _ => Ok(summary),
        }
    }
}

/// Whatever it is packed with: gzip, zstd or nothing.
pub(super) fn unpacked<'r>(
    reader: impl Read + Send + 'r,
) -> io::Result<Box<dyn BufRead + Send + 'r>> {
    let mut reader = BufReader::new(reader);
    let head = reader.fill_buf()?;
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::new(MultiGzDecoder::new(reader)))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = ruzstd::decoding::StreamingDecoder::new(reader).map_err(io::Error::other)?;
        Box::new(BufReader::new(decoder))
    } else {
        Box::new(reader)
    })
}

/// The next line that says anything, without its end.
pub(super) fn next_line(
    lines: &mut dyn BufRead,
    number: &mut usize,
) -> Result<Option<String>, TraceError> {
    loop {
        let mut bytes = Vec::new();
        let read = lines.take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        *number += 1;
        if u64::try_from(read).is_ok_and(|read| read == LINE_BYTES_MAX) {
            return Err(wrong(*number, "a line of 8 MiB", "a request"));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let seen = String::from_utf8_lossy(error.as_bytes());
            wrong(
                *number,
                &seen,
                "text in UTF-8, plain or packed by gzip or zstd",
            )
        })?;
        let text = text.trim_start_matches('\u{feff}').trim();
        if !text.is_empty() {
            return Ok(Some(text.to_owned()));
        }
    }
}

fn table_form(header: &str) -> Result<Form, TraceError> {
    let names: Vec<&str> = header.split(',').map(str::trim).collect();
    let find = |known: [&'static str; 3]| {
        let at = names.iter().position(|name| known.contains(name));
        at.ok_or_else(|| TraceError::Column(known[0], header.chars().take(200).collect()))
    };
    let columns = [find(TIMES)?, find(INPUTS)?, find(OUTPUTS)?];
    let dated = names.get(columns[0]) == Some(&TIMES[2]);
    let blocks = names
        .iter()
        .position(|name| *name == "prefix_block_ids_512");
    Ok(Form::Table(columns, blocks, dated))
}

type Row = (f64, u64, u64, Arc<[u64]>);

fn table_row(
    text: &str,
    line: usize,
    (columns, blocks, dated): (&[usize; 3], Option<usize>, bool),
) -> Result<Row, TraceError> {
    let cells: Vec<&str> = text.split(',').map(str::trim).collect();
    let cell = |at: usize| cells.get(at).copied().unwrap_or("");
    let [time, input, output] = columns.map(cell);
    let at_ms = if dated { date_ms(time) } else { number(time) };
    let at_ms = at_ms.ok_or_else(|| wrong(line, time, "a time at or after zero"))?;
    let ids = match blocks {
        Some(at) => block_ids(line, cell(at))?,
        None => Vec::new(),
    };
    Ok((
        at_ms,
        tokens(line, input)?,
        tokens(line, output)?,
        ids.into(),
    ))
}

fn number(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// A date and time with or without an offset, as milliseconds since 1970.
fn date_ms(text: &str) -> Option<f64> {
    let timestamp = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(timestamp.as_microsecond() as f64 / 1000.0).filter(|ms| *ms >= 0.0)
}

fn tokens(line: usize, text: &str) -> Result<u64, TraceError> {
    match number(text) {
        Some(number) if number <= TOKENS_MAX as f64 => Ok(number as u64),
        _ => Err(wrong(line, text, "a number of tokens up to 10,000,000")),
    }
}

fn json_row(text: &str, line: usize) -> Result<Row, TraceError> {
    let value: Value =
        serde_json::from_str(text).map_err(|_| wrong(line, text, "a request in JSON"))?;
    let find = |known: [&'static str; 3]| {
        let found = known.iter().find_map(|name| value.get(name));
        let shown = found.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        (found.and_then(Value::as_f64), shown)
    };
    let (time, shown) = find(TIMES);
    let at_ms = time
        .filter(|ms| *ms >= 0.0)
        .ok_or_else(|| wrong(line, &shown, "a time at or after zero"))?;
    let count = |(_, shown): (Option<f64>, String)| tokens(line, &shown);
    let (input, output) = (count(find(INPUTS))?, count(find(OUTPUTS))?);
    let ids = match value.get("hash_ids") {
        Some(Value::Array(ids)) => ids.iter().map(Value::as_u64).collect(),
        None => Some(Vec::new()),
        Some(_) => None,
    };
    let ids = ids.ok_or_else(|| wrong(line, "hash_ids", "a list of block ids"))?;
    Ok((at_ms, input, output, ids.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::{Cursor, Write};

    fn said(bytes: &[u8]) -> String {
        let reader = Box::new(Cursor::new(bytes.to_vec()));
        match Requests::new(reader).and_then(Requests::summary) {
            Ok(s) => format!(
                "{} requests, {} us, {} in, {} out, longest {}, hole {:?}",
                s.requests, s.span_us, s.input_tokens, s.output_tokens, s.tokens_max, s.hole_us
            ),
            Err(error) => error.to_string(),
        }
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(said(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn the_forms_of_others_are_read() {
        let expected = "2 requests, 1500000 us, 30 in, 7 out, longest 24, hole (1500000, 0)";
        check(
            "arrival_ms,input_tokens,output_tokens\n0,10,3\n1500,20,4\n",
            expected,
        );
        check(
            "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,10,3\r\n2023-11-16 18:15:48.1805900,20,4\r\n",
            expected,
        );
        check(
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,10,3\n2024-05-10 00:00:01.509930+00:00,20,4\n",
            expected,
        );
        check(
            "{\"timestamp\": 27000, \"input_length\": 10, \"output_length\": 3, \"hash_ids\": [0]}\n\
             {\"timestamp\": 28500, \"input_length\": 20, \"output_length\": 4, \"hash_ids\": [0, 1]}\n",
            expected,
        );
    }

    #[test]
    fn packed_traces_are_read() {
        let text = b"arrival_ms,input_tokens,output_tokens\n0,10,3\n1500,20,4\n";
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(text).unwrap();
        assert_eq!(said(&gzip.finish().unwrap()), said(text));
        let zstd = ruzstd::encoding::compress_to_vec(
            &text[..],
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        assert_eq!(said(&zstd), said(text));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let head = "arrival_ms,input_tokens,output_tokens\n";
        check("", "the trace has no rows");
        check(head, "the trace has no rows");
        check(
            "a,b\n1,2\n",
            "the trace has no column 'arrival_ms'; it has: a,b",
        );
        check(
            &format!("{head}5,1,1\n4,1,1\n"),
            &TraceError::Order(3).to_string(),
        );
        check(
            &format!("{head}-5,1,1\n"),
            "line 2: '-5' is not a time at or after zero",
        );
        check(
            &format!("{head}0,,1\n"),
            "line 2: '' is not a number of tokens up to 10,000,000",
        );
        check(
            &format!("{head}0,1,1\n0,1e12,1\n"),
            "line 3: '1e12' is not a number of tokens up to 10,000,000",
        );
        check(
            &format!("{head}0,1,1\n99999999999999,1,1\n"),
            "line 3: '99999999999999 ms after the first' is not a time within 400 days",
        );
        check(
            "{\"timestamp\": 1}\n",
            "line 1: 'nothing' is not a number of tokens up to 10,000,000",
        );
        check(
            "{\"timestamp\"",
            "line 1: '{\"timestamp\"' is not a request in JSON",
        );
    }
}
