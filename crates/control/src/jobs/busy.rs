//! The task that measures: from time to time it asks how busy the accelerators of runs are, and notes sums of it in the books.

use super::JobsPlane;
use super::dcgm::Dcgm;
use futures_util::future::join_all;
use madang_executor::jobs::{RunMeter, RunStatus};
use madang_fleet::JobsExecutor;
use madang_gateway::clock;
use madang_types::{
    BusySource, Measured, Micros, NodesHeld, NodesId, RunBusy, RunId, RunRecord, accelerator_ms,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Between two looks at whether it is time: another fleet may measure more often. Shorter than the shortest of them.
const REST: Duration = Duration::from_millis(500);
/// The longest that one meter may take.
const METER_TIME: Duration = Duration::from_secs(20);
/// The variable by which a program is told NVIDIA's accelerators: these the machine's own meter knows by the same numbers.
const NVIDIA: &str = "CUDA_VISIBLE_DEVICES";
/// A run that is over is asked about so often: an accounting hears of it late.
const LAST_ROUNDS: u32 = 3;

/// What is known from one look to the next.
#[derive(Default)]
struct Noted {
    looked_at: Option<Micros>,
    runs: BTreeMap<RunId, Noting>,
    /// Machines of which nobody told anything at the last look.
    silent: BTreeSet<NodesId>,
}

struct Noting {
    record: RunRecord,
    busy: RunBusy,
    /// Once it is over: when, and how often it is still asked about.
    last: Option<(Micros, u32)>,
}

/// Measures until the plane is gone.
pub(super) async fn keep(plane: Weak<JobsPlane>) {
    let mut noted = Noted::default();
    let mut looked_at = Instant::now();
    loop {
        // Whoever rests does not keep it.
        sleep(REST).await;
        let Some(plane) = plane.upgrade() else {
            return;
        };
        if looked_at.elapsed() >= Duration::from_millis(plane.measure_ms()) {
            looked_at = Instant::now();
            plane.measure(&mut noted).await;
        }
    }
}

impl JobsPlane {
    fn measure_ms(&self) -> u64 {
        self.gateway.snapshot().fleet.jobs.measure_ms
    }

    /// One look.
    async fn measure(&self, noted: &mut Noted) {
        if self.lock().is_none() {
            // Another gateway drives, and measures.
            *noted = Noted::default();
            return;
        }
        let live = self.live();
        if let Err(error) = self.follow_measured(noted, &live).await {
            tracing::warn!(%error, "runs are not measured: the books cannot be read");
            return;
        }
        let now = clock::now();
        // Time in which nobody looked is nobody's.
        let span_ms_max = self.measure_ms().saturating_mul(2);
        let looked_at = noted.looked_at.replace(now);
        let span_us = looked_at.map_or(0, |at| now.since_us(at).min(span_ms_max * 1_000));
        let mut changed = Vec::new();
        for (run, measured, source) in self.ask_meters(noted).await {
            let Some(noting) = noted.runs.get_mut(&run) else {
                continue;
            };
            let at = noting.last.map_or(now, |(at, _)| at);
            let (busy, milli) = (&mut noting.busy, noting.record.accelerator_milli);
            let before = busy.samples;
            busy.note(measured, (at, span_ms_max), milli);
            if busy.samples != before {
                busy.source = Some(source);
                changed.push(busy.clone());
            }
        }
        let held = self.held(&live, span_us);
        if changed.is_empty() && held.is_empty() {
            return;
        }
        if let Err(error) = self.book.busy_write(now, changed, held).await {
            tracing::warn!(%error, "how busy runs are is not noted");
        }
    }

    /// Takes up runs that have begun, and those that are over for the last time.
    async fn follow_measured(
        &self,
        noted: &mut Noted,
        live: &[RunRecord],
    ) -> Result<(), madang_store::StoreError> {
        let begun = live.iter().filter(|run| run.started_at.is_some());
        let begun: BTreeMap<RunId, &RunRecord> = begun.map(|run| (run.run, run)).collect();
        let new = begun.keys().filter(|run| !noted.runs.contains_key(run));
        let new: Vec<RunId> = new.copied().collect();
        let known = self.book.busy_of(new.clone()).await?;
        let mut known: BTreeMap<RunId, RunBusy> =
            known.into_iter().map(|busy| (busy.run, busy)).collect();
        for run in new {
            let record = begun[&run].clone();
            let began_at = record.started_at.unwrap_or(record.created_at);
            let fresh = || RunBusy::new(run, began_at);
            let noting = Noting {
                busy: known.remove(&run).unwrap_or_else(fresh),
                record,
                last: None,
            };
            noted.runs.insert(run, noting);
        }
        let mut over = Vec::new();
        for (run, noting) in &mut noted.runs {
            match (&mut noting.last, begun.contains_key(run)) {
                (None, true) => {}
                (None, false) => over.push(*run),
                (Some((_, rounds)), _) => *rounds = rounds.saturating_sub(1),
            }
        }
        for run in over {
            let ended_at = self.ended_at(&noted.runs[&run].record).await;
            if let Some(noting) = noted.runs.get_mut(&run) {
                noting.last = Some((ended_at, LAST_ROUNDS));
            }
        }
        let asked = |noting: &Noting| noting.last.is_none_or(|(_, rounds)| rounds > 0);
        noted.runs.retain(|_, noting| asked(noting));
        Ok(())
    }

    /// When a run ended, as its executor tells it; now, where it does not.
    async fn ended_at(&self, run: &RunRecord) -> Micros {
        let looked = match self.executor_of(run).await {
            Ok(Some(executor)) => executor.look(run.run).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match looked {
            Ok(Some(RunStatus::Ended(end))) => end.ended_at,
            _ => clock::now(),
        }
    }

    /// What the meters tell of all runs, each group of machines by its own.
    async fn ask_meters(&self, noted: &mut Noted) -> Vec<(RunId, Measured, BusySource)> {
        let mut by_nodes: BTreeMap<NodesId, Vec<RunRecord>> = BTreeMap::new();
        for noting in noted.runs.values() {
            let nodes = noting.record.nodes.clone();
            by_nodes
                .entry(nodes)
                .or_default()
                .push(noting.record.clone());
        }
        let asked = by_nodes.into_iter().filter_map(|(nodes, runs)| {
            let meter = self.meter(&nodes)?;
            Some(async move { (nodes, ask(&*meter, &runs).await) })
        });
        let mut all = Vec::new();
        let mut silent = BTreeSet::new();
        for (nodes, told) in join_all(asked).await {
            match told {
                Ok(told) => all.extend(told),
                Err(why) => {
                    // Told when it begins, not at each look.
                    if !noted.silent.contains(&nodes) {
                        tracing::warn!(%nodes, why, "nobody tells how busy runs are");
                    }
                    silent.insert(nodes);
                }
            }
        }
        noted.silent = silent;
        all
    }

    /// What measures those machines; of a machine whose accelerators nothing tells, nothing.
    fn meter(&self, nodes: &NodesId) -> Option<Arc<dyn RunMeter>> {
        let snapshot = self.gateway.snapshot();
        let jobs = snapshot.fleet.nodes.get(nodes)?.jobs.as_ref()?;
        if !self.reaches(jobs) {
            return None;
        }
        if let Some(url) = &jobs.dcgm_url {
            return Some(Arc::new(Dcgm {
                client: self.gateway.client.clone(),
                url: url.clone(),
            }));
        }
        let named = jobs.device_variable.as_deref() == Some(NVIDIA);
        if jobs.executor == JobsExecutor::Local && !named {
            return None;
        }
        let key = (jobs.executor, jobs.cluster.clone());
        self.meters.get(&key).cloned()
    }

    /// What there was of machines for so long, and what of it runs held.
    fn held(&self, live: &[RunRecord], span_us: u64) -> Vec<NodesHeld> {
        let mut milli: BTreeMap<&NodesId, u64> = BTreeMap::new();
        for run in live {
            *milli.entry(&run.nodes).or_default() += run.accelerator_milli;
        }
        let of = |nodes: madang_core::desk::DeskNodes| {
            let capacity = u64::from(nodes.count) * u64::from(nodes.per_node) * 1_000;
            let held = milli.get(&nodes.id).copied().unwrap_or(0).min(capacity);
            NodesHeld {
                capacity_ms: accelerator_ms(capacity, span_us),
                held_ms: accelerator_ms(held, span_us),
                nodes: nodes.id,
            }
        };
        self.nodes(Self::reaches).into_iter().map(of).collect()
    }
}

async fn ask(
    meter: &dyn RunMeter,
    runs: &[RunRecord],
) -> Result<Vec<(RunId, Measured, BusySource)>, String> {
    let told = timeout(METER_TIME, meter.measure(runs)).await;
    let late = |_| format!("no answer in {} s", METER_TIME.as_secs());
    let told = told.map_err(late)?.map_err(|error| error.to_string())?;
    let with_source = |(run, measured)| (run, measured, meter.source(measured));
    Ok(told.into_iter().map(with_source).collect())
}
