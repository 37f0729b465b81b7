//! Any sequence of inputs keeps the core's invariants, answers each request once, and replays byte for byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use madang_core::recording::{Step, replay};
use madang_core::{
    AttemptEnd, Core, CoreLimits, Effect, EngineCosts, FleetView, Input, Payer, Place, PoolMember,
    Prefix, ReplicaHealth, RequestSubmit, Rules,
};
use madang_types::{
    DataClass, Endpoint, KeyId, Micros, ModelId, Priority, ReplicaId, RequestId, SiteId, TenantId,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

fn replica(n: u8) -> ReplicaId {
    ReplicaId::new(&format!("r{n}")).unwrap()
}

fn model(n: u8) -> ModelId {
    ModelId::new(&format!("m{n}")).unwrap()
}

fn any_health() -> impl Strategy<Value = ReplicaHealth> {
    prop_oneof![
        Just(ReplicaHealth::Up),
        Just(ReplicaHealth::Starting),
        Just(ReplicaHealth::Down)
    ]
}

prop_compose! {
    fn any_member()(n in 0u8..5, m in 0u8..3, slots in 1u32..3, own in any::<bool>(), known in any::<bool>(), health in any_health(), held_back in proptest::bool::weighted(0.2)) -> PoolMember {
        PoolMember {
            replica: replica(n), site: SiteId::new("s").unwrap(), model: model(m), adapters: Vec::new(), kv_tokens: None, host_tokens: 0, costs: EngineCosts::default(),
            endpoints: vec![Endpoint::Chat, Endpoint::Completions], slots,
            place: Place { own, country: known.then(|| "KR".into()), operator_country: Some("KR".into()) }, health, held_back,
        }
    }
}

prop_compose! {
    fn any_submit()(id in 0u128..40, m in 0u8..4, door in 0u8..3, class in 0u8..3, urgency in 0u8..3, tokens in 0u64..100, wait in 0u64..50) -> RequestSubmit {
        RequestSubmit {
            request: RequestId(id), payer: Payer { tenant: TenantId::new("t").unwrap(), project: None, key: KeyId::new("k").unwrap() }, prefix: Prefix::default(), session: None, model: model(m),
            endpoint: [Endpoint::Chat, Endpoint::Completions, Endpoint::Embeddings][usize::from(door)],
            data_class: [DataClass::Open, DataClass::Sensitive, DataClass::Classified][usize::from(class)],
            priority: [Priority::Critical, Priority::Standard, Priority::Batch][usize::from(urgency)],
            prompt_tokens: tokens, output_tokens_max: tokens, wait_ms_max: wait,
        }
    }
}

fn any_input() -> impl Strategy<Value = Input> {
    let end = prop_oneof![
        Just(AttemptEnd::Done),
        Just(AttemptEnd::FailedRetryable),
        Just(AttemptEnd::FailedFinal)
    ];
    let limits = (0u32..4, 1u32..4).prop_map(|(queue_length_max, attempts_max)| CoreLimits {
        queue_length_max,
        attempts_max,
        ..CoreLimits::default()
    });
    prop_oneof![
        1 => (proptest::collection::vec(any_member(), 0..6), limits).prop_map(|(members, limits)| Input::FleetApply(FleetView { members, limits, rules: Rules::default() })),
        2 => (0u8..5, any_health()).prop_map(|(n, health)| Input::ReplicaReport { replica: replica(n), health }),
        8 => any_submit().prop_map(Input::RequestSubmit),
        2 => (0u128..40).prop_map(|id| Input::RequestCancel { request: RequestId(id) }),
        2 => (0u128..40).prop_map(|id| Input::FirstByte { request: RequestId(id), attempt: 1 }),
        8 => (0u128..40, 1u32..3, end).prop_map(|(id, attempt, end)| Input::AttemptEnd { request: RequestId(id), attempt, end, spent: None }),
        3 => Just(Input::Tick),
    ]
}

/// Writes down what each request was told; fails where one is started or refused out of turn.
fn follow(story: &mut BTreeMap<RequestId, &'static str>, input: &Input, effects: &[Effect]) {
    if let Input::RequestSubmit(submit) = input {
        story.entry(submit.request).or_insert("submitted");
    }
    for effect in effects {
        match effect {
            Effect::Start { request, .. } => {
                let before = story.insert(*request, "running");
                assert!(
                    before.is_some(),
                    "{request} started and was never submitted"
                );
            }
            Effect::Queued { request, .. } => {
                story.insert(*request, "queued");
            }
            Effect::Refuse { request, .. } => {
                let before = story.remove(request);
                assert!(before.is_some(), "{request} refused and was not there");
            }
            Effect::CallOff { .. } | Effect::Drained { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_and_a_recording_replays_byte_for_byte(inputs in proptest::collection::vec((0i64..20_000, any_input()), 1..120)) {
        let mut core = Core::new();
        let mut now = Micros(0);
        let mut steps = Vec::new();
        let mut story = BTreeMap::new();
        for (span_us, input) in inputs {
            now = Micros(now.0 + span_us);
            let mut effects = Vec::new();
            core.apply(now, input.clone(), &mut effects);
            core.check_invariants().map_err(TestCaseError::fail)?;
            follow(&mut story, &input, &effects);
            for pool in core.status(now) {
                for member in pool.members {
                    prop_assert!(member.running <= member.slots.max(2), "{member:?}");
                }
            }
            steps.push(Step { now, input, effects });
        }
        let text: Vec<String> = steps.iter().map(|s| serde_json::to_string(s).unwrap()).collect();
        let read: Vec<Step> = text.iter().map(|t| serde_json::from_str(t).unwrap()).collect();
        let again: Vec<String> = read.iter().map(|s| serde_json::to_string(s).unwrap()).collect();
        prop_assert_eq!(&text, &again);
        prop_assert_eq!(replay(read), Ok(text.len()));
    }
}

#[test]
fn a_replay_notices_another_decision() {
    let submit = Input::Drain;
    let wrong = Effect::Drained {
        replica: replica(1),
    };
    let divergence = replay([Step {
        now: Micros(1),
        input: submit,
        effects: vec![wrong],
    }])
    .unwrap_err();
    assert_eq!((divergence.step, divergence.replayed.len()), (0, 0));
}
