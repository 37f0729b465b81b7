//! The books in one SQLite file. One thread writes in batches, two read; callers only queue and wait.
//!
//! Usage records are kept by the journal beside the file and moved into the file many at a time; a read of them
//! has the backlog moved first, so that it sees all that was confirmed.
//!
//! The caller sees to it that one program at a time serves a data folder. A second one on the same file is still safe:
//! SQLite's locks keep the file whole, and a lock that is held too long reads as [`StoreError::Unavailable`].

mod bank;
mod busy;
mod connect;
mod convert;
mod energy;
mod extract;
mod jobs;
mod ledger;
mod migrate;
mod people;
mod power;
mod reader;
mod secrets;
mod settle;
mod stops;
#[cfg(test)]
mod tests;
mod usage;
mod writer;

use crate::count;
use crate::journal::{self, Appended, Backlog, Journal, JournalSize};
use crate::settlement::Line;
use crate::{Settlement, Store, StoreError, UsageFilter, UsageGroup, UsageSum};
pub use ledger::SqliteLedger;

use async_trait::async_trait;
use connect::Settings;
use madang_ledger::report::Extract;
use madang_types::{
    KeyId, KeyRecord, Micros, Programme, ProgrammeId, Project, ProjectId, RequestId, Stop,
    StopScope, Tenant, TenantId, UsageRecord,
};
use reader::Reader;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use writer::{Job, Write, Writer, Written};

/// Writes that may wait, in all: about 8 MiB of records, and at 5000 a second less than two seconds.
pub const QUEUE_WRITES_MAX: usize = 8192;
/// Writes that one transaction takes at most: enough to share the cost of a sync, few enough to answer soon.
pub const BATCH_WRITES_MAX: usize = 512;
/// Bytes of each of the journal's two halves: about 1,700 records.
pub const JOURNAL_HALF_BYTES: u64 = 1 << 20;
/// How long a write waits for room in the queue.
pub const QUEUE_WAIT_MS_MAX: u64 = 5_000;
/// How long a queued write waits to be confirmed.
pub const CONFIRM_WAIT_MS_MAX: u64 = 30_000;
/// How long a read waits for its answer, its time in the queue included.
pub const READ_WAIT_MS_MAX: u64 = 30_000;
/// How long another program's lock on the file is waited for.
pub const BUSY_WAIT_MS_MAX: u64 = 5_000;

/// The limits of a [`SqliteStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// See [`QUEUE_WRITES_MAX`]; at least 1.
    pub queue_writes_max: usize,
    /// See [`BATCH_WRITES_MAX`]; at least 1.
    pub batch_writes_max: usize,
    /// See [`JOURNAL_HALF_BYTES`]; 0 for no journal: each record then waits for its transaction.
    pub journal_half_bytes: u64,
    /// See [`QUEUE_WAIT_MS_MAX`].
    pub queue_wait_ms_max: u64,
    /// See [`CONFIRM_WAIT_MS_MAX`].
    pub confirm_wait_ms_max: u64,
    /// See [`READ_WAIT_MS_MAX`].
    pub read_wait_ms_max: u64,
    /// See [`BUSY_WAIT_MS_MAX`]; at most [`i32::MAX`].
    pub busy_wait_ms_max: u64,
    /// Holds the file at so many pages of 4096 bytes; `None` leaves it to the disk.
    pub file_pages_max: Option<u32>,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            queue_writes_max: QUEUE_WRITES_MAX,
            batch_writes_max: BATCH_WRITES_MAX,
            journal_half_bytes: JOURNAL_HALF_BYTES,
            queue_wait_ms_max: QUEUE_WAIT_MS_MAX,
            confirm_wait_ms_max: CONFIRM_WAIT_MS_MAX,
            read_wait_ms_max: READ_WAIT_MS_MAX,
            busy_wait_ms_max: BUSY_WAIT_MS_MAX,
            file_pages_max: None,
        }
    }
}

/// The books in one SQLite file. Dropping it writes what is queued and ends its threads (blocking until then).
pub struct SqliteStore {
    // In order of dropping: the journal ends before the writer takes its last backlog, and the writer's connection
    // closes last and so leaves one file, without a log beside it.
    lookups: Reader,
    reports: Reader,
    /// `None` where another store has it, or none is wanted.
    journal: Option<Journal>,
    writer: WriterHandle,
    path: PathBuf,
    queue_wait_max: Duration,
    confirm_wait_max: Duration,
}

/// Owns the writer's thread.
struct WriterHandle {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the store had panicked");
        }
    }
}

impl SqliteStore {
    /// Opens the file at `path`, made (mode 0600) where it does not exist; its folder must exist. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the file cannot be opened or written, is another program's database or was
    /// written by a newer Madang; [`StoreError::Damaged`] where it is no sound database.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, &SqliteOptions::default())
    }

    /// Like [`SqliteStore::open`], with other limits.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_with(path: &Path, options: &SqliteOptions) -> Result<Self, StoreError> {
        // Absolute: SQLite gives some relative names (":memory:") another meaning.
        let path = std::path::absolute(path)
            .map_err(|e| StoreError::Unavailable(format!("cannot open {}: {e}", path.display())))?;
        let settings = Settings {
            busy_wait_ms_max: options.busy_wait_ms_max.min(i32::MAX.unsigned_abs().into()),
            file_pages_max: options.file_pages_max,
        };
        let mut conn = connect::open(&path, settings)?;
        let opened = open_journal(&path, options, &mut conn)?;
        let read_wait_max = Duration::from_millis(options.read_wait_ms_max);
        let reader = |name| {
            let conn = connect::open_reader(&path, settings)?;
            Reader::start(name, conn, read_wait_max)
        };
        let lookups = reader("store-lookups")?;
        let reports = reader("store-reports")?;
        let queue_writes_max = options.queue_writes_max.max(1);
        let (queue, jobs) = mpsc::channel(queue_writes_max);
        let (journal, backlog) = match opened {
            Some(opened) => {
                let (journal, backlog) = Journal::start(opened, ask_writer(queue.clone()))?;
                (Some(journal), backlog)
            }
            None => (None, Backlog::default()),
        };
        let writer = Writer {
            path: path.clone(),
            settings,
            conn: Some(conn),
            batch_max: options.batch_writes_max.max(1),
            backlog,
        };
        Ok(Self {
            lookups,
            reports,
            journal,
            writer: WriterHandle::start(writer, (queue, jobs))?,
            path,
            queue_wait_max: Duration::from_millis(options.queue_wait_ms_max),
            confirm_wait_max: Duration::from_millis(options.confirm_wait_ms_max),
        })
    }

    /// Holds the file at so many pages of 4096 bytes from now on; `None` leaves it to the disk. Writes that need more
    /// are [`StoreError::Unavailable`] until the limit is raised.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn file_pages_limit(&self, pages_max: Option<u32>) -> Result<(), StoreError> {
        self.write(Write::FilePagesMax(pages_max)).await.map(drop)
    }

    async fn write(&self, write: Write) -> Result<Written, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = self.writer.queue.as_ref().ok_or_else(stopped)?;
        let room = timeout(self.queue_wait_max, queue.reserve())
            .await
            .map_err(|_| {
                StoreError::Unavailable(format!(
                    "{} writes wait and none was taken within {} s",
                    queue.max_capacity(),
                    self.queue_wait_max.as_secs_f64()
                ))
            })?;
        room.map_err(|_| stopped())?.send(Job { write, reply });
        self.confirmation(answer).await?
    }

    fn append(&self, line: Line) -> Result<Appended, StoreError> {
        match &self.journal {
            Some(journal) => journal.append(line),
            None => Ok(Appended::Refused(line)),
        }
    }

    async fn stop_write(&self, write: Write) -> Result<Stop, StoreError> {
        match self.write(write).await? {
            Written::Stop(stop) => Ok(*stop),
            _ => Err(StoreError::Damaged("the write gave no stop back".into())),
        }
    }

    async fn confirmation<T>(&self, answer: oneshot::Receiver<T>) -> Result<T, StoreError> {
        let answer = timeout(self.confirm_wait_max, answer).await.map_err(|_| {
            StoreError::Unavailable(format!(
                "the write was not confirmed within {} s and may still happen",
                self.confirm_wait_max.as_secs_f64()
            ))
        })?;
        answer.map_err(|_| stopped())
    }

    /// Sees to it that a read of usage finds all that was confirmed.
    async fn settle(&self) -> Result<(), StoreError> {
        match &self.journal {
            Some(journal) if journal.has_backlog() => self.write(Write::Backlog).await.map(drop),
            _ => Ok(()),
        }
    }
}

/// Opens the journal and moves what an earlier process left in it.
fn open_journal(
    path: &Path,
    options: &SqliteOptions,
    conn: &mut Connection,
) -> Result<Option<journal::Opened>, StoreError> {
    if options.journal_half_bytes == 0 {
        return Ok(None);
    }
    // No spool: the database is on the same disk, and a writer is better told what ails it than kept waiting.
    let size = JournalSize {
        half_bytes: options.journal_half_bytes,
        turn_bytes: options.journal_half_bytes,
    };
    let opened = journal::open(&journal::path_of(path), size)?;
    let Some((opened, records)) = opened else {
        tracing::warn!(
            "another program has the journal of these books: records go straight into the database"
        );
        return Ok(None);
    };
    writer::replay(conn, &records)?;
    Ok(Some(opened))
}

/// Asks the writer for a transaction. Where its queue is full one comes anyway.
fn ask_writer(queue: mpsc::Sender<Job>) -> impl Fn() + Send + Sync + 'static {
    move || {
        let (reply, _) = oneshot::channel();
        let write = Write::Backlog;
        drop(queue.try_send(Job { write, reply }));
    }
}

impl WriterHandle {
    fn start(
        writer: Writer,
        (queue, jobs): (mpsc::Sender<Job>, mpsc::Receiver<Job>),
    ) -> Result<Self, StoreError> {
        let thread = Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(jobs))
            .map_err(|e| {
                StoreError::Unavailable(format!("cannot start the thread store-writer: {e}"))
            })?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer of the store has stopped".into())
}

#[async_trait]
impl Store for SqliteStore {
    async fn usage_settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        count::check(&settlement.record)?;
        match self.append(Line::Settled(Box::new(settlement)))? {
            Appended::Kept => Ok(()),
            Appended::Waits(answer) => match self.confirmation(answer).await? {
                true => Ok(()),
                // The sync failed: what was written goes into the database now.
                false => self.write(Write::Backlog).await.map(drop),
            },
            Appended::Refused(line) => self.write(Write::Line(line)).await.map(drop),
        }
    }

    async fn usage_draft(&self, drafts: Vec<Settlement>) -> Result<(), StoreError> {
        for draft in drafts {
            count::check(&draft.record)?;
            let draft = Box::new(draft);
            // It need not outlive the machine: nobody was told of it.
            if let Appended::Refused(line) = self.append(Line::Draft { draft })? {
                self.write(Write::Line(line)).await?;
            }
        }
        Ok(())
    }

    fn usage_sync_ms_max_set(&self, ms_max: u64) {
        if let Some(journal) = &self.journal {
            journal.sync_ms_max_set(ms_max);
        }
    }

    async fn usage_get(&self, id: RequestId) -> Result<Option<UsageRecord>, StoreError> {
        self.settle().await?;
        self.lookups.read(move |conn| usage::get(conn, id)).await
    }

    async fn usage_list(
        &self,
        filter: UsageFilter,
        before: Option<RequestId>,
        count_max: u32,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        self.settle().await?;
        self.reports
            .read(move |conn| usage::list(conn, &filter, before, count_max))
            .await
    }

    async fn usage_sum(
        &self,
        filter: UsageFilter,
        group: UsageGroup,
    ) -> Result<Vec<UsageSum>, StoreError> {
        self.settle().await?;
        self.reports
            .read(move |conn| usage::sum(conn, &filter, group))
            .await
    }

    async fn usage_extract(
        &self,
        filter: UsageFilter,
        offset_s: i32,
    ) -> Result<Extract, StoreError> {
        self.settle().await?;
        self.reports
            .read(move |conn| extract::extract(conn, &filter, offset_s))
            .await
    }

    async fn programme_put(&self, programme: Programme) -> Result<(), StoreError> {
        self.write(Write::Programme(Box::new(programme)))
            .await
            .map(drop)
    }

    async fn programme_list(&self) -> Result<Vec<Programme>, StoreError> {
        self.lookups
            .read(|conn| people::programmes(conn, None))
            .await
    }

    async fn programme_get(&self, id: ProgrammeId) -> Result<Option<Programme>, StoreError> {
        let found = self
            .lookups
            .read(move |conn| people::programmes(conn, Some(&id)))
            .await?;
        Ok(found.into_iter().next())
    }

    async fn tenant_put(&self, tenant: Tenant) -> Result<(), StoreError> {
        self.write(Write::Tenant(Box::new(tenant))).await.map(drop)
    }

    async fn tenant_list(&self) -> Result<Vec<Tenant>, StoreError> {
        self.lookups.read(|conn| people::tenants(conn, None)).await
    }

    async fn tenant_get(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        let found = self
            .lookups
            .read(move |conn| people::tenants(conn, Some(&id)))
            .await?;
        Ok(found.into_iter().next())
    }

    async fn project_put(&self, project: Project) -> Result<(), StoreError> {
        let write = Write::Project(Box::new(project));
        self.write(write).await.map(drop)
    }

    async fn project_list(&self, tenant: Option<TenantId>) -> Result<Vec<Project>, StoreError> {
        self.lookups
            .read(move |conn| people::projects(conn, tenant.as_ref()))
            .await
    }

    async fn project_get(
        &self,
        tenant: TenantId,
        id: ProjectId,
    ) -> Result<Option<Project>, StoreError> {
        self.lookups
            .read(move |conn| people::project_get(conn, (&tenant, &id)))
            .await
    }

    async fn key_insert(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.write(Write::KeyInsert(Box::new(key))).await.map(drop)
    }

    async fn key_put(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.write(Write::KeyPut(Box::new(key))).await.map(drop)
    }

    async fn key_list(&self, tenant: Option<TenantId>) -> Result<Vec<KeyRecord>, StoreError> {
        self.lookups
            .read(move |conn| people::keys(conn, tenant.as_ref()))
            .await
    }

    async fn key_get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.lookups
            .read(move |conn| people::key_get(conn, &id))
            .await
    }

    async fn key_revoke(&self, id: KeyId, at: Micros) -> Result<KeyRecord, StoreError> {
        match self.write(Write::KeyRevoke(id, at)).await? {
            Written::Key(key) => Ok(*key),
            _ => Err(StoreError::Damaged(
                "the revocation gave no key back".into(),
            )),
        }
    }

    async fn stop_put(&self, stop: Stop) -> Result<Stop, StoreError> {
        self.stop_write(Write::StopPut(Box::new(stop))).await
    }

    async fn stop_list(&self) -> Result<Vec<Stop>, StoreError> {
        self.lookups.read(|conn| stops::stops(conn, None)).await
    }

    async fn stop_delete(&self, scope: StopScope) -> Result<Stop, StoreError> {
        self.stop_write(Write::StopDelete(scope)).await
    }
}
