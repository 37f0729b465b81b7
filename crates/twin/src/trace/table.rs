//! Rows of a trace by the names in its header.

use super::TraceError;
use super::error::wrong;
use super::lines::{Header, Lines};
use std::io::Read;

/// More than any job, machine or task of a trace has of anything.
const NUMBER_MAX: u64 = 1 << 40;
/// Rows of one file: all are held in memory.
const ROWS_MAX: usize = 10_000_000;

/// Comma-separated values with a header.
pub(super) struct Table<'r> {
    header: Header,
    lines: Lines<'r>,
}

/// One line of them.
pub(super) struct Row {
    /// From 1.
    pub(super) line: usize,
    cells: Vec<String>,
}

impl<'r> Table<'r> {
    pub(super) fn new(reader: impl Read + Send + 'r) -> Result<Self, TraceError> {
        let mut lines = Lines::new(reader)?;
        let header = lines.next_line()?.ok_or(TraceError::Empty)?;
        Ok(Self {
            header: Header::new(&header),
            lines,
        })
    }

    /// Where the column of that name is.
    pub(super) fn column(&self, name: &'static str) -> Result<usize, TraceError> {
        self.header.find(&[name]).map(|(at, _)| at)
    }

    /// What comes of each row; there is one at least.
    pub(super) fn rows<T>(
        mut self,
        read: impl Fn(&Row) -> Result<T, TraceError>,
    ) -> Result<Vec<T>, TraceError> {
        let mut rows = Vec::new();
        while let Some(text) = self.lines.next_line()? {
            if rows.len() >= ROWS_MAX {
                return Err(TraceError::Long(ROWS_MAX));
            }
            let line = self.lines.number();
            let cells = self.header.row(line, &text)?.into_iter();
            let cells = cells.map(Into::into).collect();
            rows.push(read(&Row { line, cells })?);
        }
        if rows.is_empty() {
            return Err(TraceError::Empty);
        }
        Ok(rows)
    }
}

impl Row {
    /// What stands in a column; nothing where the row is too short.
    pub(super) fn cell(&self, column: usize) -> &str {
        self.cells.get(column).map_or("", String::as_str)
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
        let text = self.cell(column);
        let wrong = |expected| wrong(self.line, text, expected);
        let value = number(text).ok_or_else(|| wrong("a number at or above zero"))?;
        let known = (value <= most).then_some(value);
        known.ok_or_else(|| wrong(expected))
    }

    /// The same, where it is a count: half an accelerator is no accelerator.
    pub(super) fn count<N: TryFrom<u64>>(
        &self,
        column: usize,
        expected: &'static str,
    ) -> Result<N, TraceError> {
        let text = self.cell(column);
        let whole = text.parse().is_ok_and(|number: f64| number.fract() == 0.0);
        let count = number(text).filter(|_| whole);
        let count = count.and_then(|count| N::try_from(count).ok());
        count.ok_or_else(|| wrong(self.line, text, expected))
    }
}

/// A number at or above zero, without what is less than one of it.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        (number.is_finite() && number >= 0.0).then_some(number as u64)
    })
}
