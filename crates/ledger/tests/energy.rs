//! Energy of a site: all that is drawn is somebody's, whoever noted it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use madang_ledger::{
    Account, Book, EnergyNote, EnergySpan, EngineClaimed, EngineEnergy, Entry, LEGS_COUNT_MAX,
    energy_entries, shared, told_milli,
};
use madang_types::{Micros, Unit};
use proptest::prelude::*;
use std::collections::BTreeMap;

const S_US: u64 = 1_000_000;

fn span() -> EnergySpan {
    EnergySpan {
        site: "pohang".parse().unwrap(),
        from: Micros(0),
        until: Micros(60_000_000),
    }
}

fn engine(mj: u64, span_us: u64) -> EngineEnergy {
    EngineEnergy {
        mj,
        span_us,
        idle_watts: 100,
    }
}

fn claimed(busy_us: u64, by: &[(&str, u64)]) -> EngineClaimed {
    EngineClaimed {
        busy_us,
        by: by
            .iter()
            .map(|(who, mj)| (who.parse().unwrap(), *mj))
            .collect(),
    }
}

/// What each account has in the end, in thousandths of a joule.
fn moved(entries: &[Entry]) -> BTreeMap<String, i64> {
    let mut moved: BTreeMap<String, i64> = BTreeMap::new();
    for leg in entries.iter().flat_map(|entry| &entry.legs) {
        assert_eq!(leg.unit, Unit::MilliJoules);
        *moved.entry(leg.from.to_string()).or_default() -= leg.amount;
        *moved.entry(leg.to.to_string()).or_default() += leg.amount;
    }
    moved
}

#[test]
fn a_span_is_shared_as_it_was_claimed_and_what_nobody_asked_for_is_idle() {
    let drives = EnergyNote {
        measured_mj: 50_000,
        modelled_mj: 7_000,
        engines: [
            // 20 s of 60 at rest: 2,000 of 10,000 J that the model foretold; it was five times as much.
            ("e1".parse().unwrap(), engine(50_000, 60 * S_US)),
            // Nobody asked it for anything.
            ("e2".parse().unwrap(), engine(3_000, 60 * S_US)),
        ]
        .into(),
        runs_mj: 3_000,
        rest_mj: 1_000,
        claims: [(
            "e1".parse().unwrap(),
            claimed(
                40 * S_US,
                &[
                    ("project:hanbit:search", 5_000_000),
                    ("tenant:haneul", 1_000_000),
                ],
            ),
        )]
        .into(),
        ..EnergyNote::default()
    };
    let other = EnergyNote {
        claims: [(
            "e1".parse().unwrap(),
            claimed(30 * S_US, &[("tenant:haneul", 2_000_000)]),
        )]
        .into(),
        ..EnergyNote::default()
    };
    let entries = energy_entries(&span(), &EnergyNote::merged([&drives, &other]));
    let expected = [
        ("idle:pohang", 10_000 + 3_000 + 1_000),
        ("meter:pohang", -50_000),
        ("model:pohang", -7_000),
        ("project:hanbit:search", 25_000),
        // What runs drew stays until each of them ends.
        ("site:pohang", 3_000),
        ("tenant:haneul", 15_000),
    ];
    let expected = expected.map(|(name, mj)| (name.to_owned(), mj));
    assert_eq!(moved(&entries), expected.into());
    // The same notes in another order are the same entries.
    let turned = EnergyNote::merged([&other, &drives]);
    assert_eq!(entries, energy_entries(&span(), &turned));
    let e1 = "e1".parse().unwrap();
    assert_eq!(
        told_milli(&drives.engines[&e1], &drives.claims[&e1]),
        Some(6),
        "thousandths of what the model foretold"
    );
    assert_eq!(energy_entries(&span(), &EnergyNote::default()), []);
}

#[test]
fn what_a_run_leaves_or_had_too_much_is_made_good_by_what_is_idle() {
    for (returned_mj, idle, site) in [(500, 500, -500), (-300, -300, 300)] {
        let note = EnergyNote {
            returned_mj,
            ..EnergyNote::default()
        };
        let moved = moved(&energy_entries(&span(), &note));
        assert_eq!((moved["idle:pohang"], moved["site:pohang"]), (idle, site));
    }
}

proptest! {
    #[test]
    fn parts_are_the_whole(
        amount in 0_u64..1 << 50,
        claims in prop::collection::btree_map(0_u8..50, 0_u64..1 << 50, 1..40),
    ) {
        let parts = shared(amount, &claims);
        let any = claims.values().any(|claim| *claim > 0);
        prop_assert_eq!(parts.values().sum::<u64>(), if any { amount } else { 0 });
        for (who, part) in &parts {
            let all: u128 = claims.values().map(|claim| u128::from(*claim)).sum();
            let exact = u128::from(amount) * u128::from(claims[who]) / all;
            prop_assert!(u128::from(*part).abs_diff(exact) <= 1, "{who} has {part} of {exact}");
        }
    }

    /// Books take the entries, again too, and all that was drawn is somebody's or kept for runs.
    #[test]
    fn all_that_is_drawn_is_somebodys(
        engines in prop::collection::vec((0_u64..1 << 40, 0_u64..120 * S_US, 0_u64..120 * S_US), 0..4),
        claims in prop::collection::vec((0_usize..4, 0_u32..40, 0_u64..1 << 40), 0..80),
        (runs_mj, rest_mj, modelled_mj) in (0_u64..1 << 40, 0_u64..1 << 40, 0_u64..1 << 40),
    ) {
        let drawn: u64 = engines.iter().map(|(mj, ..)| mj).sum::<u64>() + runs_mj + rest_mj;
        let mut note = EnergyNote {
            measured_mj: drawn - modelled_mj.min(drawn),
            modelled_mj: modelled_mj.min(drawn),
            runs_mj,
            rest_mj,
            ..EnergyNote::default()
        };
        for (number, (mj, span_us, busy_us)) in engines.iter().enumerate() {
            let id: madang_types::ReplicaId = format!("e{number}").parse().unwrap();
            note.engines.insert(id.clone(), engine(*mj, *span_us));
            let mut all = claimed(*busy_us, &[]);
            for (_, who, mj) in claims.iter().filter(|(of, ..)| *of == number) {
                all.add(&claimed(0, &[(&format!("tenant:t{who}"), *mj)]));
            }
            note.claims.insert(id, all);
        }
        let entries = energy_entries(&span(), &note);
        let mut book = Book::default();
        for _ in 0..2 {
            for entry in &entries {
                prop_assert!(entry.legs.len() <= LEGS_COUNT_MAX);
                prop_assert!(book.enter(entry.clone()).is_ok());
            }
        }
        let kept = book.balance(&Account::Site(span().site), Unit::MilliJoules);
        prop_assert_eq!(kept.available(), i64::try_from(runs_mj).unwrap());
    }
}
