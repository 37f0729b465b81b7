//! Starting requests: the one place where a slot is taken, and the walk over a queue when there is room.

use crate::effect::{Effect, Refusal};
use crate::learn::whole;
use crate::request::{RequestIndex, Run};
use crate::route::{Choice, Chosen};
use crate::share::{Guard, LANES, Meter};
use crate::state::Core;
use madang_types::Micros;
use smallvec::SmallVec;

/// Waiting requests that are looked at, in their order, for one that can start.
const HEADS_MAX: usize = 32;
/// How often they are looked at anew, as it was too late for some: what is left of a crowd is set back with the next start.
const SET_BACK_ROUNDS_MAX: usize = 8;

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
        let Some((run, meter)) = self.run_of(now, index, chosen) else {
            return;
        };
        let Some(member) = self.member_mut(run.member) else {
            return;
        };
        let (costs, cache_tokens) = (member.view.costs, member.cache_tokens());
        let iteration_us = member.iteration_us();
        member.running.push(index);
        member
            .account
            .sent(now, run.work, run.kv_tokens, iteration_us);
        member.started_at_sequence = sequence;
        let (replica, site) = (member.view.replica.clone(), member.view.site.clone());
        let charge = meter.charge(self.rules.share, &costs);
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        request.attempts = run.attempt;
        request.charged = request.charged.saturating_add(charge);
        if request.runs.is_empty() {
            // Tried anew: its prompt is on an account again.
            request.prompt_done = false;
        }
        request.runs.push(run.clone());
        let (pool_index, leaf, session) = (request.pool, request.leaf, request.submit.session);
        let prefix = std::mem::take(&mut request.submit.prefix);
        effects.push(Effect::Start {
            request: request.submit.request,
            attempt: run.attempt,
            replica,
            site,
            model: request.submit.model.clone(),
            masked: chosen.masked,
            decision: chosen.decision.clone(),
        });
        let limits = (self.limits.retry_percent_max, self.limits.hedge_percent_max);
        if let Some(pool) = self.pool_mut(pool_index) {
            pool.tree.served(leaf);
            pool.tree
                .charge(leaf, i64::try_from(charge).unwrap_or(i64::MAX));
            pool.note_start(now, (leaf, &run), meter.accelerator_us(&costs));
            let blocks = (prefix.blocks.as_slice(), prefix.block_tokens);
            pool.prefix.touch(run.member, blocks, cache_tokens);
            if let Some(session) = session {
                pool.sessions.set(session, run.member);
            }
            if run.attempt == 1 {
                pool.note_first(limits);
            }
        }
        if let Some(request) = self.requests.get_mut(index) {
            request.submit.prefix = prefix;
        }
    }

    /// The run that a choice means, and what it is predicted to use.
    fn run_of(&self, now: Micros, index: RequestIndex, chosen: &Chosen) -> Option<(Run, Meter)> {
        let request = self.requests.get(index)?;
        let member = self.member(chosen.member)?;
        let estimate = &chosen.estimate;
        let run = Run {
            attempt: request.attempts + 1,
            member: chosen.member,
            started_at: now,
            ttft_us: estimate.ttft_us,
            work: estimate.work(),
            over_us: if chosen.over {
                Guard::over_weight(estimate)
            } else {
                0
            },
            raw_us: estimate.raw_us,
            cached_tokens: chosen.decision.cached_tokens,
            kv_tokens: chosen.kv_tokens,
            rest: request.takes_rest(),
        };
        let meter = Meter {
            prefill_us: estimate.prefill_us,
            prompt_tokens: request.submit.prompt_tokens,
            output_tokens: request.predicted_output,
            batch: self.batch_of(request.pool, member),
            pace_permille: member.speed.pace_permille(),
        };
        Some((run, meter))
    }

    /// Takes one run of a request off its member.
    pub(crate) fn release(
        &mut self,
        now: Micros,
        index: RequestIndex,
        attempt: u32,
    ) -> Option<Run> {
        let request = self.requests.get_mut(index)?;
        let at = request.runs.iter().position(|run| run.attempt == attempt)?;
        let run = request.runs.remove(at);
        let answered = request.prompt_done;
        let (pool, leaf) = (request.pool, request.leaf);
        if let Some(member) = self.member_mut(run.member) {
            member.running.retain(|other| *other != index);
            if !answered {
                member.account.answered(now, run.work);
            }
            member.account.freed(run.kv_tokens);
        }
        if let Some(pool) = self.pool_mut(pool) {
            pool.tree.ended(leaf);
            if !answered {
                pool.prompt_off(leaf, &run);
            }
            if let Some(usage) = pool.tree.usage_mut(leaf) {
                usage.kv_tokens = usage.kv_tokens.saturating_sub(run.kv_tokens);
                if run.rest {
                    usage.rest.running = usage.rest.running.saturating_sub(1);
                    usage.rest.kv_tokens = usage.rest.kv_tokens.saturating_sub(run.kv_tokens);
                } else {
                    usage.ended.add(now.0, 1.0);
                    usage.ended_tokens.add(now.0, whole(run.kv_tokens));
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

    /// Starts those of a pool's queue for whom there is room, in its order, and gives up whom it cannot serve any more.
    pub(super) fn serve(&mut self, now: Micros, pool: u32, effects: &mut Vec<Effect>) {
        while self.pool(pool).is_some_and(|pool| pool.tree.waiting() > 0) {
            self.guard_refresh(now, pool);
            let Some((index, choice)) = self.next(now, pool, effects) else {
                return;
            };
            match choice {
                Choice::Member(chosen) => {
                    self.unqueue(index);
                    if let Some(pool) = self.pool_mut(pool) {
                        pool.pace.started(now);
                    }
                    self.start(now, index, &chosen, effects);
                }
                refused => {
                    let refusal = self.refusal(index, &refused);
                    self.give_up(now, index, refusal, effects);
                }
            }
        }
    }

    /// The first of those who wait that need not wait any longer, and what becomes of it.
    fn next(
        &mut self,
        now: Micros,
        pool: u32,
        effects: &mut Vec<Effect>,
    ) -> Option<(RequestIndex, Choice)> {
        self.scratch.promises_clear();
        let mut turn = false;
        let mut waits = false;
        for lane in 0..LANES {
            let mut heads = self.heads(now, pool, lane)?;
            self.order_within(now, pool, &mut heads);
            waits |= !heads.is_empty();
            for index in heads {
                match self.choice_or_preempt(now, index, effects) {
                    Choice::Wait => {}
                    Choice::WaitTurn => turn = true,
                    Choice::Member(chosen) if chosen.over && turn => {}
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

    /// The first of a lane, once those among them for whom it is too late stand behind the others of their key.
    fn heads(
        &mut self,
        now: Micros,
        pool: u32,
        lane: usize,
    ) -> Option<SmallVec<[RequestIndex; 8]>> {
        let mut heads = self.pool(pool)?.tree.heads(lane, HEADS_MAX);
        for _ in 0..SET_BACK_ROUNDS_MAX {
            if !self.set_back(now, pool, &heads) {
                break;
            }
            heads = self.pool(pool)?.tree.heads(lane, HEADS_MAX);
        }
        Some(heads)
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
    /// A first attempt: further ones are a part of those.
    fn note_first(&mut self, (retry_percent, hedge_percent): (u32, u32)) {
        self.counts.first += 1;
        self.retry_budget.earn(retry_percent);
        self.hedge_budget.earn(hedge_percent);
    }

    fn note_start(&mut self, now: Micros, (leaf, run): (u32, &Run), service_us: u64) {
        self.over_us = self.over_us.saturating_add(run.over_us);
        self.need.add(whole(run.kv_tokens), 0.01);
        if let Some(usage) = self.tree.usage_mut(leaf) {
            usage.kv_tokens = usage.kv_tokens.saturating_add(run.kv_tokens);
            if run.rest {
                usage.rest.running = usage.rest.running.saturating_add(1);
                usage.rest.kv_tokens = usage.rest.kv_tokens.saturating_add(run.kv_tokens);
            }
            usage.prefill_us = usage.prefill_us.saturating_add(run.work.prefill_us);
        }
        let service_us = i64::try_from(service_us).unwrap_or(i64::MAX);
        self.tree.book(leaf, now.0, service_us);
    }
}
