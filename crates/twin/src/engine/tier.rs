//! Where an engine keeps prefixes: its KV memory, and tiers behind it, the faster before the slower.

use super::roofline::HOST_BYTES_S;
use serde::Serialize;

/// Bytes a second that a machine's disk gives, where nobody says it: an NVMe drive on PCI Express 4 reads 6 to 7 × 10^9 by data sheets.
pub const DISK_BYTES_S: f64 = 6e9;
/// Until the first byte of a read comes, in microseconds: some 100 by the same sheets.
pub const DISK_LATENCY_US: u64 = 100;

/// Where a prefix may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In KV memory: nothing is to be done for it.
    Device,
    /// In the host's memory.
    Host,
    /// On the machine's disk.
    Disk,
}

/// Tokens of one prompt, or of many, that were cached, by where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cached {
    /// In KV memory.
    pub device_tokens: u64,
    /// In the host's memory.
    pub host_tokens: u64,
    /// On disk.
    pub disk_tokens: u64,
}

impl Cached {
    /// All of them.
    pub fn tokens(&self) -> u64 {
        self.device_tokens + self.host_tokens + self.disk_tokens
    }

    /// Those of a place.
    pub fn at(&mut self, place: Place) -> &mut u64 {
        match place {
            Place::Device => &mut self.device_tokens,
            Place::Host => &mut self.host_tokens,
            Place::Disk => &mut self.disk_tokens,
        }
    }

    /// Adds those of others.
    pub fn add(&mut self, other: &Self) {
        self.device_tokens += other.device_tokens;
        self.host_tokens += other.host_tokens;
        self.disk_tokens += other.disk_tokens;
    }

    /// The same, so many at most: the slowest are left out first.
    pub(super) fn at_most(mut self, tokens: u64) -> Self {
        let mut left = tokens;
        for place in [Place::Device, Place::Host, Place::Disk] {
            let here = self.at(place);
            *here = left.min(*here);
            left -= *here;
        }
        self
    }
}

/// One tier. What is computed is written to each of them, so what one forgets is still in the larger one below; what is found is
/// the latest in all again.
#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Where it is.
    pub place: Place,
    /// Tokens that it holds.
    pub tokens: u64,
    /// Bytes a second that it gives: the host to each accelerator, a disk to all of an engine.
    pub bytes_s: f64,
    /// Until the first byte comes, in microseconds.
    pub latency_us: u64,
}

impl Tier {
    /// The host's memory, over PCI Express.
    pub fn host(tokens: u64) -> Self {
        Self {
            place: Place::Host,
            tokens,
            bytes_s: HOST_BYTES_S,
            latency_us: 0,
        }
    }

    /// A usual disk of the machine.
    pub fn disk(tokens: u64) -> Self {
        Self {
            place: Place::Disk,
            tokens,
            bytes_s: DISK_BYTES_S,
            latency_us: DISK_LATENCY_US,
        }
    }
}
