//! Who waits for a pool: by priority class, then by arrival.

use madang_types::{Priority, RequestId};
use std::collections::BTreeMap;

/// Requests waiting for one model. Its length is bounded by the caller.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: BTreeMap<(Priority, u64), RequestId>,
}

impl Queue {
    /// Requests waiting.
    pub fn len(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a request; returns how many stand before it.
    pub fn insert(&mut self, priority: Priority, sequence: u64, request: RequestId) -> u32 {
        self.waiting.insert((priority, sequence), request);
        u32::try_from(self.waiting.range(..(priority, sequence)).count()).unwrap_or(u32::MAX)
    }

    /// Takes a request out.
    pub fn remove(&mut self, priority: Priority, sequence: u64) {
        self.waiting.remove(&(priority, sequence));
    }

    /// Whether it stands here.
    pub fn contains(&self, priority: Priority, sequence: u64) -> bool {
        self.waiting.contains_key(&(priority, sequence))
    }

    /// Requests in the order in which they are served.
    pub fn in_order(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.waiting.values().copied()
    }
}
