//! The journal's file: two halves that are filled in turn, their bytes set aside beforehand.
//!
//! A write over bytes that the file has already is synced without a change of the file system's own books, which costs
//! a third of a sync after an append and does not wait for what other programs write. A half that is longer than what is
//! set aside grows into the rest only where the other half is not free: while the database is away.

use super::{JournalSize, frame};
use crate::StoreError;
use crate::settlement::Line;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The open file. Its lock lasts as long as it does.
pub(super) struct JournalFile {
    file: Arc<File>,
    path: PathBuf,
    size: JournalSize,
    /// The half that is being filled, 0 or 1.
    pub(super) half: usize,
    /// Bytes of it that are taken.
    taken: u64,
    /// Counts the fillings of a half, so that what stands there from an earlier one is told apart.
    round: u64,
}

impl JournalFile {
    /// Opens the file, made (mode 0600) where there is none, and gives the records that stand in it, the oldest first.
    /// Nothing is written to it before [`JournalFile::begin`]. `None` where another store has it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Damaged`] where a sound frame holds no record.
    pub(super) fn open(
        path: &Path,
        size: JournalSize,
    ) -> Result<Option<(Self, Vec<Line>)>, StoreError> {
        let failed =
            |e: io::Error| StoreError::Unavailable(format!("cannot open {}: {e}", path.display()));
        let file = open_private(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let half_bytes = file.metadata().map_err(failed)?.len() / 2;
        let half = |from| -> Result<_, StoreError> {
            let mut file = &file;
            file.seek(SeekFrom::Start(from)).map_err(failed)?;
            frame::decode(BufReader::new(file).take(half_bytes))
        };
        let mut halves = [half(0)?, half(half_bytes)?];
        halves.sort_by_key(|(round, _)| *round);
        let [(_, mut records), (round, newer)] = halves;
        records.extend(newer);
        let journal = Self {
            file: Arc::new(file),
            path: path.to_owned(),
            size,
            half: 0,
            taken: 0,
            round,
        };
        Ok(Some((journal, records)))
    }

    /// Sets the file's bytes aside and begins a new round: what was read from it must be elsewhere by now.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let JournalSize {
            half_bytes,
            turn_bytes,
        } = self.size;
        let mut file = &*self.file;
        if file.metadata()?.len() != half_bytes * 2 {
            // Emptied first, so that no frame of the old length is taken for one of the new.
            file.set_len(0)?;
            for from in [0, half_bytes] {
                file.seek(SeekFrom::Start(from))?;
                io::copy(&mut io::repeat(0).take(turn_bytes), &mut file)?;
            }
            file.set_len(half_bytes * 2)?;
            file.sync_all()?;
            sync_folder(&self.path)?;
        }
        self.half = 1;
        self.turn()
    }

    /// Whether a frame of so many bytes goes into what the half has left.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.taken + bytes <= self.size.half_bytes
    }

    /// Whether the other half should take a frame of so many bytes, if it is free.
    pub(super) fn is_turn(&self, bytes: u64) -> bool {
        self.taken + bytes > self.size.turn_bytes && bytes <= self.size.half_bytes
    }

    /// What the file takes.
    pub(super) fn size(&self) -> JournalSize {
        self.size
    }

    /// Begins the other half.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        self.half = 1 - self.half;
        self.taken = 0;
        self.round += 1;
        let at = if self.half == 0 {
            0
        } else {
            self.size.half_bytes
        };
        (&*self.file).seek(SeekFrom::Start(at)).map(drop)
    }

    /// Makes a frame one of this round and writes it. It is the kernel's then; a sync of [`JournalFile::handle`] makes it
    /// durable.
    ///
    /// # Errors
    /// The disk's. What then stands in the file is not known.
    pub(super) fn write(&mut self, frame: &mut [u8]) -> io::Result<()> {
        frame::seal(frame, self.round);
        (&*self.file).write_all(frame)?;
        self.taken += u64::try_from(frame.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// The file itself, for syncs beside the writes.
    pub(super) fn handle(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Removes the file: all that stood in it is elsewhere.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A new file's name is durable once its folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
