//! A first byte came: what was predicted is compared with it, a race is won, prompt work is off the member's account.

use super::order::NEAR_STANDING_US;
use crate::effect::Effect;
use crate::request::{FlowIndex, MemberIndex, Request, RequestIndex, Run};
use crate::share::LATE_US;
use crate::state::{Core, Pool};
use madang_types::{Micros, RequestId};

/// First tokens of a member that the others of its pool learn from, while they have shown none.
const LESSONS: u64 = 8;

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
        let pool = request.pool;
        let known = known.cloned();
        for loser in &losers {
            self.release(now, index, *loser);
            effects.push(Effect::CallOff {
                request: id,
                attempt: *loser,
            });
        }
        let observed = request_observed(self.requests.get(index));
        let teacher = known.as_ref().map(|run| run.member);
        self.prompt_done(now, index);
        if let Some(request) = self.requests.get_mut(index) {
            request.first_byte_at = Some(now);
        }
        if let Some(run) = known
            && let Some(member) = self.member_mut(run.member)
        {
            let slots = member.view.slots;
            member.breaker.succeeded(slots);
            if observed {
                let took_us = now.since_us(run.started_at);
                member.speed.first_token(took_us, (run.ttft_us, run.raw_us));
            }
            if member.speed.is_late() {
                member.speed.late_forget();
                member.limit.decrease(now, slots);
            }
        }
        // A member that left may have held nothing but the loser.
        self.drop_drained(effects);
        if observed && let Some(teacher) = teacher {
            self.teach(pool, teacher);
            self.lend(now, index);
        }
        self.serve(now, pool, effects);
    }

    /// What those under their share lend beside a flood goes by when their first tokens come. Whoever's prompt alone takes so long that
    /// it cannot come in time says nothing.
    fn lend(&mut self, now: Micros, index: RequestIndex) {
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let (leaf, took_us) = (request.leaf, now.since_us(request.arrived_at));
        let own_us = request.runs.first().map_or(0, |run| run.work.prefill_us);
        if own_us.saturating_add(NEAR_STANDING_US) > LATE_US || request.takes_rest() {
            return;
        }
        let Some(pool) = self.pool_mut(request.pool) else {
            return;
        };
        let usage = pool.tree.usage(leaf).filter(|usage| !usage.over);
        if let Some(usage) = usage.filter(|_| pool.guard.flooded) {
            let arrivals = usage.arrivals.per_second(now.0);
            pool.lend.first_token(took_us, arrivals);
        }
    }

    /// What one member showed holds for those of its pool that have shown nothing yet.
    fn teach(&mut self, pool: u32, teacher: MemberIndex) {
        let Some(speed) = self.member(teacher).map(|member| member.speed) else {
            return;
        };
        // Whoever joins later learns when it joins.
        if speed.seen() > LESSONS {
            return;
        }
        let others = self.pool(pool).map(|pool| pool.members.clone());
        for index in others.unwrap_or_default() {
            if let Some(member) = self.member_mut(index).filter(|_| index != teacher) {
                member.speed.learn_from(&speed);
            }
        }
    }

    /// A request's prompt is computed: it is off the accounts of its members, its pool and its tenant.
    pub(super) fn prompt_done(&mut self, now: Micros, index: RequestIndex) {
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        if std::mem::replace(&mut request.prompt_done, true) {
            return;
        }
        let (pool, leaf, runs) = (request.pool, request.leaf, request.runs.clone());
        for run in runs {
            if let Some(member) = self.member_mut(run.member) {
                member.account.answered(now, run.work);
            }
            if let Some(pool) = self.pool_mut(pool) {
                pool.prompt_off(leaf, &run);
            }
        }
    }
}

/// Whether a first byte says when the prompt was computed.
fn request_observed(request: Option<&Request>) -> bool {
    request.is_some_and(|request| request.submit.streamed && !request.prompt_done)
}

impl Pool {
    /// A run's prompt is computed, or never will be.
    pub(super) fn prompt_off(&mut self, leaf: FlowIndex, run: &Run) {
        self.over_us = self.over_us.saturating_sub(run.over_us);
        if let Some(usage) = self.tree.usage_mut(leaf) {
            usage.prefill_us = usage.prefill_us.saturating_sub(run.work.prefill_us);
        }
    }
}
