//! All shards of a scenario, on as many threads as are given; what they say is put together in their order.

use super::arrivals::Part;
use super::event::EventTally;
use super::governed;
use super::model::Source;
use super::report::{Counts, RecordingLine, Report};
use super::shard::{self, ShardPlan, ShardResult, Uses};
use super::{Files, Progress, RunError, Scenario};
use crate::trace::replayed;
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
    let is_governed = |plan: &ShardPlan| {
        let mut sites = plan
            .groups
            .iter()
            .map(|group| scenario.engines[*group].site);
        sites.any(|site| governed::is_governed(scenario, site))
    };
    let (beside, alone): (Vec<_>, Vec<_>) = plans
        .iter()
        .enumerate()
        .partition(|(_, plan)| is_governed(plan));
    progress.shards.store(plans.len(), Ordering::Relaxed);
    let next = AtomicUsize::new(0);
    let collected = Mutex::new(Collected::new(scenario));
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((at, plan)) = alone.get(at) else {
                return;
            };
            let result = shard::run((scenario, files), plan, progress);
            let mut collected = collected
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            collected.take(*at, result);
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads.min(alone.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut collected = collected
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut governed = governed::run((scenario, files), &beside, threads, progress)?;
    for (at, result) in governed.shards.drain(..) {
        collected.take(at, result);
    }
    let recordings = recordings(scenario, files)?;
    let report = Report::new(scenario, collected.finish()?, governed);
    Ok(Report {
        recordings,
        ..report
    })
}

/// How far the core decides as it did in recordings that are traces here.
fn recordings(scenario: &Scenario, files: &Files) -> Result<Vec<RecordingLine>, RunError> {
    let mut lines: Vec<RecordingLine> = Vec::new();
    for demand in &scenario.demands {
        let Source::Trace(trace) = &demand.source else {
            continue;
        };
        if lines.iter().any(|line| line.file == trace.file) {
            continue;
        }
        let wrong = |error| RunError::Trace(demand.id.clone(), error);
        let reader = files.open(&trace.file).map_err(Into::into).map_err(wrong)?;
        let agreement = replayed(reader).map_err(wrong)?;
        lines.extend(agreement.map(|agreement| RecordingLine::new(&trace.file, agreement)));
    }
    Ok(lines)
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
                events: scenario
                    .events
                    .iter()
                    .map(|_| EventTally::default())
                    .collect(),
                shards: 0,
                spent: BTreeMap::new(),
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
        self.counts.shards += 1;
        for (tenant, more) in &result.spent {
            self.counts.spent.entry(*tenant).or_default().add(more);
        }
        for (sum, more) in self.counts.events.iter_mut().zip(&result.tally.events) {
            sum.add(more);
        }
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
        let shift = u32::try_from(index).unwrap_or(0) % scenario.cells;
        let first = (cell + scenario.cells - shift) % scenario.cells;
        let step = usize::try_from(scenario.cells).unwrap_or(usize::MAX);
        let here = (first..group.count).step_by(step);
        engines.extend(here.map(|place| (index, place)));
    }
    engines
}
