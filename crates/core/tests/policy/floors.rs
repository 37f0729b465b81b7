//! The least ground of a programme: it refuses, and permits nothing.

use super::*;
use std::collections::BTreeMap;

/// Every class with every set of flags.
fn contents() -> impl Iterator<Item = (DataClass, DataFlags)> {
    let classes = [DataClass::Open, DataClass::Sensitive, DataClass::Classified];
    classes
        .into_iter()
        .flat_map(|class| (0..DataFlags::SETS).map(move |bits| (class, bits)))
        .map(|(class, bits)| (class, DataFlags::from_bits(bits)))
}

#[test]
fn a_floor_refuses_what_is_below_it_and_changes_nothing_else() {
    let table = compiled(&policy(&[]));
    let (one, other) = (programme("p"), programme("q"));
    let tenant = tenant("t");
    for floor in Zone::ALL {
        let mut floored = table.clone();
        floored.floors_set(&BTreeMap::from([(one.clone(), floor)]));
        for (programme, bound) in [(Some(&one), true), (Some(&other), false), (None, false)] {
            let whom = Whom {
                tenant: Some(&tenant),
                programme,
                model: None,
            };
            let subjects = (table.subject(whom), floored.subject(whom));
            for (place, id, zone, _) in table.places() {
                for content in contents() {
                    let before = table.decide(subjects.0, content, place);
                    let after = floored.decide(subjects.1, content, place);
                    let denied = before.effect == PolicyEffect::Deny;
                    if denied || !bound || zone <= floor {
                        assert_eq!(after, before, "{floor} {id} {content:?}");
                        continue;
                    }
                    assert_eq!(after.effect, PolicyEffect::Deny);
                    let rule = after.rule().unwrap().as_str();
                    assert_eq!(rule, format!("residency-floor:{floor}"), "{id}");
                }
            }
        }
    }
}

#[test]
fn ground_that_nobody_vouches_for_is_below_every_floor_but_the_last() {
    let mut table = compiled(&policy(&[]));
    let programme = programme("p");
    table.floors_set(&BTreeMap::from([(programme.clone(), Zone::DomesticPublic)]));
    let subject = table.subject(Whom {
        programme: Some(&programme),
        ..Whom::default()
    });
    let content = (DataClass::Open, DataFlags::NONE);
    let effect = |id: &str| {
        let place = table.place_named(&site(id)).unwrap();
        table.decide(subject, content, place).effect
    };
    for (id, expected) in [
        ("gov", PolicyEffect::Allow),
        ("private", PolicyEffect::Allow),
        ("assured", PolicyEffect::Allow),
        ("public", PolicyEffect::Allow),
        ("abroad", PolicyEffect::Deny),
        ("unknown", PolicyEffect::Deny),
    ] {
        assert_eq!(effect(id), expected, "{id}");
    }
}
