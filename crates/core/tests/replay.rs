//! Any sequence of inputs, at any instants, keeps the core's invariants, answers each request once, forgets none, and replays
//! byte for byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use madang_core::recording::{Step, replay};
use madang_core::{
    AttemptEnd, Core, CoreLimits, Effect, EngineCosts, EngineLoad, FleetView, Input, Payer,
    PoolMember, Prefix, ReplicaHealth, RequestSubmit, RouteRule, Rules, ShareRule, Shares, Spent,
    TenantShare, Via, VirtualCandidate, VirtualModel,
};
use madang_types::{
    Basis, BasisId, BasisKind, Conditions, Country, DataClass, DataFlags, Endpoint, KeyId, Micros,
    ModelId, Place, Policy, PolicyEffect, Priority, ProgrammeId, ReplicaId, RequestId, Rule,
    RuleId, SiteId, StopScope, TenantId, Zone,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, BTreeSet};

/// Few, so that most words are about a request that is there.
const IDS: u128 = 16;

fn replica(n: u8) -> ReplicaId {
    ReplicaId::new(&format!("r{n}")).unwrap()
}

fn model(n: u8) -> ModelId {
    ModelId::new(&format!("m{n}")).unwrap()
}

fn tenant(n: u8) -> TenantId {
    TenantId::new(&format!("t{n}")).unwrap()
}

fn programme(n: u8) -> ProgrammeId {
    ProgrammeId::new(&format!("p{n}")).unwrap()
}

fn any_health() -> impl Strategy<Value = ReplicaHealth> {
    use ReplicaHealth::{Down, Starting, Up};
    select(vec![Up, Up, Up, Starting, Down])
}

/// Token counts as they come, and as nobody should send them.
fn any_tokens() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0u64..200, 10 => 0u64..60_000, 1 => Just(u64::MAX)]
}

fn any_costs() -> impl Strategy<Value = EngineCosts> {
    let slow = EngineCosts {
        uncached_ns: 2_000_000,
        ..EngineCosts::default()
    };
    let free = EngineCosts {
        step_us: 0,
        uncached_ns: 0,
        cached_ns: 0,
        output_ns: 0,
        kv_ps: 0,
        context_double_tokens: 0,
    };
    select(vec![
        EngineCosts::default(),
        EngineCosts::default(),
        slow,
        free,
    ])
}

fn korea() -> Country {
    "KR".parse().unwrap()
}

prop_compose! {
    fn any_place()(own in any::<bool>(), known in any::<bool>(), zone in option::of(select(vec![Zone::GovIsolated, Zone::DomesticPublic, Zone::Foreign]))) -> Place {
        Place { own, zone, country: known.then(korea), ..Place::own(korea()) }
    }
}

prop_compose! {
    fn any_member()(
        n in 0u8..5, m in 0u8..3, adapter in option::of(3u8..5), slots in 1u32..4, kv_tokens in option::of(100u64..100_000),
        costs in any_costs(), place in any_place(), health in any_health(), held_back in proptest::bool::weighted(0.2),
    ) -> PoolMember {
        PoolMember {
            replica: replica(n), site: SiteId::new("s").unwrap(), model: model(m), adapters: adapter.map(model).into_iter().collect(),
            endpoints: vec![Endpoint::Chat, Endpoint::Completions], slots, kv_tokens, host_tokens: u64::from(n) * 100, costs, place,
            health, held_back,
        }
    }
}

prop_compose! {
    fn any_payer()(t in 0u8..4, k in 0u8..2, project in any::<bool>()) -> Payer {
        Payer { tenant: tenant(t), project: project.then(|| "p".into()), key: KeyId::new(&format!("k{k}")).unwrap() }
    }
}

prop_compose! {
    fn any_submit()(
        flags in 0..DataFlags::SETS, id in 0..IDS, payer in any_payer(), m in select(vec![0u8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 7]), class in select(vec![0u8, 0, 0, 1, 2]), urgency in 0u8..3, streamed in proptest::bool::weighted(0.7),
        door in select(vec![Endpoint::Chat, Endpoint::Chat, Endpoint::Chat, Endpoint::Completions, Endpoint::Embeddings]), prompt_tokens in any_tokens(),
        output_tokens_max in any_tokens(), wait_ms_max in prop_oneof![0u64..50, 0u64..100_000, Just(u64::MAX)],
        blocks in vec(0u64..6, 0..4), block_tokens in 0u32..100, session in option::of(0u64..4),
    ) -> RequestSubmit {
        RequestSubmit {
            request: RequestId(id), payer, model: model(m), endpoint: door,
            data_class: [DataClass::Open, DataClass::Sensitive, DataClass::Classified][usize::from(class)],
            flags: DataFlags::from_bits(flags),
            priority: [Priority::Critical, Priority::Standard, Priority::Batch][usize::from(urgency)],
            streamed, prompt_tokens, output_tokens_max, wait_ms_max, prefix: Prefix { blocks, block_tokens }, session,
        }
    }
}

prop_compose! {
    fn any_limits()(
        queue_length_max in 0u32..8, attempts_max in 1u32..4, retry_percent_max in 0u32..30, hedge_percent_max in select(vec![0u32, 5, 100]),
        tpot_ms_target in 0u64..50, ttft_ms_max in select(vec![0u64, 0, 100, 5_000]),
    ) -> CoreLimits {
        CoreLimits { queue_length_max, attempts_max, retry_percent_max, hedge_percent_max, tpot_ms_target, ttft_ms_max }
    }
}

/// Madang's own rules mostly, those of others now and then.
fn any_rules() -> impl Strategy<Value = Rules> {
    let share = prop_oneof![
        3 => Just(ShareRule::Madang),
        1 => select(vec![ShareRule::Vtc, ShareRule::Drr, ShareRule::RoundRobin, ShareRule::Fcfs]),
    ];
    let route = prop_oneof![
        3 => Just(RouteRule::PredictedTtft),
        1 => select(vec![RouteRule::Random, RouteRule::PowerOfTwo, RouteRule::Chwbl, RouteRule::CacheAware]),
    ];
    (share, route).prop_map(|(share, route)| Rules { share, route })
}

prop_compose! {
    fn any_shares()(programmes in vec((0u8..2, 0u32..5), 0..3), tenants in vec((0u8..4, option::of(0u8..2), 0u32..5), 0..4)) -> Shares {
        Shares {
            programmes: programmes.into_iter().map(|(n, weight)| (programme(n), weight)).collect(),
            tenants: tenants.into_iter().map(|(n, above, weight)| TenantShare { tenant: tenant(n), programme: above.map(programme), weight }).collect(),
        }
    }
}

prop_compose! {
    fn any_load()(kv_permille in option::of(0u32..1_000), preemptions in option::of(0u64..4), started_s in option::of(0u64..3)) -> EngineLoad {
        EngineLoad { running: None, waiting: Some(1), kv_permille, preemptions, started_s }
    }
}

prop_compose! {
    fn any_spent()(prompt_tokens in any_tokens(), cached_tokens in option::of(any_tokens()), output_tokens in any_tokens()) -> Spent {
        Spent { prompt_tokens, cached_tokens, output_tokens }
    }
}

fn any_input() -> impl Strategy<Value = Input> {
    use AttemptEnd::{Abandoned, Done, FailedFinal, FailedRetryable};
    let end = select(vec![
        Done,
        Done,
        FailedRetryable,
        FailedRetryable,
        FailedFinal,
        Abandoned,
    ]);
    let id = || (0..IDS).prop_map(RequestId);
    prop_oneof![
        10 => (vec(any_member(), 0..6), any_limits(), any_rules(), any_policy(), any_virtuals())
            .prop_map(|(members, limits, rules, policy, virtuals)| Input::FleetApply(FleetView { members, limits, rules, policy, virtuals })),
        4 => (any_scope(), any::<bool>()).prop_map(|(scope, on)| Input::StopSet { scope, on }),
        5 => any_shares().prop_map(Input::SharesApply),
        10 => (0u8..5, any_health()).prop_map(|(n, health)| Input::ReplicaReport { replica: replica(n), health }),
        10 => (0u8..5, any_load()).prop_map(|(n, load)| Input::ReplicaLoad { replica: replica(n), load }),
        160 => any_submit().prop_map(Input::RequestSubmit),
        20 => id().prop_map(|request| Input::RequestCancel { request }),
        40 => (id(), 1u32..3).prop_map(|(request, attempt)| Input::FirstByte { request, attempt }),
        20 => (id(), any_tokens()).prop_map(|(request, output_tokens)| Input::Progress { request, output_tokens }),
        100 => (id(), 1u32..4, end, option::of(any_spent()))
            .prop_map(|(request, attempt, end, spent)| Input::AttemptEnd { request, attempt, end, spent }),
        60 => Just(Input::Tick),
        1 => Just(Input::Drain),
    ]
}

fn any_scope() -> impl Strategy<Value = StopScope> {
    select(vec![
        StopScope::Site(SiteId::new("s").unwrap()),
        StopScope::Upstream("s".parse().unwrap()),
        StopScope::Country("US".parse().unwrap()),
    ])
}

prop_compose! {
    fn any_candidate()(m in 0u8..6, class in 0u8..3, flags in 0..DataFlags::SETS, bare in any::<bool>(), of in option::of(0u8..2)) -> VirtualCandidate {
        VirtualCandidate {
            model: model(m),
            class_max: [DataClass::Open, DataClass::Sensitive, DataClass::Classified][usize::from(class)],
            flags_none: if bare { DataFlags::NONE } else { DataFlags::from_bits(flags) },
            programme: of.map(|n| BTreeSet::from([programme(n)])),
        }
    }
}

/// Two names that lead to others, or none.
fn any_virtuals() -> impl Strategy<Value = Vec<VirtualModel>> {
    let names = vec(vec(any_candidate(), 1..5), 0..3);
    names.prop_map(|names| {
        let name = |(n, candidates)| VirtualModel {
            id: model(n),
            candidates,
        };
        (6..).zip(names).map(name).collect()
    })
}

/// The built-in policy, now and then with a rule and a basis that lapses.
fn any_policy() -> impl Strategy<Value = Policy> {
    let effect = select(vec![
        PolicyEffect::Allow,
        PolicyEffect::Mask,
        PolicyEffect::Deny,
    ]);
    let changed = (
        effect,
        option::of(0u8..2),
        0u8..DataFlags::SETS,
        0i64..1_000_000_000,
        option::of(0u8..5),
    );
    let changed = changed.prop_map(|(effect, of, flags, expires_us, instead)| Policy {
        rules: vec![Rule {
            id: RuleId::new("own").unwrap(),
            when: Conditions {
                class: Some(BTreeSet::from([DataClass::Open, DataClass::Sensitive])),
                programme: of.map(|n| BTreeSet::from([programme(n)])),
                flags_any: DataFlags::from_bits(flags),
                own: Some(true),
                basis_none: BTreeSet::from([BasisKind::Consent]),
                ..Conditions::default()
            },
            effect,
            reroute: instead.map(model),
            text: String::new(),
            text_ko: String::new(),
        }],
        bases: vec![Basis {
            id: BasisId::new("b").unwrap(),
            kind: BasisKind::Consent,
            programme: BTreeSet::from([programme(0)]),
            tenant: BTreeSet::from([tenant(0)]),
            location: None,
            expires_at: Micros(expires_us),
        }],
        ..Policy::of_home(korea())
    });
    prop_oneof![3 => Just(Policy::of_home(korea())), 1 => changed]
}

/// Three members that serve the first model: what most requests meet until another fleet comes.
fn first_fleet() -> Input {
    let place = Place::own(korea());
    let member = |n| PoolMember {
        replica: replica(n),
        site: SiteId::new("s").unwrap(),
        model: model(0),
        adapters: vec![],
        endpoints: vec![Endpoint::Chat, Endpoint::Completions],
        slots: 3,
        kv_tokens: None,
        host_tokens: 0,
        costs: EngineCosts::default(),
        place: place.clone(),
        health: ReplicaHealth::Up,
        held_back: false,
    };
    let limits = CoreLimits {
        queue_length_max: 8,
        attempts_max: 3,
        retry_percent_max: 20,
        hedge_percent_max: 100,
        tpot_ms_target: 50,
        ttft_ms_max: 0,
    };
    Input::FleetApply(FleetView {
        members: (0..3).map(member).collect(),
        limits,
        rules: Rules::default(),
        policy: Policy::of_home(korea()),
        virtuals: vec![VirtualModel {
            id: model(6),
            candidates: [1, 0].map(at_all_times).into(),
        }],
    })
}

fn at_all_times(n: u8) -> VirtualCandidate {
    VirtualCandidate {
        model: model(n),
        class_max: DataClass::Classified,
        flags_none: DataFlags::NONE,
        programme: None,
    }
}

/// How far the clock goes between two inputs, in microseconds: little mostly, back and far ahead now and then.
fn any_span() -> impl Strategy<Value = i64> {
    prop_oneof![
        40 => 0i64..20_000,
        10 => 0i64..2_000_000,
        2 => -5_000_000i64..0,
        2 => 0i64..2_000_000_000,
        1 => select(vec![i64::MIN, i64::MAX, -86_400_000_000, 86_400_000_000]),
    ]
}

/// What each request was told: the attempts that run; none where it waits.
#[derive(Default)]
struct Ledger {
    requests: BTreeMap<RequestId, Told>,
    own: BTreeSet<ReplicaId>,
    virtuals: BTreeMap<ModelId, Vec<VirtualCandidate>>,
}

struct Told {
    open: bool,
    asked: ModelId,
    /// Where its name leads, if it leads to several.
    leads_to: Option<Vec<VirtualCandidate>>,
    waits: bool,
    attempts: u32,
    running: BTreeSet<u32>,
}

impl Ledger {
    fn step(&mut self, input: &Input, effects: &[Effect]) {
        self.input(input);
        for effect in effects {
            self.effect(effect);
        }
        for (id, told) in &self.requests {
            assert_eq!(
                told.waits,
                told.running.is_empty(),
                "{id} is forgotten, or does both"
            );
        }
    }

    fn input(&mut self, input: &Input) {
        match input {
            Input::FleetApply(view) => {
                let own = view.members.iter().filter(|member| member.place.own);
                self.own = own.map(|member| member.replica.clone()).collect();
                let names = view.virtuals.iter().cloned();
                self.virtuals = names.map(|name| (name.id, name.candidates)).collect();
            }
            Input::RequestSubmit(submit) => {
                let leads_to = self.virtuals.get(&submit.model).cloned();
                self.requests.entry(submit.request).or_insert(Told {
                    open: submit.data_class == DataClass::Open,
                    asked: submit.model.clone(),
                    leads_to,
                    waits: false,
                    attempts: 0,
                    running: BTreeSet::new(),
                });
            }
            Input::RequestCancel { request } => {
                self.requests.remove(request);
            }
            Input::AttemptEnd {
                request,
                attempt,
                end,
                ..
            } => {
                if let Some(told) = self.requests.get_mut(request) {
                    let known = told.running.remove(attempt);
                    // Whatever else ends, ends the request; its other attempt may still be called off.
                    let ends = *end != AttemptEnd::FailedRetryable;
                    if ends && (!known || told.running.is_empty()) {
                        self.requests.remove(request);
                    } else if ends {
                        told.attempts = u32::MAX;
                    }
                }
            }
            _ => {}
        }
    }

    fn effect(&mut self, effect: &Effect) {
        match effect {
            Effect::Start {
                request,
                attempt,
                replica,
                model,
                decision,
                ..
            } => {
                let told = self
                    .requests
                    .get_mut(request)
                    .expect("what starts was submitted");
                told.check_model(model, decision.via.as_ref());
                assert!(*attempt == told.attempts + 1, "{request} #{attempt}");
                assert!(
                    told.open || self.own.contains(replica),
                    "{request} left our own ground"
                );
                told.attempts = *attempt;
                told.waits = false;
                told.running.insert(*attempt);
            }
            Effect::CallOff { request, attempt } => {
                let told = self
                    .requests
                    .get_mut(request)
                    .expect("what is called off runs");
                assert!(told.running.remove(attempt), "{request} #{attempt}");
                if told.attempts == u32::MAX {
                    self.requests.remove(request);
                }
            }
            Effect::Queued { request, .. } => {
                let told = self
                    .requests
                    .get_mut(request)
                    .expect("what waits was submitted");
                assert!(told.running.is_empty(), "{request} waits and runs");
                told.waits = true;
            }
            Effect::Refuse { request, .. } => {
                let told = self
                    .requests
                    .remove(request)
                    .expect("what is refused was there");
                assert!(told.running.is_empty(), "{request} is refused and runs");
            }
            Effect::Cut {
                request, attempt, ..
            } => {
                let told = self.requests.remove(request).expect("what is cut runs");
                assert!(told.running.contains(attempt), "{request} #{attempt}");
            }
            Effect::Drained { .. } => {}
        }
    }
}

impl Told {
    /// It is served by what it asked for, by what its name leads to, or by a substitute of what it asked for.
    fn check_model(&self, model: &ModelId, via: Option<&Via>) {
        let leads_to = self.leads_to.as_ref();
        let fits = match via {
            None => leads_to.is_none() && self.asked == *model,
            Some(Via::Virtual(asked)) => {
                self.asked == *asked
                    && leads_to.is_some_and(|to| to.iter().any(|to| to.model == *model))
            }
            Some(Via::Reroute(asked)) => leads_to.is_none() && self.asked == *asked,
        };
        assert!(fits, "{} is served by {model}, {via:?}", self.asked);
    }
}

/// Whatever starts is permitted where it starts.
fn check_permitted(core: &Core, effects: &[Effect]) {
    for effect in effects {
        if let Effect::Start {
            request, replica, ..
        } = effect
            && let Some(grant) = core.grant(*request, replica)
        {
            assert!(grant.effect != PolicyEffect::Deny, "{effect:?} {grant:?}");
        }
    }
}

/// Under Madang's rule nothing starts beyond a member's slots, whatever they were before.
fn check_slots(core: &Core, now: Micros, effects: &[Effect]) {
    let started = |id: &ReplicaId| {
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Start { replica, .. } if replica == id))
    };
    for member in core.status(now).into_iter().flat_map(|pool| pool.members) {
        assert!(
            !started(&member.replica) || member.running <= member.slots,
            "{member:?}"
        );
    }
}

/// Everybody leaves: nothing may be left on any account.
fn check_empties(core: &mut Core, now: Micros) -> Result<(), TestCaseError> {
    for id in 0..IDS {
        let request = RequestId(id);
        core.apply(now, Input::RequestCancel { request }, &mut Vec::new());
        core.check_invariants().map_err(TestCaseError::fail)?;
    }
    prop_assert_eq!(core.requests_count(), 0);
    for pool in core.status(now) {
        prop_assert_eq!(pool.waiting, 0);
        for member in pool.members {
            let held = (member.running, member.kv_tokens_used, member.prefill_us);
            prop_assert_eq!(held, (0, 0, 0), "{} holds", member.replica);
        }
        for tenant in pool.tenants {
            let held = (tenant.waiting, tenant.running, tenant.kv_tokens);
            prop_assert_eq!(held, (0, 0, 0), "{} holds", tenant.tenant);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_and_a_recording_replays_byte_for_byte(inputs in vec((any_span(), any_input()), 1..150)) {
        let mut core = Core::new();
        let mut now = Micros(0);
        let mut steps = Vec::new();
        let mut ledger = Ledger::default();
        let mut madang = true;
        for (span_us, input) in [(0, first_fleet())].into_iter().chain(inputs) {
            now = Micros(now.0.saturating_add(span_us));
            if let Input::FleetApply(view) = &input {
                madang = view.rules.share == ShareRule::Madang;
            }
            let idle = input == Input::Tick && core.requests_count() == 0;
            let before = idle.then(|| format!("{core:?}"));
            let mut effects = Vec::new();
            core.apply(now, input.clone(), &mut effects);
            core.check_invariants().map_err(TestCaseError::fail)?;
            if let Some(before) = before {
                prop_assert_eq!(format!("{core:?}"), before, "a tick while nothing waits or runs changes nothing");
            }
            ledger.step(&input, &effects);
            check_permitted(&core, &effects);
            prop_assert_eq!(core.requests_count(), ledger.requests.len());
            if madang {
                check_slots(&core, now, &effects);
            }
            steps.push(Step { now, input, effects });
        }
        check_empties(&mut core, now)?;
        let text: Vec<String> = steps.iter().map(|s| serde_json::to_string(s).unwrap()).collect();
        let read: Vec<Step> = text.iter().map(|t| serde_json::from_str(t).unwrap()).collect();
        let again: Vec<String> = read.iter().map(|s| serde_json::to_string(s).unwrap()).collect();
        prop_assert_eq!(&text, &again);
        prop_assert_eq!(replay(read), Ok(text.len()));
    }
}

#[test]
fn a_replay_notices_another_decision() {
    let wrong = Effect::Drained {
        replica: replica(1),
    };
    let divergence = replay([Step {
        now: Micros(1),
        input: Input::Drain,
        effects: vec![wrong],
    }])
    .unwrap_err();
    assert_eq!((divergence.step, divergence.replayed.len()), (0, 0));
}
