//! The engine's prefix cache: blocks in free KV memory, and larger tiers behind it.

use super::lru::Lru;
use super::tier::{Cached, Place, Tier};

/// Blocks of one place, and how many tokens there is room for.
struct Shelf {
    place: Place,
    blocks: Lru,
    capacity_tokens: u64,
}

/// All places. A tier holds what was computed, whether or not it is still in those before it.
pub(super) struct PrefixCache {
    device: Lru,
    tiers: Vec<Shelf>,
    block_tokens: u64,
}

impl PrefixCache {
    pub fn new(tiers: &[Tier]) -> Self {
        let shelf = |tier: &Tier| Shelf {
            place: tier.place,
            blocks: Lru::default(),
            capacity_tokens: tier.tokens,
        };
        Self {
            device: Lru::default(),
            tiers: tiers.iter().map(shelf).collect(),
            block_tokens: 0,
        }
    }

    /// The longest cached beginning of a prompt, each block from the fastest place that has it.
    pub fn lookup(&self, blocks: &[u64], block_tokens: u64) -> Cached {
        let mut cached = Cached::default();
        for hash in blocks {
            let Some(place) = self.place(*hash) else {
                break;
            };
            *cached.at(place) += block_tokens;
        }
        cached
    }

    fn place(&self, hash: u64) -> Option<Place> {
        if self.device.contains(hash) {
            return Some(Place::Device);
        }
        let tier = self.tiers.iter().find(|tier| tier.blocks.contains(hash));
        tier.map(|tier| tier.place)
    }

    /// A prompt was computed: its blocks are the latest.
    pub fn insert(&mut self, blocks: &[u64], block_tokens: u64) {
        if block_tokens == 0 {
            return;
        }
        self.block_tokens = block_tokens;
        // Last block first: the beginning of a prompt is forgotten last.
        for hash in blocks.iter().rev() {
            self.device.touch(*hash);
            for tier in &mut self.tiers {
                tier.blocks.touch(*hash);
            }
        }
        for tier in &mut self.tiers {
            let capacity = blocks_in(tier.capacity_tokens, block_tokens);
            tier.blocks.shrink(capacity);
        }
    }

    /// Running sequences leave this much memory to the cache.
    pub fn fit(&mut self, free_tokens: u64) {
        if self.block_tokens > 0 {
            self.device
                .shrink(blocks_in(free_tokens, self.block_tokens));
        }
    }

    pub fn device_tokens(&self) -> u64 {
        u64::try_from(self.device.len()).unwrap_or(0) * self.block_tokens
    }

    pub fn clear(&mut self) {
        self.device.clear();
        for tier in &mut self.tiers {
            tier.blocks.clear();
        }
    }
}

fn blocks_in(tokens: u64, block_tokens: u64) -> usize {
    usize::try_from(tokens / block_tokens.max(1)).unwrap_or(usize::MAX)
}
