//! The results of a batch as they come: each a line at the end of one of two files, which are the files that its tenant gets. A
//! line of the input that has none there is asked (again), whatever ended the last process.

use super::disk;
use super::line::name_hash;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

/// What came of one line, as it stands in a file.
#[derive(Serialize)]
pub(super) struct ResultLine<'a> {
    pub id: String,
    pub custom_id: &'a str,
    pub response: Option<ResponsePart<'a>>,
    pub error: Option<ErrorPart<'a>>,
}

/// The answer.
#[derive(Serialize)]
pub(super) struct ResponsePart<'a> {
    pub status_code: u16,
    pub request_id: &'a str,
    pub body: &'a RawValue,
}

/// Why there is none.
#[derive(Serialize)]
pub(super) struct ErrorPart<'a> {
    pub code: &'a str,
    pub message: &'a str,
}

/// One of the two files.
pub(super) struct ResultFile {
    file: File,
    /// Bytes of whole lines.
    bytes: u64,
    pub lines: u64,
}

/// Both.
pub(super) struct Results {
    pub output: ResultFile,
    pub errors: ResultFile,
    /// The disk has lines that it was not told to keep.
    unsynced: bool,
    /// Lines that the disk did not take, and whether each is an error: they are written before anything else is asked.
    waiting: Vec<(bool, Vec<u8>)>,
    /// By [`name_hash`]: lines that have their results.
    done: HashSet<u128>,
}

impl ResultFile {
    /// Opens it, and cuts off what is no whole line: what was being written when a machine died.
    fn open(path: &Path, done: &mut HashSet<u128>) -> io::Result<Self> {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            custom_id: Cow<'a, str>,
        }
        let file = disk::append_open(path)?;
        let mut reader = BufReader::new(File::open(path)?);
        let (mut bytes, mut lines, mut line) = (0, 0, Vec::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            let named = serde_json::from_slice::<Named<'_>>(&line);
            let (true, Ok(named)) = (line.ends_with(b"\n"), named) else {
                break;
            };
            done.insert(name_hash(&named.custom_id));
            bytes += u64::try_from(read).unwrap_or(0);
            lines += 1;
        }
        file.set_len(bytes)?;
        Ok(Self { file, bytes, lines })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(line) {
            self.file.set_len(self.bytes)?;
            return Err(error);
        }
        self.bytes += u64::try_from(line.len()).unwrap_or(0);
        self.lines += 1;
        Ok(())
    }
}

impl Results {
    /// Opens the results of a batch that may have been begun.
    pub fn open(output: &Path, errors: &Path) -> io::Result<Self> {
        let mut done = HashSet::new();
        Ok(Self {
            output: ResultFile::open(output, &mut done)?,
            errors: ResultFile::open(errors, &mut done)?,
            unsynced: true,
            waiting: Vec::new(),
            done,
        })
    }

    /// Whether a line has its result from before this process.
    pub fn has(&self, custom_id: &str) -> bool {
        self.done.contains(&name_hash(custom_id))
    }

    /// Writes what came of a line, which has nothing yet. Where the disk does not take it, it waits for [`Results::flush`].
    pub fn put(&mut self, line: &ResultLine<'_>, is_error: bool) {
        let bytes = serde_json::to_vec(line);
        let Ok(mut bytes) = bytes else {
            return tracing::error!("a result cannot be written as JSON");
        };
        // What is white space in an engine's JSON would be the end of a line here; in its strings these are escaped.
        for byte in &mut bytes {
            if matches!(byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
        bytes.push(b'\n');
        self.waiting.push((is_error, bytes));
        if let Err(error) = self.flush() {
            tracing::error!(%error, "a result of a batch waits for the disk");
        }
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// The disk takes no more: what waits goes on waiting.
    pub fn flush(&mut self) -> io::Result<()> {
        while let Some((is_error, line)) = self.waiting.last() {
            let file = if *is_error {
                &mut self.errors
            } else {
                &mut self.output
            };
            file.append(line)?;
            self.unsynced = true;
            self.waiting.pop();
        }
        Ok(())
    }

    /// Whether results wait for the disk.
    pub fn is_held_up(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has the disk keep what was written.
    pub fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.unsynced) {
            self.output.file.sync_data()?;
            self.errors.file.sync_data()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(results: &mut Results, custom_id: &str, is_error: bool) {
        let body = RawValue::from_string("{\n \"a\": \"b\\n\"\r\n}".into()).unwrap();
        let response = ResponsePart {
            status_code: 200,
            request_id: "req_1",
            body: &body,
        };
        let line = ResultLine {
            id: "batch_req_1".into(),
            custom_id,
            response: Some(response),
            error: None,
        };
        results.put(&line, is_error);
    }

    #[test]
    fn whatever_was_torn_off_is_known_as_not_done() {
        let folder = tempfile::tempdir().unwrap();
        let [output, errors] = ["output", "errors"].map(|name| folder.path().join(name));
        let mut results = Results::open(&output, &errors).unwrap();
        put(&mut results, "one", false);
        put(&mut results, "t\"wo", true);
        put(&mut results, "three", false);
        results.sync().unwrap();
        drop(results);
        let whole = std::fs::read(&output).unwrap();
        let second = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in 0..whole.len() {
            std::fs::write(&output, &whole[..cut]).unwrap();
            let results = Results::open(&output, &errors).unwrap();
            let expected = [cut >= second, true, false];
            let found = ["one", "t\"wo", "three"].map(|id| results.has(id));
            assert_eq!(found, expected, "cut at {cut}");
            assert_eq!(results.output.lines, u64::from(cut >= second));
            assert_eq!(results.errors.lines, 1);
        }
        // A block that the disk never wrote reads as zeros.
        let torn = [&whole[..second], &[0; 64], b"\n"].concat();
        std::fs::write(&output, torn).unwrap();
        let mut results = Results::open(&output, &errors).unwrap();
        put(&mut results, "three", false);
        assert_eq!(std::fs::read(&output).unwrap(), whole);
    }
}
