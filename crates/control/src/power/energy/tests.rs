use super::span::{self, Look};
use super::*;
use crate::power::meter::NvmlPowerMeter;
use crate::power::meters::Watched;
use crate::power::scene::Readings;
use madang_core::power::gauge::Believed;
use madang_ledger::EngineClaimed;
use madang_types::JobFlex;
use std::path::Path;
use std::sync::Arc;

const S: i64 = 1_000_000;

/// An engine of 100 to 400 W with a meter, and a machine of two accelerators of 10 to 150 W without one.
const FLEET: &str = r#"
[[site]]
id = "a"
country = "KR"
pue = 1.5

[[model]]
id = "m"
context_tokens = 8192

[[replica]]
id = "e1"
site = "a"
model = "m"
url = "http://10.0.0.1:8000"
engine = "vllm"
slots = 8
power = { idle_watts = 100, full_watts = 400 }

[[nodes]]
id = "n1"
site = "a"
accelerator = "cpu"
per_node = 2
count = 1
jobs = { executor = "local" }
power = { idle_watts = 10, full_watts = 150 }

[[meter]]
id = "of-e1"
site = "a"
replica = "e1"
kind = "prometheus"
url = "http://10.0.0.1:9400/metrics"

[power]
span_ms = 5000
"#;

fn fleet(more: &str) -> Fleet {
    let text = format!("{FLEET}{more}");
    madang_fleet::parse(&text, Path::new("")).unwrap().fleet
}

fn site() -> SiteId {
    "a".parse().unwrap()
}

fn run() -> BendingRun {
    BendingRun {
        run: "7-1".parse().unwrap(),
        nodes: "n1".parse().unwrap(),
        accelerator_milli: 1_000,
        has_begun: true,
        flex: JobFlex::default(),
        checkpoint: None,
        freezes: false,
        is_frozen: false,
        is_reached: true,
    }
}

/// What the fleet's meters say: watts, whether that is believed, and a count.
type Said = (u64, bool, Option<u64>);

/// Sites whose meters say something at instants.
struct World {
    fleet: Fleet,
    note: EnergyNote,
    stand: Option<EnergyStand>,
    runs: BTreeMap<RunId, u64>,
}

impl World {
    fn new(more: &str) -> Self {
        Self {
            fleet: fleet(more),
            note: EnergyNote::default(),
            stand: None,
            runs: BTreeMap::new(),
        }
    }

    fn look(&mut self, at_s: i64, said: &[Said], runs: &[BendingRun]) {
        let meters = self.fleet.meters.iter().zip(said).map(|(row, said)| {
            let (watts, measured, count) = *said;
            let mut watched = Watched::new(row, Arc::new(NvmlPowerMeter::of(None, Vec::new())));
            watched.count = count;
            watched.believed = Some(Believed {
                watts,
                measured,
                age_us: 0,
                sudden_watts: 0,
                doubt: None,
            });
            watched
        });
        let meters: Vec<Watched> = meters.collect();
        let mut readings = Readings::default();
        for watched in &meters {
            readings.add(&watched.row, watched.believed.unwrap(), false);
        }
        let site = site();
        let (runs, loads) = drawing((&self.fleet, &site), (&[], runs), &readings);
        let look = Look {
            now: Micros(at_s * S),
            fleet: &self.fleet,
            site: &site,
            pools: &[],
            runs: &runs,
            loads: &loads,
            meters: meters.iter().collect(),
        };
        if let Some(stand) = &self.stand {
            for (run, mj) in span::account(stand, &look, &mut self.note) {
                *self.runs.entry(run).or_default() += mj;
            }
        }
        self.stand = Some(span::stand(&look));
    }

    /// Joules: measured, modelled, of the engine, of runs, of the rest.
    #[track_caller]
    fn expect(&self, expected: [u64; 5]) {
        let note = &self.note;
        let engine: u64 = note.engines.values().map(|engine| engine.mj).sum();
        let found = [
            note.measured_mj,
            note.modelled_mj,
            engine,
            note.runs_mj,
            note.rest_mj,
        ];
        assert_eq!(found.map(|mj| mj / 1_000), expected);
        assert_eq!(
            note.drawn_mj(),
            engine + note.runs_mj + note.rest_mj,
            "{note:?}"
        );
        assert_eq!(self.runs.values().sum::<u64>(), note.runs_mj);
    }
}

#[test]
fn what_is_counted_goes_before_what_is_told_and_what_nobody_measures_is_modelled() {
    let mut world = World::new("");
    world.look(0, &[(200, true, None)], &[]);
    // The mean of what the meter told at both, and 20 W of the machine's; half as much for cooling.
    world.look(10, &[(300, true, None)], &[]);
    world.expect([3_750, 300, 3_750, 0, 300]);
    // By its count it was 350 W.
    world.look(20, &[(300, true, Some(1_000_000))], &[]);
    world.look(30, &[(300, true, Some(4_500_000))], &[]);
    world.expect([13_500, 900, 13_500, 0, 900]);
    // A run begins in between: 150 W for half of the time, beside 10 W of the accelerator that is left. A count that began anew, or
    // jumps, is none.
    world.look(40, &[(300, true, Some(5))], &[run()]);
    world.look(50, &[(300, true, Some(1 << 50))], &[run()]);
    let (engine, run_j, rest) = (13_500 + 9_000, 1_125 + 2_250, 900 + 225 + 150);
    world.expect([engine, run_j + rest, engine, run_j, rest]);
    assert_eq!(
        world.note.engines[&"e1".parse().unwrap()].span_us,
        50_000_000
    );
    // It is gone: for half of the time it was there.
    world.look(60, &[(300, true, None)], &[]);
    let (engine, run_j, rest) = (engine + 4_500, run_j + 1_125, rest + 225);
    world.expect([engine, run_j + rest, engine, run_j, rest]);
}

#[test]
fn a_run_that_has_not_begun_draws_nothing() {
    let mut world = World::new("");
    let waits = || BendingRun {
        has_begun: false,
        ..run()
    };
    world.look(0, &[(200, true, None)], &[waits()]);
    world.look(10, &[(200, true, None)], &[waits()]);
    // As if it were not there: its accelerator is one that nobody uses.
    world.expect([3_000, 300, 3_000, 0, 300]);
    assert!(world.runs.is_empty(), "{:?}", world.runs);
    world.look(20, &[(200, true, None)], &[run()]);
    assert!(world.runs[&run().run] > 0, "{:?}", world.runs);
}

#[test]
fn after_a_gap_counts_say_what_was_drawn_and_of_a_long_one_they_alone() {
    let mut world = World::new("");
    world.look(0, &[(400, true, Some(0))], &[]);
    // Ten minutes without a look: the engine stood still, which the watts at both ends do not show.
    world.look(600, &[(400, true, Some(60_000_000))], &[]);
    world.expect([90_000, 18_000, 90_000, 0, 18_000]);
    // More than an hour: the engine's count is known, of the machine beside it nothing is.
    world.look(600 + 3_601, &[(400, true, Some(420_100_000))], &[]);
    world.expect([630_150, 18_000, 630_150, 0, 18_000]);
    // A meter that is doubted measures nothing.
    world.look(600 + 3_611, &[(400, false, None)], &[]);
    world.expect([630_150, 18_000 + 6_300, 636_150, 0, 18_300]);
    // A count that began anew, or rose by more than can be drawn, and watts at both ends.
    world.look(8_000, &[(400, true, Some(7_000_000))], &[run()]);
    let before = world.note.drawn_mj();
    world.look(12_000, &[(400, true, Some(0))], &[run()]);
    world.look(16_000, &[(400, true, Some(1 << 50))], &[]);
    assert_eq!(
        (world.note.drawn_mj(), world.note.runs_mj / 1_000),
        (before, 0)
    );
}

#[test]
fn of_a_long_gap_a_sites_own_count_is_shared_as_ever() {
    let own = "\n[[meter]]\nid = \"feed\"\nsite = \"a\"\nkind = \"redfish\"\nurl = \"http://10.0.0.9/Power\"\n";
    let mut world = World::new(own);
    let said = |count| [(300, true, None), (690, true, Some(count))];
    world.look(0, &said(0), &[run()]);
    world.look(7_200, &said(4_968_000_000), &[run()]);
    // 690 W for two hours: the engine had 300 of 460, the run 150, and nobody 10.
    world.expect([4_968_000, 0, 3_240_000, 1_620_000, 108_000]);
}

#[test]
fn what_a_site_draws_by_its_own_meter_is_shared_by_what_stands_there() {
    let own = "\n[[meter]]\nid = \"feed\"\nsite = \"a\"\nkind = \"redfish\"\nurl = \"http://10.0.0.9/Power\"\n";
    let mut world = World::new(own);
    let said = [(300, true, None), (660, true, None)];
    world.look(0, &said, &[run()]);
    world.look(10, &said, &[run()]);
    // 300, 150 and 10 W of the machines' are 660 W at the meter, and all of it is measured.
    world.expect([6_600, 0, 4_304, 2_152, 143]);
}

#[test]
fn spans_turn_and_who_follows_goes_on_where_the_books_stand() {
    let fleet = fleet("");
    let mut energies = Energies::default();
    let gateway: GatewayId = "gw-1".parse().unwrap();
    let stand = |at_s: i64| {
        Some(EnergyStand {
            at: Micros(at_s * S),
            ..EnergyStand::default()
        })
    };
    let row = |gateway: &str, from_s: i64, stand| EnergyRow {
        span: span_of(&site(), Micros(from_s * S), 5_000),
        gateway: gateway.parse().unwrap(),
        note: EnergyNote {
            rest_mj: 5,
            stand,
            ..EnergyNote::default()
        },
    };
    let rows = vec![
        row("gw-1", 0, stand(4)),
        row("gw-1", 5, None),
        row("gw-2", 5, stand(6)),
    ];
    energies.open(Micros(7 * S), &gateway, &rows);
    energies.turn(&fleet, Micros(7 * S));
    energies.begin(rows);
    let site = energies.sites.get_mut(&site()).unwrap();
    // What this gateway had noted of the span before it died stays.
    assert_eq!(
        (site.note.rest_mj, site.stand.as_ref().unwrap().at),
        (5, Micros(6 * S))
    );
    site.note.rest_mj = 9;
    site.note
        .claims
        .insert("e1".parse().unwrap(), EngineClaimed::default());
    energies.turn(&fleet, Micros(11 * S));
    let new = energies.sites[&self::site()].clone();
    assert_eq!(
        (new.span.from, new.note.rest_mj, new.stand.is_some()),
        (Micros(10 * S), 0, true)
    );
    assert_eq!(energies.ended[0].note.rest_mj, 9);
    // Another one measures: what was not written of it is his to find, what was claimed is known here alone.
    energies.end();
    let ended = &energies.ended[0];
    assert_eq!((ended.note.rest_mj, ended.note.claims.len()), (5, 1));
    assert!(energies.sites[&self::site()].stand.is_none());
    // A site that leaves the fleet leaves what was noted of it.
    energies.sites.get_mut(&self::site()).unwrap().note.rest_mj = 1;
    energies.turn(&Fleet::default(), Micros(12 * S));
    assert_eq!((energies.sites.len(), energies.ended.len()), (0, 2));
}
