//! The choice of a member, for one request at one instant.

use super::forecast::{Forecast, price};
use super::prefix::Matches;
use crate::effect::{Decision, RouteReason};
use crate::fleet_view::{ReplicaHealth, RouteRule, ShareRule};
use crate::member::{Estimate, Member};
use crate::request::{MemberIndex, Request};
use crate::share::{Door, Lanes, Rest, Want};
use crate::state::{Core, Pool};
use madang_types::{Micros, PolicyEffect};
use smallvec::SmallVec;

/// First tokens this close are alike: a fifth, and two milliseconds.
const ALIKE_DIVISOR: u64 = 5;
const ALIKE_US: u64 = 2_000;
/// A session stays where it was while that costs no more than a quarter, and fifty milliseconds.
const SESSION_DIVISOR: u64 = 4;
const SESSION_US: u64 = 50_000;

/// A member that is not free yet must be better by this part.
const SOON_DIVISOR: u64 = 10;
/// A prompt of more work than this, wherever it goes, is a slow one: whoever sent it waits anyway.
pub(crate) const SLOW_US: u64 = 5_000_000;
/// One in so many members is left free by slow prompts, for so many times as long as their own work takes.
const FREE_DIVISOR: usize = 4;
const FREE_FACTOR: u64 = 2;

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
    /// Power is short wherever it may go, and it is not urgent enough.
    PowerShort,
}

/// A member for a request, and what it will take there.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub member: MemberIndex,
    pub estimate: Estimate,
    pub kv_tokens: u64,
    /// Its tenant is over its share.
    pub over: bool,
    /// Its personal data is masked first.
    pub masked: bool,
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
    pub kv_permille: u64,
    pub cache_tokens: u64,
    pub sequence: u64,
    pub own: bool,
    /// Power is short there: others are better.
    pub short: bool,
}

/// What the members allow, gathered in one walk over them.
#[derive(Debug, Default)]
pub(super) struct Field {
    open: Vec<Candidate>,
    serving: u32,
    lanes: Lanes,
    later: bool,
    /// Some member would take it, were there room for those over their share.
    turn: bool,
    best_miss: u8,
    /// The request's own work where that is least.
    least_work_us: Option<u64>,
    /// The best of those that have prompts to compute before, or no room yet.
    soon: Option<Soon>,
}

/// A member that is worth waiting for.
#[derive(Clone, Copy, Debug)]
struct Soon {
    price_us: u64,
    promise: Promise,
}

impl Field {
    /// The prompt is a slow one wherever it goes.
    fn is_slow(&self) -> bool {
        self.least_work_us.is_some_and(|work_us| work_us > SLOW_US)
    }

    fn soon(&mut self, member: MemberIndex, (estimate, room_us): (&Estimate, u64), kv_tokens: u64) {
        let price_us = price(estimate).saturating_add(room_us);
        if self.soon.is_none_or(|best| price_us < best.price_us) {
            self.soon = Some(Soon {
                price_us,
                promise: Promise {
                    member,
                    work_us: estimate.prefill_us,
                    kv_tokens,
                },
            });
        }
    }
}

/// How a request's tenant stands.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub over: bool,
    heavy: bool,
    rest: Option<Rest>,
    /// Requests that wait for the pool.
    waiting: u32,
}

impl Standing {
    pub fn of(now: Micros, pool: &Pool, request: &Request) -> Self {
        let rest = request.takes_rest();
        let (over, heavy) = pool
            .tree
            .usage(request.leaf)
            .map_or((false, false), |usage| {
                let over = usage.over || pool.guard.is_burst(usage.prefill_us);
                (over, usage.heavy)
            });
        Self {
            over: over || rest,
            heavy: heavy || rest,
            rest: rest.then(|| pool.rest(now)),
            waiting: pool.tree.waiting(),
        }
    }

    fn want(self, kv_tokens: u64, prefill_us: u64) -> Want {
        Want {
            over: self.over,
            heavy: self.heavy,
            rest: self.rest,
            waiting: self.waiting,
            kv_tokens,
            prefill_us,
        }
    }
}

/// How far a request came through the checks: the furthest is the reason that a caller can act on.
const MISS_ENDPOINT: u8 = 0;
const MISS_POLICY: u8 = 1;
const MISS_REPLICA: u8 = 2;
const MISS_POWER: u8 = 3;

impl Core {
    /// Chooses for `request`. Members where it failed before, or runs, are left out.
    pub(crate) fn choose(&self, now: Micros, request: &Request, scratch: &mut Scratch) -> Choice {
        let Some(pool) = self.pool(request.pool) else {
            return Choice::NoReplica;
        };
        let prefix = &request.submit.prefix;
        pool.prefix.lookup(&prefix.blocks, &mut scratch.matches);
        let standing = Standing::of(now, pool, request);
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
        let choice = self.decide(now, (pool, request, standing), &field, scratch);
        scratch.open = field.open;
        scratch.least_work_us = field.least_work_us;
        choice
    }

    /// Whether some member that has not failed it yet serves such a request, now or soon.
    pub(crate) fn serves_anew(&self, now: Micros, request: &Request) -> bool {
        let members = self.pool(request.pool).map(|pool| pool.members.iter());
        let mut members = members.into_iter().flatten();
        members.any(|index| {
            let mut field = Field::default();
            self.member(*index).is_some_and(|member| {
                self.may_serve(now, request, (*index, member), &mut field) || field.later
            })
        })
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
        now: Micros,
        (pool, request, standing): (&Pool, &Request, Standing),
        field: &Field,
        scratch: &mut Scratch,
    ) -> Choice {
        let picked = self.pick((pool, request), &field.open, &mut scratch.random);
        // A member that is soon free, and has the prompt's beginning or is faster, may be worth the wait: not to a slow prompt, which
        // leaves it to those whose first tokens come in time there, but for one that was called off: where it was, part of it is computed.
        let best_us = picked
            .as_ref()
            .map_or(u64::MAX, |(candidate, _)| price(&candidate.estimate));
        if let Some(soon) = field.soon
            && !(picked.is_some() && field.is_slow() && request.preempted == 0)
            && soon.price_us.saturating_add(soon.price_us / SOON_DIVISOR) < best_us
        {
            scratch.promises.push(soon.promise);
            return Choice::Wait;
        }
        let Some((candidate, reason)) = picked else {
            return self.miss(request, field);
        };
        if !standing.over && self.is_held_back(now, request, field) {
            return Choice::Wait;
        }
        // The rule is named with what it decided; what no rule names is not permitted.
        let policy = self
            .member(candidate.member)
            .map(|member| self.policy_decision(request, member));
        let Some((rule, effect)) =
            policy.and_then(|policy| Some((policy.rule()?.clone(), policy.effect)))
        else {
            return Choice::PolicyDenied;
        };
        let kv_tokens = request.kv_tokens;
        let long = candidate.estimate.long && standing.over;
        Choice::Member(Chosen {
            member: candidate.member,
            estimate: candidate.estimate,
            kv_tokens,
            over: standing.over,
            masked: effect == PolicyEffect::Mask,
            decision: Decision {
                rule,
                reason: if long { RouteReason::LongLane } else { reason },
                candidates: field.serving,
                ttft_us: candidate.estimate.ttft_us,
                cached_tokens: candidate.cached_tokens,
                via: request.course.via.clone(),
            },
        })
    }

    /// Whether a prompt is slow wherever it goes, and would take a member that is left free for those that are not. Prompts of
    /// tenants over their share have lanes instead.
    fn is_held_back(&self, now: Micros, request: &Request, field: &Field) -> bool {
        let work_us = field.least_work_us.unwrap_or(0);
        let serving = usize::try_from(field.serving).unwrap_or(usize::MAX);
        self.rules.share == ShareRule::Madang
            && field.is_slow()
            && request.preempted == 0
            && field.open.len() <= serving / FREE_DIVISOR
            && now.since_us(request.arrived_at) < work_us.saturating_mul(FREE_FACTOR)
    }

    /// Whether a member serves such a request at all now, and may.
    pub(super) fn may_serve(
        &self,
        now: Micros,
        request: &Request,
        (index, member): (MemberIndex, &Member),
        field: &mut Field,
    ) -> bool {
        if !member.serves(&request.submit) {
            return false;
        }
        if self.policy_decision(request, member).effect == PolicyEffect::Deny {
            field.best_miss = field.best_miss.max(MISS_POLICY);
            return false;
        }
        field.best_miss = field.best_miss.max(MISS_REPLICA);
        let tried = request.failed_at.contains(&index)
            || request.runs.iter().any(|run| run.member == index);
        if tried || !member.available(now) {
            field.later |= !tried && member.health == ReplicaHealth::Starting;
            return false;
        }
        if member.power.sheds(request.submit.priority) {
            field.best_miss = MISS_POWER;
            return false;
        }
        if request.takes_rest() && !self.has_power_for_rest(member) {
            field.later = true;
            return false;
        }
        field.serving += 1;
        true
    }

    /// Whether power leaves an engine room for one more of those that take what is left.
    fn has_power_for_rest(&self, member: &Member) -> bool {
        let Some(most) = member.power.rest_max() else {
            return true;
        };
        self.rest_count(member) < most
    }

    fn consider(
        &self,
        now: Micros,
        (pool, request, standing): (&Pool, &Request, Standing),
        (index, member): (MemberIndex, &Member),
        (scratch, field): (&Scratch, &mut Field),
    ) {
        if !self.may_serve(now, request, (index, member), field) {
            return;
        }
        let running = member.running_count();
        let promised = scratch.promised(index);
        let Forecast {
            estimate,
            cached_tokens,
            cached_blocks,
        } = self.forecast((now, request), (index, member), (scratch, promised.work_us));
        let least_us = field.least_work_us.unwrap_or(u64::MAX);
        field.least_work_us = Some(least_us.min(estimate.prefill_us));
        let kv_tokens = request.kv_tokens + promised.kv_tokens;
        let want = standing.want(kv_tokens, estimate.prefill_us);
        let madang = self.rules.share == ShareRule::Madang;
        let lane = !standing.over
            || !madang
            || pool.guard.has_over_room(
                (pool.over_us, &field.lanes),
                (member, standing.rest),
                &estimate,
            );
        let door = pool.guard.admits(self.rules.share, (member, now), &want);
        let room_us = match door {
            Door::Soon if !standing.over => Some(0),
            // What is kept for others does not become free.
            Door::Closed if madang && !standing.over && !standing.heavy => {
                member.room_in_us(kv_tokens, request.predicted_output)
            }
            _ => None,
        };
        if let Some(room_us) = room_us {
            field.soon(index, (&estimate, room_us), request.kv_tokens);
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
            kv_permille: member.kv_permille(),
            cache_tokens: pool.prefix.tokens(index),
            sequence: member.started_at_sequence,
            own: member.view.place.own,
            short: member.power.diverts(),
        });
    }

    /// Our own ground first, of it where power is not short; then by the rule in force.
    fn pick<'a>(
        &self,
        (pool, request): (&Pool, &Request),
        open: &'a [Candidate],
        random: &mut super::baseline::Pcg,
    ) -> Option<(&'a Candidate, RouteReason)> {
        let own = open.iter().any(|candidate| candidate.own);
        let grounds = open.iter().filter(|candidate| candidate.own == own);
        let short = grounds.clone().all(|candidate| candidate.short);
        let field = || grounds.clone().filter(|candidate| candidate.short == short);
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
        // The fuller a memory, the more of those whose prompts' beginnings are there find no room.
        let completion = |c: &Candidate| c.estimate.total_us.saturating_mul(1000 + c.kv_permille);
        let key = |c: &&Candidate| (completion(c), c.sequence);
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
            MISS_POWER => Choice::PowerShort,
            _ if self.returning.contains(&request.submit.model) => Choice::Wait,
            MISS_ENDPOINT => Choice::EndpointUnsupported,
            _ => Choice::NoReplica,
        }
    }
}

/// What a member will be asked for by one that waits for it.
#[derive(Clone, Copy, Debug, Default)]
struct Promise {
    member: MemberIndex,
    work_us: u64,
    kv_tokens: u64,
}

/// What a choice needs beside the state, kept for the next one.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub matches: Matches,
    pub random: super::baseline::Pcg,
    /// The last request's own work where that is least; `None` where nobody could serve it.
    pub least_work_us: Option<u64>,
    /// What those before in the queue that wait for a member will ask of it.
    promises: SmallVec<[Promise; 8]>,
    /// The list of the last choice, for its memory.
    open: Vec<Candidate>,
}

impl Scratch {
    /// A walk over the queue begins.
    pub fn promises_clear(&mut self) {
        self.promises.clear();
    }

    /// All that a member is promised.
    fn promised(&self, member: MemberIndex) -> Promise {
        let mut sum = Promise::default();
        for promise in self.promises.iter().filter(|p| p.member == member) {
            sum.work_us += promise.work_us;
            sum.kv_tokens += promise.kv_tokens;
        }
        sum
    }
}
