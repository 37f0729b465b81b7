//! What a submission's accelerators can do, over divisions of engines, sizes of batches and of iterations, as submitters tune them.

use crate::mlperf::{Limits, System, Task, slower};
use crate::tasks::TASKS;
use madang_catalog::{Catalog, Deployment, EngineKind, Parallel};
use madang_twin::engine::Profile;
use madang_twin::fidelity::{Calibration, EngineRow, engine_rows, measured_times};

type Failure = Box<dyn std::error::Error>;

/// Sequences at once on each rank, and tokens of one iteration.
const SLOTS: [u32; 5] = [128, 512, 768, 1_024, 2_048];
const BATCH_TOKENS: [u64; 2] = [2_048, 8_192];
/// Steps in which an engine's speed is brought to what was measured: a run ends with the longest answers, so that its time is not
/// quite in proportion.
const FITS: usize = 3;

/// What runs of one submission have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Submitted {
    pub task: usize,
    pub chip: String,
    pub engine: &'static str,
    pub precision: String,
    pub accelerators: u32,
}

impl Submitted {
    pub fn task(&self) -> &'static Task {
        &TASKS[self.task]
    }

    pub fn name(&self) -> String {
        format!("{} on {}", self.task().name, self.chip)
    }

    pub fn kind(&self) -> EngineKind {
        EngineKind::named(self.engine)
    }
}

/// How long an engine takes beside its closed form.
#[derive(Clone, Copy)]
pub enum Pace<'a> {
    /// As measured rows that resemble it.
    Rows(&'a Calibration),
    /// So many times as long.
    Times(f64),
}

/// One division of the engines, with the batch that makes the most Offline.
pub struct Way {
    pub system: System,
    /// Tokens a second, Offline.
    pub offline: f64,
    /// By what factor the truth may be away from its closed form.
    pub band: f64,
}

/// All divisions, the fastest Offline first. `expected` is what the submitter expects, in tokens a second.
pub fn ways(
    catalog: &Catalog,
    submitted: &Submitted,
    pace: Pace<'_>,
    expected: f64,
) -> Result<Vec<Way>, Failure> {
    let task = submitted.task();
    let experts = catalog
        .model(task.model)
        .is_some_and(|model| model.shape.experts > 0.0);
    let mut ways = Vec::new();
    for parallel in divisions(submitted, experts) {
        let place = (task.model, submitted.chip.as_str());
        let deployment =
            catalog.deployment(place, parallel, &submitted.precision, submitted.kind());
        let Ok(deployment) = deployment else {
            continue;
        };
        let mut best: Option<Way> = None;
        for slots in SLOTS.map(|slots| slots * parallel.data) {
            let times = match pace {
                Pace::Times(times) => times,
                Pace::Rows(calibration) => {
                    measured_times(calibration, catalog, &like(submitted, &parallel, slots)?)
                }
            };
            let system = System {
                profile: profile(&deployment, slots, times)?,
                engines: submitted.accelerators / parallel.accelerators(),
            };
            let offline = system.offline(task, expected / task.output.mean);
            if best.as_ref().is_none_or(|best| offline > best.offline) {
                let band = deployment.band();
                best = Some(Way {
                    system,
                    offline,
                    band,
                });
            }
        }
        ways.extend(best);
    }
    ways.sort_by(|a, b| b.offline.total_cmp(&a.offline));
    Ok(ways)
}

/// The way that serves the most tokens a second within limits, and how many.
pub fn best(ways: &[Way], task: &Task, limits: Limits) -> (f64, Option<System>) {
    let (mut most, mut system) = (0.0, None);
    for way in ways {
        // No system serves more than it makes Offline, and the others make less.
        if way.offline <= most {
            break;
        }
        let served = served(&way.system, task, limits, way.offline);
        if served > most {
            (most, system) = (served, Some(way.system.clone()));
        }
    }
    (most, system)
}

/// What a system serves that is first made so fast that it makes so many tokens a second Offline: all its times are stretched alike.
pub fn served_as_fast(system: &System, task: &Task, limits: Limits, offline: f64) -> f64 {
    let mut system = system.clone();
    for _ in 0..FITS {
        let now = system.offline(task, offline / task.output.mean);
        system = system.slower(now / offline);
    }
    served(&system, task, limits, offline)
}

/// The most tokens a second within limits, over sizes of iterations.
fn served(system: &System, task: &Task, limits: Limits, offline: f64) -> f64 {
    let sizes = BATCH_TOKENS.iter();
    let each = sizes.map(|batch_tokens| {
        let system = system.with_batch_tokens(*batch_tokens);
        system.knee(task, limits, offline / task.output.mean)
    });
    each.fold(0.0, f64::max)
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

/// An engine with so many sequences at once, which takes so many times as long as the closed form says.
fn profile(deployment: &Deployment, slots: u32, times: f64) -> Result<Profile, Failure> {
    Ok(Profile {
        slots,
        ..slower(&Profile::of(deployment)?, times)
    })
}

/// The row of one such engine in a closed loop.
fn like(submitted: &Submitted, parallel: &Parallel, slots: u32) -> Result<EngineRow, Failure> {
    let task = submitted.task();
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
