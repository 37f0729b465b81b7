//! The journal: usage records are confirmed once they stand, synced, in a file of their own, and go from there into the
//! database many at a time. One thread writes it. It knows nothing of the database: whoever writes that takes the
//! backlog and says when it is kept.
//!
//! Where the journal cannot take a record (no room, a failing disk, a database that takes nothing), it gives the record
//! back, and the caller writes it into the database itself.

mod desk;
mod file;
mod frame;
#[cfg(test)]
mod tests;

use crate::StoreError;
use desk::Desk;
use file::JournalFile;
use madang_types::UsageRecord;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Records that may wait for the database: enough to share the cost of its pages, few enough to be moved in a moment.
const BACKLOG_RECORDS_MAX: usize = 1024;
/// How long a record waits for the database at most, while that takes any.
const BACKLOG_WAIT: Duration = Duration::from_millis(500);

/// What became of a record that was handed over.
pub(crate) enum Kept {
    /// It is on disk.
    Here,
    /// The journal cannot take it.
    Elsewhere(Box<UsageRecord>),
}

/// A record and who waits for it.
struct Entry {
    frame: Vec<u8>,
    record: Box<UsageRecord>,
    reply: oneshot::Sender<Kept>,
    desk: Option<Desk>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Entry>,
    /// Confirmed, and not yet handed to the database; in order.
    backlog: Vec<UsageRecord>,
    /// Records confirmed and records that the database has, since the start.
    confirmed: u64,
    moved: u64,
    /// `confirmed` as it was when each half was last written.
    half_ends: [u64; 2],
    /// The backlog's taker was asked to come.
    asked: bool,
    /// The database took nothing when it was last tried, or the file failed.
    refusing: bool,
    broken: bool,
    closed: bool,
    /// The thread sleeps.
    idle: bool,
    /// Left here by the thread at its end.
    file: Option<JournalFile>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hold of those who hand records over. Dropping it writes what waits and ends the thread.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// The hold of whoever writes the database.
#[derive(Clone, Default)]
pub(crate) struct Backlog {
    /// `None` where there is no journal.
    shared: Option<Arc<Shared>>,
}

/// A journal's file whose old records were read.
pub(crate) struct Opened(JournalFile);

/// Where the journal of a database stands.
pub(crate) fn path_of(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-records");
    name.into()
}

/// Opens the file and gives the records that an earlier process left in it. They must be in the database before
/// [`Journal::start`]. `None` where another store has the journal.
///
/// # Errors
/// [`StoreError::Unavailable`], [`StoreError::Damaged`].
pub(crate) fn open(
    path: &Path,
    half_bytes: u64,
) -> Result<Option<(Opened, Vec<UsageRecord>)>, StoreError> {
    let opened = JournalFile::open(path, half_bytes)?;
    Ok(opened.map(|(file, records)| (Opened(file), records)))
}

impl Journal {
    /// Starts the thread. `ask` is called when the backlog should be taken; it must not wait.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) fn start(
        Opened(mut file): Opened,
        ask: impl Fn() + Send + 'static,
    ) -> Result<(Self, Backlog), StoreError> {
        let failed =
            |e: std::io::Error| StoreError::Unavailable(format!("cannot set up the journal: {e}"));
        file.begin().map_err(failed)?;
        let shared = Arc::<Shared>::default();
        let keeper = Keeper {
            shared: shared.clone(),
            frames: Vec::new(),
            file,
        };
        let thread = Builder::new()
            .name("store-journal".into())
            .spawn(move || keeper.run(&ask))
            .map_err(failed)?;
        let backlog = Backlog {
            shared: Some(shared.clone()),
        };
        let thread = Some(thread);
        Ok((Self { shared, thread }, backlog))
    }

    /// Hands a record over; the answer comes once it is on disk.
    ///
    /// # Errors
    /// [`StoreError::Invalid`].
    pub(crate) fn append(&self, record: Box<UsageRecord>) -> Result<Appended, StoreError> {
        let frame = frame::encode(&record)?;
        let desk = Desk::here();
        let mut state = self.shared.lock();
        if state.refusing || state.broken {
            return Ok(Appended::Refused(record));
        }
        let (reply, answer) = oneshot::channel();
        state.waiting.push(Entry {
            frame,
            record,
            reply,
            desk,
        });
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.shared.wake.notify_one();
        }
        Ok(Appended::Waits(answer))
    }

    /// Whether the database lacks something that was confirmed.
    pub(crate) fn has_backlog(&self) -> bool {
        let state = self.shared.lock();
        state.confirmed != state.moved
    }
}

/// What [`Journal::append`] did.
pub(crate) enum Appended {
    /// The answer will come.
    Waits(oneshot::Receiver<Kept>),
    /// The journal takes nothing at the moment.
    Refused(Box<UsageRecord>),
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's thread had panicked");
        }
    }
}

impl Backlog {
    /// All that the database lacks, in the order in which it was confirmed. One of [`Backlog::moved`] and
    /// [`Backlog::put_back`] must follow.
    pub(crate) fn take(&self) -> Vec<UsageRecord> {
        let Some(shared) = &self.shared else {
            return Vec::new();
        };
        let mut state = shared.lock();
        state.asked = false;
        std::mem::take(&mut state.backlog)
    }

    /// The database has so many more of them, durably.
    pub(crate) fn moved(&self, count: usize) {
        if let Some(shared) = &self.shared {
            let mut state = shared.lock();
            state.moved += u64::try_from(count).unwrap_or(u64::MAX);
            state.refusing = false;
        }
    }

    /// The database took none of them.
    pub(crate) fn put_back(&self, mut records: Vec<UsageRecord>) {
        if let Some(shared) = &self.shared {
            let mut state = shared.lock();
            records.append(&mut state.backlog);
            state.backlog = records;
            state.refusing = true;
        }
    }
}

impl Backlog {
    /// Removes the file of a journal that has ended, where the database has all of it. To be called last.
    pub(crate) fn close(&self) {
        let Some(shared) = &self.shared else {
            return;
        };
        let mut state = shared.lock();
        let whole = state.confirmed == state.moved;
        if let Some(file) = state.file.take().filter(|_| whole)
            && let Err(error) = file.remove()
        {
            tracing::warn!(%error, "the empty journal cannot be removed");
        }
    }
}

/// The thread's own.
struct Keeper {
    shared: Arc<Shared>,
    /// Reused from batch to batch.
    frames: Vec<u8>,
    file: JournalFile,
}

impl Keeper {
    fn run(mut self, ask: &dyn Fn()) {
        let mut batch = Vec::new();
        let mut due = None;
        // Whether the last sync was for more than one record.
        let mut shared = false;
        loop {
            if !self.wait(&mut batch, &mut due, ask) {
                break;
            }
            if shared {
                // Under load whoever is about to hand a record over goes first, and the batch grows; where a processor
                // is free this costs nothing.
                std::thread::yield_now();
                batch.append(&mut self.shared.lock().waiting);
            }
            shared = batch.len() > 1;
            self.serve(&mut batch);
        }
        let ended = self.shared.clone();
        ended.lock().file = Some(self.file);
    }

    /// Waits for a batch; `false` once there will be none. Asks for the backlog to be taken when it is time.
    fn wait(&self, batch: &mut Vec<Entry>, due: &mut Option<Instant>, ask: &dyn Fn()) -> bool {
        let mut state = self.shared.lock();
        loop {
            let left = (!state.backlog.is_empty() && !state.asked)
                .then(|| *due.get_or_insert_with(|| Instant::now() + BACKLOG_WAIT));
            let late = left.is_some_and(|due| due <= Instant::now());
            if late || (left.is_some() && state.backlog.len() >= BACKLOG_RECORDS_MAX) {
                state.asked = true;
                *due = None;
                ask();
            }
            if !state.waiting.is_empty() {
                std::mem::swap(&mut state.waiting, batch);
                return true;
            }
            if state.closed {
                return false;
            }
            state.idle = true;
            let wake = &self.shared.wake;
            state = match left.filter(|_| !state.asked) {
                Some(due) => {
                    let wait = due.saturating_duration_since(Instant::now());
                    let woken = wake.wait_timeout(state, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.idle = false;
        }
    }

    /// Writes a batch with one sync and answers it.
    fn serve(&mut self, batch: &mut Vec<Entry>) {
        let kept = match self.make_room(batch) {
            true => self.write(batch),
            false => false,
        };
        if !kept {
            let given_back =
                |entry: Entry| (entry.desk, (entry.reply, Kept::Elsewhere(entry.record)));
            return desk::answer(batch.drain(..).map(given_back));
        }
        let mut answers = Vec::with_capacity(batch.len());
        let mut state = self.shared.lock();
        for entry in batch.drain(..) {
            state.backlog.push(*entry.record);
            state.confirmed += 1;
            answers.push((entry.desk, (entry.reply, Kept::Here)));
        }
        state.half_ends[self.file.half] = state.confirmed;
        drop(state);
        desk::answer(answers.into_iter());
    }

    /// Whether the file has room for the batch, in the other half if need be.
    fn make_room(&mut self, batch: &[Entry]) -> bool {
        let bytes: usize = batch.iter().map(|entry| entry.frame.len()).sum();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if bytes <= self.file.room() {
            return true;
        }
        let state = self.shared.lock();
        let free = !state.broken && state.half_ends[1 - self.file.half] <= state.moved;
        drop(state);
        free && bytes <= self.file.half_bytes() && self.file.turn().is_ok()
    }

    fn write(&mut self, batch: &mut [Entry]) -> bool {
        self.frames.clear();
        for entry in batch {
            self.file.seal(&mut entry.frame);
            self.frames.extend_from_slice(&entry.frame);
        }
        let written = self.file.write(&self.frames);
        if let Err(error) = &written {
            // After a failed sync nothing is known of the file, so nothing more is put there.
            tracing::error!(%error, "the journal fails: records go straight into the database until the next start");
            self.shared.lock().broken = true;
        }
        written.is_ok()
    }
}
