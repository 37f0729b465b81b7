//! The most tokens a second of the twin's engines in runs as MLPerf makes them, beside MLPerf v5.1's figures.

use crate::capacity::{Pace, Submitted, Way, best, served_as_fast, ways};
use crate::mlperf::Limits;
use crate::shown::show;
use crate::tasks::TASKS;
use madang_catalog::Catalog;
use madang_twin::fidelity::{Calibration, TunedRow, tuned};
use std::collections::BTreeMap;
use std::path::Path;

type Failure = Box<dyn std::error::Error>;

/// Ways to measure.
pub const KINDS: [&str; 3] = ["offline", "server", "interactive"];
pub const OFFLINE: usize = 0;
pub const SERVER: usize = 1;

/// A measured row of the table.
struct Measured {
    system: Submitted,
    id: String,
    kind: usize,
    tokens_s: f64,
}

/// Of each kind.
pub type Each = [Vec<f64>; KINDS.len()];

/// Tokens a second for each accelerator of the rows of a task and a chip.
#[derive(Default)]
pub struct Compared {
    pub measured: Each,
    /// By the twin, whose engines take what measured rows that resemble them do.
    pub said: Each,
    /// By engines that are tuned as far as MLPerf's rows of other models and chips tell.
    pub tuned: Each,
    /// By an engine that is as fast Offline as the measured one.
    pub fitted: Each,
    /// Of the submission that is measured and has the most in Server: that, and what an engine says that is as fast Offline as its own.
    pub greatest: Option<(f64, f64)>,
    /// How far the truth may be from the closed form, and from tuned engines.
    pub bands: [f64; 2],
    /// By the closed form alone, Offline.
    pub closed: Vec<f64>,
    /// So many times as long as the closed form says, by the shipped table.
    pub times: Option<f64>,
}

pub fn knee(catalog: &Catalog, folder: &Path) -> Result<(), Failure> {
    let path = folder.join("mlperf_v5.1_llm.csv.gz");
    if !path.exists() {
        println!("{} is not there: the knee is not judged", path.display());
        return Ok(());
    }
    let calibration = Calibration::shipped()?;
    let mut groups: BTreeMap<Submitted, Vec<Measured>> = BTreeMap::new();
    for row in measured(catalog, &path)? {
        groups.entry(row.system.clone()).or_default().push(row);
    }
    let mut compared: BTreeMap<String, Compared> = BTreeMap::new();
    for (system, rows) in groups {
        let place = compared.entry(system.name()).or_default();
        compare((catalog, &calibration), (&system, &rows), place)?;
    }
    show(&compared);
    Ok(())
}

/// What is said of the rows of one kind of system goes to the others of its task and chip.
fn compare(
    (catalog, calibration): (&Catalog, &Calibration),
    (system, rows): (&Submitted, &[Measured]),
    place: &mut Compared,
) -> Result<(), Failure> {
    let each = f64::from(system.accelerators);
    let of = |kind: usize| rows.iter().filter(move |row| row.kind == kind);
    let median_of = |kind: usize| median(of(kind).map(|row| row.tokens_s).collect());
    let offline = median_of(OFFLINE);
    let expected = if offline.is_nan() {
        median_of(SERVER)
    } else {
        offline
    };
    let plain = ways(catalog, system, Pace::Rows(calibration), expected)?;
    let (others, shipped) = others(system);
    let tuned = tuned(others, key(system));
    let paced = ways(catalog, system, Pace::Times(tuned.times), expected)?;
    let closed = ways(catalog, system, Pace::Times(1.0), expected)?;
    let fastest = |ways: &[Way]| ways.first().map_or(0.0, |way| way.offline);
    place.bands = [plain.first().map_or(1.0, |way| way.band), tuned.band];
    let offlines = of(OFFLINE).count();
    place
        .closed
        .extend(std::iter::repeat_n(fastest(&closed) / each, offlines));
    place.times = shipped;
    for (kind, limits) in limits(system).into_iter().enumerate() {
        let count = of(kind).count();
        if count == 0 {
            continue;
        }
        let (said, tuned) = match limits {
            None => (fastest(&plain), fastest(&paced)),
            Some(limits) => {
                let (said, way) = best(&plain, system.task(), limits);
                if let Some(way) = way.filter(|_| offline > 0.0) {
                    let fitted = served_as_fast(&way, system.task(), limits, offline) / each;
                    place.fitted[kind].extend(std::iter::repeat_n(fitted, count));
                    if kind == SERVER {
                        greatest(rows, place, |offline| {
                            served_as_fast(&way, system.task(), limits, offline)
                        });
                    }
                }
                (said, best(&paced, system.task(), limits).0)
            }
        };
        place.measured[kind].extend(of(kind).map(|row| row.tokens_s / each));
        place.said[kind].extend(std::iter::repeat_n(said / each, count));
        place.tuned[kind].extend(std::iter::repeat_n(tuned / each, count));
    }
    Ok(())
}

/// Limits of each kind; none: Offline.
fn limits(system: &Submitted) -> [Option<Limits>; 3] {
    let task = system.task();
    [None, Some(task.server), task.interactive]
}

fn key(system: &Submitted) -> (madang_catalog::EngineKind, &str, &str) {
    (system.kind(), system.task().model, &system.chip)
}

/// Shipped rows of other pairs of model and chip, and what that of this pair says.
fn others(system: &Submitted) -> (Vec<&'static TunedRow>, Option<f64>) {
    let (_, model, chip) = key(system);
    let rows = TunedRow::shipped().iter();
    let (own, others): (Vec<_>, Vec<_>) =
        rows.partition(|row| row.model == model && row.chip == chip);
    (others, own.first().map(|row| row.times))
}

/// A valid run proves that its rate is kept, not that no greater one is: of several submissions the one with the greatest is nearest to
/// the knee.
fn greatest(rows: &[Measured], place: &mut Compared, served: impl Fn(f64) -> f64) {
    let of = |kind: usize| rows.iter().filter(move |row| row.kind == kind);
    let pairs = of(SERVER).filter_map(|server| {
        let offline = of(OFFLINE).find(|row| row.id == server.id)?;
        Some((server, offline))
    });
    let most = pairs.max_by(|(one, _), (other, _)| one.tokens_s.total_cmp(&other.tokens_s));
    let Some((server, offline)) = most else {
        return;
    };
    let each = f64::from(server.system.accelerators);
    let measured = server.tokens_s / each;
    if place.greatest.is_none_or(|(before, _)| measured > before) {
        place.greatest = Some((measured, served(offline.tokens_s) / each));
    }
}

fn measured(catalog: &Catalog, path: &Path) -> Result<Vec<Measured>, Failure> {
    let mut reader =
        csv::Reader::from_reader(flate2::read::GzDecoder::new(std::fs::File::open(path)?));
    let header = reader.headers()?.clone();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let cell = |name: &str| {
            let at = header.iter().position(|other| other == name);
            at.and_then(|at| record.get(at)).unwrap_or_default()
        };
        let Some(task) = TASKS.iter().position(|task| task.name == cell("model")) else {
            continue;
        };
        let accelerator = cell("accelerator");
        let plain = !accelerator.contains('(')
            && !accelerator.contains("Virtualized")
            && !accelerator.contains("NVL-");
        let Some(chip) = catalog.chip(accelerator).filter(|_| plain) else {
            continue;
        };
        let scenario = cell("scenario").to_lowercase();
        let kind = KINDS.iter().position(|kind| *kind == scenario);
        let (Ok(tokens_s), Ok(each), Ok(nodes)) = (
            cell("result").parse(),
            cell("accelerators").parse::<u32>(),
            cell("nodes").parse::<u32>(),
        ) else {
            continue;
        };
        let (Some(kind), "closed") = (kind, cell("category")) else {
            continue;
        };
        rows.push(Measured {
            system: Submitted {
                task,
                chip: chip.name.clone(),
                engine: if cell("software").contains("TensorRT") {
                    "trtllm"
                } else {
                    "vllm"
                },
                precision: cell("weight_dtype").to_owned(),
                accelerators: each * nodes,
            },
            id: cell("id").to_owned(),
            kind,
            tokens_s,
        });
    }
    Ok(rows)
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
