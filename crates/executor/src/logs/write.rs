//! Writing lines into the two files, with their bound.

use super::{LINE_BYTES_MAX, current_path, previous_path};
use madang_types::ReplicaId;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Room for one line as long as it can be once bytes that are not UTF-8 are spelled out, and its time.
const FILE_BYTES_MIN: u64 = (3 * LINE_BYTES_MAX + 64) as u64;

/// The two files of one replica.
#[derive(Debug)]
pub(super) struct Writer {
    current: PathBuf,
    previous: PathBuf,
    file: Option<File>,
    size_bytes: u64,
    file_bytes_max: u64,
    dropped_count: u64,
}

impl Writer {
    pub fn new(log_dir: &Path, replica: &ReplicaId, log_bytes_max: u64) -> Self {
        Self {
            current: current_path(log_dir, replica),
            previous: previous_path(log_dir, replica),
            file: None,
            size_bytes: 0,
            file_bytes_max: (log_bytes_max / 2).max(FILE_BYTES_MIN),
            dropped_count: 0,
        }
    }

    /// Counts lines that were lost on the way here.
    pub fn dropped(&mut self, count: u64) {
        self.dropped_count = self.dropped_count.saturating_add(count);
    }

    /// Writes whole lines (each with its end). Where that fails they are dropped and counted; the
    /// next success tells how many.
    pub fn write(&mut self, lines: &str) {
        for line in lines.split_inclusive('\n') {
            match self.write_line(line) {
                Ok(()) => {}
                Err(_) => {
                    // A part of the line may be in the file: its true length is asked for anew.
                    self.file = None;
                    self.dropped(1);
                }
            }
        }
    }

    fn write_line(&mut self, line: &str) -> io::Result<()> {
        if self.dropped_count > 0 {
            let time = line.split_once(' ').map_or("", |(time, _)| time);
            let note = format!("{time} [madang] {} lines dropped\n", self.dropped_count);
            self.append(&note)?;
            self.dropped_count = 0;
        }
        self.append(line)
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        let length = line.len() as u64;
        self.open()?;
        if self.size_bytes.saturating_add(length) > self.file_bytes_max {
            self.file = None;
            fs::rename(&self.current, &self.previous)?;
            self.open()?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(line.as_bytes())?;
            self.size_bytes += length;
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create(true).open(&self.current)?;
        self.size_bytes = file.metadata()?.len();
        if self.size_bytes > 0 && !ends_a_line(&self.current)? {
            file.write_all(b"\n")?;
            self.size_bytes += 1;
        }
        self.file = Some(file);
        Ok(())
    }
}

/// A full disk or a crash may have left half a line.
fn ends_a_line(path: &Path) -> io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(folder: &Path, log_bytes_max: u64) -> Writer {
        Writer::new(folder, &ReplicaId::new("r").unwrap(), log_bytes_max)
    }

    #[test]
    fn two_files_hold_the_newest_lines_within_the_bound() {
        let folder = tempfile::tempdir().unwrap();
        let bytes_max = 4 * FILE_BYTES_MIN;
        let mut log = writer(folder.path(), bytes_max);
        for n in 0..20_000 {
            log.write(&format!("t line {n} {}\n", "x".repeat(100)));
        }
        let current = fs::read_to_string(&log.current).unwrap();
        let previous = fs::read_to_string(&log.previous).unwrap();
        assert!((current.len() + previous.len()) as u64 <= bytes_max);
        assert!(previous.len() as u64 > bytes_max / 2 - 200);
        let kept: Vec<&str> = previous.lines().chain(current.lines()).collect();
        let first = 20_000 - kept.len();
        for (n, line) in kept.iter().enumerate() {
            assert!(
                line.starts_with(&format!("t line {} ", first + n)),
                "{line}"
            );
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn half_a_line_of_an_earlier_run_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = writer(folder.path(), 0);
        fs::write(&log.current, "t half").unwrap();
        log.write("t whole\n");
        assert_eq!(
            fs::read_to_string(&log.current).unwrap(),
            "t half\nt whole\n"
        );
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let logs = folder.path().join("logs");
        let mut log = writer(&logs, 0);
        log.write("t one\nt two\n");
        log.dropped(3);
        fs::create_dir(&logs).unwrap();
        log.write("t three\n");
        let text = fs::read_to_string(&log.current).unwrap();
        assert_eq!(text, "t [madang] 5 lines dropped\nt three\n");
    }

    #[test]
    fn a_full_disk_drops_lines_and_nothing_else() {
        let mut log = writer(Path::new("/dev"), 0);
        log.current = "/dev/full".into();
        log.write("t one\n");
        assert_eq!(log.dropped_count, 1);
    }
}
