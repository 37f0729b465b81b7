//! Load, closed and open, and what one measurement of it gives.

use crate::client::{Client, nanos};
use crate::gateways::Gateway;
use crate::process;
use crate::scenario::{self, Load, Scenario};
use crate::stats::percentile;
use anyhow::{Context, ensure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

/// Load before a measurement counts: connections open, caches warm.
const WARM_UP: Duration = Duration::from_millis(150);
/// Connections of the open loop: many more than are ever busy below saturation.
const OPEN_CONNECTIONS: usize = 64;
/// Requests of the open loop that may wait for a connection.
const OPEN_WAITING_MAX: usize = 16_384;
/// How often the open loop releases what is due.
const OPEN_TICK: Duration = Duration::from_millis(1);

/// One measurement. Times in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub per_s: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub first_p50_us: f64,
    pub first_p99_us: f64,
    pub gap_p50_us: f64,
    pub gap_p99_us: f64,
    /// CPU of the gateway's processes for each request; `NaN` where there is no gateway.
    pub cpu_us: f64,
}

/// What the connections share.
#[derive(Default)]
struct Shared {
    measuring: AtomicBool,
    stop: AtomicBool,
    done_count: AtomicU64,
}

#[derive(Default)]
struct Times {
    total_ns: Vec<u64>,
    first_ns: Vec<u64>,
    gaps_ns: Vec<u64>,
}

/// A measurement of `length` after a warm-up.
///
/// # Errors
/// A request failed or was answered with anything but the upstream's bytes.
pub async fn run(
    gateway: &Gateway,
    scenario: &Scenario,
    length: Duration,
) -> anyhow::Result<Sample> {
    let request: Arc<[u8]> = scenario::request(scenario, &gateway.key).into();
    let shared = Arc::new(Shared::default());
    let mut tasks = JoinSet::new();
    let connections = match scenario.load {
        Load::Closed { connections } => connections,
        Load::Open { .. } => OPEN_CONNECTIONS,
    };
    let (release, due) = mpsc::channel(OPEN_WAITING_MAX);
    let due = Arc::new(Mutex::new(due));
    for _ in 0..connections {
        let worker = Worker {
            client: Client::connect(gateway.address).await?,
            request: Arc::clone(&request),
            stream: scenario.stream,
            shared: Arc::clone(&shared),
            times: Times::default(),
        };
        match scenario.load {
            Load::Closed { .. } => tasks.spawn(worker.closed()),
            Load::Open { .. } => tasks.spawn(worker.open(Arc::clone(&due))),
        };
    }
    if let Load::Open { per_s } = scenario.load {
        tasks.spawn(release_at(per_s, release, Arc::clone(&shared)));
    }
    let (count, seconds, cpu_ns) = window(gateway, &shared, length).await?;
    let mut times = Times::default();
    while let Some(joined) = tasks.join_next().await {
        let one = joined.context("a connection of the load panicked")??;
        times.total_ns.extend(one.total_ns);
        times.first_ns.extend(one.first_ns);
        times.gaps_ns.extend(one.gaps_ns);
    }
    ensure!(count > 0, "no request was answered");
    Ok(sample(times, (count, seconds, cpu_ns)))
}

/// Counts requests and the gateway's CPU between two moments under full load, then ends it.
async fn window(
    gateway: &Gateway,
    shared: &Shared,
    length: Duration,
) -> anyhow::Result<(u64, f64, Option<u64>)> {
    tokio::time::sleep(WARM_UP).await;
    let cpu_before = process::cpu_ns(&gateway.pids)?;
    let count_before = shared.done_count.load(Ordering::Relaxed);
    let begun = Instant::now();
    shared.measuring.store(true, Ordering::Relaxed);
    tokio::time::sleep(length).await;
    let count = shared.done_count.load(Ordering::Relaxed) - count_before;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu_ns = process::cpu_ns(&gateway.pids)?.zip(cpu_before);
    shared.stop.store(true, Ordering::Relaxed);
    Ok((
        count,
        seconds,
        cpu_ns.map(|(after, before)| after.saturating_sub(before)),
    ))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "times and counts are far below 2^52"
)]
fn sample(mut times: Times, (count, seconds, cpu_ns): (u64, f64, Option<u64>)) -> Sample {
    let mut at = |values: fn(&mut Times) -> &mut Vec<u64>, share| {
        let values = values(&mut times);
        values.sort_unstable();
        percentile(values, share) as f64 / 1000.0
    };
    Sample {
        per_s: count as f64 / seconds,
        p50_us: at(|t| &mut t.total_ns, 0.5),
        p99_us: at(|t| &mut t.total_ns, 0.99),
        first_p50_us: at(|t| &mut t.first_ns, 0.5),
        first_p99_us: at(|t| &mut t.first_ns, 0.99),
        gap_p50_us: at(|t| &mut t.gaps_ns, 0.5),
        gap_p99_us: at(|t| &mut t.gaps_ns, 0.99),
        cpu_us: cpu_ns.map_or(f64::NAN, |ns| ns as f64 / count as f64 / 1000.0),
    }
}

struct Worker {
    client: Client,
    request: Arc<[u8]>,
    stream: bool,
    shared: Arc<Shared>,
    times: Times,
}

impl Worker {
    async fn closed(mut self) -> anyhow::Result<Times> {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.one(Instant::now()).await?;
        }
        Ok(self.times)
    }

    async fn open(mut self, due: Arc<Mutex<mpsc::Receiver<Instant>>>) -> anyhow::Result<Times> {
        loop {
            let released = due.lock().await.recv().await;
            let Some(released) = released else {
                return Ok(self.times);
            };
            self.one(released).await?;
        }
    }

    /// One request; its time runs from `since`.
    async fn one(&mut self, since: Instant) -> anyhow::Result<()> {
        let counts = self.shared.measuring.load(Ordering::Relaxed);
        let gaps_count = self.times.gaps_ns.len();
        let timing = self
            .client
            .ask(&self.request, self.stream, &mut self.times.gaps_ns)
            .await?;
        self.shared.done_count.fetch_add(1, Ordering::Relaxed);
        if counts {
            self.times.total_ns.push(nanos(since, timing.done));
            self.times.first_ns.push(nanos(since, timing.first));
        } else {
            self.times.gaps_ns.truncate(gaps_count);
        }
        Ok(())
    }
}

/// Releases requests at a fixed rate, at the runtime's grain of a millisecond. A request's time runs from its release,
/// so waiting for a free connection counts.
async fn release_at(
    per_s: u32,
    release: mpsc::Sender<Instant>,
    shared: Arc<Shared>,
) -> anyhow::Result<Times> {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(OPEN_TICK);
    let mut released = 0.0;
    while !shared.stop.load(Ordering::Relaxed) {
        ticks.tick().await;
        while released < begun.elapsed().as_secs_f64() * f64::from(per_s) {
            release
                .try_send(Instant::now())
                .context("the rate is above what the gateway can do")?;
            released += 1.0;
        }
    }
    Ok(Times::default())
}
