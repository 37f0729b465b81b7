//! Reading the two files: the newest lines, and those that come.

use super::{current_path, previous_path};
use madang_types::ReplicaId;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bytes read at once, from the end of each file; more lines than fit are not shown.
const TAIL_BYTES_MAX: u64 = 4 * 1024 * 1024;
const FOLLOW_BYTES_MAX: u64 = 256 * 1024;

/// The newest lines of a replica's log, oldest first, at most `lines_max`. None where it never ran.
///
/// # Errors
/// Where a file is there and cannot be read.
pub fn tail(log_dir: &Path, replica: &ReplicaId, lines_max: usize) -> io::Result<Vec<String>> {
    let mut text = end_of(&previous_path(log_dir, replica))?;
    text.push_str(&end_of(&current_path(log_dir, replica))?);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(lines_max);
    Ok(lines[first..].iter().map(ToString::to_string).collect())
}

fn end_of(path: &Path) -> io::Result<String> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        file => file?,
    };
    let skipped = file.metadata()?.len().saturating_sub(TAIL_BYTES_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    if skipped == 0 {
        return Ok(text.into_owned());
    }
    let whole_lines = text.split_once('\n').map_or("", |(_, rest)| rest);
    Ok(whole_lines.to_owned())
}

/// Reads on in a replica's log. It polls the files, so it also works from another process than the one
/// that writes: call [`Follow::next`] a few times per second.
#[derive(Debug)]
pub struct Follow {
    current: PathBuf,
    previous: PathBuf,
    file: Option<(File, u64)>,
    unfinished: Vec<u8>,
}

impl Follow {
    /// Follows from the present end of the log.
    ///
    /// # Errors
    /// Where a file is there and cannot be read.
    pub fn from_end(log_dir: &Path, replica: &ReplicaId) -> io::Result<Self> {
        let mut follow = Self {
            current: current_path(log_dir, replica),
            previous: previous_path(log_dir, replica),
            file: None,
            unfinished: Vec::new(),
        };
        follow.open()?;
        if let Some((file, _)) = &mut follow.file {
            file.seek(SeekFrom::End(0))?;
        }
        Ok(follow)
    }

    /// The lines that came since the last call, at most 256 KiB of them (then call again at once).
    /// Lines are missed only where both files were replaced between two calls.
    ///
    /// # Errors
    /// Where a file is there and cannot be read.
    #[expect(clippy::should_implement_trait, reason = "an empty answer is no end")]
    pub fn next(&mut self) -> io::Result<Vec<String>> {
        if self.file.is_none() {
            self.open()?;
        }
        let mut lines = self.read()?;
        if lines.is_empty() && self.was_replaced()? {
            // Between the read above and the rename, more may have been written.
            lines = self.read()?;
            if lines.is_empty() {
                self.open()?;
                lines = self.read()?;
            }
        }
        Ok(lines)
    }

    fn open(&mut self) -> io::Result<()> {
        self.file = match File::open(&self.current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            file => {
                let file = file?;
                let inode = file.metadata()?.ino();
                Some((file, inode))
            }
        };
        Ok(())
    }

    /// Whether the file that is being read is no longer the current one.
    fn was_replaced(&self) -> io::Result<bool> {
        let Some((_, inode)) = &self.file else {
            return Ok(false);
        };
        match fs::metadata(&self.current) {
            Ok(now) => Ok(now.ino() != *inode),
            // Just renamed and not yet made anew: the next call sees the new file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(!self.previous.exists()),
            Err(error) => Err(error),
        }
    }

    fn read(&mut self) -> io::Result<Vec<String>> {
        let Some((file, _)) = &mut self.file else {
            return Ok(Vec::new());
        };
        let mut bytes = std::mem::take(&mut self.unfinished);
        file.take(FOLLOW_BYTES_MAX).read_to_end(&mut bytes)?;
        let whole = bytes
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        self.unfinished = bytes.split_off(whole);
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.lines().map(ToOwned::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::write::Writer;
    use super::*;

    #[test]
    fn the_newest_lines_come_from_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let replica = ReplicaId::new("r").unwrap();
        assert!(tail(folder.path(), &replica, 5).unwrap().is_empty());
        fs::write(folder.path().join("r.log.1"), "t 1\nt 2\n").unwrap();
        fs::write(folder.path().join("r.log"), "t 3\nt 4\n").unwrap();
        let check = |lines_max, expected: &[&str]| {
            assert_eq!(tail(folder.path(), &replica, lines_max).unwrap(), expected);
        };
        check(0, &[]);
        check(1, &["t 4"]);
        check(3, &["t 2", "t 3", "t 4"]);
        check(99, &["t 1", "t 2", "t 3", "t 4"]);
    }

    #[test]
    fn of_a_long_file_only_whole_lines_of_its_end_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let replica = ReplicaId::new("r").unwrap();
        let text: String = (0..600_000).map(|n| format!("t {n:07}\n")).collect();
        fs::write(folder.path().join("r.log"), text).unwrap();
        let lines = tail(folder.path(), &replica, usize::MAX).unwrap();
        assert!(lines.iter().all(|line| line.len() == 9));
        assert_eq!(lines.last().unwrap(), "t 0599999");
    }

    #[test]
    fn following_sees_every_line_once_across_rotations() {
        let folder = tempfile::tempdir().unwrap();
        let replica = ReplicaId::new("r").unwrap();
        let mut log = Writer::new(folder.path(), &replica, 0);
        log.write("t before\n");
        let mut follow = Follow::from_end(folder.path(), &replica).unwrap();
        let mut seen = Vec::new();
        for n in 0..3_000 {
            log.write(&format!("t {n} {}\n", "x".repeat(200)));
            if n % 50 == 0 {
                seen.extend(follow.next().unwrap());
            }
        }
        while let Some(lines) = Some(follow.next().unwrap()).filter(|lines| !lines.is_empty()) {
            seen.extend(lines);
        }
        assert_eq!(seen.len(), 3_000);
        for (n, line) in seen.iter().enumerate() {
            assert!(line.starts_with(&format!("t {n} ")), "{line}");
        }
    }
}
