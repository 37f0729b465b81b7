//! Purses for one class of models: which of a tenant's purses pays for what.

use super::desk::{Desk, bound, purse};
use madang_core::budget::{Bound, PurseView, Short};
use madang_types::{Micros, Unit};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Tokens for models of a class, or for any, until an instant.
fn tokens(name: &str, class: Option<&str>, until: i64) -> PurseView {
    PurseView {
        unit: Unit::Tokens,
        model_class: class.map(|class| class.parse().unwrap()),
        until: Some(Micros(until)),
        ..purse(&format!("allocation:{name}"), true)
    }
}

fn bound_of(class: Option<&str>, max: u64) -> Bound {
    Bound {
        model_class: class.map(|class| class.parse().unwrap()),
        ..bound(max, max)
    }
}

#[test]
fn what_pays_is_of_the_class_and_the_narrower_goes_first() {
    const SOON: i64 = 50_000_000;
    const LATE: i64 = 90_000_000;
    /// Purses of 100 tokens each, and who pays for requests of 60 tokens each for a model of that class.
    fn check(purses: &[PurseView], class: Option<&str>, expected: &[&str]) {
        let purses = purses.iter().map(|view| (view.clone(), 100)).collect();
        let mut desk = Desk::new(purses);
        for expected in expected {
            let paid = match desk.reserve(&bound_of(class, 60)) {
                Ok((_, reserved)) => reserved.parts[0].purse.to_string(),
                Err(Short::Busy { purse, .. }) => format!("busy {purse}"),
                Err(other) => format!("{other:?}"),
            };
            assert_eq!(paid, *expected, "{class:?}");
        }
    }
    let (any, large) = ("allocation:any", "allocation:large");
    let together = [
        tokens("any", None, LATE),
        tokens("large", Some("large"), LATE),
    ];
    check(
        &together,
        Some("large"),
        &[large, any, "busy allocation:large"],
    );
    check(&together, Some("small"), &[any, "busy allocation:any"]);
    check(&together, None, &[any, "busy allocation:any"]);
    // What would be lost first is spent first.
    let any_ends = [
        tokens("any", None, SOON),
        tokens("large", Some("large"), LATE),
    ];
    check(
        &any_ends,
        Some("large"),
        &[any, large, "busy allocation:any"],
    );
    let narrow = [tokens("large", Some("large"), LATE)];
    check(&narrow, Some("large"), &[large, "busy allocation:large"]);
    check(&narrow, Some("Large"), &["NoAllocation"]);
    check(&narrow, Some("small"), &["NoAllocation"]);
    check(&narrow, None, &["NoAllocation"]);
}

#[test]
fn a_shorter_answer_is_paid_by_whoever_pays_most_of_it() {
    /// So many tokens are left for large models, and for any; a request asks for 100 and takes 16 at least.
    fn check((large, any): (i64, i64), expected: Result<(&str, u64), &str>) {
        let mut desk = Desk::new(vec![
            (tokens("large", Some("large"), 90_000_000), large),
            (tokens("any", None, 90_000_000), any),
        ]);
        let mut asks = bound_of(Some("large"), 100);
        asks.output_tokens_min = 16;
        let found = desk.reserve(&asks).map(|(_, reserved)| {
            let paid = reserved.parts[0].purse.to_string();
            (paid, reserved.output_tokens_max)
        });
        let found = found.map_err(|short| match short {
            Short::Exhausted { purse, .. } => purse.to_string(),
            other => format!("{other:?}"),
        });
        let expected = expected.map(|(purse, tokens)| (purse.to_owned(), tokens));
        assert_eq!(found, expected.map_err(str::to_owned), "{large} {any}");
    }
    check((100, 0), Ok(("allocation:large", 100)));
    check((40, 100), Ok(("allocation:any", 100)));
    check((40, 0), Ok(("allocation:large", 40)));
    check((0, 40), Ok(("allocation:any", 40)));
    check((40, 30), Ok(("allocation:large", 40)));
    check((30, 40), Ok(("allocation:any", 40)));
    check((40, 40), Ok(("allocation:large", 40)));
    check((15, 15), Err("allocation:any"));
}

#[test]
fn what_may_come_free_is_told_rather_than_what_is_empty() {
    let mut desk = Desk::new(vec![
        (tokens("large", Some("large"), 90_000_000), 100),
        (tokens("any", None, 90_000_000), 0),
    ]);
    let (request, _) = desk.reserve(&bound_of(Some("large"), 60)).unwrap();
    let short = desk.reserve(&bound_of(Some("large"), 60)).unwrap_err();
    let Short::Busy { purse, .. } = short else {
        unreachable!("{short:?}");
    };
    assert_eq!(purse.to_string(), "allocation:large");
    desk.settle(request, 60);
    let short = desk.reserve(&bound_of(Some("large"), 60)).unwrap_err();
    assert!(matches!(short, Short::Exhausted { .. }), "{short:?}");
}

#[test]
fn no_purse_pays_for_another_class_and_none_is_passed() {
    const CLASSES: [Option<&str>; 3] = [None, Some("large"), Some("small")];
    for seed in 1..=200 {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let purses = CLASSES.map(|class| {
            let name = class.unwrap_or("any");
            let until = rng.random_range(2_000_000..9_000_000);
            (tokens(name, class, until), rng.random_range(0..2_000))
        });
        let granted = purses.clone();
        let mut desk = Desk::new(purses.into());
        let mut spent = [0; CLASSES.len()];
        for _ in 0..100 {
            let class = CLASSES[rng.random_range(0..CLASSES.len())];
            let asks = rng.random_range(1..200);
            let Ok((request, _)) = desk.reserve(&bound_of(class, asks)) else {
                continue;
            };
            for draw in desk.settle(request, rng.random_range(1..=asks)).draws {
                let from = granted
                    .iter()
                    .position(|(view, _)| view.purse == draw.purse);
                let from = from.unwrap();
                let of = CLASSES[from];
                assert!(
                    of.is_none() || of == class,
                    "SEED={seed}: {of:?} pays for {class:?}"
                );
                spent[from] += draw.amount;
            }
            if rng.random_bool(0.1) {
                desk.tick();
            }
        }
        for ((view, amount), spent) in granted.iter().zip(spent) {
            assert!(spent <= *amount, "SEED={seed}: {spent} of {view:?}");
            let left = desk.unspent(&view.purse.to_string());
            assert_eq!(left, amount - spent, "SEED={seed}: {view:?}");
        }
    }
}
