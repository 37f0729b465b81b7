//! A reading that comes out of nothing: what it is followed by, and what is undone where the next one says that it was wrong.

use super::*;
use crate::power::gauge::{Gauge, Modelled, Reading};

const TERMS_S: i64 = 60;

/// A site with an engine, a run that may be stopped in its place, one that writes a checkpoint, and a meter that tells a second's age.
struct Site {
    governor: Governor,
    gauge: Gauge,
    loads: Vec<Load>,
    second: i64,
}

impl Site {
    fn new(loads: Vec<Load>) -> Self {
        Self {
            governor: Governor::default(),
            gauge: Gauge::default(),
            loads,
            second: 0,
        }
    }

    /// A second later the meter says so much; the cap is 2,000 W. What is in force then.
    fn look(&mut self, watts: u64) -> Vec<String> {
        let stands = self.governor.orders();
        let loads: Vec<Load> = self.loads.iter().map(|load| obeys(load, &stands)).collect();
        let sum = |of: fn(&Load) -> u64| loads.iter().map(of).sum::<u64>();
        let model = Modelled {
            idle_watts: sum(|load| load.profile.idle_watts),
            likely_watts: sum(|load| load.watts),
            full_watts: sum(|load| load.profile.full_watts),
            rise_watts_per_s: 20,
        };
        let now = at(self.second);
        let believed = self
            .gauge
            .take(now, Some(Reading { watts, at: now }), &model, 5_000_000);
        let scene = Scene {
            drawn_watts: believed.watts,
            sudden_watts: believed.sudden_watts,
            doubted: believed.doubt.is_some(),
            rise_watts_per_s: model.rise_watts_per_s,
            ..scene(cap(2_000), loads)
        };
        self.governor.look(now, &scene);
        self.second += 1;
        acts(&self.governor)
    }
}

fn obeys(load: &Load, orders: &Orders) -> Load {
    let stands = load
        .id
        .run()
        .is_some_and(|run| orders.paused.contains(&run));
    let watts = if stands {
        load.profile.idle_watts
    } else {
        load.watts
    };
    Load {
        watts,
        ..load.clone()
    }
}

fn saves_checkpoints(number: u64) -> Load {
    let how = PauseHow::Checkpoint {
        takes_us: 1_000_000,
        us_max: 0,
    };
    load_run(number, 500, Some(how))
}

/// An engine that draws 600 of 1,600 W, and a run that writes checkpoints.
fn busy() -> Vec<Load> {
    let mut chat = engine("chat", (600, false));
    chat.profile = PowerProfile::new(200, 1_600);
    vec![chat, saves_checkpoints(1)]
}

#[test]
fn one_far_too_high_reading_costs_no_run_its_work_and_nobody_an_answer() {
    // What cannot be, and what can.
    for watts in [50_000, 2_050] {
        let mut site = Site::new(busy());
        assert_eq!(site.look(1_100), [""; 0]);
        assert_eq!(site.look(watts), [""; 0], "{watts} W");
        assert_eq!(site.governor.lacks_watts(), 0);
        for _ in 0..10 {
            assert_eq!(site.look(1_100), [""; 0], "{watts} W");
        }
    }
}

#[test]
fn what_a_second_reading_says_too_is_met_in_the_order_of_acts() {
    let mut site = Site::new(busy());
    assert_eq!(site.look(1_100), [""; 0]);
    assert_eq!(site.look(2_050), [""; 0]);
    assert_eq!(site.look(2_050), ["run 1-1 stands still"]);
    // What can be by what is known is met at once: so much may have come on top in a second.
    let mut site = Site::new(busy());
    assert_eq!(site.look(1_930), [""; 0]);
    assert_eq!(site.look(1_950), ["run 1-1 stands still"]);
}

#[test]
fn what_is_undone_in_a_moment_is_done_at_once_and_undone_when_it_was_a_lie() {
    let mut loads = busy();
    loads.push(freezes(2, 60, 500));
    let mut site = Site::new(loads.clone());
    assert_eq!(site.look(1_600), [""; 0]);
    assert_eq!(site.look(50_000), ["run 2-1 stands still"]);
    // It stood from the next second on, as the meter shows: there is room for it.
    let left: Vec<usize> = (0..4).map(|_| site.look(1_200).len()).collect();
    assert_eq!(left, [1, 0, 0, 0], "what it was stopped for was a lie");
    // What is credited with it is not the lie.
    let seen = site.governor.log().find_map(|line| match line.what {
        PowerDeed::Seen { saved_watts, .. } => Some(saved_watts),
        _ => None,
    });
    assert!(seen.is_none_or(|watts| watts <= 500), "{seen:?}");
    // A true rise: it stands for as long as an act does, and the rest follows in its order.
    let mut site = Site::new(loads);
    assert_eq!(site.look(1_600), [""; 0]);
    assert_eq!(site.look(2_390), ["run 2-1 stands still"]);
    let expected = ["run 2-1 stands still", "run 1-1 stands still"];
    assert_eq!(site.look(2_490), expected);
    for _ in 0..TERMS_S - 5 {
        assert_eq!(site.look(1_700), expected);
    }
}
