//! Recordings of gateways as traces.

use super::{Progress, SMALL, folder, parse, report, run};
use crate::world::Fleet;
use madang_core::recording::Step;
use madang_core::{AttemptEnd, Core, Effect, Input, Payer, Prefix, RequestSubmit, Rules, Spent};
use madang_types::{DataClass, DataFlags, Endpoint, Micros, ModelId, Priority, RequestId};

/// A request of so many hundreds of tokens.
fn submit(model: &ModelId, number: u64) -> RequestSubmit {
    RequestSubmit {
        request: RequestId(u128::from(number)),
        payer: Payer {
            tenant: "t".parse().unwrap(),
            project: None,
            key: "k".parse().unwrap(),
        },
        model: model.clone(),
        endpoint: Endpoint::Chat,
        data_class: DataClass::Open,
        flags: DataFlags::NONE,
        maskable: true,
        priority: Priority::Standard,
        streamed: true,
        prompt_tokens: 100 * number,
        output_tokens_max: 2_048,
        wait_ms_max: 60_000,
        prefix: Prefix::default(),
        session: None,
    }
}

/// A core as a gateway drives it, and what it would have recorded.
fn recording() -> String {
    let profile = crate::engine::Profile::named("h100-8b").unwrap();
    let fleet = Fleet::new(profile, 2, Rules::default()).unwrap();
    let (mut core, mut text) = (Core::new(), String::new());
    let mut apply = |us: i64, input: Input| {
        let (now, mut effects) = (Micros(us), Vec::new());
        core.apply(now, input.clone(), &mut effects);
        let step = Step {
            now,
            input,
            effects: effects.clone(),
        };
        text.push_str(&serde_json::to_string(&step).unwrap());
        text.push('\n');
        effects
    };
    apply(0, Input::FleetApply(fleet.view().unwrap()));
    for number in 1..=10_u64 {
        let at_us = i64::try_from(number).unwrap() * 500_000;
        let request = RequestId(u128::from(number));
        let submit = submit(&fleet.model, number);
        let effects = apply(at_us, Input::RequestSubmit(submit));
        assert!(matches!(effects[..], [Effect::Start { .. }]), "{effects:?}");
        let spent = Spent {
            prompt_tokens: 100 * number,
            cached_tokens: Some(0),
            output_tokens: 7 * number,
        };
        // The fifth is left by its client: what was made for it is known by what it told.
        if number == 5 {
            let output_tokens = 3;
            apply(
                at_us + 1,
                Input::Progress {
                    request,
                    output_tokens,
                },
            );
            apply(at_us + 2, Input::RequestCancel { request });
        } else {
            let (attempt, end) = (1, AttemptEnd::Done);
            let spent = Some(spent);
            apply(
                at_us + 1,
                Input::AttemptEnd {
                    request,
                    attempt,
                    end,
                    spent,
                },
            );
        }
    }
    text
}

#[test]
fn a_gateways_recording_is_a_trace_and_its_core_decides_the_same() {
    let text = recording();
    let (_folder, files) = folder(&[("gateway.jsonl", &text)]);
    let scenario = format!("{SMALL}trace = \"gateway.jsonl\"\n");
    let report = report(&scenario, &files, (1, false));
    let total = &report.total;
    let tokens = |each: u64| (1..=10).map(|number| each * number).sum::<u64>();
    assert_eq!((total.asked, total.finished), (10, 10));
    assert_eq!(total.input_tokens, tokens(100));
    assert_eq!(total.output_tokens, tokens(7) - 35 + 3);
    let line = &report.recordings[0];
    assert_eq!((line.steps, line.equal_ratio), (22, 1.0));
    // A recording in which something else was decided is told.
    let other = text.replacen("engine-0", "engine-1", 2);
    assert_ne!(other, text);
    std::fs::write(_folder.path().join("gateway.jsonl"), other).unwrap();
    let (parsed, _) = parse(&scenario, &files).unwrap();
    let report = run(&parsed, &files, 1, &Progress::default()).unwrap();
    assert!(
        report.recordings[0].equal_ratio < 1.0,
        "{:?}",
        report.recordings
    );
    // Requests for another model are not this demand's.
    let none = format!("{scenario}category = \"n\"\n");
    let problems = parse(&none, &files).unwrap_err();
    assert!(
        problems[0]
            .message
            .ends_with("the recording has no request for the model 'n'")
    );
}
