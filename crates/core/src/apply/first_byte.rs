//! A first byte came: what was predicted is compared with it, a race is won, prompt work is off the member's account.

use crate::effect::Effect;
use crate::state::Core;
use madang_types::{Micros, RequestId};

impl Core {
    pub(super) fn on_first_byte(
        &mut self,
        now: Micros,
        (id, attempt): (RequestId, u32),
        effects: &mut Vec<Effect>,
    ) {
        let Some(index) = self.requests.index(id) else {
            return;
        };
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let known = request.runs.iter().find(|run| run.attempt == attempt);
        if request.first_byte_at.is_some() || known.is_none() {
            return;
        }
        let losers: Vec<u32> = request
            .runs
            .iter()
            .map(|run| run.attempt)
            .filter(|other| *other != attempt)
            .collect();
        let (pool, leaf) = (request.pool, request.leaf);
        let known = known.cloned();
        for loser in &losers {
            self.release(now, index, *loser);
            effects.push(Effect::CallOff {
                request: id,
                attempt: *loser,
            });
        }
        if let Some(request) = self.requests.get_mut(index) {
            request.first_byte_at = Some(now);
        }
        if let Some(run) = &known
            && let Some(pool) = self.pool_mut(pool)
        {
            pool.over_us = pool.over_us.saturating_sub(run.over_us);
            pool.long = pool.long.saturating_sub(u32::from(run.work.long));
            if let Some(usage) = pool.tree.usage_mut(leaf) {
                usage.prefill_us = usage.prefill_us.saturating_sub(run.work.prefill_us);
            }
        }
        if let Some(run) = known
            && let Some(member) = self.member_mut(run.member)
        {
            member.account.answered(now, run.work);
            let slots = member.view.slots;
            member.breaker.succeeded(slots);
            let observed_us = now.since_us(run.started_at);
            member.speed.first_token(observed_us, (run.ttft_us, run.raw_us));
            if member.speed.is_late() {
                member.speed.late_forget();
                member.limit.decrease(now, slots);
            }
        }
        self.serve(now, pool, effects);
    }
}
