//! Which run is which job, in a folder of ours: a file for each run, written before anything is asked of Slurm and after each answer.

use super::job::Stop;
use crate::jobs::{JobsError, RunStatus};
use madang_types::{RunEnd, RunId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, btree_map};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// Until when a run that is not in the folder is looked for in Slurm, from the folder's making on: a folder that was lost. In
/// milliseconds: 7 days.
const LOST_BOOK_MS: u64 = 7 * 86_400_000;

/// What is kept of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) run: RunId,
    /// When its submission was last asked for, in milliseconds since 1970.
    pub(super) asked_at_ms: u64,
    /// Its job; `None` where no answer came.
    pub(super) job: Option<u32>,
    /// When that was submitted, by Slurm's clock: numbers of jobs come again.
    pub(super) submitted_s: Option<u64>,
    pub(super) stop: Option<Stop>,
    pub(super) end: Option<RunEnd>,
    pub(super) log_bytes_max: u64,
}

/// A run in memory.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) entry: Entry,
    /// How it stood when it was last asked about.
    pub(super) seen: Option<(Instant, RunStatus)>,
    /// Since when neither side of Slurm knows that it runs.
    pub(super) missing_since: Option<Instant>,
}

/// All runs, and the news of them.
pub(super) struct Book {
    folder: PathBuf,
    made_at_ms: u64,
    known: Mutex<BTreeMap<RunId, Known>>,
    /// Held by whoever changes what is on the disk.
    writing: Mutex<()>,
    changes: watch::Sender<u64>,
}

impl Book {
    /// Reads the folder, or makes it.
    pub(super) fn open(folder: &Path, now_ms: u64) -> Result<Self, JobsError> {
        let fault = |error: io::Error| disk(folder, &error);
        fs::create_dir_all(folder).map_err(fault)?;
        let made = folder.join("made");
        let made_at_ms = match fs::read_to_string(&made) {
            Ok(text) => text.trim().parse().unwrap_or(now_ms),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write(&made, now_ms.to_string().as_bytes())?;
                now_ms
            }
            Err(error) => return Err(disk(&made, &error)),
        };
        let mut known = BTreeMap::new();
        for file in fs::read_dir(folder).map_err(fault)? {
            let path = file.map_err(fault)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read(&path).map_err(|error| disk(&path, &error))?;
            let entry: Entry = serde_json::from_slice(&text).map_err(|error| {
                JobsError::Unavailable(format!("{} is damaged: {error}", path.display()))
            })?;
            known.insert(entry.run, Known::new(entry));
        }
        Ok(Self {
            folder: folder.to_owned(),
            made_at_ms,
            known: Mutex::new(known),
            writing: Mutex::new(()),
            changes: watch::Sender::new(0),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Known>> {
        // What is in the map is whole after each statement that changes it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, run: RunId) -> Option<Entry> {
        self.lock().get(&run).map(|known| known.entry.clone())
    }

    /// Where the folder is new, its forerunner may have been lost: since when jobs of unknown runs may be from, in seconds since 1970.
    pub(super) fn forerunner_until_s(&self, now_ms: u64) -> Option<u64> {
        let young = now_ms.saturating_sub(self.made_at_ms) < LOST_BOOK_MS;
        young.then_some(self.made_at_ms / 1000)
    }

    /// Writes it to the disk, then to memory.
    pub(super) fn put(&self, entry: Entry) -> Result<(), JobsError> {
        let writing = self.writing.lock();
        let _writing = writing.unwrap_or_else(PoisonError::into_inner);
        self.write_down(entry)
    }

    /// Changes a run that is not over, if there is one; nobody else does meanwhile.
    pub(super) fn change(
        &self,
        run: RunId,
        change: impl FnOnce(&mut Entry),
    ) -> Result<(), JobsError> {
        let writing = self.writing.lock();
        let _writing = writing.unwrap_or_else(PoisonError::into_inner);
        let Some(mut entry) = self.get(run).filter(|entry| entry.end.is_none()) else {
            return Ok(());
        };
        change(&mut entry);
        self.write_down(entry)
    }

    fn write_down(&self, entry: Entry) -> Result<(), JobsError> {
        let text = serde_json::to_vec(&entry).map_err(|e| JobsError::Unavailable(e.to_string()))?;
        write(&self.file(entry.run), &text)?;
        match self.lock().entry(entry.run) {
            btree_map::Entry::Occupied(known) => known.into_mut().entry = entry,
            btree_map::Entry::Vacant(place) => {
                place.insert(Known::new(entry));
            }
        }
        self.tell();
        Ok(())
    }

    pub(super) fn remove(&self, run: RunId) -> Result<(), JobsError> {
        let writing = self.writing.lock();
        let _writing = writing.unwrap_or_else(PoisonError::into_inner);
        let file = self.file(run);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(disk(&file, &error));
            }
            _ => {}
        }
        self.lock().remove(&run);
        self.tell();
        Ok(())
    }

    pub(super) fn tell(&self) {
        self.changes.send_modify(|number| *number += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn file(&self, run: RunId) -> PathBuf {
        self.folder.join(format!("{run}.json"))
    }
}

impl Entry {
    pub(super) fn new(run: RunId, asked_at_ms: u64, log_bytes_max: u64) -> Self {
        Self {
            run,
            asked_at_ms,
            job: None,
            submitted_s: None,
            stop: None,
            end: None,
            log_bytes_max,
        }
    }
}

impl Known {
    fn new(entry: Entry) -> Self {
        Self {
            entry,
            seen: None,
            missing_since: None,
        }
    }
}

/// Whole or not at all, also where the machine stops.
fn write(path: &Path, bytes: &[u8]) -> Result<(), JobsError> {
    let new = path.with_extension("new");
    let put = || {
        let mut file = fs::File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent()
            .map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
    };
    put().map_err(|error: io::Error| disk(path, &error))
}

fn disk(path: &Path, error: &io::Error) -> JobsError {
    JobsError::Unavailable(format!("{}: {error}", path.display()))
}
