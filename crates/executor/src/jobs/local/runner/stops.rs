//! Orders to end, which Madang leaves in the run's folder: one that was given is not lost, whoever dies.

use crate::jobs::local::folder::{RunFolder, StopOrder};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Between two looks.
const POLL: Duration = Duration::from_millis(200);

/// The orders of one run.
pub(super) struct Stops {
    folder: RunFolder,
    looks: Interval,
    last: Option<StopOrder>,
}

impl Stops {
    pub fn new(folder: RunFolder) -> Self {
        let mut looks = interval(POLL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            folder,
            looks,
            last: None,
        }
    }

    /// Waits for the next one. It may be dropped while it waits.
    pub async fn next(&mut self) -> StopOrder {
        loop {
            self.looks.tick().await;
            // A disk that fails for a moment is asked again.
            let order = self.folder.stop_order().unwrap_or(self.last);
            if order != self.last
                && let Some(order) = order
            {
                self.last = Some(order);
                return order;
            }
        }
    }
}
