//! Traces as CSV with a header: `arrival_ms,input_tokens,output_tokens`, and for prefixes `prefix_block_ids_512` (ids and ranges
//! `a-b`, separated by spaces; equal ids are equal blocks).

use super::table::{Table, number, unpacked, wrong};
use std::sync::Arc;

/// The conversation trace that Azure published in 2023 (CC-BY 4.0; see `data/README.md`).
const AZURE_CONVERSATION: &[u8] = include_bytes!("../../data/azure-2023-conv.csv.gz");
/// Tokens of one prompt or answer.
pub(super) const TOKENS_MAX: u64 = 10_000_000;
/// A trace of a year and more is no trace.
pub(super) const DAYS_MAX: u64 = 400;
/// Blocks of one row.
const ROW_BLOCKS_MAX: u64 = 1 << 20;

/// One request of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRow {
    /// Since the trace's beginning, in milliseconds.
    pub arrival_ms: u64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Ids of the prompt's blocks of 512 tokens; empty where the trace has none.
    pub blocks: Arc<[u64]>,
}

/// Why a trace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The bytes cannot be unpacked, or are no text.
    #[error("the trace cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// A column is missing.
    #[error("the trace has no column '{0}'; it has: {1}")]
    Column(&'static str, String),
    /// A value is not what its column holds.
    #[error("line {line}: '{value}' is not {expected}")]
    Value {
        /// From 1.
        line: usize,
        /// What stands there, at most 40 characters.
        value: String,
        /// What should.
        expected: &'static str,
    },
    /// A request stands after a later one.
    #[error("line {0}: it comes before the line above; sort the trace by time")]
    Order(usize),
    /// There is a header and nothing else.
    #[error("the trace has no rows")]
    Empty,
}

/// The built-in conversation trace.
///
/// # Errors
/// None: it is a part of the program, and a test reads it.
pub fn azure_conversation() -> Result<Vec<TraceRow>, TraceError> {
    parse(AZURE_CONVERSATION)
}

/// Reads a trace.
///
/// # Errors
/// What is wrong with it, and where.
pub fn parse(bytes: &[u8]) -> Result<Vec<TraceRow>, TraceError> {
    let text = unpacked(bytes)?;
    let table = Table::new(&text)?;
    let arrival = table.column("arrival_ms")?;
    let (input, output) = (
        table.column("input_tokens")?,
        table.column("output_tokens")?,
    );
    let blocks = table.column("prefix_block_ids_512").ok();
    let mut rows: Vec<TraceRow> = Vec::new();
    for row in table.rows() {
        let ids = blocks.map_or(Ok(Vec::new()), |at| block_ids(row.line, row.cell(at)))?;
        let tokens = |at| row.up_to(at, TOKENS_MAX, "a number of tokens up to 10,000,000");
        let (most, within) = (
            DAYS_MAX * 86_400_000,
            "a time within 400 days of zero, in milliseconds",
        );
        let arrival_ms = row.up_to(arrival, most, within)?;
        if rows.last().is_some_and(|last| arrival_ms < last.arrival_ms) {
            return Err(TraceError::Order(row.line));
        }
        rows.push(TraceRow {
            arrival_ms,
            input_tokens: tokens(input)?.max(1),
            output_tokens: tokens(output)?.max(1),
            blocks: ids.into(),
        });
    }
    if rows.is_empty() {
        return Err(TraceError::Empty);
    }
    Ok(rows)
}

pub(super) fn block_ids(line: usize, text: &str) -> Result<Vec<u64>, TraceError> {
    let mut ids = Vec::new();
    for part in text.split_whitespace() {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(line, first)?, number(line, last)?);
        let held = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        if last < first || (last - first).saturating_add(held) >= ROW_BLOCKS_MAX {
            return Err(wrong(line, part, "a range of block ids"));
        }
        ids.extend(first..=last);
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let said = match parse(text.as_bytes()) {
            Ok(rows) => format!("{} rows", rows.len()),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expected, "{text}");
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        check("", "the trace has no rows");
        check(
            "arrival_ms,input_tokens,output_tokens\n",
            "the trace has no rows",
        );
        check(
            "a,b\n1,2\n",
            "the trace has no column 'arrival_ms'; it has: a,b",
        );
        check(
            "arrival_ms,input_tokens,output_tokens\n1,2,3\n1,x,3\n",
            "line 3: 'x' is not a number",
        );
        let head = "arrival_ms,input_tokens,output_tokens\n";
        check(&format!("\u{feff}{head}1,2,3\r\n2,2,3\r\n"), "2 rows");
        check(
            &format!("{head}5,2,3\n4,2,3\n"),
            &TraceError::Order(3).to_string(),
        );
        check(
            &format!("{head}1,1000000000000000000,3\n"),
            "line 2: '1000000000000000000' is not a number of tokens up to 10,000,000",
        );
        check(
            &format!("{head}1,2,3\n2,2,4000000000\n"),
            "line 3: '4000000000' is not a number of tokens up to 10,000,000",
        );
        check(
            &format!("{head}1764000000000,2,3\n"),
            "line 2: '1764000000000' is not a time within 400 days of zero, in milliseconds",
        );
        let blocks = "arrival_ms,input_tokens,output_tokens,prefix_block_ids_512\n";
        check(
            &format!("{blocks}1,2,3,9-4\n"),
            "line 2: '9-4' is not a range of block ids",
        );
        check(&format!("{blocks}1,2,3,0 4-9\n"), "1 rows");
        check(&format!("{blocks}1,2,3,0-1048575\n"), "1 rows");
        check(
            &format!("{blocks}1,2,3,0-1048574 7 8\n"),
            "line 2: '8' is not a range of block ids",
        );
    }

    #[test]
    fn the_built_in_trace_is_whole() {
        let rows = azure_conversation().unwrap();
        let input: u64 = rows.iter().map(|row| row.input_tokens).sum();
        let output: u64 = rows.iter().map(|row| row.output_tokens).sum();
        let count = u64::try_from(rows.len()).unwrap();
        assert_eq!((count, input / count, output / count), (19_366, 1_154, 211));
    }
}
