//! The attempts of one request that are under way: one, or two where the core hedges. Whoever leaves the race is closed.

use super::attempt::Attempt;
use madang_core::Grant;
use madang_types::{ModelId, ReplicaId, SiteId};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// Attempts at once: the first one, and one beside it that is late.
const RUNNERS_MAX: usize = 2;

/// The core's word that began an attempt.
#[derive(Debug)]
pub(crate) struct Start {
    /// Which, from 1.
    pub attempt: u32,
    pub replica: ReplicaId,
    pub site: SiteId,
    /// Which model serves it.
    pub model: ModelId,
    /// Why there, written out.
    pub decision: String,
    /// What the policy says of it.
    pub grant: Grant,
}

type Running = Pin<Box<dyn Future<Output = Attempt> + Send>>;

#[derive(Default)]
pub(super) struct Race {
    runners: [Option<(Arc<Start>, Running)>; RUNNERS_MAX],
}

impl Race {
    pub fn is_empty(&self) -> bool {
        self.runners.iter().all(Option::is_none)
    }

    /// Adds an attempt.
    ///
    /// # Errors
    /// It is not taken: so many run already.
    pub fn add(&mut self, start: Arc<Start>, running: Running) -> Result<(), Arc<Start>> {
        match self.runners.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some((start, running));
                Ok(())
            }
            None => Err(start),
        }
    }

    /// Closes an attempt, if it runs.
    pub fn call_off(&mut self, attempt: u32) {
        for place in &mut self.runners {
            if place
                .as_ref()
                .is_some_and(|(start, _)| start.attempt == attempt)
            {
                *place = None;
            }
        }
    }

    /// Closes all of them.
    pub fn clear(&mut self) {
        self.runners = Default::default();
    }

    /// The next attempt that has something to say; never, where none runs.
    pub async fn next(&mut self) -> (Arc<Start>, Attempt) {
        std::future::poll_fn(|context| {
            for place in &mut self.runners {
                if let Some((_, running)) = place
                    && let Poll::Ready(attempt) = running.as_mut().poll(context)
                    && let Some((start, _)) = place.take()
                {
                    return Poll::Ready((start, attempt));
                }
            }
            Poll::Pending
        })
        .await
    }
}
