//! The one task that writes usage records: all that wait go in one statement, so that the way to the server and its
//! sync are shared. Where the server is away it rests between tries, and what the journal holds stays there.

use super::connect::Pool;
use super::settle;
use crate::StoreError;
use crate::journal::Backlog;
use crate::settlement::Line;
use madang_types::GatewayId;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

/// Records of one statement: enough to share a journey and a sync, few enough to be written in a moment.
pub(super) const BATCH_RECORDS_MAX: usize = 1024;
/// Time between a try that failed and the next one.
const REST: Duration = Duration::from_millis(250);

/// One write as it is queued.
pub(super) enum Write {
    Lines(Vec<Line>),
    /// Nothing of its own: the journal's backlog, which every write takes along.
    Backlog,
}

/// A write and who waits for it.
pub(super) struct Job {
    pub write: Write,
    pub reply: oneshot::Sender<Result<(), StoreError>>,
}

/// The task's own.
pub(super) struct Writer {
    pub pool: Pool,
    pub backlog: Backlog,
    /// Whose drafts are written.
    pub gateway: Option<GatewayId>,
}

impl Writer {
    /// Runs until the queue is closed and empty, and takes the last of the backlog.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>) {
        let mut jobs = Vec::with_capacity(BATCH_RECORDS_MAX);
        // Told when it begins and when it is over, not at each try between.
        let mut away = false;
        while queue.recv_many(&mut jobs, BATCH_RECORDS_MAX).await > 0 {
            let result = self.serve(std::mem::take(&mut jobs)).await;
            match &result {
                Ok(()) if away => tracing::info!("the database takes records again"),
                Err(error) if !away => {
                    tracing::error!(%error, "the database takes no records: they wait in the journal");
                }
                Ok(()) | Err(_) => {}
            }
            away = result.is_err();
            if away && !queue.is_closed() {
                sleep(REST).await;
            }
        }
        if let Err(error) = self.move_backlog().await {
            tracing::error!(%error, "the journal keeps what the database did not take, until the next start");
        }
        self.backlog.close();
    }

    /// The backlog first: of two records of one id, the first that was handed over stays.
    async fn serve(&self, jobs: Vec<Job>) -> Result<(), StoreError> {
        let (mut lines, mut replies) = (Vec::new(), Vec::with_capacity(jobs.len()));
        for Job { write, reply } in jobs {
            if let Write::Lines(some) = write {
                lines.extend(some);
            }
            replies.push(reply);
        }
        let result = match self.move_backlog().await {
            Ok(()) => append_all(&self.pool, &Arc::new(lines), self.gateway.as_ref()).await,
            Err(error) => Err(error),
        };
        for reply in replies {
            // Nobody waits where the caller has left; the write stands all the same.
            drop(reply.send(result.clone()));
        }
        result
    }

    /// Moves what the journal holds, a batch at a time.
    async fn move_backlog(&self) -> Result<(), StoreError> {
        let lines = Arc::new(self.backlog.take());
        for span in spans(lines.len()) {
            if let Err(error) =
                append(&self.pool, (&lines, span.clone()), self.gateway.as_ref()).await
            {
                let mut left = Arc::unwrap_or_clone(lines);
                left.drain(..span.start);
                self.backlog.put_back(left);
                return Err(error);
            }
            self.backlog.moved(span.len());
        }
        Ok(())
    }
}

fn spans(count: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..count).step_by(BATCH_RECORDS_MAX);
    starts.map(move |start| start..count.min(start + BATCH_RECORDS_MAX))
}

/// Writes lines, a batch at a time.
///
/// # Errors
/// Not all of them are known to be kept.
pub(super) async fn append_all(
    pool: &Pool,
    lines: &Arc<Vec<Line>>,
    gateway: Option<&GatewayId>,
) -> Result<(), StoreError> {
    for span in spans(lines.len()) {
        append(pool, (lines, span), gateway).await?;
    }
    Ok(())
}

/// Writes a span of lines in one transaction.
///
/// # Errors
/// None of them is known to be kept.
async fn append(
    pool: &Pool,
    (lines, span): (&Arc<Vec<Line>>, Range<usize>),
    gateway: Option<&GatewayId>,
) -> Result<(), StoreError> {
    let (lines, gateway) = (Arc::clone(lines), gateway.cloned());
    pool.with(|client| {
        Box::pin(async move { settle::lines(client, &lines[span], gateway.as_ref()).await })
    })
    .await
}
