//! Who stands before whom: among the requests of one key, and among those of tenants that ask for no more than their parts.

use crate::fleet_view::ShareRule;
use crate::request::{Request, RequestIndex};
use crate::route::SLOW_US;
use crate::share::LATE_US;
use crate::state::Core;
use madang_types::Micros;
use smallvec::SmallVec;

/// Inside a key's queue small prompts go first: a prompt stands as if it had come later by so many times its own work. Nobody is
/// overtaken by what comes later than that.
const SIZE_FACTOR: u64 = 3;
/// Beside a flood nobody stands later than the moment at which its prompt must begin so that its first token is not late. That much
/// of the time is for what stands at an engine before it.
pub(super) const NEAR_STANDING_US: u64 = 100_000;
/// Whoever's first token cannot come within that time any more stands back by this: to let those go before who would be late else
/// costs it little, and they are more.
const FAR_BACK_US: u64 = 1_000_000;

/// Whoever comes too late in any case stands back by this, longer than anybody may wait: behind all of its key that can be in time. Where
/// more is asked than can be done, in their old order all would be late.
const LATE_BACK_US: u64 = 86_400_000_000;

/// By how much later a prompt of that much work stands than it came: by its size, but not beyond the moment at which it must begin
/// so that its first token is not slow. Prompts that are slow wherever they go have no such moment.
fn stands_back_us(work_us: u64) -> u64 {
    let by_size_us = work_us.saturating_mul(SIZE_FACTOR);
    match SLOW_US.checked_sub(work_us) {
        Some(latest_us) => by_size_us.min(latest_us),
        None => by_size_us,
    }
}

/// The same beside a flood, for one that has waited so long.
fn stands_back_flooded_us(work_us: u64, waited_us: u64) -> u64 {
    let latest_us = LATE_US.saturating_sub(work_us);
    let back_us = work_us.saturating_mul(SIZE_FACTOR).min(latest_us);
    if waited_us.saturating_add(NEAR_STANDING_US) > latest_us {
        back_us + FAR_BACK_US
    } else {
        back_us
    }
}

impl Request {
    /// Its place in its queue is by that much prompt work.
    pub(super) fn stands_by(&mut self, work_us: u64) {
        self.work_us = work_us;
        self.order.0 = self.later_than_it_came(stands_back_us(work_us));
    }

    /// It stands behind those of its key that can be in time: its own first token cannot.
    fn stands_late(&mut self) {
        self.order.0 = self.later_than_it_came(LATE_BACK_US);
    }

    fn does_stand_late(&self) -> bool {
        self.order.0 == self.later_than_it_came(LATE_BACK_US)
    }

    fn later_than_it_came(&self, by_us: u64) -> i64 {
        let by_us = i64::try_from(by_us).unwrap_or(i64::MAX);
        self.arrived_at.0.saturating_add(by_us)
    }
}

impl Core {
    /// Sets those of a pool's first back whose first token cannot be in time any more, and could have been; says whether there were any.
    pub(super) fn set_back(&mut self, now: Micros, pool: u32, heads: &[RequestIndex]) -> bool {
        if self.rules.share != ShareRule::Madang {
            return false;
        }
        let mut any = false;
        for index in heads {
            if !self.is_late(now, pool, *index) {
                continue;
            }
            let Some(request) = self.requests.get_mut(*index) else {
                continue;
            };
            let from = request.order;
            request.stands_late();
            let (place, to) = ((request.leaf, request.lane), request.order);
            if let Some(pool) = self.pool_mut(pool) {
                pool.tree.stand(place, from, to);
            }
            any = true;
        }
        any
    }

    /// Whether a request that waits comes too late by now, and is to stand behind others. What takes what is left is never in time, nor
    /// is a prompt that is slow wherever it goes: they keep their order. So does a tenant that is over its share beside others that are
    /// not: what it asks for beyond that is to wait.
    fn is_late(&self, now: Micros, pool: u32, index: RequestIndex) -> bool {
        let in_time_us = SLOW_US.max(self.limits.ttft_ms_max.saturating_mul(1_000));
        let (Some(pool), Some(request)) = (self.pool(pool), self.requests.get(index)) else {
            return false;
        };
        let waited_us = now.since_us(request.arrived_at);
        let is_over = || {
            pool.tree
                .usage(request.leaf)
                .is_some_and(|usage| usage.over)
        };
        !request.does_stand_late()
            && !request.takes_rest()
            && request.work_us <= in_time_us
            && waited_us.saturating_add(request.work_us) > in_time_us
            && !(pool.guard.guests && is_over())
    }

    /// Those whose tenants ask for no more than their parts take nothing from each other, whatever their order: among themselves
    /// they go by when they came and how small they are, which no turn of a tree makes later. Beside a flood, when less is left to
    /// them, they go so that most first tokens come soon.
    pub(super) fn order_within(&self, now: Micros, pool: u32, heads: &mut [RequestIndex]) {
        let Some(pool) = self.pool(pool) else { return };
        let mut places: SmallVec<[usize; 8]> = SmallVec::new();
        let mut within: SmallVec<[_; 8]> = SmallVec::new();
        for (place, index) in heads.iter().enumerate() {
            let Some(request) = self.requests.get(*index) else {
                continue;
            };
            if pool.tree.usage(request.leaf).is_some_and(|u| u.within) {
                places.push(place);
                let (mut order, waited_us) = (request.order, now.since_us(request.arrived_at));
                if pool.guard.flooded {
                    let back_us = stands_back_flooded_us(request.work_us, waited_us);
                    order.0 = request.later_than_it_came(back_us);
                }
                within.push((order, *index));
            }
        }
        within.sort_unstable();
        for (place, (_, index)) in places.into_iter().zip(within) {
            heads[place] = index;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beside_a_flood_prompts_stand_by_when_they_must_begin_and_behind_whom_it_is_too_late_for() {
        // Own work and what was waited, in milliseconds; by how much later it stands.
        let cases = [
            ((100, 0), 300),
            ((100, 350), 300),
            ((100, 351), 1_300),
            ((300, 0), 250),
            ((300, 150), 250),
            ((300, 151), 1_250),
            ((700, 0), 1_000),
        ];
        for ((work_ms, waited_ms), expected_ms) in cases {
            let back_us = stands_back_flooded_us(work_ms * 1_000, waited_ms * 1_000);
            assert_eq!(
                back_us,
                expected_ms * 1_000,
                "{work_ms} ms of work, waited {waited_ms} ms"
            );
        }
    }
}
