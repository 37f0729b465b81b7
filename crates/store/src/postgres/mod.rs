//! The books in PostgreSQL, for many gateways on one set of books.
//!
//! Usage records are kept by a journal on this machine's disk and moved into the database many at a time, so that a
//! request waits for no server, and a server that is away for a while holds nothing up: the journal is then the spool. A
//! read of usage has this gateway's backlog moved first, so that it sees all that this gateway has confirmed; what
//! another one confirmed is there within its half second.
//!
//! All connections live in one runtime of the store's own, so that they outlast whichever runtime first asked for them.

mod bank;
mod busy;
mod connect;
mod energy;
mod extract;
mod jobs;
mod ledger;
mod migrate;
mod open;
mod people;
mod power;
mod rates;
mod row;
mod secrets;
mod settle;
mod stops;
mod url;
mod usage;
mod writer;

pub use url::{PostgresUrl, PostgresUrlError};

use crate::journal::{Appended, Journal};
use crate::settlement::Line;
use crate::{Settlement, Store, StoreError, UsageFilter, UsageGroup, UsageSum};
use async_trait::async_trait;
use bank::Question;
use connect::{Asked, Pool};
use deadpool_postgres::Object;
use madang_ledger::report::Extract;
use madang_types::{
    GatewayId, KeyId, KeyRecord, Micros, Programme, ProgrammeId, Project, ProjectId, RequestId,
    Stop, StopScope, Tenant, TenantId, UsageRecord,
};
use open::{Opened, serve};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use writer::{Job, Write};

/// Records that may wait for the database where the journal takes none.
pub const QUEUE_WRITES_MAX: usize = 8192;
/// How long making a connection may take.
pub const CONNECT_WAIT_MS_MAX: u64 = 5_000;
/// How long one statement may take.
pub const STATEMENT_WAIT_MS_MAX: u64 = 30_000;
/// How long a write waits to be confirmed, its time in the queue included.
pub const CONFIRM_WAIT_MS_MAX: u64 = 30_000;
/// How long the bank's transaction may take; a gateway that starts waits as long as for any statement.
pub const BANK_WAIT_MS_MAX: u64 = 5_000;
/// Questions to the bank that may wait.
const QUEUE_QUESTIONS_MAX: usize = 1024;
/// Bytes of usage records that may wait on the disk while the database is away: about 400,000 records.
pub const SPOOL_BYTES_MAX: u64 = 256 << 20;
/// Bytes of the journal that are in use while the database takes what it is given.
const TURN_BYTES: u64 = 1 << 20;
/// Lines that wait for the database beyond which nothing more is kept of requests under way.
const DRAFTS_BACKLOG_MAX: u64 = 65_536;
/// Lists and sums that run at once: fewer than there are connections, so that they never hold up the check of a key.
const REPORTS_MAX: usize = 4;

/// The limits of a [`PostgresStore`], and what it has on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Whose books these are, among the gateways that share them: what an earlier process of that name had under way is settled.
    /// `None` for who serves nothing: nothing is kept of requests under way.
    pub gateway: Option<GatewayId>,
    /// Whether the schema is brought up to this program. Whoever only reads leaves it, and is refused where it is another.
    pub migrates: bool,
    /// The journal's file; `None` for no journal: each record then waits for its transaction.
    pub journal: Option<PathBuf>,
    /// See [`SPOOL_BYTES_MAX`]. The file is set out for twice as many, and takes them from the disk where it needs them.
    pub spool_bytes_max: u64,
    /// A file in the form of `.pgpass`, for a URL that has neither a password nor a file of its own.
    pub password_file: Option<PathBuf>,
    /// See [`CONNECT_WAIT_MS_MAX`].
    pub connect_wait_ms_max: u64,
    /// See [`STATEMENT_WAIT_MS_MAX`]; at most [`i32::MAX`].
    pub statement_wait_ms_max: u64,
    /// See [`CONFIRM_WAIT_MS_MAX`].
    pub confirm_wait_ms_max: u64,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            gateway: None,
            migrates: true,
            journal: None,
            spool_bytes_max: SPOOL_BYTES_MAX,
            password_file: None,
            connect_wait_ms_max: CONNECT_WAIT_MS_MAX,
            statement_wait_ms_max: STATEMENT_WAIT_MS_MAX,
            confirm_wait_ms_max: CONFIRM_WAIT_MS_MAX,
        }
    }
}

/// The books in PostgreSQL. Dropping it moves what the journal holds, where the database takes it, and ends its threads
/// (blocking until then).
pub struct PostgresStore {
    /// Dropped first: it ends before the writer takes its last backlog. `None` where another store has it, or none is
    /// wanted.
    journal: Option<Journal>,
    server: Server,
    confirm_wait_max: Duration,
}

/// The hold of the runtime that all connections live in.
struct Server {
    runtime: Handle,
    pool: Pool,
    reports: Arc<Semaphore>,
    queue: Option<mpsc::Sender<Job>>,
    questions: Option<mpsc::Sender<Question>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Has something done where the connections live, and waits for it.
    async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.runtime.spawn(work).await.map_err(|_| stopped())?
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.queue = None;
        self.questions = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the store had panicked");
        }
    }
}

impl PostgresStore {
    /// Connects, brings the schema `madang` up to this program, and delivers what the journal was left with. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where the database cannot be reached, entered or written, or was written by a newer
    /// Madang; the text says what to do.
    pub fn open(url: &PostgresUrl, options: &PostgresOptions) -> Result<Self, StoreError> {
        let (tell, told) = std::sync::mpsc::channel();
        let asked = (url.clone(), options.clone());
        let thread = Builder::new()
            .name("store-postgres".into())
            .spawn(move || serve(&asked, tell))
            .map_err(|e| {
                StoreError::Unavailable(format!("cannot start the thread store-postgres: {e}"))
            })?;
        let Opened {
            runtime,
            pool,
            journal,
            queue,
            questions,
        } = told.recv().map_err(|_| stopped())??;
        Ok(Self {
            journal,
            server: Server {
                runtime,
                pool,
                reports: Arc::new(Semaphore::new(REPORTS_MAX)),
                queue: Some(queue),
                questions: Some(questions),
                thread: Some(thread),
            },
            confirm_wait_max: Duration::from_millis(options.confirm_wait_ms_max),
        })
    }

    /// Has the writer do something and waits until it is done.
    async fn write(&self, write: Write) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = self.server.queue.as_ref().ok_or_else(stopped)?;
        let written = async {
            let queued = queue.send(Job { write, reply }).await;
            queued.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        timeout(self.confirm_wait_max, written)
            .await
            .unwrap_or_else(|_| Err(self.unconfirmed()))
    }

    fn unconfirmed(&self) -> StoreError {
        StoreError::Unavailable(format!(
            "the write was not confirmed within {} s and may still happen",
            self.confirm_wait_max.as_secs_f64()
        ))
    }

    /// Has the journal take a line, where there is one.
    fn journaled(&self, line: Line) -> Result<Appended, StoreError> {
        match &self.journal {
            Some(journal) => journal.append(line),
            None => Ok(Appended::Refused(line)),
        }
    }

    /// Sees to it that a read of usage finds all that was confirmed here.
    async fn settle(&self) -> Result<(), StoreError> {
        match &self.journal {
            Some(journal) if journal.has_backlog() => self.write(Write::Backlog).await,
            _ => Ok(()),
        }
    }

    /// Asks the database one thing.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl for<'a> FnOnce(&'a mut Object) -> Asked<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let pool = self.server.pool.clone();
        self.server.run(async move { pool.with(ask).await }).await
    }

    /// The same, for so long.
    async fn ask_within<T: Send + 'static>(
        &self,
        wait_max: Duration,
        ask: impl for<'a> FnOnce(&'a mut Object) -> Asked<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let pool = self.server.pool.clone();
        self.server
            .run(async move { pool.within(wait_max, ask).await })
            .await
    }

    /// Asks the database something that may take long.
    async fn report<T: Send + 'static>(
        &self,
        ask: impl for<'a> FnOnce(&'a mut Object) -> Asked<'a, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.settle().await?;
        let turn = timeout(self.confirm_wait_max, self.server.reports.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err(StoreError::Unavailable(format!(
                "{REPORTS_MAX} reports run already and none has ended; ask for a shorter span"
            )));
        };
        self.ask(ask).await
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writer of the store has stopped".into())
}

/// Refuses what the database could not take: one such line would hold up all that wait with it.
fn check(Settlement { record, .. }: &Settlement) -> Result<(), StoreError> {
    crate::count::check(record)?;
    // Names and words have none.
    check_text("decision", record.decision.as_deref().unwrap_or_default())
}

/// Refuses text that PostgreSQL cannot hold.
fn check_text(what: &str, text: &str) -> Result<(), StoreError> {
    if text.contains('\0') {
        return Err(StoreError::Invalid(format!(
            "{what} has a NUL, which PostgreSQL's text cannot hold"
        )));
    }
    Ok(())
}

#[async_trait]
impl Store for PostgresStore {
    async fn usage_settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        check(&settlement)?;
        let appended = self.journaled(Line::Settled(Box::new(settlement)))?;
        match appended {
            Appended::Kept => Ok(()),
            Appended::Waits(answer) => match timeout(self.confirm_wait_max, answer).await {
                Ok(Ok(true)) => Ok(()),
                // The sync failed: what was written goes into the database now.
                Ok(Ok(false)) => self.write(Write::Backlog).await,
                Ok(Err(_)) => Err(stopped()),
                Err(_) => Err(self.unconfirmed()),
            },
            Appended::Refused(line) => self.write(Write::Lines(vec![line])).await,
        }
    }

    async fn usage_draft(&self, drafts: Vec<Settlement>) -> Result<(), StoreError> {
        // While the database is away for long, the spool is for what has ended.
        let waiting = self.journal.as_ref().map_or(0, Journal::backlog_count);
        if waiting > DRAFTS_BACKLOG_MAX {
            return Ok(());
        }
        let mut refused = Vec::new();
        for draft in drafts {
            check(&draft)?;
            let draft = Box::new(draft);
            // Whether it is synced does not matter: a draft is for the death of this process.
            if let Appended::Refused(line) = self.journaled(Line::Draft { draft })? {
                refused.push(line);
            }
        }
        match refused.is_empty() {
            true => Ok(()),
            false => self.write(Write::Lines(refused)).await,
        }
    }

    fn usage_sync_ms_max_set(&self, ms_max: u64) {
        if let Some(journal) = &self.journal {
            journal.sync_ms_max_set(ms_max);
        }
    }

    async fn usage_get(&self, id: RequestId) -> Result<Option<UsageRecord>, StoreError> {
        self.settle().await?;
        self.ask(move |client| Box::pin(usage::get(client, id)))
            .await
    }

    async fn usage_list(
        &self,
        filter: UsageFilter,
        before: Option<RequestId>,
        count_max: u32,
    ) -> Result<Vec<UsageRecord>, StoreError> {
        self.report(move |client| {
            Box::pin(async move { usage::list(client, &filter, before, count_max).await })
        })
        .await
    }

    async fn usage_sum(
        &self,
        filter: UsageFilter,
        group: UsageGroup,
    ) -> Result<Vec<UsageSum>, StoreError> {
        self.report(move |client| Box::pin(async move { usage::sum(client, &filter, group).await }))
            .await
    }

    async fn usage_extract(
        &self,
        filter: UsageFilter,
        offset_s: i32,
    ) -> Result<Extract, StoreError> {
        self.report(move |client| {
            Box::pin(async move { extract::extract(client, &filter, offset_s).await })
        })
        .await
    }

    async fn programme_put(&self, programme: Programme) -> Result<(), StoreError> {
        self.ask(move |client| {
            Box::pin(async move { people::programme_put(client, &programme).await })
        })
        .await
    }

    async fn programme_list(&self) -> Result<Vec<Programme>, StoreError> {
        self.ask(|client| Box::pin(people::programmes(client, None)))
            .await
    }

    async fn programme_get(&self, id: ProgrammeId) -> Result<Option<Programme>, StoreError> {
        let found = self
            .ask(move |client| Box::pin(async move { people::programmes(client, Some(&id)).await }))
            .await?;
        Ok(found.into_iter().next())
    }

    async fn tenant_put(&self, tenant: Tenant) -> Result<(), StoreError> {
        self.ask(move |client| Box::pin(async move { people::tenant_put(client, &tenant).await }))
            .await
    }

    async fn tenant_list(&self) -> Result<Vec<Tenant>, StoreError> {
        self.ask(|client| Box::pin(people::tenants(client, None)))
            .await
    }

    async fn tenant_get(&self, id: TenantId) -> Result<Option<Tenant>, StoreError> {
        let found = self
            .ask(move |client| Box::pin(async move { people::tenants(client, Some(&id)).await }))
            .await?;
        Ok(found.into_iter().next())
    }

    async fn project_put(&self, project: Project) -> Result<(), StoreError> {
        check_text("label", &project.label)?;
        self.ask(move |client| Box::pin(async move { people::project_put(client, &project).await }))
            .await
    }

    async fn project_list(&self, tenant: Option<TenantId>) -> Result<Vec<Project>, StoreError> {
        self.ask(move |client| {
            Box::pin(async move { people::projects(client, tenant.as_ref()).await })
        })
        .await
    }

    async fn project_get(
        &self,
        tenant: TenantId,
        id: ProjectId,
    ) -> Result<Option<Project>, StoreError> {
        self.ask(move |client| {
            Box::pin(async move { people::project_get(client, (&tenant, &id)).await })
        })
        .await
    }

    async fn key_insert(&self, key: KeyRecord) -> Result<(), StoreError> {
        check_text("label", &key.label)?;
        self.ask(move |client| Box::pin(async move { people::key_insert(client, &key).await }))
            .await
    }

    async fn key_put(&self, key: KeyRecord) -> Result<(), StoreError> {
        check_text("label", &key.label)?;
        self.ask(move |client| Box::pin(async move { people::key_put(client, &key).await }))
            .await
    }

    async fn key_list(&self, tenant: Option<TenantId>) -> Result<Vec<KeyRecord>, StoreError> {
        self.ask(move |client| Box::pin(async move { people::keys(client, tenant.as_ref()).await }))
            .await
    }

    async fn key_get(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.ask(move |client| Box::pin(async move { people::key_get(client, &id).await }))
            .await
    }

    async fn key_revoke(&self, id: KeyId, at: Micros) -> Result<KeyRecord, StoreError> {
        self.ask(move |client| Box::pin(async move { people::key_revoke(client, &id, at).await }))
            .await
    }

    async fn people_revision(&self) -> Result<Option<u64>, StoreError> {
        self.ask(|client| Box::pin(people::revision(client)))
            .await
            .map(Some)
    }

    async fn stop_put(&self, stop: Stop) -> Result<Stop, StoreError> {
        check_text("reason", &stop.reason)?;
        self.ask(move |client| Box::pin(async move { stops::stop_put(client, &stop).await }))
            .await
    }

    async fn stop_list(&self) -> Result<Vec<Stop>, StoreError> {
        self.ask(|client| Box::pin(stops::stops(client))).await
    }

    async fn stop_delete(&self, scope: StopScope) -> Result<Stop, StoreError> {
        self.ask(move |client| Box::pin(async move { stops::stop_delete(client, &scope).await }))
            .await
    }
}
