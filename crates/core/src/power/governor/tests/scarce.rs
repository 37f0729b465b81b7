//! Twenty jobs that may lose a part of their pace, beside eight engines, and a quarter less for three hours: what turns give is just
//! enough, or just not. Turns that were all used up together would leave nothing to keep the cap up with.

use super::*;

const PUE_MILLI: u32 = 1_300;
const JOBS: usize = 20;
const ENGINES: usize = 8;
/// What an engine draws that serves all who ask, at its machines, in watts.
const SERVES_WATTS: u64 = 1_490;
/// From the fall of a cap until it must be met, and the length of the event, in seconds.
const MEET_S: i64 = 30;
const EVENT_S: i64 = 10_800;
/// From a word to requests until it shows, in seconds.
const REQUESTS_S: usize = 9;

/// What came of it after the time that a grid gives.
#[derive(Debug, Default)]
struct Came {
    over_s: u64,
    over_watts_max: u64,
    /// Seconds over the cap in which something was left that bends.
    spared_s: u64,
    /// Seconds in which requests met something.
    requests_s: u64,
}

fn site(slow_milli: u32) -> Vec<Load> {
    let job = |number: u64| Load {
        profile: PowerProfile::new(1_890, 7_000),
        watts: 7_000,
        ..slows(number, slow_milli)
    };
    let one = |number| Load {
        profile: PowerProfile::new(472, 1_750),
        ..engine(&format!("engine-{number}"), (SERVES_WATTS, true))
    };
    (1..=JOBS as u64)
        .map(job)
        .chain((0..ENGINES).map(one))
        .collect()
}

fn drawn(loads: &[Load]) -> u64 {
    at_meter(loads.iter().map(|load| load.watts).sum(), PUE_MILLI)
}

/// Loads as they are under orders of the last look, and requests under those of a while ago: of engines with fewer slots some rest, and
/// the others have all to do.
fn obey(loads: &[Load], orders: &Orders, requests: &PowerTerms) -> Vec<Load> {
    let serve = ENGINES * usize::try_from(requests.slots_milli).unwrap() / 1_000;
    let obeyed = loads.iter().enumerate().map(|(place, load)| {
        let mut load = load.clone();
        let idle = load.profile.idle_watts;
        if load
            .id
            .run()
            .is_some_and(|run| orders.slowed.contains(&run))
        {
            load.watts = idle;
        }
        if let Bend::Engine { rests, .. } = &mut load.bend {
            *rests = place - JOBS >= serve;
            load.watts = match (requests.shed, *rests, serve < ENGINES) {
                (Some(Priority::Standard), ..) | (_, true, _) => idle,
                (_, _, true) => load.profile.full_watts,
                _ => load.watts,
            };
            let limit = load.limit_watts(orders.level_milli);
            load.watts = load.watts.min(limit.unwrap_or(u64::MAX));
        }
        load
    });
    obeyed.collect()
}

fn three_hours(slow_milli: u32) -> Came {
    let all = site(slow_milli);
    let cap_watts = drawn(&all) * 3 / 4;
    let dynamic: u64 = all.iter().map(|load| load.profile.dynamic_watts()).sum();
    let mut governor = Governor::default();
    let mut orders = vec![Orders::default(); REQUESTS_S];
    let mut read = drawn(&all);
    let mut came = Came::default();
    for second in 0..EVENT_S {
        let before = &orders[orders.len() - REQUESTS_S].terms;
        let loads = obey(&all, &orders[orders.len() - 1], before);
        let draws = drawn(&loads);
        let last = Scene {
            drawn_watts: read,
            age_us: 1_000_000,
            rise_watts_per_s: at_meter(dynamic / 50, PUE_MILLI),
            pue_milli: PUE_MILLI,
            ..scene(cap(cap_watts), loads)
        };
        governor.look(at(second), &last);
        read = draws;
        let ordered = governor.orders();
        if second > MEET_S && draws > cap_watts {
            came.over_s += 1;
            came.over_watts_max = came.over_watts_max.max(draws - cap_watts);
            let is_left =
                ordered.terms.shed != Some(Priority::Standard) || ordered.level_milli > 700;
            came.spared_s += u64::from(is_left);
        }
        came.requests_s += u64::from(ordered.terms != PowerTerms::default());
        orders.push(ordered);
    }
    came
}

/// Eight of twenty have to stand, or seven and fewer slots. Half of the turns together are for those that keep it up.
#[test]
fn turns_are_not_used_up_together_and_the_cap_holds_to_the_end() {
    // More than is needed: nobody notices.
    let came = three_hours(450);
    assert_eq!((came.over_s, came.requests_s), (0, 0), "{came:?}");
    for slow_milli in [375, 400] {
        let came = three_hours(slow_milli);
        assert_eq!(came.over_s, 0, "{slow_milli}: {came:?}");
    }
    let came = three_hours(350);
    assert!(came.over_s < 30 && came.over_watts_max < 2_000, "{came:?}");
}

/// Six of twenty, with every request refused, is a thousand watts less than the cap; six of twenty all the time is what three tenths are
/// without the time in which two stand as one hands over. It holds for as long as there is something to hand over with, and no longer.
#[test]
fn where_all_that_bends_is_not_enough_all_that_bends_is_bent() {
    let came = three_hours(300);
    assert!(came.over_s < 2_000, "{came:?}");
    // By no more than one run that gets on.
    assert!(came.over_watts_max < 7_000, "{came:?}");
    assert_eq!(came.spared_s, 0, "{came:?}");
}
