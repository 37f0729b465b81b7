//! Text of a trace, and the cells of its rows by the names in its header.

use super::{TraceError, stream};
use std::io::Read;

/// Bytes of a trace once unpacked.
const TRACE_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// The text of a file, plain, gzip or zstd.
pub(crate) fn unpacked(bytes: &[u8]) -> std::io::Result<String> {
    let mut text = String::new();
    stream::unpacked(bytes)?
        .take(TRACE_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// More than any job, machine or task of a trace has of anything.
const NUMBER_MAX: u64 = 1 << 40;

/// Comma-separated values with a header.
pub(super) struct Table<'a> {
    header: &'a str,
    lines: Vec<(usize, &'a str)>,
}

/// One line of them.
pub(super) struct Row<'a> {
    /// From 1.
    pub(super) line: usize,
    cells: Vec<&'a str>,
}

impl<'a> Table<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self, TraceError> {
        // What some programs put before a text in UTF-8.
        let text = text.trim_start_matches('\u{feff}');
        let mut lines = (1..).zip(text.lines());
        let (_, header) = lines.next().ok_or(TraceError::Empty)?;
        let lines = lines.filter(|(_, text)| !text.trim().is_empty()).collect();
        Ok(Self { header, lines })
    }

    /// Where the column of that name is.
    pub(super) fn column(&self, name: &'static str) -> Result<usize, TraceError> {
        let at = self
            .header
            .split(',')
            .position(|other| other.trim() == name);
        at.ok_or_else(|| TraceError::Column(name, self.header.chars().take(200).collect()))
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'a>> + '_ {
        self.lines.iter().map(|(line, text)| Row {
            line: *line,
            cells: text.split(',').map(str::trim).collect(),
        })
    }
}

impl<'a> Row<'a> {
    /// What stands in a column; nothing where the row is too short.
    pub(super) fn cell(&self, column: usize) -> &'a str {
        self.cells.get(column).copied().unwrap_or("")
    }

    /// A whole number; fractions are dropped.
    pub(super) fn number(&self, column: usize) -> Result<u64, TraceError> {
        self.up_to(column, NUMBER_MAX, "a number up to 2^40")
    }

    /// The same, of at most so much, which `expected` says in words.
    pub(super) fn up_to(
        &self,
        column: usize,
        most: u64,
        expected: &'static str,
    ) -> Result<u64, TraceError> {
        let value = number(self.line, self.cell(column))?;
        let known = (value <= most).then_some(value);
        known.ok_or_else(|| wrong(self.line, self.cell(column), expected))
    }

    /// The same, where it is small.
    pub(super) fn small(&self, column: usize) -> Result<u16, TraceError> {
        let small = u16::try_from(self.number(column)?);
        small.map_err(|_| wrong(self.line, self.cell(column), "a number up to 65,535"))
    }
}

pub(super) fn number(line: usize, text: &str) -> Result<u64, TraceError> {
    let whole = text.split('.').next().unwrap_or(text);
    whole.parse().map_err(|_| wrong(line, text, "a number"))
}

pub(super) fn wrong(line: usize, value: &str, expected: &'static str) -> TraceError {
    TraceError::Value {
        line,
        value: value.chars().take(40).collect(),
        expected,
    }
}
