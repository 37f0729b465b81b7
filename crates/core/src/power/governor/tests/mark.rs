//! A governor that goes on from where another one stood.

use super::*;
use madang_types::{PowerStand, RunStood};

/// Where a governor stands that looked at a site each second until `until`.
fn stand(scene: &Scene, until: i64) -> PowerStand {
    let mut governor = Governor::default();
    for second in 0..=until {
        governor.look(at(second), scene);
    }
    governor.stand()
}

/// One that goes on from there: it begins at one instant, and the other one stood so at another.
fn goes_on(now: i64, then: i64, stand: PowerStand) -> Governor {
    let mut governor = Governor::default();
    governor.go_on(at(now), at(then), stand);
    governor
}

/// In how many of these seconds a run stands in its turn, or else.
fn stands(governor: &mut Governor, scene: &Scene, seconds: std::ops::Range<i64>) -> usize {
    let stood = seconds.filter(|second| {
        governor.look(at(*second), scene);
        let orders = governor.orders();
        orders.slowed.contains(&run(1)) || orders.paused.contains(&run(1))
    });
    stood.count()
}

#[test]
fn a_turn_goes_on_where_it_was_through_another_governor() {
    // One that may lose three tenths stands for three minutes at most.
    let scene = scene(cap(100), vec![slows(1, 300)]);
    let before = stand(&scene, 100);
    let expected = RunStood {
        paused_us: 0,
        turns_us: 100_000_000,
        turn_left_us: Some(80_000_000),
    };
    assert_eq!(before.runs, BTreeMap::from([(run(1), expected)]));
    // Nobody governed for half a minute, in which it stood still.
    let mut governor = goes_on(130, 100, before);
    assert_eq!(stands(&mut governor, &scene, 130..220), 50);
    // Without it, all of its turn.
    let mut governor = Governor::default();
    assert_eq!(stands(&mut governor, &scene, 130..350), 180);
}

#[test]
fn a_pause_goes_on_where_it_was_and_ends_when_its_owner_said() {
    let scene = scene(cap(100), vec![freezes(1, 1, 500)]);
    let mut governor = goes_on(30, 20, stand(&scene, 20));
    assert_eq!(stands(&mut governor, &scene, 30..200), 30);
    // What it stood in pauses that are over counts for the next governor too.
    let mut governor = goes_on(300, 200, governor.stand());
    assert_eq!(stands(&mut governor, &scene, 300..400), 0);
}

#[test]
fn who_got_on_while_nobody_governed_earned_its_turn() {
    let mark = RunStood {
        turns_us: 180_000_000,
        turn_left_us: Some(0),
        ..RunStood::default()
    };
    let stand = PowerStand {
        runs: BTreeMap::from([(run(1), mark)]),
        ..PowerStand::default()
    };
    let mut governor = goes_on(70, 0, stand);
    governor.look(at(70), &scene(None, vec![slows(1, 300)]));
    // Three of each ten seconds: of seventy in which it got on, thirty.
    let left = governor.stand().runs[&run(1)].turn_left_us;
    assert_eq!(left, Some(30_000_000));
}

/// All is below the cap because of what is bent: a governor that knew nothing of that would let it go, and pass the cap.
#[test]
fn what_is_bent_stays_bent_and_comes_back_step_by_step() {
    let loads = vec![engine("chat", (900, true)), freezes(1, 60, 500)];
    let bent = {
        let mut governor = Governor::default();
        governor.look(at(0), &scene(cap(1_000), loads.clone()));
        governor
    };
    let before = acts(&bent);
    assert_eq!(before, ["run 1-1 stands still"]);
    let mut still = loads;
    still[1].watts = 100;
    let mut governor = goes_on(5, 4, bent.stand());
    governor.look(at(5), &scene(cap(1_000), still.clone()));
    assert_eq!(acts(&governor), before);
    let orders = (governor.orders(), bent.orders());
    assert_eq!(orders.0, orders.1);
    // The cap was there before: what rises has no half a minute again.
    let mut rose = still.clone();
    rose[0].watts = 950;
    governor.look(at(6), &scene(cap(1_000), rose));
    assert!(acts(&governor).len() > 1, "{:?}", acts(&governor));
    // It stands for a minute at least, counted from when it was taken.
    let mut governor = goes_on(45, 44, bent.stand());
    let free = scene(None, still);
    governor.look(at(45), &free);
    governor.look(at(59), &free);
    assert_eq!(acts(&governor).len(), 1);
    governor.look(at(60), &free);
    assert_eq!(acts(&governor).len(), 0);
}

#[test]
fn what_engines_do_is_bent_at_once_and_once() {
    let mut governor = Governor::default();
    let busy = scene(cap(850), vec![engine("chat", (900, true))]);
    governor.look(at(0), &busy);
    let stand = governor.stand();
    let mut again = goes_on(1, 0, stand.clone());
    assert_eq!(again.orders(), governor.orders());
    assert!(again.orders().level_milli < WHOLE_MILLI);
    // Told twice, it is the same.
    again.go_on(at(1), at(0), stand);
    assert_eq!(acts(&again), acts(&governor));
}

/// Jobs are read a while after meters: what was noted is kept until then, and noted again meanwhile.
#[test]
fn what_was_noted_waits_for_its_run() {
    let with_run = scene(cap(100), vec![slows(1, 300)]);
    let before = stand(&with_run, 100);
    let empty = scene(cap(100), Vec::new());
    let after = |second| {
        let mut governor = goes_on(100, 100, before.clone());
        governor.look(at(100), &empty);
        assert_eq!(governor.stand(), before);
        governor.look(at(second), &empty);
        governor.look(at(second), &with_run);
        governor.stand().runs.get(&run(1)).copied()
    };
    let left_us = |mark: RunStood| mark.turn_left_us;
    assert_eq!(after(110).and_then(left_us), Some(70_000_000));
    // One that does not come for a minute is forgotten.
    assert_eq!(after(160), None);
}

/// A look may come before what was noted is read, and takes what is in force already.
#[test]
fn what_was_taken_again_stands_since_it_was_taken_first() {
    let scene = scene(cap(100), vec![slows(1, 300)]);
    let before = stand(&scene, 100);
    let since = |governor: &Governor| governor.stand().acts.first().map(|act| act.at);
    let mut governor = Governor::default();
    governor.look(at(130), &scene);
    assert_eq!(since(&governor), Some(at(130)));
    governor.go_on(at(131), at(100), before);
    governor.look(at(131), &scene);
    assert_eq!(since(&governor), Some(at(0)));
    assert_eq!(governor.stand().acts.len(), 1);
}

/// A gateway that sees no runs: by itself it would ask people for what a run saves already.
#[test]
fn who_follows_does_as_whoever_governs_does_and_goes_on_from_there_alone() {
    let people = engine("chat", (900, true));
    let all = scene(cap(1_000), vec![people.clone(), freezes(1, 60, 500)]);
    let mut governs = Governor::default();
    governs.look(at(0), &all);
    assert_eq!(acts(&governs), ["run 1-1 stands still"]);
    // The meter sees the run, and the fleet file its machine.
    let seen = Scene {
        drawn_watts: 1_400,
        ..scene(cap(1_000), vec![people.clone()])
    };
    let mut alone = Governor::default();
    alone.look(at(0), &seen);
    assert_ne!(alone.orders().terms, PowerTerms::default());
    let mut follows = Governor::default();
    follows.follow(at(1), &seen, &governs.stand());
    assert_eq!(follows.orders(), governs.orders());
    assert_eq!(follows.stand().acts, governs.stand().acts);
    assert_eq!(follows.lacks_watts(), 0);
    // What is told once is not told again.
    follows.follow(at(2), &seen, &governs.stand());
    assert_eq!(follows.log().count(), 1);
    // Whoever governs lowers clocks, and is gone.
    let busy = scene(
        cap(900),
        vec![engine("chat", (950, true)), freezes(1, 60, 100)],
    );
    governs.look(at(30), &busy);
    assert!(governs.orders().level_milli < WHOLE_MILLI);
    follows.follow(at(31), &seen, &governs.stand());
    assert_eq!(follows.orders().level_milli, governs.orders().level_milli);
    let kept = Scene {
        drawn_watts: 890,
        ..scene(cap(900), vec![people])
    };
    follows.look(at(45), &kept);
    assert_eq!(follows.orders().level_milli, governs.orders().level_milli);
    // It comes back there as anywhere.
    let free = Scene { cap: None, ..kept };
    let mut follows_back = follows.clone();
    follows_back.follow(at(46), &free, &PowerStand::default());
    assert!(acts(&follows_back).is_empty());
    for second in 46..300 {
        follows.look(at(second), &free);
    }
    assert!(acts(&follows).is_empty());
}
