//! Starting requests: the one place where a slot is taken, and the walk over a queue when there is room.

use crate::effect::{Effect, Refusal};
use crate::fleet_view::ShareRule;
use crate::learn::whole;
use crate::request::{RequestIndex, Run};
use crate::route::{Choice, Chosen};
use crate::share::{Capacity, Guard, LANES, Meter};
use crate::state::Core;
use madang_types::Micros;

/// Waiting requests that are looked at, in their order, for one that can start.
const HEADS_MAX: usize = 32;
/// How long a guard stands before it is worked out anew.
const GUARD_US: u64 = 20_000;
/// Somebody who waited this long says that a pool is contended, whatever the sums say.
const BACKLOG_US: u64 = 300_000;

impl Core {
    /// Takes a slot for the request and says so.
    pub(crate) fn start(
        &mut self,
        now: Micros,
        index: RequestIndex,
        chosen: &Chosen,
        effects: &mut Vec<Effect>,
    ) {
        self.sequence += 1;
        let sequence = self.sequence;
        let (rule, limits) = (self.rules.share, self.limits.clone());
        let Some((pool_index, leaf, first)) = self
            .requests
            .get(index)
            .map(|request| (request.pool, request.leaf, request.attempts == 0))
        else {
            return;
        };
        let Some(member) = self.member(chosen.member) else {
            return;
        };
        let batch = self.batch_of(pool_index, member);
        let (costs, cache_tokens) = (member.view.costs, member.cache_tokens());
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        request.attempts += 1;
        let run = Run {
            attempt: request.attempts,
            member: chosen.member,
            started_at: now,
            ttft_us: chosen.estimate.ttft_us,
            work: chosen.estimate.work(),
            over_us: if chosen.over { Guard::over_weight(chosen.estimate.prefill_us) } else { 0 },
            raw_us: chosen.estimate.raw_us,
            cached_tokens: chosen.decision.cached_tokens,
            kv_tokens: chosen.kv_tokens,
        };
        let meter = Meter {
            prefill_us: run.work.prefill_us,
            prompt_tokens: request.submit.prompt_tokens,
            output_tokens: request.predicted_output,
            batch,
        };
        let (charge, service_us) = (meter.charge(rule, &costs), meter.accelerator_us(&costs));
        request.charged = request.charged.saturating_add(charge);
        request.runs.push(run.clone());
        let (id, attempt, session) = (request.submit.request, request.attempts, request.submit.session);
        let prefix = std::mem::take(&mut request.submit.prefix);
        if let Some(pool) = self.pool_mut(pool_index) {
            pool.tree.served(leaf);
            pool.tree.charge(leaf, i64::try_from(charge).unwrap_or(i64::MAX));
            pool.note_start(now, (leaf, &run), service_us);
            pool.prefix.touch(run.member, (&prefix.blocks, prefix.block_tokens), cache_tokens);
            if let Some(session) = session {
                pool.sessions.set(session, run.member);
            }
            if first {
                pool.counts.first += 1;
                pool.retry_budget.earn(limits.retry_percent_max);
                pool.hedge_budget.earn(limits.hedge_percent_max);
            }
        }
        if let Some(request) = self.requests.get_mut(index) {
            request.submit.prefix = prefix;
        }
        let Some(member) = self.member_mut(run.member) else {
            return;
        };
        member.running.push(index);
        member.account.sent(now, run.work, run.kv_tokens);
        member.started_at_sequence = sequence;
        effects.push(Effect::Start {
            request: id,
            attempt,
            replica: member.view.replica.clone(),
            site: member.view.site.clone(),
            decision: chosen.decision,
        });
    }

    /// Takes one run of a request off its member.
    pub(crate) fn release(&mut self, now: Micros, index: RequestIndex, attempt: u32) -> Option<Run> {
        let request = self.requests.get_mut(index)?;
        let at = request.runs.iter().position(|run| run.attempt == attempt)?;
        let run = request.runs.remove(at);
        let answered = request.first_byte_at.is_some();
        let (pool, leaf) = (request.pool, request.leaf);
        if let Some(member) = self.member_mut(run.member) {
            member.running.retain(|other| *other != index);
            if !answered {
                member.account.answered(now, run.work);
            }
            member.account.freed(run.kv_tokens);
        }
        if let Some(pool) = self.pool_mut(pool) {
            if !answered {
                pool.over_us = pool.over_us.saturating_sub(run.over_us);
                pool.long = pool.long.saturating_sub(u32::from(run.work.long));
            }
            pool.tree.ended(leaf);
            if let Some(usage) = pool.tree.usage_mut(leaf) {
                usage.kv_tokens = usage.kv_tokens.saturating_sub(run.kv_tokens);
                if !answered {
                    usage.prefill_us = usage.prefill_us.saturating_sub(run.work.prefill_us);
                }
            }
        }
        Some(run)
    }

    /// Starts whoever can start, pool by pool.
    pub(super) fn serve_all(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        for pool in self.pool_indices() {
            self.serve(now, pool, effects);
        }
    }

    /// Starts those of a pool's queue for whom there is room, in its order, and refuses whom nothing can serve any more.
    pub(super) fn serve(&mut self, now: Micros, pool: u32, effects: &mut Vec<Effect>) {
        while self.pool(pool).is_some_and(|pool| pool.tree.waiting() > 0) {
            self.guard_refresh(now, pool);
            let Some((index, choice)) = self.next(now, pool) else {
                return;
            };
            match choice {
                Choice::Member(chosen) => {
                    self.unqueue(index);
                    self.start(now, index, &chosen, effects);
                }
                refused => {
                    let refusal = self.refusal(index, &refused);
                    self.refuse(now, index, refusal, effects);
                }
            }
        }
    }

    /// The first of those who wait that need not wait any longer, and what becomes of it.
    fn next(&mut self, now: Micros, pool: u32) -> Option<(RequestIndex, Choice)> {
        for lane in 0..LANES {
            let heads = self.pool(pool)?.tree.heads(lane, HEADS_MAX);
            let waits = !heads.is_empty();
            for index in heads {
                match self.choice(now, index) {
                    Choice::Wait => {}
                    choice => return Some((index, choice)),
                }
            }
            // What takes what is left waits while anybody else does.
            if waits && lane == 1 {
                return None;
            }
        }
        None
    }

    /// Works a pool's guard out anew, where it is old.
    pub(super) fn guard_refresh(&mut self, now: Micros, pool_index: u32) {
        if self.rules.share != ShareRule::Madang {
            return;
        }
        let old = self
            .pool(pool_index)
            .is_none_or(|pool| now.since_us(pool.guarded_at) < GUARD_US);
        if old {
            return;
        }
        let capacity = self.capacity(now, pool_index);
        let waited_us = self.longest_wait_us(now, pool_index);
        if let Some(pool) = self.pool_mut(pool_index) {
            let elapsed_us = now.since_us(pool.guarded_at);
            pool.guarded_at = now;
            let (contended, expected) = pool.tree.level(now.0, capacity, waited_us > BACKLOG_US);
            pool.holds.follow(elapsed_us, &expected, capacity);
            pool.guard = Guard::new(contended, expected, capacity, pool.holds);
        }
    }

    /// What a pool's serving members have.
    fn capacity(&self, now: Micros, pool: u32) -> Capacity {
        let mut capacity = Capacity::default();
        let mut iterations_us = 0_u64;
        let Some(pool) = self.pool(pool) else {
            return capacity;
        };
        let serving = pool.members.iter().filter_map(|index| self.member(*index));
        for member in serving.filter(|member| member.available(now)) {
            capacity.members += 1;
            capacity.slots = capacity.slots.saturating_add(member.slots_limit());
            let kv = member.view.kv_tokens.unwrap_or(0);
            capacity.kv_tokens = capacity.kv_tokens.saturating_add(kv);
            iterations_us += member.speed.iteration_us(member.slots_limit(), kv);
        }
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

    /// Refuses everybody who waits for a pool.
    pub(super) fn refuse_waiting(
        &mut self,
        now: Micros,
        pool: u32,
        refusal: Refusal,
        effects: &mut Vec<Effect>,
    ) {
        let waiting = self.pool(pool).map(|pool| pool.tree.all());
        for index in waiting.unwrap_or_default() {
            self.refuse(now, index, refusal, effects);
        }
    }
}

impl crate::state::Pool {
    fn note_start(&mut self, now: Micros, (leaf, run): (u32, &Run), service_us: u64) {
        self.starts.add(now.0, 1.0);
        self.over_us = self.over_us.saturating_add(run.over_us);
        self.long += u32::from(run.work.long);
        self.need.add(whole(run.kv_tokens), 0.01);
        if let Some(usage) = self.tree.usage_mut(leaf) {
            usage.kv_tokens = usage.kv_tokens.saturating_add(run.kv_tokens);
            usage.prefill_us = usage.prefill_us.saturating_add(run.work.prefill_us);
            usage.service.add(now.0, whole(service_us));
            usage.service_us = usage.service_us.saturating_add(service_us);
        }
    }
}
