//! A set that forgets what was touched longest ago. A touch costs a map access and a push; stale pushes are skipped later.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by block hashes or tags.
pub(super) type NumberMap<V> = HashMap<u64, V, BuildHasherDefault<Spread>>;

/// Spreads small numbers; block hashes are uniform already.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Least-recently-used set of hashes.
#[derive(Default)]
pub(super) struct Lru {
    stamps: NumberMap<u64>,
    order: VecDeque<(u64, u64)>,
    clock: u64,
}

impl Lru {
    pub fn len(&self) -> usize {
        self.stamps.len()
    }

    pub fn contains(&self, hash: u64) -> bool {
        self.stamps.contains_key(&hash)
    }

    /// Adds it, or makes it the latest.
    pub fn touch(&mut self, hash: u64) {
        self.clock += 1;
        match self.stamps.entry(hash) {
            Entry::Occupied(mut entry) => *entry.get_mut() = self.clock,
            Entry::Vacant(entry) => {
                entry.insert(self.clock);
            }
        }
        self.order.push_back((hash, self.clock));
        if self.order.len() > 2 * self.stamps.len() + 64 {
            let stamps = &self.stamps;
            self.order
                .retain(|(hash, stamp)| stamps.get(hash) == Some(stamp));
        }
    }

    /// Forgets the oldest until at most `capacity` are left.
    pub fn shrink(&mut self, capacity: usize) {
        while self.stamps.len() > capacity {
            let Some((hash, stamp)) = self.order.pop_front() else {
                return;
            };
            if self.stamps.get(&hash) == Some(&stamp) {
                self.stamps.remove(&hash);
            }
        }
    }

    pub fn clear(&mut self) {
        self.stamps.clear();
        self.order.clear();
    }
}
