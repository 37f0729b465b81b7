//! What of each member is open to whom. The order of a queue protects nobody from a batch that is full: part of each member's
//! slots and memory, and the beginning of its iterations, are kept for tenants under their share while others want more.

use super::lend::Lend;
use super::level::{Capacity, Expected};
use crate::fleet_view::ShareRule;
use crate::learn::{Peak, rounded, whole};
use crate::member::{Estimate, Member};
use madang_types::Micros;

/// Beside what those under their share will hold, they find room for that long of arrivals.
const AHEAD_S: f64 = 0.5;
/// No more of a member than this is kept.
const RESERVE_PART_MAX: f64 = 0.9;
/// What those under their share will hold is their mean and so many times its spread, in slots; in memory requests differ in size as
/// well as in number.
const SLOTS_SPREAD: f64 = 1.5;
const MEMORY_SPREAD: f64 = 2.5;
/// Where those over their share leave faster than others arrive, what comes meanwhile is kept, with so many times its spread; they
/// are taken to leave at that part of their pace of late, since those who came together leave together.
const TURNOVER_SPREAD: f64 = 3.0;
const TURNOVER_PART: f64 = 0.25;
/// Prompts are not taken to lengthen iterations more than by this part of the time.
const PREFILL_PART_MAX: f64 = 0.6;
/// Prompt work that may stand at a member before a request of a tenant over its share, while others want theirs.
const OVER_PREFILL_US: u64 = 60_000;
/// The same before a request of a tenant under its share: what comes later may then still go elsewhere.
const SHARED_PREFILL_US: u64 = 150_000;
/// The same where everybody is over: iterations with more prompt in them waste less.
const CROWD_PREFILL_US: u64 = 600_000;
/// The same where one tenant is alone and nobody waits: what comes later may still go before it or elsewhere; and so much more for
/// each that waits for a member, as iterations with more prompt in them waste less, up to what a crowd may have.
const FREE_PREFILL_US: u64 = 50_000;
const FREE_WAITING_US: u64 = 100_000;
/// Prompts of tenants under their share that go into one iteration beside a flood have at most that much work together.
const JOINT_US: u64 = 250_000;
/// A tenant beside others that has this much prompt work under way for each member is paced as if it were over its share: floods
/// begin before they are known as such.
const BURST_PREFILL_US: u64 = 120_000;
/// Prompt work of tenants over their share that may be under way in a pool, for each member: the other members are free of it. Of the
/// last prompt half counts, so that where two fit almost, there are two.
const OVER_POOL_US: u64 = 110_000;
/// One in so many members may be taken by long prompts for good.
const LANE_DIVISOR: u32 = 4;
/// One lane more may overlap the others, until the last of them ends: for so long, and for that part of its own prompt more; and yet
/// one more for half as long. The others fall behind only as long as it lasts, and the longer prompts are, the more seldom one begins.
const OVERLAPPING_MAX: u32 = 2;
const OVERLAP_US: u64 = 430_000;
const OVERLAP_PERCENT: u64 = 27;
/// Of what a prompt takes beyond this a smaller part counts: what the others fall behind grows faster than an overlap.
const OVERLAP_BEND_US: u64 = 4_000_000;
const OVERLAP_BEYOND_PERCENT: u64 = 17;
/// It does not begin where more prompt work than this stands before each member that would be left.
const OVERLAP_BACKLOG_US: u64 = 80_000;
/// What of the reserve is lent to those who are over their share but hold little: a long prompt finds room beside many long answers.
const OVER_LENT_PERCENT: u64 = 25;
const OVER_LENT_PERCENT_MAX: u64 = 50;
/// The part of a member's slots and memory that those do not take, while others ask and while nobody does.
const REST_KEPT_DIVISOR: u64 = 2;
const REST_ALONE_KEPT_DIVISOR: u64 = 8;
/// Requests that the rules of others let stand unanswered at an engine: two in its iteration and two that wait for the next.
const PARKED_MAX: u32 = 4;

/// A pool's rules of the moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Guard {
    /// More than one tenant is active.
    pub shared: bool,
    /// Some of them are under their share.
    pub guests: bool,
    /// Some are over it.
    pub flooded: bool,
    /// Members that serve.
    pub members: u32,
    /// What of the engines' time is lent to those over their share.
    pub lend: Lend,
    /// Kept at each member.
    pub reserve_slots: u32,
    pub reserve_tokens: u64,
}

/// What those under their share hold of one member when it is busy, by the greatest of late: whoever takes their room may keep it
/// for minutes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Holds {
    /// Time of an output token when it is busy.
    pub tpot_us: u64,
    slots: Peak<120_000>,
    pub(super) tokens: Peak<120_000>,
}

impl Holds {
    /// By Little's law, at the pace of a full batch or at that of late where it is slower: arrivals × output tokens × time for each, and
    /// the spread.
    pub fn follow(&mut self, now_us: i64, expected: &Expected, capacity: Capacity) {
        let members = f64::from(capacity.members.max(1));
        let iteration_s = whole(capacity.full_iteration_us) / 1e6;
        let tpot_s = iteration_s / (1.0 - expected.prefill_part.min(PREFILL_PART_MAX));
        let tpot_s = tpot_s.max(whole(capacity.tpot_us) / 1e6);
        self.tpot_us = rounded(tpot_s * 1e6);
        let arrivals = expected.arrivals / members;
        let mean = arrivals * (expected.output_tokens * tpot_s + AHEAD_S);
        let slots = mean + SLOTS_SPREAD * mean.sqrt() + 1.0;
        let tokens = (mean + MEMORY_SPREAD * mean.sqrt() + 1.0) * expected.held_tokens;
        self.slots.follow(now_us, slots);
        self.tokens.follow(now_us, tokens);
    }
}

/// Members that compute long prompts, and what the others have to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lanes {
    pub busy: u32,
    /// Until the last of them is free.
    pub last_us: u64,
    /// Prompt work that stands at the other members.
    pub backlog_us: u64,
}

impl Lanes {
    pub fn add(&mut self, member: &Member, now: Micros) {
        let outstanding_us = member.account.outstanding_us(now);
        if member.account.long > 0 {
            self.busy += 1;
            self.last_us = self.last_us.max(outstanding_us);
        } else {
            self.backlog_us = self.backlog_us.saturating_add(outstanding_us);
        }
    }
}

/// Whether a member takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    /// It has room, and prompts to compute before.
    Soon,
    Closed,
}

/// What a request wants of a member.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// Its tenant is over its share (or it takes only what is left): it waits for the others' prompts.
    pub over: bool,
    /// Its tenant holds more than its part: nothing of what is kept is for it, where of one that is just over a part is.
    pub heavy: bool,
    /// It takes only what is left.
    pub rest: Option<Rest>,
    /// Requests that wait for the pool, of whomever.
    pub waiting: u32,
    pub kv_tokens: u64,
    /// Prompt work.
    pub prefill_us: u64,
}

/// Whether anybody else asks a pool beside those who take what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    BesideOthers,
    Alone,
}

impl Want {
    /// What of a member's `whole` is kept from it, of which `reserve` is for those under their share.
    fn kept(&self, lend: Lend, reserve: u64, whole: u64) -> u64 {
        let lent = lend.of(OVER_LENT_PERCENT).min(OVER_LENT_PERCENT_MAX);
        let reserve = match (self.heavy, self.over) {
            (true, _) => reserve,
            (false, true) => reserve * (100 - lent) / 100,
            (false, false) => 0,
        };
        match self.rest {
            None => reserve,
            Some(Rest::BesideOthers) => reserve.max(whole / REST_KEPT_DIVISOR),
            Some(Rest::Alone) => reserve.max(whole / REST_ALONE_KEPT_DIVISOR),
        }
    }
}

impl Guard {
    /// Sized by what those under their share are expected to hold, less what they hold already, and by what may come in the next
    /// moment.
    pub fn new(expected: Expected, capacity: Capacity, holds: Holds) -> Self {
        let members = capacity.members.max(1);
        let guard = Self {
            shared: expected.tenants > 1,
            guests: expected.arrivals > 0.0,
            flooded: expected.flooded,
            members,
            ..Self::default()
        };
        if !guard.shared || expected.arrivals <= 0.0 {
            return guard;
        }
        let each = f64::from(members);
        let ahead = expected.arrivals / each * AHEAD_S;
        let least = ahead + 2.0 * ahead.sqrt() + 1.0;
        let slots_max = f64::from(capacity.slots) / each * RESERVE_PART_MAX;
        let tokens_max = whole(capacity.kv_tokens) / each * RESERVE_PART_MAX;
        let slots = holds.slots.value() - f64::from(expected.running) / each;
        let tokens = holds.tokens.value() - whole(expected.kv_tokens) / each;
        let arrivals = expected.arrivals / each;
        let slots = slots.min(least + meanwhile(arrivals, expected.freed_slots / each));
        let held = expected.held_tokens.max(1.0);
        let freed = expected.freed_tokens / each / held;
        let tokens = tokens.min((least + meanwhile(arrivals, freed)) * held);
        Self {
            reserve_slots: u32::try_from(rounded(slots.max(least).min(slots_max))).unwrap_or(0),
            reserve_tokens: rounded(tokens.max(least * expected.need_tokens).min(tokens_max)),
            ..guard
        }
    }

    /// What a prompt of a tenant over its share counts against [`Guard::has_over_room`]. Long ones are bounded by their lanes.
    pub fn over_weight(estimate: &Estimate) -> u64 {
        if estimate.long {
            0
        } else {
            estimate.prefill_us
        }
    }

    /// Whether the pool has room at that member for another prompt of a tenant over its share: beside those that count `over_us`,
    /// or where it is long, beside the `lanes`.
    pub fn has_over_room(
        &self,
        (over_us, lanes): (u64, &Lanes),
        (member, rest): (&Member, Option<Rest>),
        estimate: &Estimate,
    ) -> bool {
        if !self.guests && rest != Some(Rest::BesideOthers) {
            return true;
        }
        if estimate.long {
            // Whoever's prompt shares its first iteration would wait for all of that.
            return member.account.unanswered == 0 && self.has_lane(lanes, estimate.prefill_us);
        }
        let budget_us = self.lend.half_of(OVER_POOL_US) * u64::from(self.members);
        over_us == 0 || over_us + estimate.prefill_us / 2 <= budget_us
    }

    /// Whether a prompt that takes a member for so long leaves the others enough of them.
    fn has_lane(&self, lanes: &Lanes, prefill_us: u64) -> bool {
        let lasting = (self.members / LANE_DIVISOR).max(1);
        if lanes.busy < lasting {
            return true;
        }
        let left = u64::from(self.members.saturating_sub(lanes.busy + 1));
        let overlapping = lanes.busy + 1 - lasting;
        let overlap_us = lanes.last_us.min(prefill_us) * u64::from(overlapping);
        overlapping <= OVERLAPPING_MAX
            && left > 0
            && overlap_us <= self.lend.of(overlap_us_max(prefill_us))
            && lanes.backlog_us <= self.lend.of(OVERLAP_BACKLOG_US) * left
    }

    /// Whether a tenant with that much prompt work under way is paced as one over its share.
    pub fn is_burst(&self, prefill_us: u64) -> bool {
        self.shared && prefill_us > BURST_PREFILL_US * u64::from(self.members)
    }

    /// Whether the member is open to it now.
    pub fn admits(&self, rule: ShareRule, (member, now): (&Member, Micros), want: &Want) -> Door {
        if member.power.rests() {
            return Door::Closed;
        }
        let open = match rule {
            ShareRule::Fcfs => true,
            ShareRule::RoundRobin | ShareRule::Drr | ShareRule::Vtc => {
                member.running_count() < member.view.slots && member.account.unanswered < PARKED_MAX
            }
            ShareRule::Madang => {
                if !self.has_room(member, want) {
                    return Door::Closed;
                }
                if !self.is_paced(member, now, want) {
                    return Door::Soon;
                }
                true
            }
        };
        if open { Door::Open } else { Door::Closed }
    }

    fn has_room(&self, member: &Member, want: &Want) -> bool {
        let slots = u64::from(member.slots_limit());
        let slots = slots.saturating_sub(want.kept(self.lend, self.reserve_slots.into(), slots));
        if u64::from(member.running_count()) >= slots.max(1) {
            return false;
        }
        let Some(kv_tokens) = member.view.kv_tokens else {
            return true;
        };
        // What is larger than the whole memory is the engine's to refuse.
        let free = kv_tokens.saturating_sub(want.kept(self.lend, self.reserve_tokens, kv_tokens));
        member.running.is_empty() || member.needed_tokens() + want.kv_tokens <= free
    }

    /// Whether the next iteration of a member may have its prompt as well. Those that share an iteration get their first tokens at
    /// its end: a large prompt that waits for the one after comes little later by that, and the small ones sooner. Each iteration
    /// costs a little of what engines can do, so that it is a rule for when they are short.
    fn may_join(&self, member: &Member, now: Micros, want: &Want) -> bool {
        if !self.flooded || want.over {
            return true;
        }
        let next_us = member.next_work_us(now);
        next_us == 0 || next_us.saturating_add(want.prefill_us) <= JOINT_US
    }

    fn is_paced(&self, member: &Member, now: Micros, want: &Want) -> bool {
        if want.rest == Some(Rest::BesideOthers) {
            return is_quiet(member, now);
        }
        let bound_us = match (self.shared, want.over) {
            (false, _) => {
                let waiting_us = u64::from(want.waiting) * FREE_WAITING_US;
                let each_us = waiting_us / u64::from(self.members.max(1));
                (FREE_PREFILL_US + each_us).min(CROWD_PREFILL_US)
            }
            (true, true) if self.guests => OVER_PREFILL_US,
            (true, true) => CROWD_PREFILL_US,
            (true, false) => SHARED_PREFILL_US,
        };
        member.account.outstanding_us(now) <= bound_us && self.may_join(member, now, want)
    }
}

/// Where `arrivals` come in a second and so many are `freed`: how far the former, and their spread, can be ahead of the latter. In a
/// time t it is `a·t + s·√(a·t) − f·t`, which is greatest where √t is `s·√a ÷ 2(f − a)`.
fn meanwhile(arrivals: f64, freed: f64) -> f64 {
    let gain = freed * TURNOVER_PART - arrivals;
    if gain > 0.0 {
        TURNOVER_SPREAD * TURNOVER_SPREAD * arrivals / (4.0 * gain)
    } else {
        f64::INFINITY
    }
}

/// How long one more lane may overlap the others, for a prompt of that much work.
fn overlap_us_max(prefill_us: u64) -> u64 {
    let beyond_us = prefill_us.saturating_sub(OVERLAP_BEND_US);
    let until_us = prefill_us - beyond_us;
    let of_work_us = until_us * OVERLAP_PERCENT + beyond_us.saturating_mul(OVERLAP_BEYOND_PERCENT);
    OVERLAP_US + of_work_us / 100
}

/// Whether a request that takes what is left may begin at a member while others ask: no prompt work stands there, and the iteration
/// that had the last of it is over. Whoever comes finds no more than one such prompt before it, and mostly none in its own iteration.
fn is_quiet(member: &Member, now: Micros) -> bool {
    member.account.done_us(now) >= member.iteration_us()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet_view::{EngineCosts, PoolMember, ReplicaHealth};
    use crate::member::Work;
    use madang_types::{Endpoint, ModelId, Place, ReplicaId, SiteId};

    fn member() -> Member {
        let view = PoolMember {
            replica: ReplicaId::new("a").unwrap(),
            site: SiteId::new("s").unwrap(),
            model: ModelId::new("m").unwrap(),
            adapters: vec![],
            endpoints: vec![Endpoint::Chat],
            slots: 8,
            kv_tokens: None,
            host_tokens: 0,
            costs: EngineCosts::default(),
            place: Place::own("KR".parse().unwrap()),
            health: ReplicaHealth::Up,
            held_back: false,
        };
        Member::new(view, 0)
    }

    #[test]
    fn large_prompts_do_not_join_others_in_an_iteration_beside_a_flood() {
        let (work, at) = (
            Work {
                prefill_us: 100_000,
                long: false,
            },
            |ms: i64| Micros(1_000_000 + ms * 1_000),
        );
        let mut member = member();
        let iteration_us = member.iteration_us();
        member.account.sent(at(0), work, 0, iteration_us);
        let flooded = Guard {
            shared: true,
            flooded: true,
            members: 1,
            ..Guard::default()
        };
        let want = |prefill_ms: u64, over| Want {
            over,
            heavy: false,
            rest: None,
            waiting: 0,
            kv_tokens: 0,
            prefill_us: prefill_ms * 1_000,
        };
        // The first one's iteration has begun: what comes now is alone in the next.
        assert!(flooded.may_join(&member, at(60), &want(400, false)));
        member.account.sent(at(60), work, 0, iteration_us);
        assert!(flooded.may_join(&member, at(61), &want(150, false)));
        assert!(!flooded.may_join(&member, at(61), &want(151, false)));
        // Those over their share have bounds of their own, and where nobody is there is time enough.
        assert!(flooded.may_join(&member, at(61), &want(151, true)));
        let calm = Guard {
            flooded: false,
            ..flooded
        };
        assert!(calm.may_join(&member, at(61), &want(151, false)));
    }

    #[test]
    fn less_is_kept_where_those_over_their_share_leave_faster_than_others_arrive() {
        let capacity = Capacity {
            members: 1,
            slots: 256,
            kv_tokens: 270_000,
            full_iteration_us: 30_000,
            tpot_us: 30_000,
        };
        let kept = |freed: f64| {
            let expected = Expected {
                arrivals: 4.0,
                output_tokens: 200.0,
                need_tokens: 1_000.0,
                held_tokens: 1_000.0,
                tenants: 2,
                freed_slots: freed,
                freed_tokens: freed * 1_000.0,
                ..Expected::default()
            };
            let mut holds = Holds::default();
            holds.follow(0, &expected, capacity);
            let guard = Guard::new(expected, capacity, holds);
            (guard.reserve_slots, guard.reserve_tokens / 1_000)
        };
        // 26 on average, and their spread.
        assert_eq!(kept(0.0), (34, 39));
        // A quarter of them counts, which are no more than arrive.
        assert_eq!(kept(16.0), (34, 39));
        // What may come in half a second, and in a time t at most by how much 4·t + 3·√(4·t) is more than 20·t.
        assert_eq!(kept(80.0), (6, 6));
    }

    #[test]
    fn lanes_overlap_for_a_while_and_by_what_a_prompt_takes() {
        let guard = Guard {
            members: 4,
            ..Guard::default()
        };
        // Members that compute long prompts, until the last of them ends, what stands at the others (all in milliseconds); the new
        // prompt's work.
        let cases = [
            ((0, 0, 900), 5_000, true),
            ((1, 900, 0), 500, true),
            ((1, 673, 0), 900, true),
            ((1, 674, 0), 900, false),
            ((1, 1_680, 0), 5_000, true),
            ((1, 1_681, 0), 5_000, false),
            ((1, 2_700, 0), 11_000, true),
            ((1, 2_701, 0), 11_000, false),
            ((1, 100, 160), 5_000, true),
            ((1, 100, 161), 5_000, false),
            // Another one overlaps two for half as long, and one member is left in any case.
            ((2, 840, 0), 5_000, true),
            ((2, 841, 0), 5_000, false),
            ((3, 0, 0), 5_000, false),
        ];
        for ((busy, last_ms, backlog_ms), prefill_ms, expected) in cases {
            let lanes = Lanes {
                busy,
                last_us: last_ms * 1_000,
                backlog_us: backlog_ms * 1_000,
            };
            assert_eq!(
                guard.has_lane(&lanes, prefill_ms * 1_000),
                expected,
                "{lanes:?}, {prefill_ms} ms"
            );
        }
    }
}
