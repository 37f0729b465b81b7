//! The log of a running server: leaves in, each durable before it is confirmed; tiles and checkpoints out.
//!
//! Two threads: one writes the journal, with one sync for all that came meanwhile ([`keeper`]); one makes tiles and
//! checkpoints of what was confirmed ([`sequencer`]). An index is given when a leaf is written to the journal, so the order
//! of confirmation is the order of the log, and what a journal holds twice is told apart by it.

mod journal;
mod keeper;
mod sequence;
mod sequencer;
#[cfg(test)]
mod tests;

use crate::{AuditError, LEAF_BYTES_MAX, VerifierKey};
use journal::{FRAME_HEAD_BYTES, Journal};
use keeper::Keeper;
use sequence::Tree;
pub use sequence::verifier_key;
use sequencer::Sequencer;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The file of the journal, whose lock is the log's.
const JOURNAL: &str = "journal";
/// The least bytes of a journal's half: one leaf of any length fits.
const HALF_BYTES_MIN: u64 = 128 << 10;
/// How long to wait before a disk that failed is tried again.
const RETRY_WAIT: Duration = Duration::from_millis(250);
/// How long a leaf that nobody waits for may wait for one that somebody does, whose write and sync it shares.
const GATHER_WAIT: Duration = Duration::from_millis(10);

/// How a log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The log's name, in its key and on every checkpoint; by custom the address that serves it, without a scheme.
    pub origin: String,
    /// `None`: a leaf is confirmed when it is synced. Otherwise when the kernel has it, and it is synced within so many
    /// milliseconds: a crash of the process loses nothing, one of the machine what came since the last sync.
    pub sync_ms_max: Option<u64>,
    /// A leaf is under a checkpoint after so many milliseconds, or as soon as
    pub checkpoint_ms_max: u64,
    /// so many leaves wait for one.
    pub checkpoint_leaves: usize,
    /// Bytes of each of the journal's two halves; also what may wait to be written to it.
    pub journal_half_bytes: u64,
}

impl Settings {
    /// The usual settings for the log named `origin`.
    pub fn new(origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            sync_ms_max: None,
            checkpoint_ms_max: 1000,
            checkpoint_leaves: 4096,
            journal_half_bytes: 8 << 20,
        }
    }
}

/// A leaf that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Appended {
    /// Its place in the log, from 0.
    pub index: u64,
}

/// How the log does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Leaves that were confirmed.
    pub size: u64,
    /// Those of them that a checkpoint covers.
    pub checkpoint_size: u64,
    /// Leaves that wait to be written.
    pub waiting: usize,
    /// What is wrong with the disk, while something is.
    pub trouble: Option<String>,
}

type Answer = Result<Appended, AuditError>;

/// A leaf and who waits for it, if anybody does.
struct Entry {
    leaf: Vec<u8>,
    reply: Option<oneshot::Sender<Answer>>,
}

/// What the journal's thread does while it does nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sleep {
    /// It works.
    #[default]
    Awake,
    /// It wakes by itself within [`GATHER_WAIT`].
    Short,
    /// It waits to be woken.
    Sound,
}

#[derive(Default)]
struct State {
    waiting: Vec<Entry>,
    /// Since when the first of them has waited.
    waiting_since: Option<Instant>,
    /// Somebody waits for one of them.
    awaited: bool,
    /// Bytes of the frames of all that waits.
    waiting_bytes: u64,
    /// Synced in the journal, and not yet taken by the sequencer; in order.
    backlog: Vec<Vec<u8>>,
    /// So many of them wake the sequencer.
    backlog_due: usize,
    /// Leaves confirmed, and those of them under a durable checkpoint.
    size: u64,
    checkpoint_size: u64,
    /// `size` as it was when each half of the journal was last written.
    half_ends: [u64; 2],
    /// The next checkpoint is wanted now.
    hurry: bool,
    /// The journal's file cannot be used until it is made anew.
    journal_trouble: Option<String>,
    /// Tiles cannot be written.
    tile_trouble: Option<String>,
    closed: bool,
    journal_ended: bool,
    /// Whether the journal's thread sleeps.
    sleep: Sleep,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something for the journal's thread: leaves, a half that is free, the end.
    keeper: Condvar,
    /// Something for the sequencer.
    sequencer: Condvar,
    /// A checkpoint was written, or could not be.
    #[cfg(test)]
    progress: Condvar,
}

impl State {
    /// All that waits to be written.
    fn take_waiting(&mut self) -> Vec<Entry> {
        self.waiting_bytes = 0;
        self.waiting_since = None;
        self.awaited = false;
        std::mem::take(&mut self.waiting)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A checkpoint was written, or could not be.
    fn progressed(&self) {
        self.keeper.notify_one();
        #[cfg(test)]
        self.progress.notify_all();
    }
}

fn wait<'a>(
    on: &Condvar,
    state: MutexGuard<'a, State>,
    most: Option<Duration>,
) -> MutexGuard<'a, State> {
    match most {
        Some(most) => {
            on.wait_timeout(state, most)
                .unwrap_or_else(PoisonError::into_inner)
                .0
        }
        None => on.wait(state).unwrap_or_else(PoisonError::into_inner),
    }
}

/// A log that is open for appending. Dropping it writes what waits, and a last checkpoint.
pub struct AuditLog {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
    sequencer: Option<JoinHandle<()>>,
    verifier: VerifierKey,
    half_bytes: u64,
}

impl AuditLog {
    /// Opens the log in `folder`, or begins one there. What an earlier process confirmed and did not bring into the tree is
    /// brought there first.
    ///
    /// # Errors
    /// [`AuditError::InUse`]; [`AuditError::Damaged`] where the files contradict the checkpoint or each other;
    /// [`AuditError::Invalid`] where the log has another name; [`AuditError::Unavailable`].
    pub fn open(folder: &Path, settings: &Settings) -> Result<Self, AuditError> {
        let failed =
            |e: std::io::Error| AuditError::Unavailable(format!("{}: {e}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let half_bytes = settings.journal_half_bytes.max(HALF_BYTES_MIN);
        let (mut journal, run) = Journal::open(&folder.join(JOURNAL), half_bytes)?;
        let mut tree = Tree::open(folder, &settings.origin)?;
        tree.take_over(&run)?;
        journal.begin().map_err(failed)?;
        let verifier = tree.key().verifier().clone();
        let shared = Arc::<Shared>::default();
        {
            let mut state = shared.lock();
            (state.size, state.checkpoint_size) = (tree.size(), tree.size());
        }
        let sync_wait = settings.sync_ms_max.map(Duration::from_millis);
        let keeper = Keeper::new(shared.clone(), journal, sync_wait);
        let sequencer = Sequencer::new(shared.clone(), tree, settings);
        let spawn =
            |name: &str, run: Box<dyn FnOnce() + Send>| Builder::new().name(name.into()).spawn(run);
        let mut log = Self {
            shared,
            keeper: None,
            sequencer: None,
            verifier,
            half_bytes,
        };
        log.keeper = Some(spawn("audit-journal", Box::new(|| keeper.run())).map_err(failed)?);
        log.sequencer = Some(spawn("audit-tiles", Box::new(|| sequencer.run())).map_err(failed)?);
        Ok(log)
    }

    /// Appends a leaf; ready once it is durable. A caller that no longer waits changes nothing: the leaf is logged.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`], [`AuditError::Busy`], [`AuditError::LeafTooLong`], [`AuditError::Closed`]: the leaf was
    /// not confirmed, and what it is about must not happen.
    pub fn append(
        &self,
        leaf: Vec<u8>,
    ) -> impl Future<Output = Result<Appended, AuditError>> + Send + use<> {
        let answer = self.hand_over(leaf);
        async move { answer?.await.unwrap_or(Err(AuditError::Closed)) }
    }

    /// Appends a leaf that nobody waits for. It is written with the next that somebody does wait for, and within
    /// 10 ms: a crash of the process before that loses it.
    ///
    /// # Errors
    /// As [`AuditLog::append`], as far as that is known at once; a disk that fails later is told of in the log alone.
    pub fn append_later(&self, leaf: Vec<u8>) -> Result<(), AuditError> {
        self.put(Entry { leaf, reply: None })
    }

    /// [`AuditLog::append`] for a thread that may wait; never call it on one that runs an event loop.
    ///
    /// # Errors
    /// As [`AuditLog::append`].
    pub fn append_blocking(&self, leaf: Vec<u8>) -> Result<Appended, AuditError> {
        self.hand_over(leaf)?
            .blocking_recv()
            .unwrap_or(Err(AuditError::Closed))
    }

    fn hand_over(&self, leaf: Vec<u8>) -> Result<oneshot::Receiver<Answer>, AuditError> {
        let (reply, answer) = oneshot::channel();
        let reply = Some(reply);
        self.put(Entry { leaf, reply }).map(|()| answer)
    }

    fn put(&self, entry: Entry) -> Result<(), AuditError> {
        if entry.leaf.len() > LEAF_BYTES_MAX {
            return Err(AuditError::LeafTooLong(entry.leaf.len()));
        }
        let bytes = (entry.leaf.len() + FRAME_HEAD_BYTES) as u64;
        let mut state = self.shared.lock();
        if let Some(trouble) = &state.journal_trouble {
            return Err(AuditError::Unavailable(trouble.clone()));
        }
        if state.waiting_bytes + bytes > self.half_bytes {
            return Err(AuditError::Busy);
        }
        let awaited = entry.reply.is_some();
        state.waiting.push(entry);
        state.waiting_bytes += bytes;
        state.waiting_since.get_or_insert_with(Instant::now);
        state.awaited |= awaited;
        let wake = match state.sleep {
            Sleep::Awake => false,
            Sleep::Short => awaited,
            Sleep::Sound => true,
        };
        if wake {
            state.sleep = Sleep::Awake;
        }
        drop(state);
        if wake {
            self.shared.keeper.notify_one();
        }
        Ok(())
    }

    /// The key that verifies the log's checkpoints.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// How the log does.
    pub fn status(&self) -> Status {
        let state = self.shared.lock();
        Status {
            size: state.size,
            checkpoint_size: state.checkpoint_size,
            waiting: state.waiting.len(),
            trouble: state
                .journal_trouble
                .clone()
                .or_else(|| state.tile_trouble.clone()),
        }
    }
}

impl Drop for AuditLog {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.keeper.notify_one();
        self.shared.sequencer.notify_one();
        for thread in [self.keeper.take(), self.sequencer.take()]
            .into_iter()
            .flatten()
        {
            if thread.join().is_err() {
                tracing::error!("a thread of the audit log had panicked");
            }
        }
    }
}
