//! A run's output on disk: two segments at most, each named after the place of its first byte. What comes later replaces what came first.

use crate::jobs::RunLog;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The least that a segment holds.
const SEGMENT_BYTES_MIN: u64 = 4096;
/// The most that is read at once.
const READ_BYTES_MAX: usize = 1024 * 1024;
/// A segment may be dropped while it is about to be read.
const READ_TRIES: u32 = 3;
const PREFIX: &str = "log-";

/// Writes the output of one run.
pub(super) struct LogWriter {
    folder: PathBuf,
    segment_bytes_max: u64,
    segment: Option<File>,
    /// Where the segment begins, and where the next byte goes.
    from: u64,
    at: u64,
    /// Bytes that the disk did not take since it last took some, and why.
    lost: u64,
    why: String,
}

impl LogWriter {
    /// An empty log.
    pub fn new(folder: &Path, log_bytes_max: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            segment_bytes_max: (log_bytes_max / 2).max(SEGMENT_BYTES_MIN),
            segment: None,
            from: 0,
            at: 0,
            lost: 0,
            why: String::new(),
        }
    }

    /// Appends. What the disk does not take is dropped and counted: neither the run nor its runner waits for room.
    pub fn write(&mut self, bytes: &[u8]) {
        if self.lost > 0 {
            let gap = format!(
                "\nmadang: {} bytes of output are lost: {}\n",
                self.lost, self.why
            );
            if !self
                .append(gap.as_bytes())
                .is_ok_and(|left| left.is_empty())
            {
                self.lost += bytes.len() as u64;
                return;
            }
            self.lost = 0;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.append(rest) {
                Ok(left) => rest = left,
                Err(error) => {
                    self.lost += rest.len() as u64;
                    self.why = error.to_string();
                    return;
                }
            }
        }
    }

    /// A line of Madang's own.
    pub fn say(&mut self, text: &str) {
        self.write(format!("madang: {text}\n").as_bytes());
    }

    /// What is left of the bytes, once the segment is full.
    fn append<'a>(&mut self, bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        let full = self.at - self.from >= self.segment_bytes_max;
        let file = match &mut self.segment {
            Some(file) if !full => file,
            segment => {
                let mut options = OpenOptions::new();
                options.append(true).create_new(true).mode(0o600);
                let path = self.folder.join(format!("{PREFIX}{}", self.at));
                let file = segment.insert(options.open(path)?);
                let before = std::mem::replace(&mut self.from, self.at);
                drop_before(&self.folder, before);
                file
            }
        };
        let room = self.segment_bytes_max - (self.at - self.from);
        let length = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let written = file.write(&bytes[..length])?;
        if written == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        self.at += written as u64;
        Ok(&bytes[written..])
    }
}

fn drop_before(folder: &Path, from: u64) {
    for (begin, path) in segments(folder).unwrap_or_default() {
        if begin < from {
            // It is tried again with the next one.
            fs::remove_file(path).ok();
        }
    }
}

/// The output from the byte `from` on.
pub(super) fn read(folder: &Path, from: u64, bytes_max: usize) -> io::Result<RunLog> {
    for _ in 1..READ_TRIES {
        match read_once(folder, from, bytes_max) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            read => return read,
        }
    }
    read_once(folder, from, bytes_max)
}

fn read_once(folder: &Path, from: u64, bytes_max: usize) -> io::Result<RunLog> {
    let all = segments(folder)?;
    let oldest = all.first().map_or(0, |(begin, _)| *begin);
    let mut log = RunLog {
        from: from.max(oldest),
        bytes: Vec::new(),
    };
    let holds = all.iter().rev().find(|(begin, _)| *begin <= log.from);
    let Some((begin, path)) = holds else {
        return Ok(log);
    };
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(log.from - begin))?;
    let most = bytes_max.min(READ_BYTES_MAX) as u64;
    io::Read::read_to_end(&mut io::Read::take(file, most), &mut log.bytes)?;
    Ok(log)
}

/// The segments, the oldest first.
fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let begin = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if let Some(begin) = begin.and_then(|begin| begin.parse().ok()) {
            all.push((begin, entry.path()));
        }
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(folder: &Path) -> (u64, String) {
        let mut text = String::new();
        let first = read(folder, 0, usize::MAX).unwrap();
        let mut log = first.clone();
        while !log.bytes.is_empty() {
            text.push_str(std::str::from_utf8(&log.bytes).unwrap());
            log = read(folder, log.from + log.bytes.len() as u64, 1000).unwrap();
        }
        (first.from, text)
    }

    #[test]
    fn the_newest_is_kept_and_nothing_between_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LogWriter::new(folder.path(), 0);
        assert_eq!(kept(folder.path()), (0, String::new()));
        let whole: String = (0..5_000).map(|i| format!("line {i}\n")).collect();
        for piece in whole.as_bytes().chunks(700) {
            log.write(piece);
        }
        let (from, text) = kept(folder.path());
        assert_eq!(text, whole[usize::try_from(from).unwrap()..]);
        let length = text.len() as u64;
        assert!(
            length > SEGMENT_BYTES_MIN && length <= 2 * SEGMENT_BYTES_MIN,
            "{length}"
        );
    }

    #[test]
    fn what_the_disk_does_not_take_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("gone");
        let mut log = LogWriter::new(&gone, 0);
        log.write(b"one\n");
        log.write(b"two\n");
        fs::create_dir(&gone).unwrap();
        log.write(b"three\n");
        let (from, text) = kept(&gone);
        assert_eq!(from, 0);
        assert!(
            text.starts_with("\nmadang: 8 bytes of output are lost: No such file"),
            "{text}"
        );
        assert!(text.ends_with("\nthree\n"), "{text}");
    }
}
