//! When a pool's guard is worked out anew, and from what.

use crate::fleet_view::ShareRule;
use crate::member::{Ahead, Member, needed_at_once};
use crate::share::{Capacity, Guard, TenantUse};
use crate::state::{Core, Pool};
use madang_types::Micros;
use smallvec::SmallVec;

/// How long a guard stands before it is worked out anew.
const GUARD_US: u64 = 20_000;
/// Answers that go on for longer than this are not expected to make room for others.
const EVENED_WITHIN_US: u64 = 40_000_000;
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
        self.even_out(now, pool_index);
        let capacity = self.capacity(now, pool_index);
        let waited_us = self.longest_wait_us(now, pool_index);
        if let Some(pool) = self.pool_mut(pool_index) {
            pool.guarded_at = now;
            let expected = pool.tree.level(now.0, capacity, waited_us > BACKLOG_US);
            pool.holds.follow(now.0, &expected, capacity);
            pool.guard = Guard {
                lend: pool.lend,
                ..Guard::new(expected, capacity, pool.holds)
            };
        }
    }

    /// Works out what those who run will not need at once of the memory that each will need at its end.
    fn even_out(&mut self, now: Micros, pool_index: u32) {
        let Some(pool) = self.pool(pool_index) else {
            return;
        };
        let members = pool.members.iter();
        // Of nobody who keeps to its share anything is evened out: the common case, in which no request is looked at.
        let counts = pool.guard.shared && pool.tree.uses().any(TenantUse::takes_much);
        let evened: SmallVec<[_; 8]> = members
            .map(|index| {
                let member = self.member(*index);
                let tokens = member
                    .filter(|_| counts)
                    .map_or(0, |member| self.evened_tokens(now, (pool, member)));
                (*index, tokens)
            })
            .collect();
        for (index, tokens) in evened {
            if let Some(member) = self.member_mut(index) {
                member.evened_tokens = tokens;
            }
        }
    }

    /// The same at one member. It is for those over their share: the others come and go, and are taken to be replaced as they end.
    /// Answers that go on for long are taken to need at once what they need at their end: they give nothing back when others need it.
    fn evened_tokens(&self, now: Micros, (pool, member): (&Pool, &Member)) -> u64 {
        let tpot_us = member.speed.tpot_us().max(1);
        let far_tokens = EVENED_WITHIN_US / pool.holds.tpot_us.max(tpot_us);
        let (mut all_tokens, mut running) = (0_u64, Vec::new());
        let requests = member.running.iter();
        for request in requests.filter_map(|index| self.requests.get(*index)) {
            let usage = pool.tree.usage(request.leaf);
            if !usage.is_some_and(TenantUse::takes_much) {
                continue;
            }
            let since_us = request.first_byte_at.map_or(0, |at| now.since_us(at));
            let prompt_tokens = request.submit.prompt_tokens;
            let most = request.kv_tokens.saturating_sub(prompt_tokens);
            let made = (since_us / tpot_us).max(request.output_tokens);
            let left = most.saturating_sub(made);
            let left_tokens = if left > far_tokens { 0 } else { left };
            running.push(Ahead {
                left_tokens,
                held_tokens: request.kv_tokens - left_tokens,
            });
            all_tokens = all_tokens.saturating_add(request.kv_tokens);
        }
        all_tokens.saturating_sub(needed_at_once(&mut running))
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
            iterations_us += member.full_iteration_us();
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
