//! An attempt is over: its slot is free, what it used is settled, a failed one is tried elsewhere.

use crate::effect::{Effect, Refusal};
use crate::input::{AttemptEnd, Spent, TOKENS_MAX};
use crate::learn::{Mean, whole};
use crate::request::{RequestIndex, Run};
use crate::state::Core;
use madang_types::{Micros, RequestId};

/// Weight of the latest answer in a key's mean output.
const OUTPUT_PART: f64 = 0.05;

impl Core {
    pub(super) fn on_attempt_end(
        &mut self,
        now: Micros,
        (id, attempt): (RequestId, u32),
        (end, spent): (AttemptEnd, Option<Spent>),
        effects: &mut Vec<Effect>,
    ) {
        let Some(index) = self.requests.index(id) else {
            return;
        };
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let pool = request.pool;
        let run = request.runs.iter().find(|run| run.attempt == attempt);
        let Some(run) = run.cloned() else {
            // A late word about an attempt that was called off. Where it ended the request, nobody waits for what began
            // instead.
            if end != AttemptEnd::FailedRetryable {
                self.on_request_cancel(now, id, effects);
            }
            return;
        };
        self.settle(now, (index, &run), (end, spent));
        self.judge(now, &run, end);
        self.release(now, index, attempt);
        let raced = self
            .requests
            .get(index)
            .is_some_and(|request| !request.runs.is_empty());
        if end == AttemptEnd::FailedRetryable && raced {
            // The other of two goes on.
            if let Some(request) = self.requests.get_mut(index) {
                request.failed_at.push(run.member);
            }
        } else if end == AttemptEnd::FailedRetryable {
            self.try_again(now, index, &run, effects);
        } else {
            self.call_off_rest(now, index, effects);
            self.requests.remove(index);
        }
        self.drop_drained(effects);
        self.serve(now, pool, effects);
    }

    /// One of two attempts ended the request: the other is closed.
    fn call_off_rest(&mut self, now: Micros, index: RequestIndex, effects: &mut Vec<Effect>) {
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let id = request.submit.request;
        let rest: Vec<u32> = request.runs.iter().map(|run| run.attempt).collect();
        for attempt in rest {
            self.release(now, index, attempt);
            effects.push(Effect::CallOff {
                request: id,
                attempt,
            });
        }
    }

    fn try_again(
        &mut self,
        now: Micros,
        index: RequestIndex,
        run: &Run,
        effects: &mut Vec<Effect>,
    ) {
        let (draining, attempts_max) = (self.draining, self.limits.attempts_max);
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        request.failed_at.push(run.member);
        let allowed =
            request.first_byte_at.is_none() && !draining && request.tries() < attempts_max;
        let last = request.tries().saturating_add(1) >= attempts_max;
        let pool = request.pool;
        // The last attempt is another model's, where there is one that takes it.
        let moves = allowed && last && self.has_elsewhere(now, index);
        let request = self.requests.get(index);
        // Where nobody else is left there is no retry to be paid for: the refusal says why.
        let anew = request.is_some_and(|request| self.serves_anew(now, request));
        if allowed && !moves && (!anew || self.retry_allowed(now, pool)) {
            self.place(now, index, effects);
        } else {
            self.give_up(now, index, Refusal::AttemptsExhausted, effects);
        }
    }

    fn retry_allowed(&mut self, now: Micros, pool: u32) -> bool {
        let Some(pool) = self.pool_mut(pool) else {
            return false;
        };
        let allowed = pool.retry_budget.spend(now);
        if allowed {
            pool.counts.retries += 1;
        } else {
            pool.counts.retries_denied += 1;
        }
        allowed
    }

    /// Charges what was really used, and learns from it.
    fn settle(
        &mut self,
        now: Micros,
        (index, run): (RequestIndex, &Run),
        (end, spent): (AttemptEnd, Option<Spent>),
    ) {
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let (pool_index, leaf, first_byte_at) = (request.pool, request.leaf, request.first_byte_at);
        let streamed = request.submit.streamed;
        let told = spent.map_or(0, |spent| spent.output_tokens.min(TOKENS_MAX));
        let made = request.output_tokens.max(told);
        match spent {
            // More than the engine has room for is no count of a prompt.
            Some(told) if end == AttemptEnd::Done && told.prompt_tokens > 0 => {
                let room = self
                    .member(run.member)
                    .and_then(|member| member.view.kv_tokens);
                let prompt_tokens = told.prompt_tokens.min(room.unwrap_or(TOKENS_MAX));
                self.true_up_told(now, index, (prompt_tokens, made));
            }
            _ => self.true_up(now, index, made),
        }
        if end != AttemptEnd::Done {
            return;
        }
        if let Some(spent) = spent {
            self.correct_cache((index, run), spent);
        }
        if let Some(node) = self
            .pool_mut(pool_index)
            .and_then(|pool| pool.tree.node_mut(leaf))
        {
            let mean = node.output.get_or_insert_with(|| Mean::new(whole(made)));
            mean.add(whole(made), OUTPUT_PART);
        }
        let target_us = self.limits.tpot_ms_target.saturating_mul(1000);
        // An answer in one piece has its first byte with its last: that is no pace.
        if let Some(at) = first_byte_at.filter(|_| streamed)
            && made >= 2
            && let Some(member) = self.member_mut(run.member)
        {
            let tpot_us = now.since_us(at) / (made - 1);
            let load = (member.running_count(), member.view.slots);
            let own_us = member.speed.iteration_us(load.0, member.account.kv_tokens);
            member.speed.pace(tpot_us, own_us);
            member
                .limit
                .observe(now, (tpot_us, own_us, target_us), load);
        }
    }

    /// What the engine took from its cache says what of ours is true there.
    fn correct_cache(&mut self, (index, run): (RequestIndex, &Run), spent: Spent) {
        let Some(cached) = spent
            .cached_tokens
            .filter(|cached| *cached < run.cached_tokens)
        else {
            return;
        };
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        let pool = request.pool;
        let prefix = std::mem::take(&mut request.submit.prefix);
        let block = u64::from(prefix.block_tokens.max(1));
        // Two blocks of slack: tokens are estimates here, and engines count blocks of their own.
        if cached + 2 * block < run.cached_tokens {
            let was = usize::try_from(run.cached_tokens / block).unwrap_or(0);
            let kept = usize::try_from(cached / block).unwrap_or(0);
            if let Some(pool) = self.pool_mut(pool) {
                pool.prefix.missed(
                    run.member,
                    &prefix.blocks[..was.min(prefix.blocks.len())],
                    kept,
                );
            }
        }
    }

    /// Failures in a row make a member rest, unless it is the last that its pool has: a poor answer is better than none,
    /// and one caller's bad requests must not close a model to all.
    fn judge(&mut self, now: Micros, run: &Run, end: AttemptEnd) {
        let Some(pool) = self.member(run.member).map(|member| member.pool) else {
            return;
        };
        let others = self.pool(pool).is_some_and(|pool| {
            pool.members
                .iter()
                .filter(|index| **index != run.member)
                .filter_map(|index| self.member(*index))
                .any(|member| member.available(now))
        });
        let Some(member) = self.member_mut(run.member) else {
            return;
        };
        match end {
            AttemptEnd::Done => member.breaker.succeeded(member.view.slots),
            AttemptEnd::FailedRetryable | AttemptEnd::FailedFinal => {
                member.breaker.failed(now, !others);
            }
            AttemptEnd::Abandoned => {}
        }
    }
}
