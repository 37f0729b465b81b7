//! Names that lead to one of several models, and models that stand in for one that policy denies.

use super::*;
use AttemptEnd::FailedRetryable;
use madang_core::VirtualCandidate;
use madang_types::{Conditions, DataFlag, PolicyEffect, ProgrammeId, Rule, Zone};
use std::collections::BTreeSet;

fn frontier(id: &str) -> PoolMember {
    PoolMember {
        model: model("gpt-5"),
        ..abroad(id, 1)
    }
}

fn at_home(id: &str, name: &str) -> PoolMember {
    PoolMember {
        model: model(name),
        ..member(id, 1)
    }
}

/// A frontier model abroad, one of ours, and a small one of ours.
fn fleet() -> Vec<PoolMember> {
    vec![
        frontier("openai"),
        at_home("pohang", "exaone"),
        at_home("jeonnam", "kanana"),
    ]
}

fn candidate(name: &str) -> VirtualCandidate {
    VirtualCandidate {
        model: model(name),
        class_max: DataClass::Classified,
        flags_none: DataFlags::NONE,
        programme: None,
    }
}

fn asks(id: u128, name: &str, data_class: DataClass) -> RequestSubmit {
    RequestSubmit {
        model: model(name),
        ..of_class(id, data_class)
    }
}

fn open(id: u128) -> RequestSubmit {
    asks(id, "auto", DataClass::Open)
}

impl Story {
    /// `auto` leads to these.
    fn auto(limits: CoreLimits, candidates: Vec<VirtualCandidate>) -> Self {
        let mut story = Self::under(limits, vec![]);
        story.virtuals = vec![VirtualModel {
            id: model("auto"),
            candidates,
        }];
        story.fleet(fleet(), &[]);
        story
    }

    /// All three models, the frontier one first.
    fn of_three() -> Self {
        let limits = CoreLimits {
            attempts_max: 3,
            ..LIMITS
        };
        Self::auto(limits, ["gpt-5", "exaone", "kanana"].map(candidate).into())
    }

    /// Gives requests for `gpt-5` that are not open another model instead.
    fn rerouted(to: &str) -> Self {
        let mut story = Self::new(vec![]);
        story.policy.rules = vec![Rule {
            id: "gpt-5-closed".parse().unwrap(),
            when: Conditions {
                class: Some(BTreeSet::from([DataClass::Sensitive])),
                model: Some(BTreeSet::from([model("gpt-5")])),
                zone: Some(BTreeSet::from([Zone::Foreign])),
                ..Conditions::default()
            },
            effect: PolicyEffect::Deny,
            reroute: Some(model(to)),
            text: String::new(),
            text_ko: String::new(),
        }];
        story.fleet(fleet(), &[]);
        story
    }

    /// Which model serves what started last, and what was asked for.
    #[track_caller]
    fn serves(&self) -> (String, String) {
        let (model, _, decision) = self.started();
        let via = decision.via.as_ref().map(ToString::to_string);
        (model.to_string(), via.unwrap_or_default())
    }

    /// The places of the last refusal by policy.
    #[track_caller]
    fn denied_at(&self) -> Vec<&str> {
        let denials = self.denials().iter();
        denials.map(|denial| denial.location.as_str()).collect()
    }
}

#[test]
fn a_name_leads_to_the_best_model_that_policy_permits() {
    let mut story = Story::of_three();
    story.ask(open(1), &["start 1 #1 at openai"]);
    assert_eq!(story.serves(), ("gpt-5".into(), "virtual:auto".into()));
    let sensitive = asks(2, "auto", DataClass::Sensitive);
    story.ask(sensitive, &["start 2 #1 at pohang"]);
    assert_eq!(story.serves(), ("exaone".into(), "virtual:auto".into()));
    let (_, _, decision) = story.started();
    assert!(
        decision.to_string().ends_with(" virtual:auto"),
        "{decision}"
    );
    // A real name stays what it is.
    story.ask(
        asks(3, "kanana", DataClass::Open),
        &["start 3 #1 at jeonnam"],
    );
    assert_eq!(story.serves(), ("kanana".into(), String::new()));
}

#[test]
fn what_cannot_be_masked_is_given_a_model_that_needs_no_mask() {
    let fixed = |id, name| RequestSubmit {
        flags: DataFlags::NONE.with(DataFlag::Pii),
        maskable: false,
        ..asks(id, name, DataClass::Open)
    };
    let mut story = Story::of_three();
    story.ask(fixed(1, "auto"), &["start 1 #1 at pohang"]);
    assert_eq!(story.serves(), ("exaone".into(), "virtual:auto".into()));

    let mut story = Story::new(vec![]);
    story.policy.rules = vec![Rule {
        id: "gpt-5-masked".parse().unwrap(),
        when: Conditions {
            model: Some(BTreeSet::from([model("gpt-5")])),
            ..Conditions::default()
        },
        effect: PolicyEffect::Mask,
        reroute: Some(model("kanana")),
        text: String::new(),
        text_ko: String::new(),
    }];
    story.fleet(fleet(), &[]);
    let maskable = RequestSubmit {
        maskable: true,
        ..fixed(1, "gpt-5")
    };
    story.ask(maskable, &["start 1 #1 at openai"]);
    story.ask(fixed(2, "gpt-5"), &["start 2 #1 at jeonnam"]);
    assert_eq!(story.serves(), ("kanana".into(), "reroute:gpt-5".into()));
}

#[test]
fn who_can_start_now_comes_before_the_better_one() {
    let mut story = Story::of_three();
    story.ask(open(1), &["start 1 #1 at openai"]);
    story.ask(open(2), &["start 2 #1 at pohang"]);
    story.expect(report("jeonnam", ReplicaHealth::Down), &[]);
    // Nobody is free: it waits for the best one, and there alone.
    story.ask(open(3), &["queued 3 behind 0"]);
    story.done(2, &[]);
    story.done(1, &["start 3 #1 at openai"]);
}

#[test]
fn conditions_of_candidates_hold() {
    let only = |change: fn(&mut VirtualCandidate)| {
        let mut gpt = candidate("gpt-5");
        change(&mut gpt);
        Story::auto(LIMITS, vec![gpt, candidate("kanana")])
    };
    let flagged = |id, flag| RequestSubmit {
        flags: [flag].into_iter().collect(),
        ..open(id)
    };
    let mut story = only(|gpt| gpt.flags_none = [DataFlag::Pii].into_iter().collect());
    story.ask(flagged(1, DataFlag::Pii), &["start 1 #1 at jeonnam"]);
    story.ask(flagged(2, DataFlag::Minor), &["start 2 #1 at openai"]);
    let theirs = |gpt: &mut VirtualCandidate| {
        gpt.programme = Some(BTreeSet::from([ProgrammeId::new("p").unwrap()]));
    };
    only(theirs).ask(open(1), &["start 1 #1 at jeonnam"]);
    let mut kanana = candidate("kanana");
    kanana.class_max = DataClass::Open;
    let mut story = Story::auto(LIMITS, vec![kanana]);
    story.ask(
        asks(1, "auto", DataClass::Sensitive),
        &["refuse 1 PolicyDenied"],
    );
    story.ask(open(2), &["start 2 #1 at jeonnam"]);
}

#[test]
fn a_model_that_fails_is_followed_by_the_next() {
    let mut story = Story::of_three();
    story.ask(open(1), &["start 1 #1 at openai"]);
    story.expect(end(1, 1, FailedRetryable), &["start 1 #2 at pohang"]);
    assert_eq!(story.serves(), ("exaone".into(), "virtual:auto".into()));
    story.expect(end(1, 2, FailedRetryable), &["start 1 #3 at jeonnam"]);
    // Attempts are counted over all of them.
    story.expect(end(1, 3, FailedRetryable), &["refuse 1 AttemptsExhausted"]);
    story.ask(open(2), &["start 2 #1 at openai"]);
    story.expect(first_byte(2, 1), &[]);
    story.expect(end(2, 1, FailedRetryable), &["refuse 2 AttemptsExhausted"]);
}

#[test]
fn a_model_that_fails_for_everybody_is_left_alone_for_a_while() {
    let mut story = Story::auto(LIMITS, ["gpt-5", "exaone"].map(candidate).into());
    for id in 1..=3 {
        story.ask(open(id), &[&format!("start {id} #1 at openai")]);
        let second = format!("start {id} #2 at pohang");
        story.expect(end(id, 1, FailedRetryable), &[&second]);
        story.expect(end(id, 2, AttemptEnd::Done), &[]);
    }
    story.ask(open(4), &["start 4 #1 at pohang"]);
    // Who asks for it by its own name is not kept from it, and who has nothing else waits for ours.
    story.ask(asks(5, "gpt-5", DataClass::Open), &["start 5 #1 at openai"]);
    story.expect(cancel(5), &[]);
    story.ask(open(6), &["queued 6 behind 0"]);
    story.done(4, &["start 6 #1 at pohang"]);
    story.at_ms(5_000);
    story.ask(open(7), &["start 7 #1 at openai"]);
}

#[test]
fn the_last_attempt_is_another_models() {
    let members = vec![
        frontier("openai"),
        frontier("openai.b"),
        at_home("pohang", "exaone"),
    ];
    let mut story = Story::auto(LIMITS, ["gpt-5", "exaone"].map(candidate).into());
    story.fleet(members, &["drained jeonnam"]);
    story.ask(open(1), &["start 1 #1 at openai"]);
    story.expect(end(1, 1, FailedRetryable), &["start 1 #2 at pohang"]);
    story.expect(end(1, 2, FailedRetryable), &["refuse 1 AttemptsExhausted"]);
    // Nobody else is there: it is tried where it was.
    story.expect(report("pohang", ReplicaHealth::Down), &[]);
    story.ask(open(2), &["start 2 #1 at openai.b"]);
    story.expect(end(2, 1, FailedRetryable), &["start 2 #2 at openai"]);
}

#[test]
fn whoever_waits_goes_on_when_the_model_is_stopped_or_gone() {
    let mut story = Story::of_three();
    for (id, at) in [(1, "openai"), (2, "pohang"), (3, "jeonnam")] {
        story.ask(open(id), &[&format!("start {id} #1 at {at}")]);
    }
    story.ask(open(4), &["queued 4 behind 0"]);
    story.expect(
        stop(upstream("openai"), true),
        &["call off 1 #1", "queued 1 behind 0", "queued 4 behind 1"],
    );
    story.done(2, &["start 1 #2 at pohang"]);
    story.fleet(
        vec![at_home("jeonnam", "kanana")],
        &["drained openai", "queued 4 behind 0"],
    );
    story.done(3, &["start 4 #1 at jeonnam"]);
}

#[test]
fn a_refusal_by_policy_names_the_places_of_all_candidates() {
    let mut story = Story::auto(LIMITS, ["gpt-5", "exaone"].map(candidate).into());
    story.ask(
        asks(1, "auto", DataClass::Classified),
        &["refuse 1 PolicyDenied"],
    );
    assert_eq!(story.denied_at(), ["openai", "s"]);
    // One that policy permits and nobody serves is worth another try.
    story.expect(report("pohang", ReplicaHealth::Down), &[]);
    story.ask(
        asks(2, "auto", DataClass::Sensitive),
        &["refuse 2 NoReplica"],
    );
    story.fleet(
        vec![],
        &["drained openai", "drained pohang", "drained jeonnam"],
    );
    story.ask(open(3), &["refuse 3 NoReplica"]);
    assert_eq!(story.retry_after_ms(), Some(2_000));
}

#[test]
fn a_refusal_names_what_it_left_first_and_what_was_left_of_the_candidates_last() {
    let mut story = Story::auto(LIMITS, ["gpt-5", "exaone"].map(candidate).into());
    story.ask(
        asks(1, "auto", DataClass::Sensitive),
        &["start 1 #1 at pohang"],
    );
    let site = StopScope::Site(SiteId::new("s").unwrap());
    story.expect(
        stop(site, true),
        &["call off 1 #1", "refuse 1 PolicyDenied"],
    );
    assert_eq!(story.denied_at(), ["s", "openai"]);
}

#[test]
fn a_rule_that_denies_names_the_model_that_serves_instead() {
    let mut story = Story::rerouted("exaone");
    let sensitive = |id| asks(id, "gpt-5", DataClass::Sensitive);
    story.ask(asks(1, "gpt-5", DataClass::Open), &["start 1 #1 at openai"]);
    story.ask(sensitive(2), &["start 2 #1 at pohang"]);
    assert_eq!(story.serves(), ("exaone".into(), "reroute:gpt-5".into()));
    story.ask(sensitive(3), &["queued 3 behind 0"]);
    story.done(2, &["start 3 #1 at pohang"]);
    story.expect(report("pohang", ReplicaHealth::Down), &[]);
    story.ask(sensitive(4), &["refuse 4 NoReplica"]);
}

#[test]
fn a_substitute_is_decided_like_everything_else_and_has_none_itself() {
    // Back to where it came from; and to a model of which the class permits no place.
    let mut story = Story::rerouted("gpt-5");
    let sensitive = |id| asks(id, "gpt-5", DataClass::Sensitive);
    story.ask(sensitive(1), &["refuse 1 PolicyDenied"]);
    let mut story = Story::rerouted("kanana");
    let mut kanana = story.policy.rules[0].clone();
    kanana.id = "kanana-closed".parse().unwrap();
    kanana.when.model = Some(BTreeSet::from([model("kanana")]));
    kanana.when.zone = None;
    kanana.reroute = Some(model("exaone"));
    story.policy.rules.push(kanana);
    story.fleet(fleet(), &[]);
    story.ask(sensitive(1), &["refuse 1 PolicyDenied"]);
    assert_eq!(story.denied_at(), ["openai", "s"]);
}

#[test]
fn explaining_shows_the_candidates_of_all_models_and_which_is_taken() {
    let check = |story: &Story, submit: RequestSubmit, expected: &[&str], taken: &str| {
        let told = story.core.explain(story.now, submit);
        let shown: Vec<String> = told
            .candidates
            .iter()
            .map(|c| format!("{} {} {}", c.model, c.location, c.policy.effect))
            .collect();
        assert_eq!(shown, expected);
        let to = told.taken.map(|taken| {
            let via = taken.decision.via.map(|via| via.to_string());
            format!("{} {}", taken.model, via.unwrap_or_default())
        });
        assert_eq!(to.unwrap_or_else(|| format!("{:?}", told.refusal)), taken);
    };
    let sensitive = |name| asks(1, name, DataClass::Sensitive);
    check(
        &Story::of_three(),
        sensitive("auto"),
        &["exaone s allow", "gpt-5 openai deny", "kanana s allow"],
        "exaone virtual:auto",
    );
    let story = Story::rerouted("exaone");
    check(
        &story,
        sensitive("gpt-5"),
        &["gpt-5 openai deny", "exaone s allow"],
        "exaone reroute:gpt-5",
    );
    check(
        &Story::rerouted("gpt-5"),
        sensitive("gpt-5"),
        &["gpt-5 openai deny"],
        "Some(PolicyDenied)",
    );
    let unknown = sensitive("nothing");
    check(&story, unknown, &[], "Some(ModelUnknown)");
}
