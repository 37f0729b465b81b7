//! All shards of a scenario, on as many threads as are given; what they say is put together in their order.

use super::arrivals::Part;
use super::report::{Counts, Report};
use super::shard::{self, ShardPlan, ShardResult, Uses};
use super::{Files, Progress, RunError, Scenario};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Runs a scenario on so many threads. The report is the same whatever their number.
///
/// # Errors
/// A trace cannot be read any more, or a gateway has no engine of a model.
pub fn run(
    scenario: &Scenario,
    files: &Files,
    threads: usize,
    progress: &Progress,
) -> Result<Report, RunError> {
    let plans = plan(scenario);
    progress.shards.store(plans.len(), Ordering::Relaxed);
    let next = AtomicUsize::new(0);
    let collected = Mutex::new(Collected::new(scenario));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(plan) = plans.get(at) else { return };
            let result = shard::run((scenario, files), plan, progress);
            let mut collected = collected
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            collected.take(at, result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(plans.len()) {
            scope.spawn(work);
        }
        work();
    });
    let collected = collected
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(Report::new(scenario, collected.finish()?, plans.len()))
}

/// Shards' results, put together in the order of the shards. Those that came before their turn wait.
struct Collected {
    waiting: BTreeMap<usize, Result<ShardResult, RunError>>,
    turn: usize,
    counts: Counts,
    failed: Option<RunError>,
}

impl Collected {
    fn new(scenario: &Scenario) -> Self {
        Self {
            waiting: BTreeMap::new(),
            turn: 0,
            counts: Counts {
                cells: BTreeMap::new(),
                uses: Uses::new(scenario.engines.len(), scenario.hours),
            },
            failed: None,
        }
    }

    fn take(&mut self, at: usize, result: Result<ShardResult, RunError>) {
        self.waiting.insert(at, result);
        while let Some(result) = self.waiting.remove(&self.turn) {
            self.turn += 1;
            match result {
                Ok(result) => self.add(&result),
                Err(error) => {
                    self.failed.get_or_insert(error);
                }
            }
        }
    }

    fn add(&mut self, result: &ShardResult) {
        for ((site, tenant, hour), cell) in &result.tally.cells {
            let key = (*site, result.model, *tenant, *hour);
            self.counts.cells.entry(key).or_default().add(cell);
        }
        self.counts.uses.add(&result.uses);
    }

    fn finish(self) -> Result<Counts, RunError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(self.counts),
        }
    }
}

/// Each pool of each gateway that has engines; requests go to gateways in the measure of what their engines compute.
fn plan(scenario: &Scenario) -> Vec<ShardPlan> {
    let mut plans = Vec::new();
    for model in 0..scenario.models.len() {
        let cells = (0..scenario.cells).map(|cell| (cell, engines_of(scenario, model, cell)));
        let cells: Vec<(u32, Vec<(usize, u32)>)> =
            cells.filter(|(_, engines)| !engines.is_empty()).collect();
        let speed = |engines: &[(usize, u32)]| -> f64 {
            let each = engines.iter().map(|(group, _)| {
                let costs = &scenario.engines[*group].profile.costs;
                1.0 / costs.uncached_ns.max(1) as f64
            });
            each.sum()
        };
        let all: f64 = cells.iter().map(|(_, engines)| speed(engines)).sum();
        let mut so_far = 0.0;
        let last = cells.len().saturating_sub(1);
        for (at, (cell, engines)) in cells.into_iter().enumerate() {
            let from = so_far / all;
            so_far += speed(&engines);
            // Sums of fractions need not end at 1.
            let to = if at == last { 1.0 } else { so_far / all };
            let (groups, places) = engines.into_iter().unzip();
            plans.push(ShardPlan {
                cell,
                model,
                groups,
                places,
                part: Part { from, to },
            });
        }
    }
    plans
}

/// The group of each engine of a model that stands behind one gateway, and its place in it.
fn engines_of(scenario: &Scenario, model: usize, cell: u32) -> Vec<(usize, u32)> {
    let mut engines = Vec::new();
    for (index, group) in scenario.engines.iter().enumerate() {
        if group.model != model {
            continue;
        }
        // Each group begins at another gateway, so that what does not divide evenly is spread.
        let shift = u32::try_from(index).unwrap_or(0);
        let here = (0..group.count).filter(|engine| (engine + shift) % scenario.cells == cell);
        engines.extend(here.map(|place| (index, place)));
    }
    engines
}
