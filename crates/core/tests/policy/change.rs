//! What a change of policy does, counted over every combination.

use super::*;
use madang_core::policy::{Change, Difference};

fn line(change: &Change) -> String {
    let name = |id: Option<String>| id.unwrap_or_else(|| "*".into());
    let Change {
        location,
        class,
        flags,
        before,
        after,
        ..
    } = change;
    format!(
        "{} {} {location} {class} {flags}: {before} to {after}",
        name(change.tenant.as_ref().map(ToString::to_string)),
        name(change.programme.as_ref().map(ToString::to_string)),
    )
}

/// Invariant 20, the core's part: a change of policy is enumerated, and taking it back is the opposite change.
#[test]
fn invariant_20_a_change_is_enumerated_and_can_be_taken_back() {
    let before = compiled(&policy(&[]));
    let research = rule(
        "research",
        PolicyEffect::Allow,
        Conditions {
            class: Some(BTreeSet::from([DataClass::Sensitive])),
            flags_all: flags("pseudonymised"),
            tenant: Some(BTreeSet::from([tenant("t")])),
            location: Some(BTreeSet::from([site("abroad")])),
            ..Conditions::default()
        },
    );
    let after = compiled(&Policy {
        rules: vec![research],
        ..policy(&[])
    });
    let difference = Difference::between(&before, &after).unwrap();
    // Two tenants, two programmes, one model, six places, 192 sets of class and flags.
    assert_eq!(difference.combinations, 2 * 2 * 6 * 192);
    // Half of the 32 sets with `pseudonymised` have `unique_id`; half of those without it `health`; half of those left `credit`:
    // four remain, for `t` of programme `p` and of none.
    assert_eq!((difference.gained, difference.lost), (8, 0));
    let gains: Vec<String> = difference.gains.iter().map(line).collect();
    assert_eq!(
        gains,
        [
            "t * abroad sensitive pseudonymised: deny to allow",
            "t * abroad sensitive pii,pseudonymised: deny to mask",
            "t p abroad sensitive pseudonymised: deny to allow",
            "t p abroad sensitive pii,pseudonymised: deny to mask",
        ]
    );
    let back = Difference::between(&after, &before).unwrap();
    assert_eq!((back.gained, back.lost), (0, 8));
    let same = Difference::between(&after, &after).unwrap();
    assert_eq!((same.gained, same.lost), (0, 0));
}

#[test]
fn a_place_that_is_new_or_gone_counts_as_denied() {
    let before = compiled(&policy(&[]));
    let fewer = places()
        .into_iter()
        .filter(|(id, _)| id.as_str() != "private");
    let after = PolicyTable::compile(&policy(&[]), fewer, NOW).unwrap();
    let difference = Difference::between(&before, &after).unwrap();
    assert!(difference.gained == 0 && difference.lost > 0);
    assert!(
        difference
            .losses
            .iter()
            .all(|change| change.location == site("private"))
    );
}
