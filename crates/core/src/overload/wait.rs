//! How long a request will wait, as far as can be said.

use crate::fleet_view::ShareRule;
use crate::learn::rounded;
use crate::request::Request;
use crate::state::Core;
use madang_types::{Micros, RequestId};

/// Longest wait that is ever named: an hour.
const WAIT_MS_MAX: u64 = 3_600_000;

impl Core {
    /// How many are likely served before a waiting request, and for how long it waits yet; `None` where it does not wait.
    /// The time is `None` where nothing was started of late.
    pub fn queue_place(&self, id: RequestId, now: Micros) -> Option<(u32, Option<u64>)> {
        let index = self.requests.index(id)?;
        let request = self.requests.get(index)?;
        if !request.waiting {
            return None;
        }
        let (pool, place) = (request.pool, self.place_of(request));
        Some((place, self.wait_ms(now, pool, place)))
    }

    /// Those who stand before it in its own line, each beside one of every other tenant that waits.
    pub(crate) fn place_of(&self, request: &Request) -> u32 {
        self.place_by(request, request.order)
    }

    /// Where one that leaves its queue would stand if it came anew: behind all others of its key.
    pub(crate) fn place_anew(&self, request: &Request) -> u32 {
        self.place_by(request, (i64::MAX, u64::MAX))
    }

    fn place_by(&self, request: &Request, order: (i64, u64)) -> u32 {
        let Some(pool) = self.pool(request.pool) else {
            return 0;
        };
        let before = pool.tree.before(request.leaf, request.lane, order);
        let waiting = pool.tree.waiting().saturating_sub(1);
        if self.rules.share == ShareRule::Fcfs {
            return waiting;
        }
        let rivals = pool.tree.rivals(request.lane).max(1);
        let turns = before.saturating_mul(rivals).saturating_add(rivals - 1);
        turns.min(waiting)
    }

    /// The longest wait after which a first token is still of use with some certainty: a third of the time within which it is. What is
    /// predicted may be wrong by as much, and a queue that is as long as it may be makes all late. `None`: there is no such bound.
    pub(crate) fn useful_wait_ms(&self) -> Option<u64> {
        Some(self.limits.ttft_ms_max / 3).filter(|bound| *bound > 0)
    }

    /// The longest wait with which a request is taken in; `None`: it is taken in whatever its wait.
    pub(crate) fn wait_bound_ms(&self, request: &Request) -> Option<u64> {
        if request.lane == 0 {
            return None;
        }
        let useful_ms = self.useful_wait_ms();
        let wait_ms = Some(request.submit.wait_ms_max).filter(|bound| *bound > 0);
        useful_ms.into_iter().chain(wait_ms).min()
    }

    /// How long that many take, by the pace of the last seconds.
    pub(crate) fn wait_ms(&self, now: Micros, pool: u32, place: u32) -> Option<u64> {
        let starts = self.pool(pool)?.pace.per_second(now)?;
        let wait_ms = rounded(f64::from(place + 1) / starts * 1000.0);
        Some(wait_ms.min(WAIT_MS_MAX))
    }
}
