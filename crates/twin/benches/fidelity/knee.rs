//! The most tokens a second of the twin's engines in runs as MLPerf makes them, beside MLPerf v5.1's Offline and Server figures.

use super::verdict;
use crate::mlperf::{Lengths, System, Task, slower};
use madang_catalog::{Catalog, Deployment, EngineKind, Parallel};
use madang_twin::engine::Profile;
use madang_twin::fidelity::{Calibration, EngineRow, engine_rows, measured_times};
use std::collections::BTreeMap;
use std::path::Path;

type Failure = Box<dyn std::error::Error>;

/// The benchmarks. Means, limits and sizes of data sets are MLPerf's; how lengths scatter is from memory of its data sets.
const TASKS: [Task; 5] = [
    Task {
        name: "llama2-70b-99",
        model: "Llama-2-70B",
        samples: 24_576.0,
        input: Lengths::new(300.0, 0.8, 1_024.0),
        output: Lengths::new(294.45, 0.8, 1_024.0),
        first_ms: 2_000.0,
        token_ms: 200.0,
    },
    Task {
        name: "llama3.1-405b",
        model: "Llama-3.1-405B",
        samples: 8_313.0,
        input: Lengths::new(9_428.0, 0.6, 20_000.0),
        output: Lengths::new(684.68, 0.8, 2_000.0),
        first_ms: 6_000.0,
        token_ms: 175.0,
    },
    Task {
        name: "llama3.1-8b",
        model: "Llama-3.1-8B",
        samples: 13_368.0,
        input: Lengths::new(778.0, 0.5, 2_540.0),
        output: Lengths::new(128.0, 0.0, 128.0),
        first_ms: 2_000.0,
        token_ms: 100.0,
    },
    Task {
        name: "deepseek-r1",
        model: "DeepSeek-R1",
        samples: 4_388.0,
        input: Lengths::new(800.0, 0.8, 3_136.0),
        output: Lengths::new(3_886.0, 0.9, 20_000.0),
        first_ms: 2_000.0,
        token_ms: 80.0,
    },
    Task {
        name: "mixtral-8x7b",
        model: "Mixtral-8x7B",
        samples: 15_000.0,
        input: Lengths::new(300.0, 0.8, 1_024.0),
        output: Lengths::new(144.84, 0.8, 1_024.0),
        first_ms: 2_000.0,
        token_ms: 200.0,
    },
];

/// Sequences at once on each rank, and tokens of one iteration, as submitters tune them.
const SLOTS: [u32; 5] = [128, 512, 768, 1_024, 2_048];
const BATCH_TOKENS: [u64; 2] = [2_048, 8_192];
/// Steps in which an engine's speed is brought to what was measured: a run ends with the longest answers, so that its time is not
/// quite in proportion.
const FITS: usize = 3;
/// Divisions of which the best is so far above are not looked at in Server.
const WORSE: f64 = 0.7;

/// A measured row of the table.
struct Measured {
    system: Submitted,
    server: bool,
    tokens_s: f64,
}

/// What runs of one submission have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Submitted {
    task: usize,
    chip: String,
    engine: &'static str,
    precision: String,
    accelerators: u32,
}

impl Submitted {
    fn name(&self) -> String {
        format!("{} on {}", TASKS[self.task].name, self.chip)
    }
}

/// Tokens a second for each accelerator of the rows of a task and a chip: measured and said, Offline and in Server.
#[derive(Default)]
struct Compared {
    measured: [Vec<f64>; 2],
    said: [Vec<f64>; 2],
    /// In Server, by an engine that is as fast Offline as the measured one.
    fitted: Vec<f64>,
}

/// What is said of one submission, in tokens a second.
struct Said {
    /// Offline and in Server.
    plain: [f64; 2],
    /// In Server, by an engine that is as fast Offline as the measured one; `None` where Offline was not measured.
    fitted: Option<f64>,
}

pub fn knee(catalog: &Catalog, folder: &Path) -> Result<(), Failure> {
    let path = folder.join("mlperf_v5.1_llm.csv.gz");
    if !path.exists() {
        println!("{} is not there: the knee is not judged", path.display());
        return Ok(());
    }
    let calibration = Calibration::shipped()?;
    let mut groups: BTreeMap<Submitted, [Vec<f64>; 2]> = BTreeMap::new();
    for row in measured(catalog, &path)? {
        groups.entry(row.system).or_default()[usize::from(row.server)].push(row.tokens_s);
    }
    let mut compared: BTreeMap<String, Compared> = BTreeMap::new();
    for (system, tokens_s) in groups {
        let said = capacity((catalog, &calibration), &system, &tokens_s)?;
        let place = compared.entry(system.name()).or_default();
        let each = f64::from(system.accelerators);
        for (at, of) in tokens_s.iter().enumerate() {
            place.measured[at].extend(of.iter().map(|tokens_s| tokens_s / each));
            place.said[at].extend(of.iter().map(|_| said.plain[at] / each));
        }
        let fitted = tokens_s[1].iter().filter_map(|_| said.fitted);
        place.fitted.extend(fitted.map(|tokens_s| tokens_s / each));
    }
    show(&compared);
    Ok(())
}

fn show(compared: &BTreeMap<String, Compared>) {
    println!(
        "\ntokens a second in runs as MLPerf makes them, beside MLPerf v5.1 (median of rows, error in %; bar 10)\n"
    );
    for (name, of) in compared {
        for (at, kind) in ["offline", "server"].iter().enumerate() {
            let pairs = of.said[at].iter().zip(&of.measured[at]);
            let errors: Vec<f64> = pairs
                .map(|(said, measured)| said / measured - 1.0)
                .collect();
            if errors.is_empty() {
                continue;
            }
            let (name, rows) = (format!("{name}, {kind}"), errors.len());
            let error = median(errors);
            println!(
                "{name:<56} {rows:>3} rows {:>+7.1} ({})",
                error * 100.0,
                verdict(error.abs() <= 0.1)
            );
        }
    }
    show_server(
        "server as a part of offline (the knee, whatever the engine's speed)",
        compared,
        |of| {
            let part = |of: &[Vec<f64>; 2]| median(of[1].clone()) / median(of[0].clone());
            (part(&of.measured), part(&of.said))
        },
    );
    show_server(
        "server, tokens a second of an accelerator, by an engine that is as fast offline as the measured one",
        compared,
        |of| (median(of.measured[1].clone()), median(of.fitted.clone())),
    );
}

/// A measured figure of each task and chip that has rows of both kinds beside the predicted one.
fn show_server(
    what: &str,
    compared: &BTreeMap<String, Compared>,
    figures: impl Fn(&Compared) -> (f64, f64),
) {
    println!("\n{what}: measured, predicted, error in % (bar 10)\n");
    for (name, of) in compared {
        if of.measured.iter().any(Vec::is_empty) {
            continue;
        }
        let (measured, said) = figures(of);
        let error = said / measured - 1.0;
        println!(
            "{name:<48} {measured:>10.3} {said:>10.3} {:>+6.1} ({})",
            error * 100.0,
            verdict(error.abs() <= 0.1)
        );
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
        let server = cell("scenario") == "Server";
        let (Ok(tokens_s), Ok(each), Ok(nodes)) = (
            cell("result").parse(),
            cell("accelerators").parse::<u32>(),
            cell("nodes").parse::<u32>(),
        ) else {
            continue;
        };
        if cell("category") != "closed" || !(server || cell("scenario") == "Offline") {
            continue;
        }
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
            server,
            tokens_s,
        });
    }
    Ok(rows)
}

/// Engines of one to eight accelerators: layers divided, and for models of experts attention whole on each beside it.
fn divisions(system: &Submitted, experts: bool) -> Vec<Parallel> {
    let sizes = [1, 2, 4, 8]
        .into_iter()
        .filter(|size| *size <= system.accelerators);
    sizes
        .flat_map(|size| {
            let ranks = Parallel {
                data: size,
                expert: size,
                ..Parallel::tensor(1)
            };
            let more = (experts && size > 1).then_some(ranks);
            std::iter::once(Parallel::tensor(size)).chain(more)
        })
        .collect()
}

/// The most tokens a second Offline and in Server, over divisions of engines, sizes of batches and of iterations. `measured` are
/// rows' tokens a second, of both kinds.
fn capacity(
    (catalog, calibration): (&Catalog, &Calibration),
    submitted: &Submitted,
    measured: &[Vec<f64>; 2],
) -> Result<Said, Failure> {
    let task = &TASKS[submitted.task];
    let rate = |tokens_s: f64| tokens_s / task.output.mean;
    let rows = measured.iter().find(|of| !of.is_empty());
    let expected = median(rows.cloned().unwrap_or_default());
    let kind = EngineKind::named(submitted.engine);
    let experts = catalog
        .model(task.model)
        .is_some_and(|model| model.shape.experts > 0.0);
    let (mut plain, mut best) = ([0.0_f64; 2], None);
    for parallel in divisions(submitted, experts) {
        let place = (task.model, submitted.chip.as_str());
        let Ok(deployment) = catalog.deployment(place, parallel, &submitted.precision, kind) else {
            continue;
        };
        let mut offline = (0.0, None);
        for slots in SLOTS {
            let slots = slots * parallel.data;
            let like = like(submitted, &parallel, slots)?;
            let times = measured_times(calibration, catalog, &like);
            let system = System {
                profile: profile(&deployment, slots, times)?,
                engines: submitted.accelerators / parallel.accelerators(),
            };
            let tokens_s = system.offline(task, rate(expected));
            if tokens_s > offline.0 {
                offline = (tokens_s, Some(system));
            }
        }
        plain[0] = plain[0].max(offline.0);
        let Some(system) = offline.1.filter(|_| offline.0 >= WORSE * plain[0]) else {
            continue;
        };
        let served = served(&system, task, offline.0);
        if served > plain[1] {
            plain[1] = served;
            best = Some(system);
        }
    }
    let asked = best.filter(|_| measured.iter().all(|of| !of.is_empty()));
    let fitted = asked.map(|system| {
        let offline = median(measured[0].clone());
        served(&as_fast(system, task, offline), task, offline)
    });
    Ok(Said { plain, fitted })
}

/// The most tokens a second in Server, over sizes of iterations.
fn served(system: &System, task: &Task, offline: f64) -> f64 {
    let sizes = BATCH_TOKENS.iter();
    let each = sizes.map(|batch_tokens| {
        let system = system.with_batch_tokens(*batch_tokens);
        system.knee(task, offline / task.output.mean)
    });
    each.fold(0.0, f64::max)
}

/// An engine that makes so many tokens a second Offline: all its times are stretched alike.
fn as_fast(system: System, task: &Task, tokens_s: f64) -> System {
    let mut system = system;
    for _ in 0..FITS {
        let now = system.offline(task, tokens_s / task.output.mean);
        system = system.slower(now / tokens_s);
    }
    system
}

/// An engine with so many sequences at once, which takes so many times as long as the closed form says.
fn profile(deployment: &Deployment, slots: u32, times: f64) -> Result<Profile, Failure> {
    Ok(Profile {
        slots,
        ..slower(&Profile::of(deployment)?, times)
    })
}

/// The row of one such engine in a closed loop.
fn like(submitted: &Submitted, parallel: &Parallel, slots: u32) -> Result<EngineRow, Failure> {
    let task = &TASKS[submitted.task];
    let text = format!(
        "system,backend,model_path,precision,mode,isl,osl,tp_size,attention_dp_size,moe_ep_size,batch_size\n{},{},{},{},agg,{},{},{},{},{},{}\n",
        submitted.chip,
        submitted.engine,
        task.model,
        submitted.precision,
        task.input.mean,
        task.output.mean,
        parallel.tensor,
        parallel.data,
        parallel.expert,
        slots / parallel.data
    );
    let rows = engine_rows(text.as_bytes())?;
    rows.into_iter().next().ok_or_else(|| "no row".into())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
