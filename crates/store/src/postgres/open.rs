//! How the store's own thread begins: connections, schema, what the journal was left with, and the tasks that write.

use super::bank::{Question, Teller};
use super::connect::Pool;
use super::writer::{self, Job, Write, Writer};
use super::{
    PostgresOptions, PostgresUrl, QUEUE_QUESTIONS_MAX, QUEUE_WRITES_MAX, TURN_BYTES, migrate,
    settle,
};
use crate::StoreError;
use crate::journal::{self, Backlog, Journal, JournalSize};
use crate::settlement::Line;
use madang_types::GatewayId;
use std::sync::Arc;
use tokio::runtime::{self, Handle};
use tokio::sync::{mpsc, oneshot};

/// What the store's thread gives back once all is open.
pub(super) struct Opened {
    pub runtime: Handle,
    pub pool: Pool,
    pub journal: Option<Journal>,
    pub queue: mpsc::Sender<Job>,
    pub questions: mpsc::Sender<Question>,
}

/// The tasks that the store's thread runs, and what each takes from.
struct Tasks {
    writer: (Writer, mpsc::Receiver<Job>),
    teller: (Teller, mpsc::Receiver<Question>),
}

/// The thread's whole life: opens, tells, and writes until the store is dropped.
pub(super) fn serve(
    (url, options): &(PostgresUrl, PostgresOptions),
    tell: std::sync::mpsc::Sender<Result<Opened, StoreError>>,
) {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = StoreError::Unavailable(format!("cannot start a runtime: {error}"));
            // Whoever opens the store waits for this word.
            return drop(tell.send(Err(error)));
        }
    };
    runtime.block_on(async {
        match start(url, options).await {
            Ok((opened, Tasks { writer, teller })) => {
                drop(tell.send(Ok(opened)));
                tokio::join!(writer.0.run(writer.1), teller.0.run(teller.1));
            }
            Err(error) => drop(tell.send(Err(error))),
        }
    });
}

async fn start(
    url: &PostgresUrl,
    options: &PostgresOptions,
) -> Result<(Opened, Tasks), StoreError> {
    let pool = Pool::new(url, options)?;
    if options.migrates {
        pool.within(migrate::WAIT_MAX, |client| {
            Box::pin(migrate::migrate(client, migrate::MIGRATIONS))
        })
        .await?;
    } else {
        pool.with(|client| Box::pin(migrate::check(client))).await?;
    }
    let gateway = options.gateway.clone();
    let (queue, jobs) = mpsc::channel(QUEUE_WRITES_MAX);
    let (questions, asked) = mpsc::channel(QUEUE_QUESTIONS_MAX);
    let (mut journal, mut backlog) = (None, Backlog::default());
    if let Some((opened, left)) = open_journal(options)? {
        if !left.is_empty() {
            tracing::info!(records = left.len(), "the journal was left with records");
        }
        writer::append_all(&pool, &Arc::new(left), gateway.as_ref()).await?;
        let (started, taken) = Journal::start(opened, ask_writer(queue.clone()))?;
        (journal, backlog) = (Some(started), taken);
    }
    // Where another program has the journal, it has what is under way too.
    if journal.is_some() || options.journal.is_none() {
        settle_orphans(&pool, gateway.as_ref()).await?;
    }
    let opened = Opened {
        runtime: Handle::current(),
        pool: pool.clone(),
        journal,
        queue,
        questions,
    };
    let teller = Teller { pool: pool.clone() };
    let writer = Writer {
        pool,
        backlog,
        gateway,
    };
    let tasks = Tasks {
        writer: (writer, jobs),
        teller: (teller, asked),
    };
    Ok((opened, tasks))
}

async fn settle_orphans(pool: &Pool, gateway: Option<&GatewayId>) -> Result<(), StoreError> {
    let Some(gateway) = gateway.cloned() else {
        return Ok(());
    };
    pool.with(|client| Box::pin(async move { settle::orphans(client, &gateway).await }))
        .await
}

/// Opens the journal and reads what an earlier process left in it.
fn open_journal(
    options: &PostgresOptions,
) -> Result<Option<(journal::Opened, Vec<Line>)>, StoreError> {
    let Some(path) = &options.journal else {
        return Ok(None);
    };
    let size = JournalSize {
        half_bytes: TURN_BYTES + options.spool_bytes_max,
        turn_bytes: TURN_BYTES,
    };
    let opened = journal::open(path, size)?;
    if opened.is_none() {
        tracing::warn!(
            "another program has the journal of these books: records go straight into the database"
        );
    }
    Ok(opened)
}

/// Asks the writer to come. Where its queue is full it comes anyway.
fn ask_writer(queue: mpsc::Sender<Job>) -> impl Fn() + Send + Sync + 'static {
    move || {
        let (reply, _) = oneshot::channel();
        let write = Write::Backlog;
        drop(queue.try_send(Job { write, reply }));
    }
}
