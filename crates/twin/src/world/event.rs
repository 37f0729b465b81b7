//! Events, in the order of time; those of one instant in the order of their making.

use super::clients::Ask;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Something that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// The next arrival of the clients' own.
    Arrival(Box<Ask>),
    /// A client asks because of something that ended.
    Again(Box<Ask>),
    /// An attempt reaches its engine.
    Reach { request: u64, attempt: u32 },
    /// An engine's iterations end, unless it has changed its mind since.
    Engine(u32),
    /// A client's patience ends.
    Impatient(u64),
    /// An engine fails: its place among the failures.
    Failure(usize),
    /// Enough probes of an engine have failed since, or one has succeeded.
    Probed(u32),
    /// The gateway's ticker.
    Tick,
    /// Streams report how far they are.
    Progress,
    /// The window of the count begins, or ends.
    Mark(bool),
}

struct Entry {
    at_ns: u64,
    sequence: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ns, self.sequence).cmp(&(other.at_ns, other.sequence))
    }
}

/// What is going to happen.
#[derive(Default)]
pub(super) struct Agenda {
    heap: BinaryHeap<Reverse<Entry>>,
    sequence: u64,
}

impl Agenda {
    pub fn add(&mut self, at_ns: u64, event: Event) {
        self.sequence += 1;
        let sequence = self.sequence;
        self.heap.push(Reverse(Entry {
            at_ns,
            sequence,
            event,
        }));
    }

    /// When the next one happens.
    pub fn next_at_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse(entry)| entry.at_ns)
    }

    pub fn next(&mut self) -> Option<(u64, Event)> {
        let Reverse(entry) = self.heap.pop()?;
        Some((entry.at_ns, entry.event))
    }
}
