//! The journal: usage records are kept once they stand in a file of their own, and go from there into the database many
//! at a time. Whoever hands a record over writes it: its bytes are the kernel's then, and outlive this process. One thread
//! syncs the file, so that they outlive the machine too: before the record is confirmed, or a moment later and for all
//! that were written meanwhile. It knows nothing of the database: whoever writes that takes the backlog and says when it
//! is kept.
//!
//! Where the journal cannot take a record (no room, a failing disk, a database that takes nothing and no room set aside
//! for that), it gives the record back, and the caller writes it into the database itself.

mod desk;
mod file;
mod frame;
#[cfg(test)]
mod tests;

use crate::StoreError;
use crate::settlement::Line;
use desk::Desk;
use file::JournalFile;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Records that may wait for the database: enough to share the cost of its pages, few enough to be moved in a moment.
const BACKLOG_RECORDS_MAX: usize = 1024;
/// How long a record waits for the database at most, while that takes any.
const BACKLOG_WAIT: Duration = Duration::from_millis(500);

/// Who waits for a sync; it is told whether that succeeded.
type Waiter = (Option<Desk>, oneshot::Sender<bool>);

#[derive(Default)]
struct State {
    /// `None` once the journal has ended.
    file: Option<JournalFile>,
    /// Written, and not yet handed to the database; in order.
    backlog: Vec<Line>,
    /// Since when it has not been empty.
    backlog_since: Option<Instant>,
    /// Records written and records that the database has, since the start.
    written: u64,
    moved: u64,
    /// `written` as it was when each half was last written.
    half_ends: [u64; 2],
    /// When the oldest record was written that is not synced.
    unsynced_since: Option<Instant>,
    /// Who waits for the next sync. As many as there are records in the file at most.
    waiting: Vec<Waiter>,
    /// The backlog's taker was asked to come.
    asked: bool,
    /// The database took nothing when it was last tried and there is no spool, or the file failed.
    refusing: bool,
    broken: bool,
    closed: bool,
    /// The thread sleeps and knows of no record to sync.
    idle: bool,
}

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// How long a record may wait for its sync; 0: it is confirmed after that only.
    sync_ms_max: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Called when the backlog should be taken. Whoever takes it does not hold this, so that it hears of the journal's end.
type Ask = Arc<dyn Fn() + Send + Sync>;

/// The hold of those who hand records over. Dropping it syncs what was written and ends the thread.
pub(crate) struct Journal {
    shared: Arc<Shared>,
    ask: Ask,
    thread: Option<JoinHandle<()>>,
}

/// The hold of whoever writes the database.
#[derive(Clone, Default)]
pub(crate) struct Backlog {
    /// `None` where there is no journal.
    shared: Option<Arc<Shared>>,
}

/// How much a journal's file takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JournalSize {
    /// Bytes of each of its two halves.
    pub half_bytes: u64,
    /// Bytes of a half after which the other one is begun, if the database has all of that; at most `half_bytes`. What
    /// a half has beyond that is room for a database that is away: with such room (a spool) the journal goes on taking
    /// records when the database takes none.
    pub turn_bytes: u64,
}

impl JournalSize {
    fn is_spool(self) -> bool {
        self.half_bytes > self.turn_bytes
    }
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
    size: JournalSize,
) -> Result<Option<(Opened, Vec<Line>)>, StoreError> {
    let opened = JournalFile::open(path, size)?;
    Ok(opened.map(|(file, records)| (Opened(file), records)))
}

impl Journal {
    /// Starts the thread. `ask` is called when the backlog should be taken; it must not wait.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(crate) fn start(
        Opened(mut file): Opened,
        ask: impl Fn() + Send + Sync + 'static,
    ) -> Result<(Self, Backlog), StoreError> {
        let failed =
            |e: std::io::Error| StoreError::Unavailable(format!("cannot set up the journal: {e}"));
        file.begin().map_err(failed)?;
        let handle = file.handle();
        Self::run((file, handle), Arc::new(ask)).map_err(failed)
    }

    /// Starts the thread, which syncs by the handle.
    fn run((file, handle): (JournalFile, Arc<File>), ask: Ask) -> std::io::Result<(Self, Backlog)> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                file: Some(file),
                ..State::default()
            }),
            wake: Condvar::new(),
            sync_ms_max: AtomicU64::new(0),
        });
        let syncer = Syncer {
            shared: shared.clone(),
            ask: ask.clone(),
            file: handle,
        };
        let thread = Builder::new()
            .name("store-journal".into())
            .spawn(move || syncer.run())?;
        let backlog = Backlog {
            shared: Some(shared.clone()),
        };
        let journal = Self {
            shared,
            ask,
            thread: Some(thread),
        };
        Ok((journal, backlog))
    }

    /// How long a record may be the kernel's alone; 0: each is confirmed once it is synced.
    pub(crate) fn sync_ms_max_set(&self, ms_max: u64) {
        self.shared.sync_ms_max.store(ms_max, Ordering::Relaxed);
    }

    /// Writes a record.
    ///
    /// # Errors
    /// [`StoreError::Invalid`].
    pub(crate) fn append(&self, line: Line) -> Result<Appended, StoreError> {
        let mut frame = frame::encode(&line)?;
        let at_once = self.shared.sync_ms_max.load(Ordering::Relaxed) == 0;
        let desk = if at_once { Desk::here() } else { None };
        let mut state = self.shared.lock();
        // Under the lock: what is read after a crash ends at the first frame that is missing.
        match state.write(&mut frame) {
            Ok(true) => {}
            Ok(false) => return Ok(Appended::Refused(line)),
            Err(error) => {
                state.fail(&error, &self.ask);
                return Ok(Appended::Refused(line));
            }
        }
        state.backlog.push(line);
        if state.backlog.len() >= BACKLOG_RECORDS_MAX {
            state.ask_once(&self.ask);
        }
        if state.unsynced_since.is_none() || state.backlog_since.is_none() {
            let now = Instant::now();
            state.unsynced_since.get_or_insert(now);
            state.backlog_since.get_or_insert(now);
        }
        let answer = at_once.then(|| {
            let (reply, answer) = oneshot::channel();
            state.waiting.push((desk, reply));
            answer
        });
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        if idle {
            self.shared.wake.notify_one();
        }
        Ok(answer.map_or(Appended::Kept, Appended::Waits))
    }

    /// Whether the database lacks something that was confirmed.
    pub(crate) fn has_backlog(&self) -> bool {
        self.backlog_count() > 0
    }

    /// How many lines that were written the database lacks.
    pub(crate) fn backlog_count(&self) -> u64 {
        let state = self.shared.lock();
        state.written.saturating_sub(state.moved)
    }
}

impl State {
    /// Writes a frame, in the other half if need be; `false` where the journal takes nothing.
    fn write(&mut self, frame: &mut [u8]) -> std::io::Result<bool> {
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        if self.refusing || self.broken {
            return Ok(false);
        }
        let bytes = u64::try_from(frame.len()).unwrap_or(u64::MAX);
        // The other half's records must be in the database before they are written over.
        if file.is_turn(bytes) && self.half_ends[1 - file.half] <= self.moved {
            file.turn()?;
        }
        if !file.has_room(bytes) {
            return Ok(false);
        }
        file.write(frame)?;
        self.written += 1;
        self.half_ends[file.half] = self.written;
        Ok(true)
    }

    /// Asks for the backlog to be taken, once until it is.
    fn ask_once(&mut self, ask: &Ask) {
        if !std::mem::replace(&mut self.asked, true) {
            ask();
        }
    }

    /// Nothing is known of the file any more: nothing more is put there, and what it holds is to be elsewhere soon.
    fn fail(&mut self, error: &std::io::Error, ask: &Ask) {
        tracing::error!(%error, "the journal fails: records go straight into the database until the next start");
        self.broken = true;
        self.ask_once(ask);
    }
}

/// What [`Journal::append`] did.
pub(crate) enum Appended {
    /// The record stands in the file and is synced in time.
    Kept,
    /// It stands there, and it will be told whether it is synced.
    Waits(oneshot::Receiver<bool>),
    /// The journal takes nothing at the moment.
    Refused(Line),
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
    /// All that the database lacks, in the order in which it was written. One of [`Backlog::moved`] and
    /// [`Backlog::put_back`] must follow.
    pub(crate) fn take(&self) -> Vec<Line> {
        let Some(shared) = &self.shared else {
            return Vec::new();
        };
        let mut state = shared.lock();
        state.asked = false;
        state.backlog_since = None;
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
    pub(crate) fn put_back(&self, mut records: Vec<Line>) {
        if let Some(shared) = &self.shared {
            let mut state = shared.lock();
            records.append(&mut state.backlog);
            state.backlog = records;
            state.backlog_since = Some(Instant::now());
            let spools = state
                .file
                .as_ref()
                .is_some_and(|file| file.size().is_spool());
            state.refusing = !spools;
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
        let whole = state.written == state.moved;
        if let Some(file) = state.file.take().filter(|_| whole)
            && let Err(error) = file.remove()
        {
            tracing::warn!(%error, "the empty journal cannot be removed");
        }
    }
}

/// The thread's own.
struct Syncer {
    shared: Arc<Shared>,
    ask: Ask,
    file: Arc<File>,
}

impl Syncer {
    fn run(self) {
        // Whether more than one waited for the last sync.
        let mut many = false;
        while self.wait() {
            if many {
                // Under load whoever is about to hand a record over goes first, and shares the sync; where a processor
                // is free this costs nothing.
                std::thread::yield_now();
            }
            many = self.sync() > 1;
        }
    }

    /// Waits until a sync is due; `false` once none will be. Asks for the backlog to be taken when it is time.
    fn wait(&self) -> bool {
        let shared = &*self.shared;
        let mut state = shared.lock();
        loop {
            let now = Instant::now();
            let backlog_due = state.backlog_since.filter(|_| !state.asked);
            let backlog_due = backlog_due.map(|since| since + BACKLOG_WAIT);
            if backlog_due.is_some_and(|due| due <= now) {
                state.ask_once(&self.ask);
                continue;
            }
            let wait = Duration::from_millis(shared.sync_ms_max.load(Ordering::Relaxed));
            let sync_due = state.unsynced_since.map(|since| since + wait);
            let now_due = sync_due.is_some_and(|due| due <= now) || !state.waiting.is_empty();
            if now_due || state.closed {
                return sync_due.is_some();
            }
            state.idle = sync_due.is_none();
            let due = [sync_due, backlog_due].into_iter().flatten().min();
            state = match due {
                Some(due) => {
                    let woken = shared.wake.wait_timeout(state, due - now);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let woken = shared.wake.wait(state);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
            };
            state.idle = false;
        }
    }

    /// Syncs all that is written; returns how many waited for it.
    fn sync(&self) -> usize {
        let mut state = self.shared.lock();
        state.unsynced_since = None;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        let synced = self.file.sync_data();
        if let Err(error) = &synced {
            self.shared.lock().fail(error, &self.ask);
        }
        let count = waiting.len();
        desk::answer(waiting.into_iter(), synced.is_ok());
        count
    }
}
