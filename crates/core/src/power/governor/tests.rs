use super::*;
use crate::power::model::{PowerProfile, WHOLE_MILLI, at_meter};
use madang_types::{Priority, ReplicaId};
use std::collections::BTreeSet;

mod mark;
mod scarce;
mod seen;
mod slows;
mod sudden;
mod worlds;

const S: i64 = 1_000_000;

fn at(second: i64) -> Micros {
    Micros(second * S)
}

fn run(number: u64) -> RunId {
    format!("{number}-1").parse().unwrap()
}

fn cap(watts: u64) -> Option<Cap> {
    Some(Cap { watts, event: None })
}

fn freezes(number: u64, minutes: u64, watts: u64) -> Load {
    let how = PauseHow::Freeze {
        us_max: minutes * 60_000_000,
    };
    load_run(number, watts, Some(how))
}

fn slows(number: u64, slow_milli: u32) -> Load {
    let mut load = load_run(number, 500, None);
    load.bend = Bend::Run {
        pause: None,
        slow_milli,
    };
    load
}

fn load_run(number: u64, watts: u64, how: Option<PauseHow>) -> Load {
    Load {
        id: LoadId::Run(run(number)),
        watts,
        profile: PowerProfile::new(100, watts),
        bend: Bend::Run {
            pause: how.map(|how| Pause {
                how,
                left_watts: 100,
            }),
            slow_milli: 0,
        },
    }
}

fn engine(name: &str, (watts, slows): (u64, bool)) -> Load {
    Load {
        id: LoadId::Replica(ReplicaId::new(name).unwrap()),
        watts,
        profile: PowerProfile::new(200, 1_000),
        bend: Bend::Engine {
            slows,
            batch_milli: 0,
            rests: false,
        },
    }
}

fn scene(cap: Option<Cap>, loads: Vec<Load>) -> Scene {
    Scene {
        cap,
        drawn_watts: loads.iter().map(|load| load.watts).sum(),
        pue_milli: WHOLE_MILLI,
        loads,
        ..Scene::default()
    }
}

fn acts(governor: &Governor) -> Vec<String> {
    governor.acts().map(|(act, ..)| act.to_string()).collect()
}

#[test]
fn those_that_bend_most_stand_still_first_and_no_more_than_are_needed() {
    let mut governor = Governor::default();
    let loads = vec![
        engine("chat", (800, true)),
        freezes(1, 5, 500),
        freezes(2, 60, 500),
        load_run(3, 500, None),
        freezes(4, 60, 500),
    ];
    let scene = scene(cap(2_300), loads);
    governor.look(at(0), &scene);
    // 500 W over: the newer of those that may stand for an hour saves 400, the other one the rest.
    assert_eq!(
        acts(&governor),
        ["run 4-1 stands still", "run 2-1 stands still"]
    );
    assert_eq!(governor.lacks_watts(), 0);
    let orders = governor.orders();
    assert_eq!(orders.paused, BTreeSet::from([run(4), run(2)]));
    assert_eq!(orders.level_milli, WHOLE_MILLI);
    assert_eq!(orders.terms, PowerTerms::default());
}

#[test]
fn acts_come_in_their_order_and_what_is_missing_in_the_end_is_said() {
    let mut governor = Governor::default();
    let checkpoint = PauseHow::Checkpoint {
        takes_us: 90_000_000,
        us_max: 0,
    };
    let mut chat = engine("chat", (1_000, true));
    chat.bend = Bend::Engine {
        slows: true,
        batch_milli: 400,
        rests: false,
    };
    let loads = vec![chat, freezes(1, 5, 500), load_run(2, 500, Some(checkpoint))];
    let mut scene = scene(cap(1_000), loads);
    scene.elsewhere = true;
    governor.look(at(0), &scene);
    let expected = [
        "run 1-1 stands still",
        // It takes a minute and a half: begun, and bridged by what follows.
        "run 2-1 stands still",
        "clocks at 95 %",
        "clocks at 90 %",
        "clocks at 85 %",
        "clocks at 80 %",
        "clocks at 75 %",
        "clocks at 70 %",
        "50 % of requests of the batch class",
        "no requests of the batch class",
        "requests go to other sites",
    ];
    assert_eq!(acts(&governor), expected);
    assert_eq!(governor.lacks_watts(), 0);
    // Ten watts can never be.
    let mut governor = Governor::default();
    scene.cap = cap(10);
    governor.look(at(0), &scene);
    assert!(governor.lacks_watts() > 0);
    let last = governor.log().next_back().unwrap();
    assert!(matches!(last.what, PowerDeed::Short { lacks_watts } if lacks_watts > 0));
    // What was thought to be saved was not: the last rung follows.
    governor.look(at(40), &scene);
    assert_eq!(governor.orders().terms.shed, Some(Priority::Standard));
}

#[test]
fn what_was_bent_comes_back_one_by_one_once_there_is_room() {
    let mut governor = Governor::default();
    let busy = vec![freezes(1, 60, 500), freezes(2, 60, 500)];
    let mut look = |second, watts: [u64; 2], cap: Option<Cap>| {
        let mut loads = busy.clone();
        for (load, watts) in loads.iter_mut().zip(watts) {
            load.watts = watts;
        }
        governor.look(at(second), &scene(cap, loads));
        acts(&governor).len()
    };
    assert_eq!(look(0, [500, 500], cap(300)), 2);
    assert_eq!(look(30, [100, 100], cap(300)), 2);
    // There is no room for what one may draw again.
    assert_eq!(look(100, [100, 100], cap(599)), 2);
    assert_eq!(look(101, [100, 100], cap(615)), 1);
    assert_eq!(look(102, [100, 100], None), 1);
    assert_eq!(look(115, [500, 100], None), 1);
    assert_eq!(look(116, [500, 100], None), 0);
}

#[test]
fn who_stood_as_long_as_it_may_goes_on_and_another_act_takes_its_place() {
    let mut governor = Governor::default();
    let mut look = |second, watts| {
        let loads = vec![engine("chat", (800, true)), freezes(1, 1, watts)];
        governor.look(at(second), &scene(cap(1_000), loads));
        acts(&governor)
    };
    assert_eq!(look(0, 500), ["run 1-1 stands still"]);
    assert_eq!(look(59, 100), ["run 1-1 stands still"]);
    let expected = [
        "clocks at 70 %",
        "75 % of engines' slots",
        "50 % of engines' slots",
    ];
    assert_eq!(look(60, 500), expected);
}

#[test]
fn what_may_rise_before_an_act_holds_is_met_before_the_cap() {
    let mut governor = Governor::default();
    let mut scene = scene(cap(1_000), vec![engine("chat", (850, true))]);
    // No more than the engine can draw, though the site says that it rises faster.
    scene.rise_watts_per_s = 1_000;
    scene.age_us = 1_000_000;
    governor.look(at(0), &scene);
    assert_eq!(acts(&governor), [""; 0]);
    scene.cap = cap(900);
    governor.look(at(1), &scene);
    assert!(!acts(&governor).is_empty());
}

#[test]
fn a_run_begins_where_there_is_room_for_it_beside_those_that_were_let_begin() {
    let mut governor = Governor::default();
    let scene = scene(cap(1_000), vec![engine("chat", (400, false))]);
    governor.look(at(0), &scene);
    let mut ask = |number, watts| governor.let_begin(at(1), run(number), at_meter(watts, 1_250));
    let short = ask(1, 600).unwrap_err();
    assert!(short.to_string().contains("may need 750 W"), "{short}");
    assert_eq!(ask(2, 200), Ok(()));
    assert!(ask(3, 300).is_err());
    let left = governor.headroom_watts().unwrap();
    assert!(governor.let_begin(at(1), run(4), left + 1).is_err());
    assert_eq!(governor.let_begin(at(1), run(4), left), Ok(()));
    assert_eq!(governor.headroom_watts(), Some(0));
    // Nobody has seen it for a minute: it never came.
    governor.look(at(62), &scene);
    assert_eq!(
        governor.let_begin(at(62), run(3), at_meter(300, 1_250)),
        Ok(())
    );
}

#[test]
fn runs_come_back_step_by_step_after_power_was_short() {
    let mut governor = Governor::default();
    let loads = vec![freezes(1, 60, 500)];
    governor.look(at(0), &scene(cap(300), loads));
    assert!(governor.let_begin(at(0), run(2), 1).is_err());
    assert_eq!(governor.headroom_watts(), Some(0));
    governor.look(at(70), &scene(None, Vec::new()));
    assert_eq!(governor.headroom_watts(), None);
    assert_eq!(governor.let_begin(at(70), run(2), 1), Ok(()));
    let next = governor.let_begin(at(71), run(3), 1);
    assert_eq!(next, Err(NoPower::Returning));
    assert_eq!(governor.let_begin(at(85), run(3), 1), Ok(()));
    governor.look(at(400), &scene(None, Vec::new()));
    assert_eq!(governor.let_begin(at(400), run(4), 1), Ok(()));
    assert_eq!(governor.let_begin(at(400), run(5), 1), Ok(()));
}

#[test]
fn what_began_is_counted_until_what_is_read_is_as_young() {
    let mut governor = Governor::new(GovernorTerms::default());
    // A site that draws 100 of 1,000 W; what is read is a second old.
    let scene = |drawn_watts: u64, runs: &[u64]| Scene {
        cap: cap(1_000),
        drawn_watts,
        age_us: 1_000_000,
        pue_milli: 1_000,
        loads: runs
            .iter()
            .map(|number| Load {
                id: LoadId::Run(run(*number)),
                watts: 500,
                profile: PowerProfile::new(0, 500),
                bend: Bend::Rigid,
            })
            .collect(),
        ..Scene::default()
    };
    governor.look(at(1), &scene(100, &[]));
    assert_eq!(governor.let_begin(at(1), run(1), 500), Ok(()));
    // It is there, and what is read is from before.
    governor.look(at(2), &scene(100, &[1]));
    assert!(governor.let_begin(at(2), run(2), 500).is_err());
    governor.look(at(3), &scene(600, &[1]));
    assert_eq!(governor.expected_watts(), 600);
    assert_eq!(governor.let_begin(at(3), run(3), 300), Ok(()));
}

/// Two engines that draw 1,000 each where all is asked of both, one of which rests as slots are short, under a cap that both are
/// beyond: it wakes only where there is room for what it may draw, not for what its resting was thought to save.
#[test]
fn an_engine_that_rests_wakes_where_there_is_room_for_all_that_it_may_draw() {
    for (cap_watts, expected) in [(1_900, false), (2_300, true)] {
        let mut governor = Governor::default();
        let loads = vec![engine("a", (1_000, false)), engine("b", (1_000, false))];
        let mut scene = scene(cap(1_500), loads);
        scene.rise_watts_per_s = 10_000;
        governor.look(at(0), &scene);
        let rest = Bend::Engine {
            slows: false,
            batch_milli: 0,
            rests: true,
        };
        scene.loads[1].bend = rest;
        scene.loads[1].watts = 200;
        scene.drawn_watts = 1_200;
        governor.look(at(20), &scene);
        scene.cap = cap(cap_watts);
        for second in 21..600 {
            governor.look(at(second), &scene);
        }
        let slots_milli = governor.orders().terms.slots_milli;
        assert_eq!(slots_milli > 500, expected, "{cap_watts}: {slots_milli}");
        assert!(slots_milli >= 500, "what one engine has comes back");
    }
}

/// What a meter shows of runs that begin is not promised any more.
#[test]
fn runs_that_begin_together_are_counted_once() {
    let mut governor = Governor::default();
    let people = engine("chat", (1_000, false));
    governor.look(at(0), &scene(cap(4_400), vec![people.clone()]));
    for number in 1..=8 {
        assert_eq!(governor.let_begin(at(0), run(number), 400), Ok(()));
    }
    let mut loads = vec![people];
    loads.extend((1..=8).map(|number| freezes(number, 60, 400)));
    for second in 1..5 {
        let seen = Scene {
            age_us: 1_500_000,
            ..scene(cap(4_400), loads.clone())
        };
        governor.look(at(second), &seen);
        assert_eq!(acts(&governor), [""; 0], "at {second} s");
        assert_eq!(governor.expected_watts(), 4_200);
    }
}
