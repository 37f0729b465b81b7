//! Maps for look-ups: hashed, with a fixed hasher, and never walked, so that no order of theirs can be seen.

use hashbrown::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Spreads the bits of numbers. Keys are ids of ours or hashes: nobody outside chooses them freely.
#[derive(Default)]
pub(crate) struct Spread(u64);

const ODD: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(ODD).rotate_left(29);
    }
    fn write_u128(&mut self, value: u128) {
        let [low, high] = [value, value >> 64].map(|half| half & u128::from(u64::MAX));
        self.write_u64(u64::try_from(low).unwrap_or(0));
        self.write_u64(u64::try_from(high).unwrap_or(0));
    }
}

/// A map without an order.
#[derive(Debug)]
pub(crate) struct Lookup<K, V>(HashMap<K, V, BuildHasherDefault<Spread>>);

impl<K, V> Default for Lookup<K, V> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<K: Eq + Hash, V> Lookup<K, V> {
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    pub fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.0.entry(key).or_default()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}
