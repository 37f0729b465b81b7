//! Records of a table in memory, each with the number of its line.
//!
//! The csv crate says where it stood before a record. Where lines end by CR and LF, or some before it are empty or comments, that is a
//! line above the record's own.

use std::fmt;

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Its line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for RecordError {}

impl RecordError {
    /// What the csv crate says of a record, without the place that it names: that is another line.
    pub fn new(line: u64, error: &csv::Error) -> Self {
        let problem = match error.kind() {
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => format!("it has {len} cells, and the header {expected_len}"),
            csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
            _ => error.to_string(),
        };
        Self { line, problem }
    }
}

/// Comma-separated values with a header.
pub struct Records<'t> {
    reader: csv::Reader<&'t [u8]>,
    /// What was not passed yet by the count of lines, from which byte on, and the line there.
    rest: &'t [u8],
    byte: u64,
    line: u64,
    comment: Option<u8>,
}

impl<'t> Records<'t> {
    /// Of a text in which lines that begin with `comment` say nothing.
    pub fn new(text: &'t str, comment: Option<u8>) -> Self {
        let reader = csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .comment(comment)
            .from_reader(text.as_bytes());
        Self {
            reader,
            rest: text.as_bytes(),
            byte: 0,
            line: 1,
            comment,
        }
    }

    /// The names of the columns.
    ///
    /// # Errors
    /// The first line is none of a table.
    pub fn header(&mut self) -> Result<csv::StringRecord, RecordError> {
        let header = self.reader.headers().cloned();
        header.map_err(|error| self.wrong(&error))
    }

    /// Reads the next record, and says on which line it begins; `None` where there is none any more.
    ///
    /// # Errors
    /// It has more cells than the header, or fewer.
    pub fn next(&mut self, record: &mut csv::StringRecord) -> Result<Option<u64>, RecordError> {
        match self.reader.read_record(record) {
            Ok(true) => Ok(Some(self.line_of(record.position()))),
            Ok(false) => Ok(None),
            Err(error) => Err(self.wrong(&error)),
        }
    }

    fn wrong(&mut self, error: &csv::Error) -> RecordError {
        RecordError::new(self.line_of(error.position()), error)
    }

    fn line_of(&mut self, position: Option<&csv::Position>) -> u64 {
        let byte = position.map_or(self.byte, csv::Position::byte);
        self.pass(usize::try_from(byte.saturating_sub(self.byte)).unwrap_or(usize::MAX));
        loop {
            match self.rest.first().copied() {
                Some(b'\n' | b'\r') => self.pass(1),
                first @ Some(_) if first == self.comment => {
                    let end = self.rest.iter().position(|byte| *byte == b'\n');
                    self.pass(end.map_or(self.rest.len(), |end| end + 1));
                }
                _ => return self.line,
            }
        }
    }

    fn pass(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes.min(self.rest.len()));
        let lines = passed.iter().filter(|byte| **byte == b'\n').count();
        self.line += u64::try_from(lines).unwrap_or(0);
        self.byte += u64::try_from(passed.len()).unwrap_or(0);
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line and the first cell of each record, and what is wrong with the last.
    fn lines(text: &str) -> (Vec<(u64, String)>, Option<String>) {
        let mut records = Records::new(text, Some(b'#'));
        let mut record = csv::StringRecord::new();
        let mut lines = Vec::new();
        loop {
            match records.next(&mut record) {
                Ok(Some(line)) => lines.push((line, record[0].to_owned())),
                Ok(None) => return (lines, None),
                Err(error) => return (lines, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn each_record_has_the_line_on_which_it_begins() {
        let named = |of: &[(u64, &str)]| -> Vec<(u64, String)> {
            of.iter()
                .map(|(line, cell)| (*line, (*cell).to_owned()))
                .collect()
        };
        for (text, expected) in [
            ("a,b\n1,2\n3,4", named(&[(2, "1"), (3, "3")])),
            (
                "\u{feff}a,b\n\n1,2\n\n\n3,4\n",
                named(&[(3, "1"), (6, "3")]),
            ),
            (
                "# of\n# it\na,b\n#\n1,2\n# x\n\n3,4\n",
                named(&[(5, "1"), (8, "3")]),
            ),
            ("a,b\n\"1\n2\",3\n4,5\n", named(&[(2, "1\n2"), (4, "4")])),
            ("a,b\n", named(&[])),
        ] {
            // However lines end.
            for end in ["\n", "\r\n"] {
                let (mut lines, wrong) = lines(&text.replace('\n', end));
                for (_, cell) in &mut lines {
                    *cell = cell.replace(end, "\n");
                }
                assert_eq!((lines, wrong), (expected.clone(), None), "{text} {end:?}");
            }
        }
        for end in ["\n", "\r\n"] {
            let text = "a,b\n1,2\n\n1,2,3\n".replace('\n', end);
            let wrong = lines(&text).1.unwrap();
            assert_eq!(wrong, "line 4: it has 3 cells, and the header 2");
        }
    }
}
