//! The core by example: a story is a list of inputs, and what is expected is the list of effects as text.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod overload;
mod policy;
mod power;
mod preempt;
mod queue;
mod reload;
mod route;
mod shares;
mod virtuals;

use madang_core::{
    AttemptEnd, Core, CoreLimits, CreditTerms, Decision, Denial, Effect, EngineCosts, FleetView,
    Input, Payer, PoolMember, PoolStatus, Prefix, ReplicaHealth, RequestSubmit, RouteReason, Rules,
    Spent, VirtualModel,
};
use madang_types::{
    Country, DataClass, DataFlags, Endpoint, KeyId, Micros, ModelId, Place, Policy, Priority,
    ReplicaId, RequestId, SiteId, StopScope, TenantId, UpstreamId,
};
use std::collections::BTreeSet;

const LIMITS: CoreLimits = CoreLimits {
    queue_length_max: 2,
    attempts_max: 2,
    retry_percent_max: 20,
    hedge_percent_max: 0,
    tpot_ms_target: 0,
    ttft_ms_max: 0,
};

struct Story {
    core: Core,
    now: Micros,
    limits: CoreLimits,
    rules: Rules,
    origins: BTreeSet<(SiteId, Place)>,
    policy: Policy,
    virtuals: Vec<VirtualModel>,
    /// What the last input gave.
    effects: Vec<Effect>,
}

fn model(id: &str) -> ModelId {
    ModelId::new(id).unwrap()
}

fn korea() -> Country {
    "KR".parse().unwrap()
}

/// A member on our own ground that serves `m` and has room for that many.
fn member(id: &str, slots: u32) -> PoolMember {
    PoolMember {
        replica: ReplicaId::new(id).unwrap(),
        site: SiteId::new("s").unwrap(),
        model: model("m"),
        adapters: vec![],
        endpoints: vec![Endpoint::Chat],
        slots,
        kv_tokens: None,
        host_tokens: 0,
        costs: EngineCosts::default(),
        place: Place::own(korea()),
        health: ReplicaHealth::Up,
        held_back: false,
    }
}

/// A member that others run.
fn others(id: &str, slots: u32) -> PoolMember {
    let mut member = member(id, slots);
    member.place.own = false;
    member
}

/// One that others run abroad, at `openai`.
fn abroad(id: &str, slots: u32) -> PoolMember {
    let mut member = others(id, slots);
    member.site = SiteId::new("openai").unwrap();
    member.place.country = Some("US".parse().unwrap());
    member
}

fn of_class(id: u128, data_class: DataClass) -> RequestSubmit {
    RequestSubmit {
        data_class,
        ..submit(id)
    }
}

fn submit(id: u128) -> RequestSubmit {
    RequestSubmit {
        request: RequestId(id),
        payer: payer("t", "k"),
        model: model("m"),
        endpoint: Endpoint::Chat,
        data_class: DataClass::Open,
        flags: DataFlags::NONE,
        maskable: true,
        priority: Priority::Standard,
        streamed: true,
        prompt_tokens: 10,
        output_tokens_max: 10,
        wait_ms_max: 60_000,
        prefix: Prefix::default(),
        session: None,
    }
}

fn payer(tenant: &str, key: &str) -> Payer {
    Payer {
        tenant: TenantId::new(tenant).unwrap(),
        project: None,
        key: KeyId::new(key).unwrap(),
    }
}

fn of(tenant: &str, id: u128) -> RequestSubmit {
    RequestSubmit {
        payer: payer(tenant, "k"),
        ..submit(id)
    }
}

fn critical(id: u128) -> RequestSubmit {
    RequestSubmit {
        priority: Priority::Critical,
        ..submit(id)
    }
}

fn batch(id: u128) -> RequestSubmit {
    RequestSubmit {
        priority: Priority::Batch,
        ..submit(id)
    }
}

/// A request whose prompt has that many tokens.
fn long(id: u128, prompt_tokens: u64) -> RequestSubmit {
    RequestSubmit {
        prompt_tokens,
        ..submit(id)
    }
}

fn end(id: u128, attempt: u32, end: AttemptEnd) -> Input {
    Input::AttemptEnd {
        request: RequestId(id),
        attempt,
        end,
        spent: None,
    }
}

fn first_byte(id: u128, attempt: u32) -> Input {
    Input::FirstByte {
        request: RequestId(id),
        attempt,
    }
}

fn cancel(id: u128) -> Input {
    Input::RequestCancel {
        request: RequestId(id),
    }
}

fn report(id: &str, health: ReplicaHealth) -> Input {
    Input::ReplicaReport {
        replica: ReplicaId::new(id).unwrap(),
        health,
    }
}

fn stop(scope: StopScope, on: bool) -> Input {
    Input::StopSet { scope, on }
}

fn upstream(id: &str) -> StopScope {
    StopScope::Upstream(UpstreamId::new(id).unwrap())
}

fn line(effect: &Effect) -> String {
    match effect {
        Effect::Start {
            request,
            attempt,
            replica,
            ..
        } => format!("start {} #{attempt} at {replica}", request.0),
        Effect::Cut {
            request, attempt, ..
        } => format!("cut {} #{attempt}", request.0),
        Effect::CallOff { request, attempt } => format!("call off {} #{attempt}", request.0),
        Effect::Queued { request, place, .. } => format!("queued {} behind {place}", request.0),
        Effect::Refuse {
            request, refusal, ..
        } => format!("refuse {} {refusal:?}", request.0),
        Effect::Drained { replica } => format!("drained {replica}"),
    }
}

impl Story {
    fn new(members: Vec<PoolMember>) -> Self {
        Self::under(LIMITS, members)
    }

    fn under(limits: CoreLimits, members: Vec<PoolMember>) -> Self {
        Self::by(Rules::default(), limits, members)
    }

    fn by(rules: Rules, limits: CoreLimits, members: Vec<PoolMember>) -> Self {
        let mut story = Self {
            core: Core::new(),
            now: Micros(0),
            limits,
            rules,
            origins: BTreeSet::new(),
            policy: Policy::of_home(korea()),
            virtuals: Vec::new(),
            effects: Vec::new(),
        };
        story.fleet(members, &[]);
        story
    }

    #[track_caller]
    fn expect(&mut self, input: Input, expected: &[&str]) {
        assert_eq!(self.lines(input), expected);
    }

    /// The effects of an input, as text.
    #[track_caller]
    fn lines(&mut self, input: Input) -> Vec<String> {
        self.effects.clear();
        self.core.apply(self.now, input, &mut self.effects);
        assert_eq!(self.core.check_invariants(), Ok(()));
        self.effects.iter().map(line).collect()
    }

    #[track_caller]
    fn fleet(&mut self, members: Vec<PoolMember>, expected: &[&str]) {
        let (limits, rules) = (self.limits.clone(), self.rules);
        let view = FleetView {
            members,
            origins: self.origins.clone(),
            limits,
            rules,
            credit: CreditTerms::default(),
            policy: self.policy.clone(),
            virtuals: self.virtuals.clone(),
        };
        self.expect(Input::FleetApply(view), expected);
    }

    #[track_caller]
    fn ask(&mut self, submit: RequestSubmit, expected: &[&str]) {
        self.expect(Input::RequestSubmit(submit), expected);
    }

    #[track_caller]
    fn submit(&mut self, id: u128, expected: &[&str]) {
        self.ask(submit(id), expected);
    }

    /// The first attempt of a request ends well.
    #[track_caller]
    fn done(&mut self, id: u128, expected: &[&str]) {
        self.expect(end(id, 1, AttemptEnd::Done), expected);
    }

    /// The first attempt of a request ends well, and the engine counted.
    #[track_caller]
    fn spent(&mut self, id: u128, spent: Spent, expected: &[&str]) {
        let input = Input::AttemptEnd {
            request: RequestId(id),
            attempt: 1,
            end: AttemptEnd::Done,
            spent: Some(spent),
        };
        self.expect(input, expected);
    }

    fn at_ms(&mut self, now_ms: i64) {
        self.now = Micros(now_ms * 1000);
    }

    /// The clock goes on, and the core hears of it.
    #[track_caller]
    fn tick(&mut self, now_ms: i64, expected: &[&str]) {
        self.at_ms(now_ms);
        self.expect(Input::Tick, expected);
    }

    /// What started last: which model, whether masked, and why there.
    #[track_caller]
    fn started(&self) -> (&ModelId, bool, &Decision) {
        let started = self.effects.iter().find_map(|effect| match effect {
            Effect::Start {
                model,
                masked,
                decision,
                ..
            } => Some((model, *masked, decision)),
            _ => None,
        });
        started.expect("something started")
    }

    /// Why the last request went where it went, and how much a cache was believed to hold.
    #[track_caller]
    fn why(&self) -> (RouteReason, u64) {
        let (_, _, decision) = self.started();
        (decision.reason, decision.cached_tokens)
    }

    /// When the last refused one is told to come again, and why policy denies it.
    #[track_caller]
    fn refused(&self) -> (Option<u64>, &[Denial]) {
        let refused = self.effects.iter().find_map(|effect| match effect {
            Effect::Refuse {
                retry_after_ms,
                denials,
                ..
            } => Some((*retry_after_ms, denials.as_slice())),
            _ => None,
        });
        refused.expect("something was refused")
    }

    #[track_caller]
    fn retry_after_ms(&self) -> Option<u64> {
        self.refused().0
    }

    #[track_caller]
    fn denials(&self) -> &[Denial] {
        self.refused().1
    }

    fn pool(&self) -> PoolStatus {
        let mut pools = self.core.status(self.now).into_iter();
        pools
            .find(|pool| pool.model == Some(model("m")))
            .expect("the pool is there")
    }
}
