//! Orders to end, which Madang leaves in the run's folder: one that was given is not lost, whoever dies.

use crate::jobs::local::folder::{RunFolder, StopOrder};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Between two looks.
const POLL: Duration = Duration::from_millis(200);

/// The orders of one run.
pub(super) struct Stops {
    folder: RunFolder,
    looks: Interval,
    /// What comes where the disk takes no order: to withdraw it.
    cancels: Signal,
    last: Option<StopOrder>,
}

impl Stops {
    pub fn new(folder: RunFolder) -> io::Result<Self> {
        let mut looks = interval(POLL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            folder,
            looks,
            cancels: signal(SignalKind::user_defined2())?,
            last: None,
        })
    }

    /// Waits for the next one. It may be dropped while it waits.
    pub async fn next(&mut self) -> StopOrder {
        loop {
            let order = tokio::select! {
                _ = self.looks.tick() => self.folder.stop_order(),
                _ = self.cancels.recv() => Ok(Some(StopOrder::Cancel)),
            };
            // A disk that fails for a moment is asked again; nothing is more urgent than to withdraw it.
            let order = order
                .ok()
                .flatten()
                .filter(|_| self.last != Some(StopOrder::Cancel));
            if let Some(order) = order
                && Some(order) != self.last
            {
                self.last = Some(order);
                return order;
            }
        }
    }
}
