//! A second attempt beside one whose first byte is late: only while the pool is lightly loaded, and only as often as its budget allows.

use crate::effect::{Effect, RouteReason};
use crate::request::{RequestIndex, Run};
use crate::route::Choice;
use crate::state::Core;
use madang_types::Micros;

/// A first byte is late after this many times its predicted time, and half a second at least.
const LATE_FACTOR: u64 = 3;
const LATE_US_MIN: u64 = 500_000;
/// Part of the slots of the pool's serving members up to which it counts as lightly loaded, in percent.
const LIGHT_PERCENT: u32 = 50;

impl Core {
    /// Starts hedges where they are due.
    pub(crate) fn hedge(&mut self, now: Micros, pool: u32, effects: &mut Vec<Effect>) {
        if self.limits.hedge_percent_max == 0 || self.draining || !self.is_light(now, pool) {
            return;
        }
        for index in self.late(now, pool) {
            self.hedge_one(now, (pool, index), effects);
        }
    }

    fn is_light(&self, now: Micros, pool: u32) -> bool {
        let Some(pool) = self.pool(pool) else {
            return false;
        };
        if pool.tree.waiting() > 0 {
            return false;
        }
        let serving = pool
            .members
            .iter()
            .filter_map(|index| self.member(*index))
            .filter(|member| member.available(now));
        let (mut running, mut slots) = (0_u32, 0_u32);
        for member in serving {
            running = running.saturating_add(member.running_count());
            slots = slots.saturating_add(member.slots_limit());
        }
        running.saturating_mul(100) < slots.saturating_mul(LIGHT_PERCENT)
    }

    /// Requests whose only attempt is late with its first byte.
    fn late(&self, now: Micros, pool: u32) -> Vec<RequestIndex> {
        let Some(pool) = self.pool(pool) else {
            return Vec::new();
        };
        let members = pool.members.iter().filter_map(|index| self.member(*index));
        let is_late = |run: &Run| {
            let bound = (run.ttft_us * LATE_FACTOR).max(LATE_US_MIN);
            now.since_us(run.started_at) > bound
        };
        members
            .flat_map(|member| self.unanswered(member))
            .filter(|index| {
                self.requests.get(*index).is_some_and(|request| {
                    request.submit.streamed
                        && request.first_byte_at.is_none()
                        && request.tries() < self.limits.attempts_max
                        && matches!(request.runs.as_slice(), [run] if is_late(run))
                })
            })
            .collect()
    }

    fn hedge_one(
        &mut self,
        now: Micros,
        (pool, index): (u32, RequestIndex),
        effects: &mut Vec<Effect>,
    ) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let choice = self
            .requests
            .get(index)
            .map(|request| self.choose(now, request, &mut scratch));
        self.scratch = scratch;
        let Some(Choice::Member(mut chosen)) = choice else {
            return;
        };
        let budget = self.pool_mut(pool).map(|pool| pool.hedge_budget.spend(now));
        if budget != Some(true) {
            return;
        }
        chosen.decision.reason = RouteReason::Hedge;
        if let Some(pool) = self.pool_mut(pool) {
            pool.counts.hedges += 1;
        }
        self.start(now, index, &chosen, effects);
    }
}
