//! The write-ahead file: a leaf is confirmed once it stands here, synced. Two halves are filled in turn, their bytes set
//! aside beforehand: a write over bytes that the file has already is synced without a change of the file system's own
//! books.
//!
//! A frame is a checksum (4 bytes), the length of the leaf (4), its index in the log (8), little-endian, and the leaf. The
//! checksum covers all that follows it. The index tells what a half held before from what it holds now.

use crate::{AuditError, LEAF_BYTES_MAX, disk};
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

pub(crate) const FRAME_HEAD_BYTES: usize = 16;
/// The most that is read from a file that was left behind.
const LEFT_BYTES_MAX: u64 = 1 << 30;

/// The open file. Its lock lasts as long as it does: one process appends.
pub(crate) struct Journal {
    file: File,
    half_bytes: u64,
    /// The half that is being filled, 0 or 1.
    pub(crate) half: usize,
    taken: u64,
}

/// Leaves with following indexes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u64,
    pub(crate) leaves: Vec<Vec<u8>>,
}

impl Run {
    pub(crate) fn end(&self) -> u64 {
        self.first + self.leaves.len() as u64
    }
}

impl Journal {
    /// Opens the file, made (mode 0600) where there is none, and gives the leaves that stand in it. Nothing is written to
    /// it before [`Journal::begin`].
    pub(crate) fn open(path: &Path, half_bytes: u64) -> Result<(Self, Run), AuditError> {
        let failed = |e: io::Error| AuditError::Unavailable(format!("{}: {e}", path.display()));
        let file = disk::options(0o600)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(AuditError::InUse(PathBuf::from(path))),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let mut bytes = Vec::new();
        (&file)
            .take(LEFT_BYTES_MAX)
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        let (first, second) = bytes.split_at(bytes.len() / 2);
        let run = join(decode(first), decode(second)).ok_or_else(|| {
            AuditError::damaged(
                path.display().to_string(),
                "its two halves hold leaves that do not follow each other",
            )
        })?;
        let journal = Self {
            file,
            half_bytes,
            half: 0,
            taken: 0,
        };
        Ok((journal, run))
    }

    /// Empties the file and sets its bytes aside: all that stood in it must be in the tree by now.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        let whole = self.half_bytes * 2;
        // Emptied at a stroke: of two halves that are zeroed one after the other, a kill in between leaves the older.
        self.file.set_len(0)?;
        self.file.sync_all()?;
        self.file.seek(SeekFrom::Start(0))?;
        io::copy(&mut io::repeat(0).take(whole), &mut self.file)?;
        self.file.sync_all()?;
        self.half = 1;
        self.turn()
    }

    /// Bytes that the half has left.
    pub(crate) fn room(&self) -> u64 {
        self.half_bytes - self.taken
    }

    /// Begins the other half.
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        self.half = 1 - self.half;
        self.taken = 0;
        let at = if self.half == 0 { 0 } else { self.half_bytes };
        self.file.seek(SeekFrom::Start(at)).map(drop)
    }

    /// Writes frames, without syncing them. After an error nothing is known of the half.
    pub(crate) fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        self.file.write_all(frames)?;
        self.taken += frames.len() as u64;
        Ok(())
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Appends the frame of a leaf.
pub(crate) fn encode(frames: &mut Vec<u8>, index: u64, leaf: &[u8]) {
    let at = frames.len();
    let length = u32::try_from(leaf.len()).unwrap_or(u32::MAX);
    frames.extend([0; 4]);
    frames.extend(length.to_le_bytes());
    frames.extend(index.to_le_bytes());
    frames.extend_from_slice(leaf);
    let sum = crc32fast::hash(&frames[at + 4..]);
    frames[at..at + 4].copy_from_slice(&sum.to_le_bytes());
}

/// The sound frames at the beginning of a half, as far as their indexes follow each other; what comes after them was never
/// confirmed.
fn decode(half: &[u8]) -> Run {
    let (mut run, mut rest) = (Run::default(), half);
    while let Some((index, leaf, after)) = next(rest) {
        match run.leaves.is_empty() {
            true => run.first = index,
            false if index != run.end() => break,
            false => {}
        }
        run.leaves.push(leaf.to_owned());
        rest = after;
    }
    run
}

/// The first frame: its index, its leaf and what follows. `None` where there is no sound one.
fn next(bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    let (sum, rest) = bytes.split_first_chunk()?;
    let (length, _) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if length > LEAF_BYTES_MAX {
        return None;
    }
    let (covered, after) = rest.split_at_checked(length + FRAME_HEAD_BYTES - 4)?;
    let (_, indexed) = covered.split_first_chunk::<4>()?;
    let (index, leaf) = indexed.split_first_chunk()?;
    let sound = u32::from_le_bytes(*sum) == crc32fast::hash(covered);
    sound.then_some((u64::from_le_bytes(*index), leaf, after))
}

/// Two runs in the order of their indexes; `None` where the one does not follow the other.
fn join(a: Run, b: Run) -> Option<Run> {
    let (mut older, newer) = if a.first <= b.first { (a, b) } else { (b, a) };
    if older.leaves.is_empty() {
        return Some(newer);
    }
    if newer.leaves.is_empty() {
        return Some(older);
    }
    (older.end() == newer.first).then(|| {
        older.leaves.extend(newer.leaves);
        older
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(first: u64, leaves: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (index, leaf) in (first..).zip(leaves) {
            encode(&mut bytes, index, leaf.as_bytes());
        }
        bytes
    }

    fn check(bytes: &[u8], first: u64, leaves: &[&str]) {
        let leaves = leaves.iter().map(|leaf| leaf.as_bytes().to_vec()).collect();
        assert_eq!(decode(bytes), Run { first, leaves });
    }

    #[test]
    fn what_was_written_reads_back_until_the_first_unsound_byte() {
        check(&[], 0, &[]);
        check(&[0; 4096], 0, &[]);
        check(&[255; 4096], 0, &[]);
        let whole = frames(7, &["one", "two"]);
        check(&whole, 7, &["one", "two"]);
        check(&[&whole[..], &[0; 99]].concat(), 7, &["one", "two"]);
        check(
            &[&whole[..], &frames(2, &["old"])[..]].concat(),
            7,
            &["one", "two"],
        );
        let first = frames(7, &["one"]).len();
        for cut in first..whole.len() {
            check(&whole[..cut], 7, &["one"]);
        }
        for bit in first * 8..whole.len() * 8 {
            let mut torn = whole.clone();
            torn[bit / 8] ^= 1 << (bit % 8);
            check(&torn, 7, &["one"]);
        }
    }

    #[test]
    fn halves_are_joined_in_the_order_of_the_log() {
        let run = |first, leaves: &[&str]| decode(&frames(first, leaves));
        assert_eq!(
            join(run(7, &["c"]), run(5, &["a", "b"])),
            Some(run(5, &["a", "b", "c"]))
        );
        assert_eq!(join(run(5, &["a"]), Run::default()), Some(run(5, &["a"])));
        assert_eq!(join(Run::default(), run(5, &["a"])), Some(run(5, &["a"])));
        assert_eq!(join(run(5, &["a"]), run(7, &["c"])), None);
    }

    #[test]
    fn one_process_has_the_file_and_its_leaves_are_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (mut journal, run) = Journal::open(&path, 4096).unwrap();
        assert_eq!(run, Run::default());
        journal.begin().unwrap();
        journal.write(&frames(0, &["a", "b"])).unwrap();
        journal.turn().unwrap();
        journal.write(&frames(2, &["c"])).unwrap();
        assert!(matches!(
            Journal::open(&path, 4096),
            Err(AuditError::InUse(_))
        ));
        drop(journal);
        let (mut journal, run) = Journal::open(&path, 8192).unwrap();
        assert_eq!(run, decode(&frames(0, &["a", "b", "c"])));
        journal.begin().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 16_384);
        drop(journal);
        assert_eq!(Journal::open(&path, 4096).unwrap().1, Run::default());
    }

    proptest! {
        /// Whatever a crash leaves of a half, what is read is a beginning of what was written, and all that is whole.
        #[test]
        fn a_half_that_was_torn_anywhere_gives_a_beginning(
            first in 0..u64::MAX / 2,
            leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..12),
            old in prop::collection::vec(any::<u8>(), 0..400),
            cut in any::<prop::sample::Index>(),
        ) {
            let (mut bytes, mut ends) = (Vec::new(), Vec::new());
            for (index, leaf) in (first..).zip(&leaves) {
                encode(&mut bytes, index, leaf);
                ends.push(bytes.len());
            }
            let cut = cut.index(bytes.len() + 1);
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let mut half = bytes;
            half.truncate(cut);
            half.extend(old);
            // What stood there before may happen to complete a frame.
            let found = decode(&half).leaves;
            prop_assert!(found.len() >= whole && leaves.starts_with(&found));
        }
    }
}
