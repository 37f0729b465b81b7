//! What may go where, attempt by attempt; stop switches.

use super::*;
use madang_core::policy::ConditionKind;
use madang_types::{Basis, BasisId, BasisKind, DataFlag, PolicyEffect};
use std::collections::BTreeSet;

fn flagged(id: u128, flags: &[DataFlag]) -> RequestSubmit {
    RequestSubmit {
        flags: flags.iter().copied().collect(),
        ..submit(id)
    }
}

#[test]
fn a_refusal_says_why_for_each_place() {
    let mut story = Story::new(vec![abroad("abroad", 9)]);
    let refused = of_class(1, DataClass::Sensitive);
    story.ask(refused, &["refuse 1 PolicyDenied"]);
    let [denial] = story.denials() else {
        panic!("{:?}", story.denials());
    };
    assert_eq!(denial.location.as_str(), "openai");
    assert_eq!(denial.decision.rule().unwrap().as_str(), "default-deny");
    let unmet: Vec<String> = denial
        .decision
        .unmet
        .iter()
        .map(|unmet| format!("{}: {:?}", unmet.rule, unmet.conditions))
        .collect();
    assert_eq!(
        unmet,
        ["open-anywhere: [Class]", "sensitive-domestic: [Zone]"]
    );
}

#[test]
fn personal_data_is_masked_where_a_rule_says_so() {
    let mut story = Story::new(vec![abroad("abroad", 9)]);
    let masked = |story: &Story| {
        let (_, masked, decision) = story.started();
        (masked, decision.rule.to_string())
    };
    story.submit(1, &["start 1 #1 at abroad"]);
    assert_eq!(masked(&story), (false, "open-anywhere".into()));
    story.ask(flagged(2, &[DataFlag::Pii]), &["start 2 #1 at abroad"]);
    assert_eq!(masked(&story), (true, "pii-abroad-masked".into()));
    story.ask(
        flagged(3, &[DataFlag::Pii, DataFlag::UniqueId]),
        &["refuse 3 PolicyDenied"],
    );
}

#[test]
fn what_cannot_be_masked_goes_where_it_need_not_be_or_nowhere() {
    let fixed = |id| RequestSubmit {
        maskable: false,
        ..flagged(id, &[DataFlag::Pii])
    };
    let mut story = Story::new(vec![abroad("abroad", 9), member("own", 1)]);
    story.submit(1, &["start 1 #1 at own"]);
    story.ask(flagged(2, &[DataFlag::Pii]), &["start 2 #1 at abroad"]);
    // Where nobody asks for masks nothing changes; else it waits for the place that wants none.
    let open = RequestSubmit {
        flags: DataFlags::NONE,
        ..fixed(3)
    };
    story.ask(open, &["start 3 #1 at abroad"]);
    story.ask(fixed(4), &["queued 4 behind 0"]);
    story.done(1, &["start 4 #1 at own"]);
    let told = story.core.explain(story.now, fixed(5));
    let effects: Vec<String> = told
        .candidates
        .iter()
        .map(|c| format!("{} {}", c.location, c.policy.effect))
        .collect();
    assert_eq!(effects, ["openai deny", "s allow"]);

    let mut story = Story::new(vec![abroad("abroad", 9)]);
    story.ask(fixed(1), &["refuse 1 PolicyDenied"]);
    let [denial] = story.denials() else {
        panic!("{:?}", story.denials());
    };
    let decision = &denial.decision;
    assert_eq!(decision.rules, ["pii-abroad-masked".parse().unwrap()]);
    let unmet = &decision.unmet[0];
    assert_eq!(unmet.rule.as_str(), "pii-abroad-masked");
    assert_eq!(unmet.conditions, [ConditionKind::Maskable]);
    assert!(decision.text.contains("no placeholder"), "{decision:?}");
}

#[test]
fn a_retry_is_decided_anew() {
    let mut story = Story::new(vec![abroad("abroad", 9), member("own", 1)]);
    story.ask(of_class(1, DataClass::Sensitive), &["start 1 #1 at own"]);
    let failed = end(1, 1, AttemptEnd::FailedRetryable);
    story.expect(failed, &["refuse 1 AttemptsExhausted"]);
}

#[test]
fn a_basis_that_has_lapsed_permits_nothing() {
    let mut story = Story::new(vec![abroad("abroad", 9)]);
    story.policy.bases = vec![Basis {
        id: BasisId::new("consent-1").unwrap(),
        kind: BasisKind::Consent,
        programme: BTreeSet::new(),
        tenant: BTreeSet::from([TenantId::new("t").unwrap()]),
        location: None,
        expires_at: Micros(1_000_000),
    }];
    story.fleet(vec![abroad("abroad", 9)], &[]);
    let masked = |story: &mut Story, id| {
        story.lines(Input::RequestSubmit(flagged(id, &[DataFlag::Pii])));
        story.started().1
    };
    assert!(!masked(&mut story, 1));
    story.at_ms(1_000);
    assert!(masked(&mut story, 2));
    story.fleet(vec![abroad("abroad", 9)], &[]);
    assert!(masked(&mut story, 3));
}

/// Invariant 19: a stop switch holds for new attempts at once and cuts those that run.
#[test]
fn invariant_19_a_stop_switch_cuts_what_runs_and_lets_nothing_new_start() {
    let openai = || upstream("openai");
    let mut story = Story::new(vec![abroad("abroad", 9)]);
    story.submit(1, &["start 1 #1 at abroad"]);
    story.submit(2, &["start 2 #1 at abroad"]);
    story.expect(first_byte(1, 1), &[]);
    story.expect(
        stop(openai(), true),
        &["cut 1 #1", "call off 2 #1", "refuse 2 PolicyDenied"],
    );
    let Some(Effect::Cut { denial, .. }) = story.effects.first() else {
        panic!("{:?}", story.effects);
    };
    assert_eq!(
        denial.decision.rule().unwrap().as_str(),
        "stop:upstream:openai"
    );
    story.submit(3, &["refuse 3 PolicyDenied"]);
    // Set twice is set; another load does not take it back, whether or not it changes anything.
    story.expect(stop(openai(), true), &[]);
    story.fleet(vec![abroad("abroad", 9)], &[]);
    story.fleet(vec![abroad("abroad", 9), member("own", 1)], &[]);
    story.submit(4, &["start 4 #1 at own"]);
    story.submit(5, &["queued 5 behind 0"]);
    story.expect(stop(openai(), false), &["start 5 #1 at abroad"]);
}

#[test]
fn a_stop_of_a_name_too_long_for_a_rule_names_its_kind() {
    let name = "u".repeat(96);
    let mut member = abroad("abroad", 9);
    member.site = SiteId::new(&name).unwrap();
    let mut story = Story::new(vec![member]);
    story.expect(stop(upstream(&name), true), &[]);
    story.submit(1, &["refuse 1 PolicyDenied"]);
    let rule = story.denials()[0].decision.rule().unwrap();
    assert_eq!(rule.as_str(), "stop:upstream");
}

#[test]
fn what_a_switch_calls_off_goes_elsewhere() {
    let us = StopScope::Country("US".parse().unwrap());
    let mut story = Story::new(vec![abroad("abroad", 9)]);
    story.submit(1, &["start 1 #1 at abroad"]);
    story.fleet(vec![abroad("abroad", 9), member("own", 1)], &[]);
    story.expect(stop(us, true), &["call off 1 #1", "start 1 #2 at own"]);
    let site = StopScope::Site(SiteId::new("s").unwrap());
    // Two attempts are all that a request has here.
    story.expect(
        stop(site, true),
        &["call off 1 #2", "refuse 1 PolicyDenied"],
    );
}

#[test]
fn a_request_that_ended_with_what_was_called_off_holds_nothing() {
    let us = StopScope::Country("US".parse().unwrap());
    let mut story = Story::new(vec![abroad("abroad", 9)]);
    story.submit(1, &["start 1 #1 at abroad"]);
    story.fleet(vec![abroad("abroad", 9), member("own", 1)], &[]);
    story.expect(stop(us, true), &["call off 1 #1", "start 1 #2 at own"]);
    story.submit(2, &["queued 2 behind 0"]);
    story.expect(end(1, 1, AttemptEnd::Done), &["start 2 #1 at own"]);
}

#[test]
fn a_policy_that_cannot_be_used_denies_everything() {
    let mut story = Story::new(vec![member("own", 1)]);
    story.policy.rules = vec![madang_types::Rule {
        id: "leak".parse().unwrap(),
        when: madang_types::Conditions::default(),
        effect: PolicyEffect::Allow,
        reroute: None,
        text: String::new(),
        text_ko: String::new(),
    }];
    story.fleet(vec![member("own", 1)], &[]);
    story.submit(1, &["refuse 1 PolicyDenied"]);
}

#[test]
fn explaining_changes_nothing_and_says_what_a_submit_would_do() {
    let mut story = Story::new(vec![abroad("abroad", 9), member("own", 1)]);
    let sensitive = || of_class(1, DataClass::Sensitive);
    let before = format!("{:?}", story.core);
    let told = story.core.explain(story.now, sensitive());
    assert_eq!(format!("{:?}", story.core), before);
    let candidates: Vec<String> = told
        .candidates
        .iter()
        .map(|c| {
            format!(
                "{} {} {}",
                c.location,
                c.policy.effect,
                c.policy.rule().unwrap()
            )
        })
        .collect();
    assert_eq!(
        candidates,
        ["openai deny default-deny", "s allow sensitive-domestic"]
    );
    let taken = told.taken.unwrap();
    story.ask(sensitive(), &["start 1 #1 at own"]);
    assert_eq!(taken.replica.as_str(), "own");
    let (_, _, decision) = story.started();
    assert_eq!((&taken.decision, told.refusal), (decision, None));
}

/// The host of a URL is a place like any other: policy, stops and missing facts hold for it.
#[test]
fn a_place_that_a_url_leads_to_is_decided_about() {
    let pics = SiteId::new("pics").unwrap();
    let america = Place {
        own: false,
        ..Place::own("US".parse().unwrap())
    };
    let unknown = Place {
        operator_country: None,
        ..america.clone()
    };
    let mut story = Story::new(vec![member("own", 9)]);
    story.origins = BTreeSet::from([(pics.clone(), america.clone())]);
    story.fleet(vec![member("own", 9)], &[]);
    story.submit(1, &["start 1 #1 at own"]);
    story.ask(flagged(2, &[DataFlag::Pii]), &["start 2 #1 at own"]);
    story.ask(of_class(3, DataClass::Sensitive), &["start 3 #1 at own"]);
    let check = |story: &Story, id: u128, place: &Place, expected: (PolicyEffect, &str)| {
        let at = (&pics, place);
        let found = match story.core.grant_at(RequestId(id), at).unwrap() {
            Ok(grant) => (grant.effect, grant.rules[0].to_string()),
            Err(denial) => (PolicyEffect::Deny, denial.decision.rules[0].to_string()),
        };
        assert_eq!((found.0, found.1.as_str()), expected, "{id} {place:?}");
    };
    check(&story, 1, &america, (PolicyEffect::Allow, "open-anywhere"));
    check(
        &story,
        2,
        &america,
        (PolicyEffect::Mask, "pii-abroad-masked"),
    );
    check(&story, 3, &america, (PolicyEffect::Deny, "default-deny"));
    // It is known as something else, or not at all.
    check(&story, 1, &unknown, (PolicyEffect::Deny, "no-policy"));
    assert_eq!(story.core.grant_at(RequestId(9), (&pics, &america)), None);
    for scope in [upstream("pics"), StopScope::Country("US".parse().unwrap())] {
        let rule = format!("stop:{scope}");
        story.expect(stop(scope.clone(), true), &[]);
        check(&story, 1, &america, (PolicyEffect::Deny, rule.as_str()));
        story.expect(stop(scope, false), &[]);
    }
    story.origins = BTreeSet::from([(pics.clone(), unknown.clone())]);
    story.fleet(vec![member("own", 9)], &[]);
    check(
        &story,
        1,
        &unknown,
        (PolicyEffect::Deny, "unknown-location"),
    );
    check(&story, 1, &america, (PolicyEffect::Deny, "no-policy"));
}
