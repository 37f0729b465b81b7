//! Any sequence of inputs, at any instants, keeps the core's invariants, answers each request once, forgets none, and replays
//! byte for byte.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod any;
mod ledger;

use any::{IDS, any_input, any_span, first_fleet, replica};
use ledger::Ledger;
use madang_core::recording::{Step, replay};
use madang_core::{Core, Effect, Input, ShareRule};
use madang_types::{Micros, PolicyEffect, ReplicaId, RequestId};
use proptest::collection::vec;
use proptest::prelude::*;

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
