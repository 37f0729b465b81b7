//! The engine's prefix cache: blocks in free KV memory, and a larger tier behind it.

use super::lru::Lru;

/// How much of a prompt is cached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hit {
    /// Tokens in KV memory: nothing is to be done for them.
    pub device_tokens: u64,
    /// Tokens in the host tier: they are copied.
    pub host_tokens: u64,
}

/// Both tiers. The host tier holds what was computed, whether or not it is still in KV memory.
#[derive(Default)]
pub(super) struct PrefixCache {
    device: Lru,
    host: Lru,
    host_capacity_tokens: u64,
    block_tokens: u64,
}

impl PrefixCache {
    pub fn new(host_capacity_tokens: u64) -> Self {
        Self {
            host_capacity_tokens,
            ..Self::default()
        }
    }

    /// The longest cached beginning of a prompt.
    pub fn lookup(&self, blocks: &[u64], block_tokens: u64) -> Hit {
        let device = blocks
            .iter()
            .take_while(|hash| self.device.contains(**hash))
            .count();
        let host = blocks[device..]
            .iter()
            .take_while(|hash| self.host.contains(**hash) || self.device.contains(**hash))
            .count();
        let tokens = |count: usize| u64::try_from(count).unwrap_or(0) * block_tokens;
        Hit {
            device_tokens: tokens(device),
            host_tokens: tokens(host),
        }
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
            if self.host_capacity_tokens > 0 {
                self.host.touch(*hash);
            }
        }
        self.host
            .shrink(blocks_in(self.host_capacity_tokens, block_tokens));
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
        self.host.clear();
    }
}

fn blocks_in(tokens: u64, block_tokens: u64) -> usize {
    usize::try_from(tokens / block_tokens.max(1)).unwrap_or(usize::MAX)
}
