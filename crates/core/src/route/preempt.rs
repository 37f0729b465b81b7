//! A slow prompt gives way. Engines compute one prompt at a time, and one whose first token comes too late wherever it goes may take
//! half a minute: a conversation whose beginning that engine holds would be late behind it, and late elsewhere without it. So the
//! slow one is called off before its first byte, waits, and goes on later: what was computed of it stays in the engine's cache.
//! It is the preemption of operating systems and of engines' own schedulers, one floor above, where the order of prompts is decided.

use super::choose::{Choice, Field, SLOW_US, Standing};
use crate::effect::Effect;
use crate::fleet_view::{RouteRule, ShareRule};
use crate::input::Prefix;
use crate::member::Member;
use crate::request::{MemberIndex, Request, RequestIndex};
use crate::state::Core;
use madang_types::Micros;

/// How often one request is called off at most.
const PREEMPTED_MAX: u32 = 2;
/// A prompt with less than this left is let finish.
const LEFT_US_MIN: u64 = 300_000;

/// A slow prompt under way.
#[derive(Clone, Copy, Debug)]
struct Slow {
    request: RequestIndex,
    member: MemberIndex,
    /// Prompt work that was done of it, and the whole blocks that the member's cache has by that.
    computed_us: u64,
    blocks: usize,
    /// Prompt work that is left of it, and of others there.
    left_us: u64,
    others_us: u64,
    /// How much of it is in one iteration: an engine ends that first. Nothing where it has not begun.
    iteration_us: u64,
}

impl Core {
    /// Calls off the slow prompt that alone makes a request late that would else be in time, if there is one, and lets it wait;
    /// says whether it did. `choice` is what the pool can do for the request as it is.
    pub(crate) fn preempt(
        &mut self,
        now: Micros,
        (index, choice): (RequestIndex, &Choice),
        effects: &mut Vec<Effect>,
    ) -> bool {
        let request = self.requests.get(index);
        let slow = request.and_then(|request| self.in_the_way(now, request, choice));
        slow.is_some_and(|slow| self.call_off(now, slow, effects))
    }

    /// The slow prompt without which the request's first token would come soonest, and in time.
    fn in_the_way(&self, now: Micros, request: &Request, choice: &Choice) -> Option<Slow> {
        let pool = self.pool(request.pool)?;
        let waited_us = now.since_us(request.arrived_at);
        let slack_us = SLOW_US.checked_sub(waited_us)?;
        let is_late = match choice {
            Choice::Member(chosen) => chosen.estimate.ttft_us > slack_us,
            Choice::Wait => true,
            _ => false,
        };
        let ours = self.rules.share == ShareRule::Madang
            && self.rules.route == RouteRule::PredictedTtft
            && request.attempts == 0
            && pool.tree.waiting() < self.limits.queue_length_max;
        let members = pool.members.iter().filter_map(|index| self.member(*index));
        let any_slow = || members.clone().any(Member::may_hold_slow);
        if !is_late || !ours || !any_slow() || Standing::of(now, pool, request).over {
            return None;
        }
        let mut best: Option<(u64, Slow)> = None;
        for index in &pool.members {
            let Some(member) = self.member(*index) else {
                continue;
            };
            if !self.may_serve(now, request, (*index, member), &mut Field::default()) {
                continue;
            }
            let forecast = self.forecast((now, request), (*index, member), (&self.scratch, 0));
            let ttft_us = forecast.estimate.ttft_us;
            if ttft_us <= slack_us && matches!(choice, Choice::Wait) {
                // It waits for something else, or for this one, and is in time.
                return None;
            }
            for slow in self.slow_at(now, (*index, member), request) {
                let without_us = ttft_us.saturating_sub(slow.left_us) + slow.iteration_us;
                if without_us <= slack_us && best.is_none_or(|(us, _)| without_us < us) {
                    best = Some((without_us, slow));
                }
            }
        }
        best.map(|(_, slow)| slow)
    }

    /// Slow prompts that a member computes, or has yet to, which may give way to a request and leave it the room that it needs.
    fn slow_at(
        &self,
        now: Micros,
        (index, member): (MemberIndex, &Member),
        request: &Request,
    ) -> Vec<Slow> {
        let mut found = Vec::new();
        if !member.may_hold_slow() {
            return found;
        }
        let outstanding_us = member.account.outstanding_us(now);
        let mut left_us = outstanding_us;
        // The latest first: what is left is theirs before it is that of those before them.
        for slow in self.unanswered(member).into_iter().rev() {
            let Some(other) = self.requests.get(slow) else {
                continue;
            };
            let Some(run) = other.runs.iter().find(|run| run.member == index) else {
                continue;
            };
            let own_us = left_us.min(run.work.prefill_us);
            left_us -= own_us;
            let gives_way = run.work.prefill_us > SLOW_US
                && own_us > LEFT_US_MIN
                && other.may_be_preempted()
                && other.lane >= request.lane
                && member.has_memory(request.kv_tokens, other.kv_tokens)
                && member.cache_tokens() >= other.submit.prompt_tokens;
            if gives_way {
                let prefix = &other.submit.prefix;
                let computed_us = run.work.prefill_us - own_us;
                let blocks = computed_blocks(member, prefix, (run.cached_tokens, computed_us));
                let begun = left_us == 0;
                let there = blocks_tokens(prefix, blocks).max(run.cached_tokens);
                found.push(Slow {
                    request: slow,
                    member: index,
                    computed_us,
                    blocks,
                    left_us: own_us,
                    others_us: outstanding_us - own_us,
                    iteration_us: if begun {
                        iteration_us(member, other.submit.prompt_tokens, there)
                    } else {
                        0
                    },
                });
            }
        }
        found
    }

    /// Takes a slow prompt off its member, charged for what was computed of it, and queues it.
    fn call_off(&mut self, now: Micros, slow: Slow, effects: &mut Vec<Effect>) -> bool {
        let Some(request) = self.requests.get(slow.request) else {
            return false;
        };
        let Some(run) = request.runs.first().cloned() else {
            return false;
        };
        let (id, pool) = (request.submit.request, request.pool);
        self.true_up_part(now, slow.request, slow.computed_us);
        self.release(now, slow.request, run.attempt);
        effects.push(Effect::CallOff {
            request: id,
            attempt: run.attempt,
        });
        if let Some(member) = self.member_mut(slow.member) {
            // It is somewhere in that iteration.
            let busy_us = slow.iteration_us / 2;
            member.account.called_off(now, (slow.others_us, busy_us));
        }
        let Some(request) = self.requests.get_mut(slow.request) else {
            return false;
        };
        request.preempted += 1;
        request.charged = 0;
        // Its time to wait begins anew: it is not refused for what it left to others.
        request.wait_until = now.plus_ms(request.submit.wait_ms_max);
        let prefix = std::mem::take(&mut request.submit.prefix);
        if let Some(pool) = self.pool_mut(pool) {
            pool.prefix.missed(slow.member, &prefix.blocks, slow.blocks);
            pool.counts.preempted += 1;
        }
        if let Some(request) = self.requests.get_mut(slow.request) {
            request.submit.prefix = prefix;
        }
        self.line_in(now, slow.request);
        true
    }
}

impl Core {
    /// Of a request that leaves before its first byte each member that has its prompt is believed to hold what there was time for: what
    /// its cache had, and the blocks that it can have computed since the prompt was sent, by the figure that is charged.
    pub(crate) fn believe_part(&mut self, now: Micros, index: RequestIndex) {
        let Some(request) = self.requests.get_mut(index) else {
            return;
        };
        let (pool, runs) = (request.pool, request.runs.clone());
        let prefix = std::mem::take(&mut request.submit.prefix);
        for run in runs {
            let Some(member) = self.member(run.member) else {
                continue;
            };
            let time_us = now.since_us(run.started_at);
            let computed = computed_blocks(member, &prefix, (run.cached_tokens, time_us));
            // The last block that was there counts whole, though its last token is always computed anew.
            let block_tokens = u64::from(prefix.block_tokens.max(1));
            let before = run.cached_tokens.div_ceil(block_tokens);
            let blocks = computed.max(usize::try_from(before).unwrap_or(usize::MAX));
            if let Some(pool) = self.pool_mut(pool) {
                pool.prefix.missed(run.member, &prefix.blocks, blocks);
            }
        }
        if let Some(request) = self.requests.get_mut(index) {
            request.submit.prefix = prefix;
        }
    }
}

/// Prompt work of the iteration that a member is in with a prompt of which so many tokens are there.
fn iteration_us(member: &Member, prompt_tokens: u64, there: u64) -> u64 {
    let there = there.min(prompt_tokens);
    member
        .speed
        .iteration_prefill_us(prompt_tokens - there, there)
}

fn blocks_tokens(prefix: &Prefix, blocks: usize) -> u64 {
    let blocks = u64::try_from(blocks).unwrap_or(u64::MAX);
    blocks.saturating_mul(u64::from(prefix.block_tokens))
}

/// Whole blocks of a prompt that a member has after so much work on what was not cached.
fn computed_blocks(
    member: &Member,
    prefix: &Prefix,
    (cached_tokens, computed_us): (u64, u64),
) -> usize {
    let is_computed = |blocks| {
        let uncached = blocks_tokens(prefix, blocks).saturating_sub(cached_tokens);
        member.speed.prefill_us(uncached, cached_tokens) <= computed_us
    };
    let (mut computed, mut beyond) = (0, prefix.blocks.len() + 1);
    while computed + 1 < beyond {
        let middle = computed.midpoint(beyond);
        if is_computed(middle) {
            computed = middle;
        } else {
            beyond = middle;
        }
    }
    computed
}

impl Member {
    fn may_hold_slow(&self) -> bool {
        self.account.prefill_us > SLOW_US
    }
}

impl Request {
    /// Whether it runs once, unanswered, and was not called off too often.
    fn may_be_preempted(&self) -> bool {
        self.runs.len() == 1 && self.first_byte_at.is_none() && self.preempted < PREEMPTED_MAX
    }
}
