//! The forms of requests: a row of a table, or a line of JSON.

use super::TraceError;
use super::error::wrong;
use super::lines::Header;
use serde_json::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// Tokens of one prompt or answer.
const TOKENS_MAX: u64 = 10_000_000;
/// Blocks of one prompt.
const ROW_BLOCKS_MAX: usize = 1 << 20;

const DATE: &str = "TIMESTAMP";
const TIMES: [&str; 3] = ["arrival_ms", "timestamp", DATE];
const INPUTS: [&str; 3] = ["input_tokens", "input_length", "ContextTokens"];
const OUTPUTS: [&str; 3] = ["output_tokens", "output_length", "GeneratedTokens"];
const BLOCKS: &str = "prefix_block_ids_512";
/// What only a file of rates has.
const RATE: &str = "req_per_s";

pub(super) const A_REQUEST: &str = "a request in JSON, one object a line";
const MILLISECONDS: &str = "a number of milliseconds at or above zero";

/// Time in milliseconds, prompt and answer in tokens, blocks of the prompt.
pub(super) type Row = (f64, u64, u64, Arc<[u64]>);

/// Where a table has what.
pub(super) struct Columns {
    header: Header,
    time: usize,
    input: usize,
    output: usize,
    blocks: Option<usize>,
    /// The time is a date.
    pub dated: bool,
}

impl Columns {
    pub fn of(header: Header) -> Result<Self, TraceError> {
        let (time, name) = match header.find(&TIMES) {
            Err(TraceError::Column(..)) if header.at(RATE)?.is_some() => {
                return Err(TraceError::Rates);
            }
            found => found?,
        };
        Ok(Self {
            time,
            dated: name == DATE,
            input: header.find(&INPUTS)?.0,
            output: header.find(&OUTPUTS)?.0,
            blocks: header.at(BLOCKS)?,
            header,
        })
    }

    pub fn row(&self, line: usize, text: &str) -> Result<Row, TraceError> {
        let cells = self.header.row(line, text)?;
        let cell = |at: usize| cells.get(at).map_or("", Cow::as_ref);
        let time = cell(self.time);
        let at_ms = if self.dated {
            date_ms(time).ok_or_else(|| wrong(line, time, "a date and a time since 1970"))
        } else {
            number(time).ok_or_else(|| wrong(line, time, MILLISECONDS))
        };
        let ids = match self.blocks {
            Some(at) => block_ids(line, cell(at))?,
            None => Vec::new(),
        };
        Ok((
            at_ms?,
            tokens(line, cell(self.input))?,
            tokens(line, cell(self.output))?,
            ids.into(),
        ))
    }
}

/// Ids and ranges `a-b` of them, set apart by spaces; equal ids are equal blocks.
fn block_ids(line: usize, text: &str) -> Result<Vec<u64>, TraceError> {
    let mut ids = Vec::new();
    for part in text.split_whitespace() {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
            return Err(wrong(line, part, "a block's id, or a range of them"));
        };
        let held = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        let most = u64::try_from(ROW_BLOCKS_MAX).unwrap_or(u64::MAX);
        if last < first || (last - first).saturating_add(held) >= most {
            return Err(wrong(
                line,
                part,
                "a range of ids that go up, of 1,048,576 in a row at most",
            ));
        }
        ids.extend(first..=last);
    }
    Ok(ids)
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

pub(super) fn json_row(line: usize, text: &str) -> Result<Row, TraceError> {
    let value: Value = serde_json::from_str(text).map_err(|_| wrong(line, text, A_REQUEST))?;
    let find = |known: [&'static str; 3]| {
        let found = known.iter().find_map(|name| value.get(name));
        let shown = found.map_or_else(|| "nothing".to_owned(), ToString::to_string);
        (found.and_then(Value::as_f64), shown)
    };
    let (time, shown) = find(TIMES);
    let at_ms = time
        .filter(|ms| *ms >= 0.0)
        .ok_or_else(|| wrong(line, &shown, MILLISECONDS))?;
    let count = |(_, shown): (Option<f64>, String)| tokens(line, &shown);
    let (input, output) = (count(find(INPUTS))?, count(find(OUTPUTS))?);
    let ids = match value.get("hash_ids").or(value.get(BLOCKS)) {
        Some(Value::Array(ids)) if ids.len() <= ROW_BLOCKS_MAX => {
            ids.iter().map(Value::as_u64).collect()
        }
        Some(Value::String(ids)) => Some(block_ids(line, ids)?),
        None => Some(Vec::new()),
        Some(_) => None,
    };
    let ids = ids.ok_or_else(|| wrong(line, "hash_ids", "a list of up to 1,048,576 block ids"))?;
    Ok((at_ms, input, output, ids.into()))
}
