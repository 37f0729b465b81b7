use super::Seen;
use super::governors::{Governors, terms};
use super::kept::Machines;
use super::meter::NvmlPowerMeter;
use super::meters::{Watched, bounds, left_out};
use super::scene::{BendingRun, Readings, parts, unbounded, unseen};
use madang_core::power::caps::Cap;
use madang_core::power::gauge::{Believed, Doubt, Doubted, Instead};
use madang_core::power::governor::Scene;
use madang_fleet::Fleet;
use madang_types::{JobFlex, Micros, RunPlace, RunRecord, RunState, SiteId};
use std::path::Path;
use std::sync::Arc;

/// Two sites. At `a` two groups of machines of 10 to 150 W each, of which the second has two meters; at `b` one.
const FLEET: &str = r#"
[[site]]
id = "a"
country = "KR"

[[site]]
id = "b"
country = "KR"

[[nodes]]
id = "a1"
site = "a"
accelerator = "cpu"
per_node = 2
count = 1
jobs = { executor = "local" }
power = { idle_watts = 10, full_watts = 150 }

[[nodes]]
id = "a2"
site = "a"
accelerator = "cpu"
per_node = 4
count = 1
jobs = { executor = "local" }
power = { idle_watts = 10, full_watts = 150 }

[[nodes]]
id = "b1"
site = "b"
accelerator = "cpu"
per_node = 2
count = 1
jobs = { executor = "local" }
power = { idle_watts = 10, full_watts = 150 }

[[meter]]
id = "one"
site = "a"
nodes = "a1"
kind = "prometheus"
url = "http://10.0.0.1:9400/metrics"

[[meter]]
id = "two"
site = "a"
nodes = "a2"
kind = "prometheus"
url = "http://10.0.0.2:9400/metrics"

[[meter]]
id = "three"
site = "a"
nodes = "a2"
kind = "prometheus"
url = "http://10.0.0.3:9400/metrics"
"#;

fn fleet() -> Fleet {
    madang_fleet::parse(FLEET, Path::new("")).unwrap().fleet
}

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn run(number: u64, nodes: &str) -> RunRecord {
    RunRecord {
        run: format!("{number}-1").parse().unwrap(),
        nodes: nodes.parse().unwrap(),
        place: Some(RunPlace {
            site: site(&nodes[..1]),
            accelerator: "cpu".to_owned(),
        }),
        pieces: Vec::new(),
        accelerator_milli: 1_000,
        state: RunState::Starting,
        stop: None,
        created_at: Micros(0),
        started_at: None,
        end: None,
        charge: None,
        unseen_since: None,
        unseen_until: None,
        candidates: Vec::new(),
    }
}

/// A run of one processor that may stand still for an hour.
fn bending(nodes: &str) -> BendingRun {
    BendingRun {
        run: run(1, nodes).run,
        nodes: nodes.parse().unwrap(),
        accelerator_milli: 1_000,
        has_begun: true,
        flex: JobFlex {
            pause_ms: 3_600_000,
            ..JobFlex::default()
        },
        checkpoint: None,
        freezes: true,
        is_frozen: false,
        is_reached: true,
    }
}

#[test]
fn what_is_drawn_where_no_runs_are_seen_counts_beside_what_machines_draw_that_nobody_uses() {
    let fleet = fleet();
    let loads = parts((&fleet, &site("a")), &[], &[], &Readings::default()).loads;
    let check = |watts, stood_watts, pue_milli, expected: Option<u64>| {
        let noted = Machines { watts, stood_watts };
        let found = unseen((noted, pue_milli), &loads);
        let found = found.map(|load| (load.watts, load.profile.full_watts));
        assert_eq!(found, expected.map(|watts| (watts, watts)), "{watts}");
    };
    // Six of 10 W each are seen.
    check(60, 0, 1_000, None);
    check(340, 0, 1_000, Some(280));
    check(340, 140, 1_000, Some(140));
    check(340, 168, 1_200, Some(140));
    check(20, 40, 1_000, None);
}

#[test]
fn a_meter_of_machines_is_held_against_those_alone_and_of_several_each_is_a_part() {
    let fleet = fleet();
    let runs = [bending("a2")];
    let at = site("a");
    let parts = parts((&fleet, &at), &[], &runs, &Readings::default());
    let watts = fleet.meters.iter().map(|row| {
        let model = bounds((&fleet, &at), row, (&parts, &runs)).unwrap();
        (model.idle_watts, model.likely_watts, model.full_watts)
    });
    // Machines that nobody uses draw what they draw at rest, until a run begins there.
    let part = (0, 30 + 150, 30 + 150);
    assert_eq!(watts.collect::<Vec<_>>(), [(20, 20, 20), part, part]);

    let mut readings = Readings::default();
    for (row, (watts, age_us)) in fleet.meters.iter().zip([(20, 7), (100, 9), (60, 8)]) {
        let believed = Believed {
            watts,
            measured: true,
            age_us,
            sudden_watts: watts / 10,
            doubt: None,
        };
        readings.add(row, believed, false);
    }
    let watts: Vec<u64> = readings.nodes.values().map(|all| all.watts).collect();
    assert_eq!((watts, readings.age_us()), (vec![20, 160], 9));
    assert_eq!(readings.sudden_watts(1_500), 27);
}

/// An H100 at rest draws 70 W, and with its part of the machine 236.
#[test]
fn nvml_alone_measures_accelerators_without_their_machine() {
    let meter = |kind: &str| {
        format!(
            "\n[[meter]]\nid = \"gpu{kind}\"\nsite = \"a\"\nnodes = \"a3\"\nkind = \"{kind}\"\n"
        )
    };
    let nodes = "\n[[nodes]]\nid = \"a3\"\nsite = \"a\"\naccelerator = \"h100\"\nper_node = 2\ncount = 1\njobs = { executor = \"local\" }\n";
    let check = |more: String, idle_watts, beside| {
        let text = format!("{FLEET}{nodes}{}{more}", meter("nvml"));
        let fleet = madang_fleet::parse(&text, Path::new("")).unwrap().fleet;
        let at = site("a");
        let parts = parts((&fleet, &at), &[], &[], &Readings::default());
        let row = fleet.meters.iter().find(|row| row.id == "gpunvml").unwrap();
        let model = bounds((&fleet, &at), row, (&parts, &[])).unwrap();
        let told = (model.idle_watts, left_out(&fleet, row, &model));
        assert_eq!(told, (idle_watts, beside), "{more}");
    };
    check(String::new(), 0, 2 * 175);
    let other = meter("prometheus") + "url = \"http://10.0.0.4:9400/metrics\"\n";
    check(other, 0, 0);
}

#[test]
fn a_site_that_stays_short_keeps_no_run_of_another_waiting() {
    let (fleet, governors) = (fleet(), Governors::default());
    let terms = terms(&fleet.power);
    let runs = [bending("a1")];
    let look = |at: &SiteId, watts: Option<u64>, now| {
        let parts = parts((&fleet, at), &[], &runs, &Readings::default());
        let scene = Scene {
            cap: watts.map(|watts| Cap { watts, event: None }),
            drawn_watts: parts.loads.iter().map(|load| load.watts).sum(),
            pue_milli: 1_000,
            loads: parts.loads,
            ..Scene::default()
        };
        governors.look(at, terms, |governor| governor.look(Micros(now), &scene));
    };
    let (a, b) = (site("a"), site("b"));
    // At `a` the run stands still; at `b` nothing is bent, and there is no room for more.
    look(&a, Some(100), 0);
    look(&b, Some(30), 0);
    assert!(!governors.may_try_again());
    let refused = |nodes| {
        governors
            .let_begin(Micros(1), &fleet, &run(2, nodes))
            .is_err()
    };
    assert!(refused("a1") && refused("b1"));
    assert!(governors.may_try_again(), "at b nothing is bent");
    assert!(!governors.may_try_again(), "at a something is");
    look(&a, None, 200_000_000);
    assert!(governors.may_try_again(), "it is not any more");
}

/// What is taken in place of a meter errs upwards: a cut of that would leave more than there was before it.
#[test]
fn a_cut_is_a_part_of_what_is_drawn_for_sure() {
    let sure = |doubted, sudden_watts, likely_watts| {
        let seen = Seen {
            scene: Scene {
                drawn_watts: 1_000,
                sudden_watts,
                doubted,
                ..Scene::default()
            },
            cap_now: None,
            is_known: true,
            measured: !doubted,
            model: unbounded(),
            likely_watts,
            readings: Readings::default(),
            unknown: Vec::new(),
        };
        seen.sure_watts()
    };
    assert_eq!(sure(false, 0, Some(600)), Some(1_000));
    assert_eq!(sure(false, 300, Some(600)), Some(700));
    assert_eq!(sure(true, 0, Some(600)), Some(600));
    assert_eq!(sure(true, 500, Some(600)), Some(500));
    // Where nobody says what all of it draws, what is taken is all there is.
    assert_eq!(sure(true, 0, None), Some(1_000));
}

/// Why may change from look to look, and what is taken instead too: it is not believed all the while.
#[test]
fn a_meter_is_doubted_since_the_first_look_that_did() {
    let fleet = fleet();
    let meter = Arc::new(NvmlPowerMeter::of(None, Vec::new()));
    let mut watched = Watched::new(&fleet.meters[0], meter);
    let mut look = |now, doubt: Option<(Doubt, Instead)>| {
        let believed = Believed {
            watts: 9,
            measured: doubt.is_none(),
            age_us: 0,
            sudden_watts: 0,
            doubt: doubt.map(|(why, instead)| Doubted { why, instead }),
        };
        watched.believe(Micros(now), believed);
        watched.doubted_at
    };
    assert_eq!(look(1, None), None);
    let since = Some(Micros(2));
    assert_eq!(look(2, Some((Doubt::Silent, Instead::Last))), since);
    assert_eq!(look(3, Some((Doubt::Silent, Instead::Most))), since);
    assert_eq!(look(4, Some((Doubt::Stuck, Instead::Likely))), since);
    assert_eq!(look(5, None), None);
    let again = Some(Micros(6));
    assert_eq!(look(6, Some((Doubt::Fell, Instead::Last))), again);
}
