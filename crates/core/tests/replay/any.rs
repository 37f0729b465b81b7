//! Any input, at any span after the one before.

use madang_core::credit::Month;
use madang_core::power::governor::PowerTerms;
use madang_core::{
    AttemptEnd, CoreLimits, CreditRow, CreditTerms, EngineCosts, EngineLoad, FleetView, Holder,
    Input, Payer, PoolMember, Prefix, ReplicaHealth, RequestSubmit, RouteRule, Rules, ShareRule,
    Shares, Spent, TenantShare, VirtualCandidate, VirtualModel,
};
use madang_types::{
    Basis, BasisId, BasisKind, Conditions, Country, DataClass, DataFlags, Endpoint, KeyId, Micros,
    ModelId, Place, Policy, PolicyEffect, Priority, ProgrammeId, ProjectId, ReplicaId, RequestId,
    Rule, RuleId, SiteId, StopScope, TenantId, Zone,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::BTreeSet;

/// Few, so that most words are about a request that is there.
pub const IDS: u128 = 16;

pub fn replica(n: u8) -> ReplicaId {
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

/// Some with the id of a member's site.
fn any_origins() -> impl Strategy<Value = BTreeSet<(SiteId, Place)>> {
    let id = select(vec!["o", "s"]).prop_map(|id| SiteId::new(id).unwrap());
    proptest::collection::btree_set((id, any_place()), 0..3)
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
        Payer { tenant: tenant(t), project: project.then(|| ProjectId::new("p").unwrap()), key: KeyId::new(&format!("k{k}")).unwrap() }
    }
}

prop_compose! {
    fn any_submit()(
        flags in 0..DataFlags::SETS, id in 0..IDS, payer in any_payer(), m in select(vec![0u8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 7]), class in select(vec![0u8, 0, 0, 1, 2]), urgency in 0u8..3, streamed in proptest::bool::weighted(0.7),
        door in select(vec![Endpoint::Chat, Endpoint::Chat, Endpoint::Chat, Endpoint::Completions, Endpoint::Embeddings]), prompt_tokens in any_tokens(),
        output_tokens_max in any_tokens(), wait_ms_max in prop_oneof![0u64..50, 0u64..100_000, Just(u64::MAX)],
        blocks in vec(0u64..6, 0..4), block_tokens in 0u32..100, session in option::of(0u64..4),
        maskable in proptest::bool::weighted(0.8),
    ) -> RequestSubmit {
        RequestSubmit {
            request: RequestId(id), payer, model: model(m), endpoint: door,
            data_class: [DataClass::Open, DataClass::Sensitive, DataClass::Classified][usize::from(class)],
            flags: DataFlags::from_bits(flags), maskable,
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
    fn any_shares()(programmes in vec((0u8..2, 0u32..5), 0..3), floors in vec((0u8..2, select(Zone::ALL.to_vec())), 0..2), tenants in vec((0u8..4, option::of(0u8..2), 0u32..5), 0..4)) -> Shares {
        Shares {
            programmes: programmes.into_iter().map(|(n, weight)| (programme(n), weight)).collect(),
            tenants: tenants.into_iter().map(|(n, above, weight)| TenantShare { tenant: tenant(n), programme: above.map(programme), weight }).collect(),
            floors: floors.into_iter().map(|(n, floor)| (programme(n), floor)).collect(),
        }
    }
}

prop_compose! {
    fn any_terms()(half_life_days in 0u32..40, cap_days in 0u32..8, factor_max in 0u32..6) -> CreditTerms {
        CreditTerms { half_life_days, cap_days, factor_max, month_offset_s: 32_400 }
    }
}

prop_compose! {
    fn any_credit()(n in 0u8..4, above in any::<bool>(), balance_us in any::<i64>()) -> CreditRow {
        let holder = if above { Holder::Programme(programme(n)) } else { Holder::Tenant(tenant(n)) };
        CreditRow { holder, balance_us, month: Month::default() }
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

pub fn any_input() -> impl Strategy<Value = Input> {
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
        10 => (vec(any_member(), 0..6), any_origins(), any_limits(), any_rules(), any_terms(), any_policy(), any_virtuals())
            .prop_map(|(members, origins, limits, rules, credit, policy, virtuals)| Input::FleetApply(FleetView { members, origins, limits, rules, credit, policy, virtuals })),
        4 => (any_scope(), any::<bool>()).prop_map(|(scope, on)| Input::StopSet { scope, on }),
        5 => any_shares().prop_map(Input::SharesApply),
        4 => any_power().prop_map(|terms| Input::PowerSet { site: SiteId::new("s").unwrap(), terms }),
        2 => vec(any_credit(), 0..4).prop_map(Input::CreditsRestore),
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

fn any_power() -> impl Strategy<Value = PowerTerms> {
    let milli = || select(vec![1_000, 750, 500, 250]);
    let batch_milli = select(vec![1_000, 500, 0]);
    let shed = select(vec![None, Some(Priority::Batch), Some(Priority::Standard)]);
    let until = select(vec![None, Some(Micros(0)), Some(Micros(i64::MAX))]);
    let terms = (batch_milli, any::<bool>(), milli(), shed, until);
    let terms = terms.prop_map(
        |(batch_milli, divert, slots_milli, shed, until)| PowerTerms {
            batch_milli,
            divert,
            slots_milli,
            shed,
            until,
        },
    );
    prop_oneof![2 => Just(PowerTerms::default()), 3 => terms]
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
pub fn first_fleet() -> Input {
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
        origins: BTreeSet::new(),
        limits,
        rules: Rules::default(),
        credit: CreditTerms::default(),
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
pub fn any_span() -> impl Strategy<Value = i64> {
    prop_oneof![
        40 => 0i64..20_000,
        10 => 0i64..2_000_000,
        2 => -5_000_000i64..0,
        2 => 0i64..2_000_000_000,
        1 => select(vec![i64::MIN, i64::MAX, -86_400_000_000, 86_400_000_000]),
    ]
}
