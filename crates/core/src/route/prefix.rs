//! What each member's prefix cache is believed to hold: block hashes of prompts that it computed, the latest kept.
//!
//! An approximation: engines evict by rules of their own. It decays with the memory that running requests take, with what
//! engines report as not cached after all, and is emptied when an engine starts anew. Bounded by the members' own memory.

use crate::lookup::Lookup;
use crate::request::MemberIndex;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// Blocks that the index holds for one member at most, whatever its memory.
const MEMBER_BLOCKS_MAX: usize = 65_536;

/// One pool's index.
#[derive(Debug, Default)]
pub(crate) struct PrefixIndex {
    holders: Lookup<u64, SmallVec<[MemberIndex; 6]>>,
    members: Vec<Held>,
}

/// What one member holds, in the order of last touch. Stale entries of the order are skipped later.
#[derive(Debug, Default)]
struct Held {
    stamps: Lookup<u64, u64>,
    order: VecDeque<(u64, u64)>,
    clock: u64,
    block_tokens: u64,
}

impl PrefixIndex {
    /// How many of the first blocks each member holds.
    pub fn lookup(&self, blocks: &[u64], matches: &mut Matches) {
        matches.clear();
        for (depth, hash) in (0_u32..).zip(blocks) {
            let Some(holders) = self.holders.get(hash) else {
                return;
            };
            // Whoever lacked an earlier block has dropped behind.
            let mut any = false;
            for member in holders {
                any |= matches.extend(*member, depth);
            }
            if !any {
                return;
            }
        }
    }

    /// A member computes this prompt: it will hold its blocks.
    pub fn touch(
        &mut self,
        member: MemberIndex,
        (blocks, block_tokens): (&[u64], u32),
        capacity_tokens: u64,
    ) {
        if blocks.is_empty() || block_tokens == 0 {
            return;
        }
        let at = usize::from(member);
        if self.members.len() <= at {
            self.members.resize_with(at + 1, Held::default);
        }
        let Some(held) = self.members.get_mut(at) else {
            return;
        };
        held.block_tokens = u64::from(block_tokens);
        // The last block first: a prompt's beginning is what others share, and goes last.
        for hash in blocks.iter().rev() {
            held.clock += 1;
            held.order.push_back((*hash, held.clock));
            if held.stamps.insert(*hash, held.clock).is_none() {
                self.holders.or_default(*hash).push(member);
            }
        }
        let capacity =
            usize::try_from(capacity_tokens / u64::from(block_tokens)).unwrap_or(usize::MAX);
        self.shrink(member, capacity.min(MEMBER_BLOCKS_MAX));
    }

    fn shrink(&mut self, member: MemberIndex, capacity: usize) {
        let Some(held) = self.members.get_mut(usize::from(member)) else {
            return;
        };
        while held.stamps.len() > capacity {
            let Some((hash, stamp)) = held.order.pop_front() else {
                break;
            };
            if held.stamps.get(&hash) == Some(&stamp) {
                held.stamps.remove(&hash);
                forget(&mut self.holders, hash, member);
            }
        }
        if held.order.len() > 2 * held.stamps.len() + 64 {
            let stamps = &held.stamps;
            held.order
                .retain(|(hash, stamp)| stamps.get(hash) == Some(stamp));
        }
    }

    /// The engine said that it had only the first `kept` of these blocks: the others are gone.
    pub fn missed(&mut self, member: MemberIndex, blocks: &[u64], kept: usize) {
        let Some(held) = self.members.get_mut(usize::from(member)) else {
            return;
        };
        for hash in blocks.iter().skip(kept) {
            if held.stamps.remove(hash).is_some() {
                forget(&mut self.holders, *hash, member);
            }
        }
    }

    /// The engine is another process, or left.
    pub fn clear(&mut self, member: MemberIndex) {
        self.shrink(member, 0);
        if let Some(held) = self.members.get_mut(usize::from(member)) {
            held.stamps.clear();
            held.order.clear();
        }
    }

    /// Tokens that a member is believed to hold.
    pub fn tokens(&self, member: MemberIndex) -> u64 {
        self.members.get(usize::from(member)).map_or(0, |held| {
            u64::try_from(held.stamps.len()).unwrap_or(0) * held.block_tokens
        })
    }
}

fn forget(holders: &mut Lookup<u64, SmallVec<[MemberIndex; 6]>>, hash: u64, member: MemberIndex) {
    if let Some(list) = holders.get_mut(&hash) {
        list.retain(|other| *other != member);
        if list.is_empty() {
            holders.remove(&hash);
        }
    }
}

/// How many blocks of a prompt each member holds.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    counts: Vec<u32>,
    /// Members whose count is not zero.
    counted: Vec<MemberIndex>,
}

impl Matches {
    fn clear(&mut self) {
        for member in self.counted.drain(..) {
            if let Some(count) = self.counts.get_mut(usize::from(member)) {
                *count = 0;
            }
        }
    }

    /// Counts one block more for a member that holds all `depth` before it.
    fn extend(&mut self, member: MemberIndex, depth: u32) -> bool {
        let at = usize::from(member);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        let Some(count) = self.counts.get_mut(at).filter(|count| **count == depth) else {
            return false;
        };
        *count += 1;
        if depth == 0 {
            self.counted.push(member);
        }
        true
    }

    /// Blocks from the first that the member holds.
    pub fn blocks(&self, member: MemberIndex) -> u32 {
        self.counts.get(usize::from(member)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(index: &PrefixIndex, blocks: &[u64]) -> Vec<u32> {
        let mut matches = Matches::default();
        index.lookup(blocks, &mut matches);
        (0..3).map(|member| matches.blocks(member)).collect()
    }

    #[test]
    fn the_longest_known_beginning_counts() {
        let mut index = PrefixIndex::default();
        index.touch(0, (&[1, 2, 3], 10), 1_000);
        index.touch(2, (&[1, 2, 9], 10), 1_000);
        assert_eq!(matched(&index, &[1, 2, 3, 4]), [3, 0, 2]);
        assert_eq!(matched(&index, &[2, 3]), [2, 0, 1]);
        assert_eq!(matched(&index, &[7]), [0, 0, 0]);
        index.missed(0, &[1, 2, 3], 1);
        assert_eq!(matched(&index, &[1, 2, 3, 4]), [1, 0, 2]);
        index.clear(2);
        assert_eq!(matched(&index, &[1, 2, 3, 4]), [1, 0, 0]);
    }

    #[test]
    fn what_was_touched_longest_ago_goes_first_and_beginnings_go_last() {
        let mut index = PrefixIndex::default();
        index.touch(0, (&[1, 2, 3], 10), 40);
        index.touch(0, (&[5], 10), 40);
        assert_eq!(index.tokens(0), 40);
        index.touch(0, (&[6], 10), 40);
        assert_eq!(matched(&index, &[1, 2, 3]), [2, 0, 0]);
        assert_eq!(index.tokens(0), 40);
    }

    #[test]
    fn the_index_stays_within_its_bound() {
        let mut index = PrefixIndex::default();
        for round in 0..1_000_u64 {
            let blocks: Vec<u64> = (0..100).map(|block| round % 7 * 1_000 + block).collect();
            index.touch(0, (&blocks, 10), 3_000);
            let held = &index.members[0];
            assert!(held.stamps.len() <= 300 && held.order.len() <= 3 * 300 + 200);
        }
    }
}
