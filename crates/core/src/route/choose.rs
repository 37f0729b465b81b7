//! The choice of a member, for one request at one instant.

use super::prefix::Matches;
use crate::effect::{Decision, RouteReason};
use crate::fleet_view::{ReplicaHealth, RouteRule, ShareRule};
use crate::member::{Estimate, Member};
use crate::policy::{self, PolicyRule};
use crate::request::{MemberIndex, Request};
use crate::share::{Door, Lanes, Want};
use crate::state::{Core, Pool};
use madang_types::Micros;
use smallvec::SmallVec;

/// First tokens this close are alike: a twentieth, and two milliseconds.
const ALIKE_DIVISOR: u64 = 20;
const ALIKE_US: u64 = 2_000;
/// A session stays where it was while that costs no more than a quarter, and fifty milliseconds.
const SESSION_DIVISOR: u64 = 4;
const SESSION_US: u64 = 50_000;

/// How much a request's own prompt work counts beside its first token, in percent.
const WORK_PERCENT: u64 = 200;
/// A member that is not free yet must be better by this part.
const SOON_DIVISOR: u64 = 10;

/// What the pool can do for a request now.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// Start here.
    Member(Chosen),
    /// Some member serves it once there is room, or once it has started.
    Wait,
    /// It is of a tenant over its share and waits for room among those: nobody like it goes before.
    WaitTurn,
    /// The model is not served through this door (or under this name).
    EndpointUnsupported,
    /// Policy allows none of the places.
    PolicyDenied,
    /// No allowed member is available.
    NoReplica,
}

/// A member for a request, and what it will take there.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub member: MemberIndex,
    pub estimate: Estimate,
    pub kv_tokens: u64,
    /// Its tenant is over its share.
    pub over: bool,
    pub decision: Decision,
}

/// A member that could take the request now.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub member: MemberIndex,
    pub estimate: Estimate,
    pub cached_tokens: u64,
    pub cached_blocks: u32,
    pub running: u32,
    pub kv_tokens: u64,
    pub cache_tokens: u64,
    pub sequence: u64,
    pub own: bool,
    rule: PolicyRule,
}

/// What the members allow, gathered in one walk over them.
#[derive(Debug, Default)]
struct Field {
    open: Vec<Candidate>,
    serving: u32,
    lanes: Lanes,
    later: bool,
    /// Some member would take it, were there room for those over their share.
    turn: bool,
    best_miss: u8,
    /// The best of those that have room and prompts to compute before: its time, who, and the request's own work there.
    soon: Option<(u64, MemberIndex, u64)>,
}

impl Field {
    fn soon(&mut self, index: MemberIndex, estimate: &Estimate) {
        let price_us = price(estimate);
        if self.soon.is_none_or(|(best_us, ..)| price_us < best_us) {
            self.soon = Some((price_us, index, estimate.prefill_us));
        }
    }
}

/// How a request's tenant stands.
#[derive(Clone, Copy)]
struct Standing {
    over: bool,
    heavy: bool,
}

impl Standing {
    fn of(pool: &Pool, request: &Request) -> Self {
        let rest = request.lane == 2;
        let (over, heavy) = pool
            .tree
            .usage(request.leaf)
            .map_or((false, false), |usage| {
                let over = usage.over || pool.guard.is_burst(usage.prefill_us);
                (over, usage.over || usage.heavy)
            });
        Self {
            over: over || rest,
            heavy: heavy || rest,
        }
    }

    fn want(self, kv_tokens: u64) -> Want {
        Want {
            over: self.over,
            heavy: self.heavy,
            kv_tokens,
        }
    }
}

/// How far a request came through the checks: the furthest is the reason that a caller can act on.
const MISS_ENDPOINT: u8 = 0;
const MISS_POLICY: u8 = 1;
const MISS_REPLICA: u8 = 2;

impl Core {
    /// Chooses for `request`. Members where it failed before, or runs, are left out.
    pub(crate) fn choose(&self, now: Micros, request: &Request, scratch: &mut Scratch) -> Choice {
        let Some(pool) = self.pool(request.pool) else {
            return Choice::NoReplica;
        };
        let prefix = &request.submit.prefix;
        pool.prefix.lookup(&prefix.blocks, &mut scratch.matches);
        let standing = Standing::of(pool, request);
        let mut field = Field {
            lanes: self.lanes(now, (pool, standing)),
            open: std::mem::take(&mut scratch.open),
            ..Field::default()
        };
        field.open.clear();
        for index in &pool.members {
            if let Some(member) = self.member(*index) {
                self.consider(
                    now,
                    (pool, request, standing),
                    (*index, member),
                    (scratch, &mut field),
                );
            }
        }
        let choice = self.decide((pool, request, standing), &field, scratch);
        scratch.open = field.open;
        choice
    }

    /// What long prompts hold of a pool; of no interest to those under their share.
    fn lanes(&self, now: Micros, (pool, standing): (&Pool, Standing)) -> Lanes {
        let mut lanes = Lanes::default();
        if standing.over {
            let members = pool.members.iter().filter_map(|index| self.member(*index));
            for member in members.filter(|member| member.available(now)) {
                lanes.add(member, now);
            }
        }
        lanes
    }

    /// The choice among those that are open, and those that soon are.
    fn decide(
        &self,
        (pool, request, standing): (&Pool, &Request, Standing),
        field: &Field,
        scratch: &mut Scratch,
    ) -> Choice {
        let picked = self.pick((pool, request), &field.open, &mut scratch.random);
        // A member that is soon free, and has the prompt's beginning or is faster, may be worth the wait.
        let best_us = picked
            .as_ref()
            .map_or(u64::MAX, |(candidate, _)| price(&candidate.estimate));
        if let Some((soon_us, member, prefill_us)) = field.soon
            && soon_us + soon_us / SOON_DIVISOR < best_us
        {
            scratch.promise(member, prefill_us);
            return Choice::Wait;
        }
        let Some((candidate, reason)) = picked else {
            return self.miss(request, field);
        };
        let kv_tokens = request.kv_tokens;
        let long = candidate.estimate.long && standing.over;
        Choice::Member(Chosen {
            member: candidate.member,
            estimate: candidate.estimate,
            kv_tokens,
            over: standing.over,
            decision: Decision {
                rule: candidate.rule,
                reason: if long { RouteReason::LongLane } else { reason },
                candidates: field.serving,
                ttft_us: candidate.estimate.ttft_us,
                cached_tokens: candidate.cached_tokens,
            },
        })
    }

    fn consider(
        &self,
        now: Micros,
        (pool, request, standing): (&Pool, &Request, Standing),
        (index, member): (MemberIndex, &Member),
        (scratch, field): (&Scratch, &mut Field),
    ) {
        let submit = &request.submit;
        if member.leaving
            || !(submit.model == pool.model || member.view.adapters.contains(&submit.model))
            || !member.view.endpoints.contains(&submit.endpoint)
        {
            return;
        }
        let verdict = policy::decide(submit.data_class, &member.view.place);
        if !verdict.allowed {
            field.best_miss = field.best_miss.max(MISS_POLICY);
            return;
        }
        field.best_miss = MISS_REPLICA;
        let tried = request.failed_at.contains(&index)
            || request.runs.iter().any(|run| run.member == index);
        if tried || !member.available(now) {
            field.later |= !tried && member.health == ReplicaHealth::Starting;
            return;
        }
        field.serving += 1;
        let ignores_cache = self.rules.route == RouteRule::PredictedTtftNoCache;
        let cached_blocks = if ignores_cache {
            0
        } else {
            scratch.matches.blocks(index)
        };
        let cached_tokens = (u64::from(cached_blocks) * u64::from(submit.prefix.block_tokens))
            .min(submit.prompt_tokens.saturating_sub(1));
        let uncached = submit.prompt_tokens.saturating_sub(cached_tokens).max(1);
        let running = member.running_count();
        let estimate = member.speed.estimate(
            (uncached, cached_tokens, request.predicted_output),
            (
                member.account.outstanding_us(now) + scratch.promised(index),
                member.speed.iteration_us(running, member.account.kv_tokens),
            ),
        );
        let want = standing.want(request.kv_tokens);
        let lane = !standing.over
            || self.rules.share != ShareRule::Madang
            || pool
                .guard
                .has_over_room((pool.over_us, &field.lanes), member, &estimate);
        let door = pool.guard.admits(self.rules.share, (member, now), &want);
        if door == Door::Soon && !standing.over {
            field.soon(index, &estimate);
        }
        if door != Door::Open || !lane {
            field.later = true;
            field.turn |= door == Door::Open;
            return;
        }
        field.open.push(Candidate {
            member: index,
            estimate,
            cached_tokens,
            cached_blocks,
            running,
            kv_tokens: member.account.kv_tokens,
            cache_tokens: pool.prefix.tokens(index),
            sequence: member.started_at_sequence,
            own: member.view.place.own,
            rule: verdict.rule,
        });
    }

    /// Our own ground first; then by the rule in force.
    fn pick<'a>(
        &self,
        (pool, request): (&Pool, &Request),
        open: &'a [Candidate],
        random: &mut super::baseline::Pcg,
    ) -> Option<(&'a Candidate, RouteReason)> {
        let own = open.iter().any(|candidate| candidate.own);
        let field = || open.iter().filter(|candidate| candidate.own == own);
        match self.rules.route {
            RouteRule::PredictedTtft | RouteRule::PredictedTtftNoCache => {}
            rule => {
                let field: Vec<&Candidate> = field().collect();
                let picked = super::baseline::pick(rule, &field, request, random)?;
                return Some((picked, RouteReason::Baseline));
            }
        }
        let first = field().map(|c| price(&c.estimate)).min()?;
        if let Some(member) = request
            .submit
            .session
            .and_then(|session| pool.sessions.get(session))
            && let Some(same) = field().find(|c| c.member == member)
            && price(&same.estimate) <= first + first / SESSION_DIVISOR + SESSION_US
        {
            return Some((same, RouteReason::Session));
        }
        let alike_us = first + first / ALIKE_DIVISOR + ALIKE_US;
        let alike = || field().filter(|candidate| price(&candidate.estimate) <= alike_us);
        let reason = if alike().nth(1).is_some() {
            RouteReason::LeastCompletion
        } else {
            RouteReason::LeastTtft
        };
        let key = |c: &&Candidate| (c.estimate.total_us, c.sequence);
        alike().min_by_key(key).map(|best| (best, reason))
    }

    fn miss(&self, request: &Request, field: &Field) -> Choice {
        if field.later {
            return if field.turn {
                Choice::WaitTurn
            } else {
                Choice::Wait
            };
        }
        match field.best_miss {
            MISS_POLICY => Choice::PolicyDenied,
            _ if self.returning.contains(&request.submit.model) => Choice::Wait,
            MISS_ENDPOINT => Choice::EndpointUnsupported,
            _ => Choice::NoReplica,
        }
    }
}

/// The predicted first token, and a part of the work that it takes: what one request saves by a cache, those after it save as well.
fn price(estimate: &Estimate) -> u64 {
    estimate.ttft_us + estimate.prefill_us * WORK_PERCENT / 100
}

/// What a choice needs beside the state, kept for the next one.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub matches: Matches,
    pub random: super::baseline::Pcg,
    /// Prompt work of those before in the queue that wait for a member.
    promises: SmallVec<[(MemberIndex, u64); 8]>,
    /// The list of the last choice, for its memory.
    open: Vec<Candidate>,
}

impl Scratch {
    /// A walk over the queue begins.
    pub fn promises_clear(&mut self) {
        self.promises.clear();
    }

    fn promise(&mut self, member: MemberIndex, work_us: u64) {
        match self.promises.iter_mut().find(|(other, _)| *other == member) {
            Some((_, sum)) => *sum += work_us,
            None => self.promises.push((member, work_us)),
        }
    }

    fn promised(&self, member: MemberIndex) -> u64 {
        let found = self.promises.iter().find(|(other, _)| *other == member);
        found.map_or(0, |(_, sum)| *sum)
    }
}
