//! Runs that may be slowed stand still in turns.

use super::*;

/// Loads as they are after what was ordered, at once.
fn obey(loads: &[Load], orders: &Orders) -> Vec<Load> {
    let stands = |load: &Load| {
        let run = load.id.run();
        run.is_some_and(|run| orders.slowed.contains(&run) || orders.paused.contains(&run))
    };
    let obeyed = loads.iter().map(|load| Load {
        watts: match stands(load) {
            true => load.profile.idle_watts,
            false => load
                .watts
                .min(load.limit_watts(orders.level_milli).unwrap_or(u64::MAX)),
        },
        ..load.clone()
    });
    obeyed.collect()
}

#[test]
fn turns_that_last_come_after_who_may_stand_and_before_clocks_and_those_that_do_not_after_them() {
    let checkpoint = PauseHow::Checkpoint {
        takes_us: 1_000_000,
        us_max: 0,
    };
    let loads = vec![
        engine("chat", (900, true)),
        slows(1, 300),
        freezes(2, 60, 500),
        load_run(3, 500, Some(checkpoint)),
        slows(4, 950),
    ];
    let acts_at = |watts| {
        let mut governor = Governor::default();
        governor.look(at(0), &scene(cap(watts), loads.clone()));
        acts(&governor)
    };
    let expected = [
        "run 2-1 stands still",
        "run 4-1 is slowed: it stands still for its turn",
        "run 3-1 stands still",
        "clocks at 85 %",
        "clocks at 80 %",
        "clocks at 75 %",
        "clocks at 70 %",
        "run 1-1 is slowed: it stands still for its turn",
    ];
    assert_eq!(acts_at(2_900), [""; 0]);
    for (count, watts) in [(1, 2_500), (2, 2_100), (3, 1_700), (4, 1_690), (8, 1_555)] {
        assert_eq!(acts_at(watts), expected[..count], "{watts} W");
    }
}

/// Ten runs that may lose three tenths of their pace each: two of them stand at any time, three while they hand over, for three hours, and the cap holds at all times.
#[test]
fn ten_runs_take_turns_so_that_the_cap_holds_and_none_loses_more_than_it_may() {
    let loads: Vec<Load> = (1..=10).map(|number| slows(number, 300)).collect();
    let mut governor = Governor::default();
    let mut stood: BTreeMap<RunId, i64> = BTreeMap::new();
    let mut before = scene(cap(4_300), loads.clone());
    for second in 0..10_800 {
        governor.look(at(second), &before);
        let orders = governor.orders();
        assert_eq!(governor.lacks_watts(), 0, "at {second} s");
        assert!(orders.slowed.len() >= 2, "at {second} s: {orders:?}");
        let only = acts(&governor).iter().all(|act| act.contains("is slowed"));
        assert!(only, "at {second} s: {:?}", acts(&governor));
        for run in &orders.slowed {
            *stood.entry(*run).or_default() += 1;
        }
        let loads = obey(&loads, &orders);
        before = scene(cap(4_300), loads);
        assert!(before.drawn_watts <= 4_300, "at {second} s");
    }
    // Three tenths, and the turn that each has to begin with.
    for (run, stood) in &stood {
        assert!(*stood <= 10_800 * 3 / 10 + 180, "{run}: {stood} s");
    }
    assert_eq!(stood.len(), 10);
    // All go on once nothing is short.
    for second in 10_800..11_400 {
        let loads = obey(&loads, &governor.orders());
        governor.look(at(second), &scene(None, loads));
    }
    assert!(acts(&governor).is_empty());
}

#[test]
fn a_run_alone_stands_for_its_turn_and_another_act_holds_before_it_goes_on() {
    let mut governor = Governor::default();
    let loads = vec![engine("chat", (900, true)), slows(1, 100)];
    let mut first_slots = None;
    for second in 0..120 {
        let loads = obey(&loads, &governor.orders());
        governor.look(at(second), &scene(cap(1_100), loads));
        let acts = acts(&governor);
        if first_slots.is_none() && acts.iter().any(|act| act.contains("slots")) {
            first_slots = Some((second, acts[4].clone()));
        }
    }
    // After the clocks, as it cannot keep it up: a tenth of ten minutes; four seconds before its end others bend.
    let turn = "run 1-1 is slowed: it stands still for its turn".to_owned();
    assert_eq!(first_slots, Some((56, turn)));
    assert!(governor.orders().slowed.is_empty());
    // One that may be slowed by next to nothing is not counted on.
    let mut governor = Governor::default();
    governor.look(
        at(0),
        &scene(cap(1_100), vec![slows(1, 30), engine("chat", (900, true))]),
    );
    let acts = acts(&governor);
    assert!(!acts.is_empty() && acts.iter().all(|act| !act.contains("slowed")));
}

/// Whoever goes on draws within a moment, and the meter shows it later: until then its room is nobody else's.
#[test]
fn who_hands_over_goes_on_alone() {
    let loads = vec![slows(1, 100), slows(2, 100)];
    let mut governor = Governor::new(GovernorTerms {
        hold_us: 500_000,
        return_us: 500_000,
        ..GovernorTerms::default()
    });
    // As a meter shows it: what was drawn a second before.
    let (mut shown, mut stood) = (loads.clone(), BTreeSet::new());
    for second in 0..60 {
        let orders = governor.orders();
        let now = obey(&loads, &orders);
        let seen = Scene {
            drawn_watts: shown.iter().map(|load| load.watts).sum(),
            age_us: 1_000_000,
            ..scene(cap(700), now.clone())
        };
        governor.look(at(second), &seen);
        shown = now;
        let stand = governor.orders().slowed;
        assert!(!stand.is_empty(), "at {second} s none stands");
        stood.extend(stand);
    }
    assert_eq!(stood.len(), 2, "they handed over");
}

/// What people notice comes back before the turns, though these are taken anew all the while.
#[test]
fn acts_that_engines_meet_come_back_before_turns_that_were_taken_after_them() {
    let mut governor = Governor::default();
    let mut loads = vec![engine("chat", (900, true)), slows(1, 500), slows(2, 500)];
    let mut look = |second, loads: &[Load], watts| {
        let loads = obey(loads, &governor.orders());
        governor.look(at(second), &scene(cap(watts), loads));
        acts(&governor)
    };
    let clocks = |acts: &[String]| acts.iter().filter(|act| act.starts_with("clocks")).count();
    assert_eq!(clocks(&look(0, &loads, 1_050)), 4);
    loads.push(slows(3, 500));
    // Another run stands; then there is room for the clocks, and for no run.
    let mut last = Vec::new();
    for second in 10..110 {
        last = look(second, &loads, if second < 30 { 1_200 } else { 1_250 });
    }
    assert_eq!((last.len(), clocks(&last)), (3, 0), "{last:?}");
}

/// Four of six have to stand at any time, and all may for seven tenths of it: those that began together hand over before their turns are
/// used up, and no engine is ever asked.
#[test]
fn turns_that_began_together_are_handed_over_before_all_are_used_up() {
    let mut loads: Vec<Load> = (1..=6).map(|number| slows(number, 700)).collect();
    loads.push(engine("chat", (900, true)));
    let mut governor = Governor::default();
    let mut before = scene(cap(2_300), loads.clone());
    for second in 0..10_800 {
        governor.look(at(second), &before);
        let acts = acts(&governor);
        let only = acts.iter().all(|act| act.contains("is slowed"));
        assert!(only && acts.len() >= 4, "at {second} s: {acts:?}");
        let loads = obey(&loads, &governor.orders());
        before = scene(cap(2_300), loads);
        assert!(before.drawn_watts <= 2_300, "at {second} s");
    }
}

/// Two of four can keep it up, and so three are not counted on where clocks do: with these bounded less may rise, too.
#[test]
fn what_clocks_bound_counts_before_turns_that_do_not_last() {
    let mut loads: Vec<Load> = (1..=4).map(|number| slows(number, 550)).collect();
    loads.push(engine("chat", (700, true)));
    let scene = Scene {
        rise_watts_per_s: 70,
        ..scene(cap(1_970), loads)
    };
    let mut governor = Governor::default();
    governor.look(at(0), &scene);
    // 2,700 W and 210 of what may rise: two runs save 800, and clocks bound 150 of what may rise.
    let slowed = governor.orders().slowed.len();
    assert_eq!(
        (slowed, governor.lacks_watts()),
        (2, 0),
        "{:?}",
        acts(&governor)
    );
    assert!(governor.orders().level_milli < WHOLE_MILLI);
}
