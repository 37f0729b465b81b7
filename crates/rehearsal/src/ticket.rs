//! A request's place in the engine, as its answer holds it: how far it is, and the word that it is given up.

use crate::driver::Command;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;

/// How far a request is. Only the latest is kept, so that a client that reads slowly holds up nothing and costs nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Tokens made.
    pub made: u64,
    /// Prompt tokens that came from the prefix cache.
    pub cached_tokens: u64,
    /// When the first token was told.
    pub first_at: Option<Instant>,
    /// When the last one was.
    pub last_at: Option<Instant>,
    /// All are made.
    pub finished: bool,
}

/// The engine was restarted: the request is lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lost;

/// Dropping it before the end gives the request up.
#[derive(Debug)]
pub(crate) struct Ticket {
    tag: u64,
    pub submitted_at: Instant,
    progress: watch::Receiver<Progress>,
    /// Room for the word, reserved when the request came: it never waits and is never lost.
    cancel: Option<mpsc::OwnedPermit<Command>>,
    /// Its place among the requests at once.
    _place: OwnedSemaphorePermit,
}

impl Ticket {
    pub fn new(
        tag: u64,
        progress: watch::Receiver<Progress>,
        cancel: mpsc::OwnedPermit<Command>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            tag,
            submitted_at: Instant::now(),
            progress,
            cancel: Some(cancel),
            _place: place,
        }
    }

    /// Waits until more than `sent` tokens are made, or all.
    pub async fn beyond(&mut self, sent: u64) -> Result<Progress, Lost> {
        let progress = self
            .progress
            .wait_for(|progress| progress.made > sent || progress.finished)
            .await;
        let progress = *progress.map_err(|_| Lost)?;
        if progress.finished {
            self.cancel = None;
        }
        Ok(progress)
    }

    /// Waits until all are made.
    pub async fn finished(&mut self) -> Result<Progress, Lost> {
        self.beyond(u64::MAX).await
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(permit) = self.cancel.take() {
            permit.send(Command::Cancel(self.tag));
        }
    }
}
