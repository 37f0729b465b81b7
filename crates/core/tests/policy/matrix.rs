//! The built-in matrix of class, flags and ground.

use super::*;

const GROUNDS: [&str; 6] = ["gov", "private", "assured", "public", "abroad", "unknown"];

/// One row: what becomes of such data on each ground, for tenant `t` of programme `p` with that basis.
#[track_caller]
fn check(class: DataClass, words: &str, held: &[BasisKind], expected: [&str; 6]) {
    let table = compiled(&policy(held));
    let (tenant, programme) = (tenant("t"), programme("p"));
    let subject = table.subject(Whom {
        tenant: Some(&tenant),
        programme: Some(&programme),
        model: None,
    });
    let effect = |id: &str| {
        let place = table.place_named(&site(id)).unwrap();
        table.decide(subject, (class, flags(words)), place).effect
    };
    let found = GROUNDS.map(|id| effect(id).as_str());
    assert_eq!(found, expected, "{class} {words} {held:?}");
}

#[test]
fn each_class_and_flag_has_its_ground() {
    use BasisKind::{Consent, PseudonymisedSandbox, Statute};
    use DataClass::{Classified, Open, Sensitive};
    // gov, private, assured public, public, abroad, unknown
    check(
        Classified,
        "",
        &[],
        ["allow", "deny", "deny", "deny", "deny", "deny"],
    );
    check(
        Sensitive,
        "",
        &[],
        ["allow", "allow", "allow", "deny", "deny", "deny"],
    );
    check(
        Open,
        "",
        &[],
        ["allow", "allow", "allow", "allow", "allow", "deny"],
    );
    check(
        Open,
        "pii",
        &[],
        ["allow", "allow", "allow", "allow", "mask", "deny"],
    );
    check(
        Open,
        "pii",
        &[Consent],
        ["allow", "allow", "allow", "allow", "allow", "deny"],
    );
    check(
        Open,
        "minor",
        &[],
        ["allow", "allow", "allow", "allow", "mask", "deny"],
    );
    check(
        Open,
        "unique_id",
        &[],
        ["mask", "mask", "mask", "deny", "deny", "deny"],
    );
    check(
        Open,
        "unique_id",
        &[Consent],
        ["mask", "mask", "mask", "deny", "deny", "deny"],
    );
    check(
        Open,
        "unique_id",
        &[Statute],
        ["allow", "allow", "allow", "deny", "deny", "deny"],
    );
    check(
        Open,
        "health",
        &[Consent],
        ["allow", "allow", "allow", "deny", "deny", "deny"],
    );
    check(
        Open,
        "credit",
        &[],
        ["allow", "allow", "allow", "deny", "deny", "deny"],
    );
    check(
        Open,
        "credit",
        &[PseudonymisedSandbox],
        ["allow", "allow", "allow", "deny", "deny", "deny"],
    );
    check(
        Open,
        "credit,pseudonymised",
        &[],
        ["allow", "allow", "allow", "deny", "deny", "deny"],
    );
    check(
        Open,
        "credit,pseudonymised",
        &[PseudonymisedSandbox],
        ["allow", "allow", "allow", "deny", "allow", "deny"],
    );
    check(
        Sensitive,
        "pii,unique_id",
        &[],
        ["mask", "mask", "mask", "deny", "deny", "deny"],
    );
    check(
        Sensitive,
        "pseudonymised",
        &[Consent],
        ["allow", "allow", "allow", "deny", "deny", "deny"],
    );
    check(
        Classified,
        "unique_id",
        &[Statute],
        ["allow", "deny", "deny", "deny", "deny", "deny"],
    );
}

#[test]
fn classified_data_is_for_the_programmes_that_are_named() {
    let table = compiled(&policy(&[]));
    let gov = table.place_named(&site("gov")).unwrap();
    let content = (DataClass::Classified, DataFlags::NONE);
    let denial = table
        .denial(table.subject(Whom::default()), content, gov)
        .unwrap();
    assert_eq!(denial.decision.rule().unwrap().as_str(), "default-deny");
    let nearest = &denial.decision.unmet;
    let named = nearest.iter().any(|unmet| {
        let words: Vec<&str> = unmet.conditions.iter().map(|kind| kind.as_str()).collect();
        unmet.rule.as_str() == "classified-isolated" && words == ["programme"]
    });
    assert!(named, "{nearest:?}");
}

#[test]
fn without_a_home_or_a_policy_nothing_closed_goes_anywhere() {
    let homeless = compiled(&Policy::default());
    let nothing = PolicyTable::default();
    for (place, ..) in homeless.places() {
        let content = (DataClass::Sensitive, DataFlags::NONE);
        let subject = homeless.subject(Whom::default());
        let effect = homeless.decide(subject, content, place).effect;
        assert_eq!(effect, PolicyEffect::Deny);
        let denied = nothing.decide(subject, (DataClass::Open, DataFlags::NONE), place);
        assert_eq!(denied.rule().unwrap().as_str(), "no-policy");
    }
}

#[test]
fn a_decision_names_its_rules_its_bases_and_the_model_instead() {
    let reroute = Rule {
        reroute: Some(model("exaone")),
        ..rule(
            "gpt-closed",
            PolicyEffect::Deny,
            Conditions {
                class: Some(BTreeSet::from([
                    DataClass::Sensitive,
                    DataClass::Classified,
                ])),
                model: Some(BTreeSet::from([model("gpt")])),
                ..Conditions::default()
            },
        )
    };
    let table = compiled(&Policy {
        rules: vec![reroute],
        ..policy(&[BasisKind::Consent, BasisKind::Treaty])
    });
    let (holder, gpt) = (tenant("t"), model("gpt"));
    let subject = table.subject(Whom {
        tenant: Some(&holder),
        programme: None,
        model: Some(&gpt),
    });
    let abroad = table.place_named(&site("abroad")).unwrap();
    let denied = table.decide(subject, (DataClass::Sensitive, DataFlags::NONE), abroad);
    assert_eq!(denied.reroute, Some(model("exaone")));
    assert_eq!(denied.text, "gpt-closed says so");
    let personal = DataFlags::NONE.with(DataFlag::Pii);
    let allowed = table.decide(subject, (DataClass::Open, personal), abroad);
    let bases: Vec<&str> = allowed.bases.iter().map(|id| id.as_str()).collect();
    assert_eq!(
        (allowed.effect, bases),
        (PolicyEffect::Allow, vec!["consent", "treaty"])
    );
}
