//! The threads that serve connections, each with an event loop of its own: a connection stays on its lane, so that
//! nothing of a request moves from one processor to another and no thread wakes another to look for work.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use tokio::runtime::{self, Handle};
use tokio::sync::oneshot;

/// All lanes. Dropping them ends what still runs on them.
pub(super) struct Lanes(Vec<Lane>);

struct Lane {
    handle: Handle,
    /// Held once by each connection of the lane, beside this one.
    place: Arc<()>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Counts as a connection of its lane until it is dropped.
pub(super) struct LanePlace(#[expect(dead_code, reason = "held to be counted")] Arc<()>);

impl Lanes {
    /// Starts so many.
    ///
    /// # Errors
    /// A thread or an event loop cannot be had.
    pub(super) fn start(count: usize) -> io::Result<Self> {
        (0..count)
            .map(Lane::start)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The lane with the fewest connections, and a place on it; `None` where there are no lanes.
    pub(super) fn place(&self) -> Option<(&Handle, LanePlace)> {
        let fewest = |lane: &&Lane| Arc::strong_count(&lane.place);
        let lane = self.0.iter().min_by_key(fewest)?;
        Some((&lane.handle, LanePlace(lane.place.clone())))
    }
}

impl Lane {
    fn start(number: usize) -> io::Result<Self> {
        let lane = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = lane.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = Builder::new()
            .name(format!("lane-{number}"))
            .spawn(move || {
                // Told to stop or left by its owner: the same.
                lane.block_on(stopped).ok();
                lane.shutdown_background();
            })?;
        Ok(Self {
            handle,
            place: Arc::default(),
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a lane had panicked");
        }
    }
}
