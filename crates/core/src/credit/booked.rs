//! What was served long ago, from sums of the books: the shares of the past are set against it as against what is served now.

use crate::fleet_view::PoolMember;
use crate::member::Speed;
use crate::share::Meter;

/// Sums over requests of one tenant for one model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Booked {
    /// How many.
    pub requests: u64,
    /// Prompt tokens computed.
    pub uncached_tokens: u64,
    /// Prompt tokens from a cache.
    pub cached_tokens: u64,
    /// Tokens made.
    pub output_tokens: u64,
}

impl Booked {
    /// Accelerator time, in microseconds, as a member like this one is charged for so many requests of the mean size.
    pub fn service_us(&self, member: &PoolMember) -> u64 {
        let mean = |sum: u64| sum.checked_div(self.requests).unwrap_or(0);
        let (uncached, cached) = (mean(self.uncached_tokens), mean(self.cached_tokens));
        let prompt_tokens = uncached.saturating_add(cached);
        let output_tokens = mean(self.output_tokens);
        let held = prompt_tokens.saturating_add(output_tokens).max(1);
        let by_memory = member
            .kv_tokens
            .map_or(u64::MAX, |kv_tokens| kv_tokens / held);
        let by_memory = u32::try_from(by_memory).unwrap_or(u32::MAX);
        let meter = Meter {
            prefill_us: Speed::new(&member.costs).prefill_us(uncached, cached),
            prompt_tokens,
            output_tokens,
            batch: member.slots.min(by_memory).max(1),
            pace_permille: 1000,
        };
        meter
            .accelerator_us(&member.costs)
            .saturating_mul(self.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet_view::{EngineCosts, ReplicaHealth};
    use madang_types::{ModelId, Place, ReplicaId, SiteId};

    #[test]
    fn requests_cost_what_they_would_be_charged() {
        let member = PoolMember {
            replica: ReplicaId::new("r").expect("a name"),
            site: SiteId::new("s").expect("a name"),
            model: ModelId::new("m").expect("a name"),
            adapters: vec![],
            endpoints: vec![],
            slots: 10,
            kv_tokens: Some(1_200),
            host_tokens: 0,
            costs: EngineCosts {
                step_us: 12_000,
                uncached_ns: 50_000,
                cached_ns: 1_000,
                output_ns: 20_000,
                kv_ps: 0,
                context_double_tokens: 0,
            },
            place: Place::default(),
            health: ReplicaHealth::Up,
            held_back: false,
        };
        let check = |(requests, uncached_tokens, cached_tokens, output_tokens), us| {
            let booked = Booked {
                requests,
                uncached_tokens,
                cached_tokens,
                output_tokens,
            };
            assert_eq!(booked.service_us(&member), us);
        };
        check((0, 0, 0, 0), 0);
        // 100 prompt tokens at 50 µs, 100 cached ones at 1 µs, 100 output ones at 20 µs and a fourth of an iteration: memory
        // holds four such requests.
        check((1, 100, 100, 100), 5_000 + 100 + 2_000 + 300_000);
        check((7, 700, 700, 700), 7 * (5_000 + 100 + 2_000 + 300_000));
        check((u64::MAX, u64::MAX, u64::MAX, u64::MAX), u64::MAX);
    }
}
