//! Time went by: who waited too long is refused, members come back, late first bytes are hedged. While no request waits or runs, a
//! tick changes nothing, and a recording may leave it out.

use crate::effect::{Effect, Refusal};
use crate::member::Member;
use crate::request::{RequestIndex, Run};
use crate::state::Core;
use madang_types::Micros;
use smallvec::SmallVec;

/// Flows that have been away that long are forgotten.
const AWAY_US: i64 = 600_000_000;
/// How often those are looked for.
const SWEEP_US: u64 = 60_000_000;

impl Core {
    pub(super) fn on_tick(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        if self.requests.len() == 0 {
            return;
        }
        self.credits_settle(now);
        let sweep = now.since_us(self.swept_at) >= SWEEP_US;
        if sweep {
            self.swept_at = now;
        }
        self.power_follow(now);
        for pool in self.pool_indices() {
            self.refuse_overdue(now, pool, effects);
            self.refuse_useless(now, pool, effects);
            self.assume_computed(now, pool);
            self.serve(now, pool, effects);
            self.hedge(now, pool, effects);
            if sweep && let Some(pool) = self.pool_mut(pool) {
                pool.tree.sweep(now.0.saturating_sub(AWAY_US));
            }
        }
    }

    /// Refuses those who have waited so long that their first token would be of no use.
    fn refuse_useless(&mut self, now: Micros, pool: u32, effects: &mut Vec<Effect>) {
        let useful_us = self.limits.ttft_ms_max.saturating_mul(1000);
        if useful_us == 0 {
            return;
        }
        let waiting = self
            .pool(pool)
            .map(|pool| pool.tree.all())
            .unwrap_or_default();
        for index in waiting {
            let late = self.requests.get(index).is_some_and(|request| {
                request.lane > 0
                    && request.preempted == 0
                    && now.since_us(request.arrived_at) > useful_us
            });
            if late {
                self.refuse(now, index, Refusal::Overloaded, effects);
            }
        }
    }

    /// Of an answer in one piece nobody hears when its prompt was computed: by its predicted time it is taken to be.
    fn assume_computed(&mut self, now: Micros, pool: u32) {
        let Some(pool) = self.pool(pool) else { return };
        let due = |index: &RequestIndex| {
            self.requests.get(*index).is_some_and(|request| {
                let over = |run: &Run| now.since_us(run.started_at) > run.ttft_us;
                !request.submit.streamed && request.runs.iter().all(over)
            })
        };
        let computed: Vec<RequestIndex> = pool
            .members
            .iter()
            .filter_map(|index| self.member(*index))
            .flat_map(|member| self.unanswered(member))
            .filter(due)
            .collect();
        for index in computed {
            self.prompt_done(now, index);
        }
    }

    /// A member's requests whose prompts are not computed, the oldest first. They are among its latest: of the others it is not
    /// asked.
    pub(crate) fn unanswered(&self, member: &Member) -> SmallVec<[RequestIndex; 8]> {
        let open = |index: &RequestIndex| {
            let request = self.requests.get(*index);
            request.is_some_and(|request| !request.prompt_done)
        };
        let latest = member.running.iter().rev().copied().filter(open);
        let count = usize::try_from(member.account.unanswered).unwrap_or(usize::MAX);
        let mut unanswered: SmallVec<[RequestIndex; 8]> = latest.take(count).collect();
        unanswered.reverse();
        unanswered
    }

    fn refuse_overdue(&mut self, now: Micros, pool: u32, effects: &mut Vec<Effect>) {
        while let Some(&(deadline, index)) = self.pool(pool).and_then(|pool| pool.deadlines.first())
        {
            if deadline > now {
                return;
            }
            self.refuse(now, index, Refusal::QueueTimeout, effects);
        }
    }

    /// Madang stops: whoever waits is refused, whoever runs may finish.
    pub(super) fn on_drain(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        self.draining = true;
        for pool in self.pool_indices() {
            self.refuse_waiting(now, pool, Refusal::Draining, effects);
        }
    }
}
