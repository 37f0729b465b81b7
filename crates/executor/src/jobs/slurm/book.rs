//! Which run is which job, in a folder of ours: a file for each run, written before anything is asked of Slurm and after each answer.

use super::job::Stop;
use super::store::Signed;
use crate::jobs::{JobsError, RunStatus};
use madang_types::{RunEnd, RunId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, btree_map};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
    /// It is to stand still.
    #[serde(default)]
    pub(super) still: bool,
    /// What its script was told last of that.
    #[serde(default)]
    pub(super) still_told: bool,
    /// Objects of stores of which it was given addresses.
    #[serde(default)]
    pub(super) signed: Option<Signed>,
}

/// A run in memory.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) entry: Entry,
    /// How it stood when it was last asked about.
    pub(super) seen: Option<(Instant, RunStatus)>,
    /// When its script was told to stand still.
    pub(super) stilled_at: Option<Instant>,
    /// Nobody here knows how it stands: somebody else may have told its script.
    pub(super) doubted: bool,
    /// Since when neither side of Slurm knows that it runs.
    pub(super) missing_since: Option<Instant>,
}

/// All runs, and the news of them. What is written is on the disk when a call returns, and waited for aside of the tasks of others.
#[derive(Clone)]
pub(super) struct Book(Arc<Shelf>);

struct Shelf {
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
        Ok(Self(Arc::new(Shelf {
            folder: folder.to_owned(),
            made_at_ms,
            known: Mutex::new(known),
            writing: Mutex::new(()),
            changes: watch::Sender::new(0),
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Known>> {
        self.0.lock()
    }

    pub(super) fn get(&self, run: RunId) -> Option<Entry> {
        self.lock().get(&run).map(|known| known.entry.clone())
    }

    /// Where the folder is new, its forerunner may have been lost: since when jobs of unknown runs may be from, in seconds since 1970.
    pub(super) fn forerunner_until_s(&self, now_ms: u64) -> Option<u64> {
        let young = now_ms.saturating_sub(self.0.made_at_ms) < LOST_BOOK_MS;
        young.then_some(self.0.made_at_ms / 1000)
    }

    /// Writes it to the disk, then to memory.
    pub(super) async fn put(&self, entry: Entry) -> Result<(), JobsError> {
        self.aside(move |shelf| shelf.write_down(entry)).await
    }

    /// Changes a run that is not over, if there is one; nobody else does meanwhile.
    pub(super) async fn change(
        &self,
        run: RunId,
        change: impl FnOnce(&mut Entry) + Send + 'static,
    ) -> Result<(), JobsError> {
        self.aside(move |shelf| {
            let entry = shelf.lock().get(&run).map(|known| known.entry.clone());
            let Some(mut entry) = entry.filter(|entry| entry.end.is_none()) else {
                return Ok(());
            };
            change(&mut entry);
            shelf.write_down(entry)
        })
        .await
    }

    pub(super) async fn remove(&self, run: RunId) -> Result<(), JobsError> {
        self.aside(move |shelf| shelf.strike(run)).await
    }

    /// Does what waits for the disk, one after the other; it is done to its end also where nobody waits for it any more.
    async fn aside(
        &self,
        write: impl FnOnce(&Shelf) -> Result<(), JobsError> + Send + 'static,
    ) -> Result<(), JobsError> {
        let shelf = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || {
            let writing = shelf.writing.lock();
            let _writing = writing.unwrap_or_else(PoisonError::into_inner);
            write(&shelf)
        });
        let failed = |error: tokio::task::JoinError| JobsError::Unavailable(error.to_string());
        done.await.unwrap_or_else(|error| Err(failed(error)))
    }

    pub(super) fn tell(&self) {
        self.0.tell();
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<RunId, Known>> {
        // What is in the map is whole after each statement that changes it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn strike(&self, run: RunId) -> Result<(), JobsError> {
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

    fn tell(&self) {
        self.changes.send_modify(|number| *number += 1);
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
            still: false,
            still_told: false,
            signed: None,
        }
    }
}

impl Known {
    fn new(entry: Entry) -> Self {
        Self {
            entry,
            seen: None,
            stilled_at: None,
            doubted: false,
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
