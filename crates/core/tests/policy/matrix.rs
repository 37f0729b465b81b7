//! The built-in matrix of class, flags and ground.

use super::*;

/// What becomes of data of each kind on each ground, for tenant `t` of programme `p`: class, flags, bases held, then each place.
const MATRIX: &str = "
class       flags                 bases                  gov   private assured public abroad unknown
classified  -                     -                      allow deny    deny    deny   deny   deny
sensitive   -                     -                      allow allow   allow   deny   deny   deny
open        -                     -                      allow allow   allow   allow  allow  deny
open        pii                   -                      allow allow   allow   allow  mask   deny
open        pii                   consent                allow allow   allow   allow  allow  deny
open        minor                 -                      allow allow   allow   allow  mask   deny
open        unique_id             -                      mask  mask    mask    deny   deny   deny
open        unique_id             consent                mask  mask    mask    deny   deny   deny
open        unique_id             statute                allow allow   allow   deny   deny   deny
open        health                consent                allow allow   allow   deny   deny   deny
open        credit                -                      allow allow   allow   deny   deny   deny
open        credit                pseudonymised_sandbox  allow allow   allow   deny   deny   deny
open        credit,pseudonymised  -                      allow allow   allow   deny   deny   deny
open        credit,pseudonymised  pseudonymised_sandbox  allow allow   allow   deny   allow  deny
sensitive   pii,unique_id         -                      mask  mask    mask    deny   deny   deny
sensitive   pseudonymised         consent                allow allow   allow   deny   deny   deny
classified  unique_id             statute                allow deny    deny    deny   deny   deny
";

fn check(head: &[&str], row: &[&str]) {
    let set = |word: &str| {
        if word == "-" {
            DataFlags::NONE
        } else {
            flags(word)
        }
    };
    let bases: Vec<BasisKind> = row[2].parse().into_iter().collect();
    let content = (row[0].parse().unwrap(), set(row[1]));
    let table = compiled(&policy(&bases));
    let (tenant, programme) = (tenant("t"), programme("p"));
    let subject = table.subject(Whom {
        tenant: Some(&tenant),
        programme: Some(&programme),
        model: None,
    });
    let effect = |id: &&str| {
        let place = table.place_named(&site(id)).unwrap();
        table.decide(subject, content, place).effect.as_str()
    };
    let found: Vec<&str> = head[3..].iter().map(effect).collect();
    assert_eq!(found, row[3..], "{row:?}");
}

#[test]
fn each_class_and_flag_has_its_ground() {
    let mut lines = MATRIX
        .trim()
        .lines()
        .map(|line| line.split_whitespace().collect());
    let head: Vec<&str> = lines.next().unwrap();
    for row in lines {
        check(&head, &row);
    }
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
