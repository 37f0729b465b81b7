//! What acts brought, as the meter shows it.

use super::*;

/// What each act was credited with, in the order in which it was said.
fn credits(governor: &Governor) -> Vec<(String, i64)> {
    let seen = governor.log().filter_map(|line| match &line.what {
        PowerDeed::Seen { act, saved_watts } => Some((act.to_string(), *saved_watts)),
        _ => None,
    });
    seen.collect()
}

fn credited(governor: &Governor) -> i64 {
    credits(governor).iter().map(|(_, watts)| watts).sum()
}

/// A site of two runs that save 400 and 100 W, and an engine whose requests of the batch class are half of what it does.
fn loads() -> Vec<Load> {
    let mut chat = engine("chat", (1_000, false));
    chat.bend = Bend::Engine {
        slows: false,
        batch_milli: 500,
        rests: false,
    };
    vec![freezes(1, 60, 500), freezes(2, 30, 200), chat]
}

fn drawing(cap_watts: u64, drawn_watts: u64) -> Scene {
    Scene {
        drawn_watts,
        ..scene(cap(cap_watts), loads())
    }
}

#[test]
fn acts_of_one_look_share_what_is_drawn_less_by_what_each_was_thought_to_save() {
    for (drawn, [first, second]) in [
        (1_200, [400, 100]),
        (1_499, [161, 40]),
        (1_700, [0, 0]),
        (1_709, [-7, -2]),
    ] {
        let mut governor = Governor::default();
        governor.look(at(0), &drawing(1_200, 1_700));
        assert_eq!(acts(&governor).len(), 2);
        // A second until they stand, and one until the meter shows it.
        governor.look(at(1), &drawing(1_200, 1_700));
        assert_eq!(credits(&governor), []);
        governor.look(at(2), &drawing(2_000, drawn));
        let expected = [
            ("run 1-1 stands still".to_owned(), first),
            ("run 2-1 stands still".to_owned(), second),
        ];
        assert_eq!(credits(&governor), expected, "{drawn} W");
        let drawn = i64::try_from(drawn).unwrap();
        assert_eq!(credited(&governor), 1_700 - drawn);
    }
}

#[test]
fn what_one_act_was_credited_with_no_other_one_is() {
    let mut governor = Governor::default();
    // 200 W of requests of the batch class take ten seconds, and each run one.
    governor.look(at(0), &drawing(1_000, 1_700));
    let kinds: Vec<&str> = governor.acts().map(|(act, ..)| act.kind()).collect();
    assert_eq!(kinds, ["pause", "pause", "batch"]);
    governor.look(at(2), &drawing(1_300, 1_210));
    assert_eq!(credited(&governor), 490);
    governor.look(at(11), &drawing(1_300, 1_000));
    let last = credits(&governor).pop();
    assert_eq!(
        last,
        Some(("50 % of requests of the batch class".to_owned(), 210))
    );
    assert_eq!(credited(&governor), 1_700 - 1_000);
}

#[test]
fn who_came_later_is_credited_from_what_was_drawn_then() {
    let mut governor = Governor::default();
    governor.look(at(0), &drawing(1_300, 1_700));
    assert_eq!(acts(&governor), ["run 1-1 stands still"]);
    // It saves 50 at once, then the cap falls.
    governor.look(at(1), &drawing(1_200, 1_650));
    assert_eq!(acts(&governor).len(), 2);
    governor.look(at(2), &drawing(1_200, 1_290));
    governor.look(at(3), &drawing(1_200, 1_190));
    let expected = [
        ("run 1-1 stands still".to_owned(), 410),
        ("run 2-1 stands still".to_owned(), 100),
    ];
    assert_eq!(credits(&governor), expected);
}

/// What is taken in place of a meter that is not believed is no less than what it said before.
#[test]
fn acts_are_credited_once_the_meter_is_believed() {
    let mut governor = Governor::default();
    governor.look(at(0), &drawing(1_200, 1_700));
    let doubted = Scene {
        doubted: true,
        ..drawing(1_200, 1_750)
    };
    governor.look(at(2), &doubted);
    assert_eq!(credits(&governor), []);
    governor.look(at(3), &drawing(1_200, 1_190));
    assert_eq!(credited(&governor), 510);
}

/// Clocks that only bound what may rise have saved nothing that was drawn.
#[test]
fn what_only_bounds_is_credited_with_nothing_beside_what_saves() {
    let loads = vec![freezes(1, 60, 500), engine("chat", (600, true))];
    let at_watts = |cap_watts, drawn_watts| Scene {
        drawn_watts,
        rise_watts_per_s: 400,
        ..scene(cap(cap_watts), loads.clone())
    };
    let mut governor = Governor::default();
    governor.look(at(0), &at_watts(900, 1_100));
    let clocks = credits(&governor).len();
    assert_eq!(clocks, 0);
    assert!(acts(&governor).len() > 1, "{:?}", acts(&governor));
    governor.look(at(2), &at_watts(900, 700));
    for (act, watts) in credits(&governor) {
        let expected = if act.starts_with("run") { 400 } else { 0 };
        assert_eq!(watts, expected, "{act}");
    }
    assert_eq!(credited(&governor), 400);
}
