//! The one thread that writes. It takes everything that waits, commits it at once and answers all: under load the
//! cost of a sync is shared by the batch, and alone a write waits for nobody.

use super::connect::{Settings, limit_pages, reopen};
use super::convert::medium;
use super::energy::EnergyWrite;
use super::jobs::{self, JobsWrite, JobsWritten};
use super::ledger::page::Page;
use super::power::{self, PowerWrite};
use super::{bank, energy, people, settle, stops};
use crate::StoreError;
use crate::bank::{About, Answer};
use crate::journal::Backlog;
use crate::settlement::Line;
use madang_ledger::{Applied, Entry, Fault};
use madang_types::{
    KeyId, KeyRecord, Micros, PowerEvent, Programme, Project, Stop, StopScope, Tenant,
};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::PathBuf;
use tokio::sync::{mpsc, oneshot};

/// One write as it is queued.
pub(super) enum Write {
    Line(Line),
    /// Nothing of its own: the journal's backlog, which every transaction takes along.
    Backlog,
    Programme(Box<Programme>),
    Tenant(Box<Tenant>),
    Project(Box<Project>),
    KeyInsert(Box<KeyRecord>),
    KeyPut(Box<KeyRecord>),
    KeyRevoke(KeyId, Micros),
    StopPut(Box<Stop>),
    StopDelete(StopScope),
    Entries(Vec<Entry>),
    Bank(Box<About>, Micros),
    Jobs(Box<JobsWrite>),
    Power(Box<PowerWrite>),
    Energy(EnergyWrite),
    FilePagesMax(Option<u32>),
}

impl Write {
    /// How much of a batch it is.
    fn count(&self) -> usize {
        match self {
            Self::Entries(entries) => entries.len().max(1),
            Self::Line(_)
            | Self::Bank(..)
            | Self::Jobs(_)
            | Self::Power(_)
            | Self::Energy(_)
            | Self::Project(_)
            | Self::Backlog
            | Self::Programme(_)
            | Self::Tenant(_)
            | Self::KeyInsert(_)
            | Self::KeyPut(_)
            | Self::KeyRevoke(..)
            | Self::StopPut(_)
            | Self::StopDelete(_)
            | Self::FilePagesMax(_) => 1,
        }
    }
}

/// What a write gives back.
pub(super) enum Written {
    Done,
    Key(Box<KeyRecord>),
    Stop(Box<Stop>),
    Entries(Vec<Result<Applied, Fault>>),
    Bank(Answer),
    Jobs(JobsWritten),
    Power(Box<PowerEvent>),
}

/// A write and who waits for it.
pub(super) struct Job {
    pub write: Write,
    pub reply: oneshot::Sender<Result<Written, StoreError>>,
}

/// The writer's state on its own thread.
pub(super) struct Writer {
    pub path: PathBuf,
    pub settings: Settings,
    /// `None` after a failure, until the next batch.
    pub conn: Option<Connection>,
    pub batch_max: usize,
    pub backlog: Backlog,
}

impl Writer {
    /// Runs until the queue is closed and empty, and takes the last of the backlog.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        while let Some(first) = queue.blocking_recv() {
            let mut count = first.write.count();
            let mut batch = vec![first];
            while count < self.batch_max
                && let Ok(next) = queue.try_recv()
            {
                count += next.write.count();
                batch.push(next);
            }
            self.serve(batch);
        }
        self.serve(Vec::new());
        self.backlog.close();
    }

    fn serve(&mut self, batch: Vec<Job>) {
        match self.commit(&batch) {
            Ok(results) => {
                for (job, result) in batch.into_iter().zip(results) {
                    answer(job, result);
                }
            }
            Err(error) => {
                tracing::error!(%error, writes = batch.len(), "the store wrote nothing of a batch");
                for job in batch {
                    answer(job, Err(error.clone()));
                }
            }
        }
    }

    /// The backlog and all of the batch in one transaction. An error of one write is its own; `Err` means that nothing
    /// was kept.
    fn commit(&mut self, batch: &[Job]) -> Result<Vec<Result<Written, StoreError>>, StoreError> {
        let backlog = self.backlog.take();
        if backlog.is_empty() && batch.is_empty() {
            return Ok(Vec::new());
        }
        let committed = self.transact(&backlog, batch);
        match &committed {
            Ok(_) => self.backlog.moved(backlog.len()),
            Err(_) => self.backlog.put_back(backlog),
        }
        committed
    }

    fn transact(
        &mut self,
        backlog: &[Line],
        batch: &[Job],
    ) -> Result<Vec<Result<Written, StoreError>>, StoreError> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => reopen(&self.path, self.settings)?,
        };
        let results = transact(&mut conn, &mut self.settings, (backlog, batch))?;
        // Kept only after success: a connection that failed may hold on to what the disk no longer has.
        self.conn = Some(conn);
        Ok(results)
    }
}

/// Writes the lines that a journal was left with, and settles what the program that left them did not.
///
/// # Errors
/// None of them was kept.
pub(super) fn replay(conn: &mut Connection, lines: &[Line]) -> Result<(), StoreError> {
    let tx = begin(conn)?;
    let mut page = Page::default();
    settle::lines(&tx, &mut page, lines)?;
    settle::orphans(&tx, &mut page)?;
    page.finish(&tx)?;
    tx.commit().map_err(|e| medium("commit", &e))
}

fn begin(conn: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    conn.transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|e| medium("begin a transaction", &e))
}

fn transact(
    conn: &mut Connection,
    settings: &mut Settings,
    (backlog, batch): (&[Line], &[Job]),
) -> Result<Vec<Result<Written, StoreError>>, StoreError> {
    for job in batch {
        // Before anything that may need the pages.
        if let Write::FilePagesMax(pages) = job.write {
            settings.file_pages_max = pages;
            limit_pages(conn, pages)?;
        }
    }
    let tx = begin(conn)?;
    // First: of two records of one id, the first that was handed over stays.
    let mut page = Page::default();
    settle::lines(&tx, &mut page, backlog)?;
    let mut results = Vec::with_capacity(batch.len());
    for job in batch {
        let result = perform(&tx, &mut page, &job.write);
        // The medium failed, SQLite has undone the whole transaction by itself, or an entry may stand in halves: no write of
        // the batch may stand. Any other error undid its own statement only.
        if let Err(error) = &result
            && (tx.is_autocommit()
                || matches!(error, StoreError::Unavailable(_) | StoreError::Damaged(_)))
        {
            return Err(error.clone());
        }
        results.push(result);
    }
    page.finish(&tx)?;
    tx.commit().map_err(|e| medium("commit", &e))?;
    Ok(results)
}

fn perform(conn: &Connection, page: &mut Page, write: &Write) -> Result<Written, StoreError> {
    match write {
        Write::Line(line) => settle::lines(conn, page, std::slice::from_ref(line))?,
        Write::Backlog | Write::FilePagesMax(_) => {}
        Write::Programme(programme) => people::programme_put(conn, programme)?,
        Write::Tenant(tenant) => people::tenant_put(conn, tenant)?,
        Write::Project(project) => people::project_put(conn, project)?,
        Write::KeyInsert(key) => people::key_insert(conn, key)?,
        Write::KeyPut(key) => people::key_put(conn, key)?,
        Write::KeyRevoke(id, at) => {
            return people::key_revoke(conn, id, *at).map(|key| Written::Key(Box::new(key)));
        }
        Write::StopPut(stop) => {
            return stops::stop_put(conn, stop).map(|stop| Written::Stop(Box::new(stop)));
        }
        Write::Entries(entries) => return page.append(conn, entries).map(Written::Entries),
        Write::Bank(about, at) => {
            return bank::perform(conn, page, (about, *at)).map(Written::Bank);
        }
        Write::Jobs(write) => return jobs::perform(conn, write).map(Written::Jobs),
        Write::Power(write) => {
            return power::perform(conn, write).map(|event| Written::Power(Box::new(event)));
        }
        Write::Energy(write) => energy::perform(conn, write)?,
        Write::StopDelete(scope) => {
            return stops::stop_delete(conn, scope).map(|stop| Written::Stop(Box::new(stop)));
        }
    }
    Ok(Written::Done)
}

fn answer(job: Job, result: Result<Written, StoreError>) {
    // Nobody waits where the caller has left; the write stands all the same.
    drop(job.reply.send(result));
}
