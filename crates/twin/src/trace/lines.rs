//! Lines of a trace, the names in its header, and the cells of its rows.

use super::TraceError;
use super::error::{shown, wrong};
use super::packed::unpacked;
use std::borrow::Cow;
use std::io::{self, BufRead, Read};

/// Bytes of one line: a fleet with thousands of replicas is one in a recording.
pub const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Lines of a file, whatever it is packed with.
pub(super) struct Lines<'r> {
    reader: Box<dyn BufRead + Send + 'r>,
    number: usize,
}

impl<'r> Lines<'r> {
    pub fn new(reader: impl Read + Send + 'r) -> io::Result<Self> {
        Ok(Self {
            reader: unpacked(reader)?,
            number: 0,
        })
    }

    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// The next line that says anything, without its end.
    pub fn next_line(&mut self) -> Result<Option<String>, TraceError> {
        loop {
            let mut bytes = Vec::new();
            let mut line = (&mut self.reader).take(LINE_BYTES_MAX);
            let read = line.read_until(b'\n', &mut bytes)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if u64::try_from(read).is_ok_and(|read| read == LINE_BYTES_MAX) {
                return Err(wrong(self.number, "a line of 64 MiB", "a row of a trace"));
            }
            let text = String::from_utf8(bytes).map_err(|error| {
                let seen = String::from_utf8_lossy(error.as_bytes());
                wrong(
                    self.number,
                    seen.trim_end(),
                    "text in UTF-8, plain or packed by gzip or zstd",
                )
            })?;
            // What some programs put before a text in UTF-8.
            let text = text.trim_start_matches('\u{feff}').trim();
            if !text.is_empty() {
                return Ok(Some(text.to_owned()));
            }
        }
    }
}

/// The first line of a table.
pub(super) struct Header {
    names: Vec<String>,
    text: String,
    /// There are carriage returns in it, which alone end no line.
    returns: bool,
}

impl Header {
    pub fn new(text: &str) -> Self {
        Self {
            names: cells(text).into_iter().map(Cow::into_owned).collect(),
            returns: text.contains('\r'),
            text: shown(text, 200),
        }
    }

    /// Where the column is that has one of these names, of several the first of them.
    pub fn find(&self, known: &[&'static str]) -> Result<(usize, &'static str), TraceError> {
        for name in known {
            if let Some(at) = self.at(name)? {
                return Ok((at, *name));
            }
        }
        let hint = match (self.returns, self.names.len()) {
            (true, _) => " (lines end by a newline, not by a carriage return alone)",
            (false, 1) => " (columns are set apart by commas)",
            (false, _) => "",
        };
        let name = known.first().copied().unwrap_or_default();
        Err(TraceError::Column(name, format!("{}{hint}", self.text)))
    }

    /// Where the column of that name is, if there is one.
    pub fn at(&self, name: &'static str) -> Result<Option<usize>, TraceError> {
        let mut named = (0..).zip(&self.names).filter(|(_, other)| *other == name);
        let first = named.next().map(|(at, _)| at);
        match named.next() {
            Some(_) => Err(TraceError::Twice(name)),
            None => Ok(first),
        }
    }

    /// The cells of a row. One that has more than the header, as where a number is written with a comma, would be read wrongly.
    pub fn row<'t>(&self, line: usize, text: &'t str) -> Result<Vec<Cow<'t, str>>, TraceError> {
        let cells = cells(text);
        let beyond = cells.iter().skip(self.names.len());
        if beyond.into_iter().any(|cell| !cell.is_empty()) {
            return Err(TraceError::Wide {
                line,
                cells: cells.len(),
                columns: self.names.len(),
            });
        }
        Ok(cells)
    }
}

/// What stands between commas; in quotes they may be a part of it.
fn cells(text: &str) -> Vec<Cow<'_, str>> {
    if !text.contains('"') {
        let cells = text.split(',').map(str::trim);
        return cells.map(Cow::Borrowed).collect();
    }
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let record = reader.records().next().and_then(Result::ok);
    let record = record.unwrap_or_default();
    record
        .iter()
        .map(|cell| Cow::Owned(cell.to_owned()))
        .collect()
}
