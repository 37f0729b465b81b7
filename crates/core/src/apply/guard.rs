//! When a pool's guard is worked out anew, and from what.

use crate::fleet_view::ShareRule;
use crate::share::{Capacity, Guard};
use crate::state::Core;
use madang_types::Micros;

/// How long a guard stands before it is worked out anew.
const GUARD_US: u64 = 20_000;
/// Somebody who waited this long says that a pool is contended, whatever the sums say.
const BACKLOG_US: u64 = 300_000;

impl Core {
    /// Works a pool's guard out anew, where it is old.
    pub(super) fn guard_refresh(&mut self, now: Micros, pool_index: u32) {
        if self.rules.share != ShareRule::Madang {
            return;
        }
        let fresh = self
            .pool(pool_index)
            .is_none_or(|pool| now.since_us(pool.guarded_at) < GUARD_US);
        if fresh {
            return;
        }
        let capacity = self.capacity(now, pool_index);
        let waited_us = self.longest_wait_us(now, pool_index);
        if let Some(pool) = self.pool_mut(pool_index) {
            pool.guarded_at = now;
            let expected = pool.tree.level(now.0, capacity, waited_us > BACKLOG_US);
            pool.holds.follow(now.0, &expected, capacity);
            pool.guard = Guard::new(expected, capacity, pool.holds);
        }
    }

    /// What a pool's serving members have.
    fn capacity(&self, now: Micros, pool: u32) -> Capacity {
        let mut capacity = Capacity::default();
        let (mut iterations_us, mut tpot_us) = (0_u64, 0_u64);
        let Some(pool) = self.pool(pool) else {
            return capacity;
        };
        let serving = pool.members.iter().filter_map(|index| self.member(*index));
        for member in serving.filter(|member| member.available(now) && !member.power.rests()) {
            capacity.members += 1;
            capacity.slots = capacity.slots.saturating_add(member.slots_limit());
            let kv = member.view.kv_tokens.unwrap_or(0);
            capacity.kv_tokens = capacity.kv_tokens.saturating_add(kv);
            iterations_us += member.speed.iteration_us(member.slots_limit(), kv);
            tpot_us += member.speed.tpot_us();
        }
        capacity.tpot_us = tpot_us / u64::from(capacity.members.max(1));
        capacity.full_iteration_us = iterations_us / u64::from(capacity.members.max(1));
        capacity
    }

    /// How long the first of the waiting has waited: by its deadline, since all of one pool wait alike.
    fn longest_wait_us(&self, now: Micros, pool: u32) -> u64 {
        self.pool(pool)
            .and_then(|pool| pool.deadlines.first())
            .and_then(|(_, index)| self.requests.get(*index))
            .map_or(0, |request| now.since_us(request.arrived_at))
    }
}
