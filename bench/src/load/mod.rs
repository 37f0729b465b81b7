//! Load, closed and open, and what one measurement of it gives. The same for every gateway: connections, rates,
//! warm-up, bounds. A request that fails is counted and never tried again.

mod worker;

use crate::gateways::Gateway;
use crate::process;
use crate::scenario::{self, Load, Scenario};
use crate::stats::percentile;
use crate::upstream;
use anyhow::Context;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use worker::{Times, Worker};

/// Load before a measurement counts: connections open, caches warm.
const WARM_UP: Duration = Duration::from_millis(250);
/// How much longer it may last until each connection has had an answer.
const WARM_UP_MAX: Duration = Duration::from_secs(3);
const WARM_UP_LOOK: Duration = Duration::from_millis(10);
/// Connections of the open loop: many more than are ever busy below saturation.
const OPEN_CONNECTIONS: usize = 64;
/// Requests of the open loop that may wait for a connection.
const OPEN_WAITING_MAX: usize = 16_384;
/// How often the open loop releases what is due.
const OPEN_TICK: Duration = Duration::from_millis(1);
/// Time after the open loop has ended for what still waits; what is left then counts as unanswered.
const OPEN_GRACE: Duration = Duration::from_millis(500);
/// Requests of one measurement, whatever its length: a bound on memory.
const REQUESTS_MAX: u64 = 2_000_000;

/// One measurement. Times in microseconds; `NaN` where there was nothing to measure.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Requests answered in each second of the window.
    pub per_s: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub first_p50_us: f64,
    pub first_p99_us: f64,
    pub gap_p50_us: f64,
    pub gap_p99_us: f64,
    /// CPU of the gateway's processes and their children for each request, user and system; `NaN` without a gateway.
    pub cpu_us: f64,
    /// Resident memory at the end of the window, MB; `NaN` without a gateway.
    pub resident_mb: f64,
    /// Requests whose times are in the percentiles.
    pub timed: u64,
    /// Requests that failed, warm-up included.
    pub failed: u64,
    /// Requests of the open loop that were due and never got a connection: the rate is above what the gateway can do.
    pub unanswered: u64,
    /// What went wrong first.
    pub failure: Option<String>,
}

/// One figure of a measurement.
pub type Field = fn(&Sample) -> f64;

/// What the connections share.
#[derive(Default)]
struct Shared {
    measuring: AtomicBool,
    stop: AtomicBool,
    /// What waits in the open loop is given up.
    over: AtomicBool,
    warm: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    unanswered: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Shared {
    fn is_full(&self) -> bool {
        let all = self.done.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed);
        self.stop.load(Ordering::Relaxed) || all >= REQUESTS_MAX
    }

    fn fail(&self, why: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert(why);
        }
    }
}

/// A request of the open loop that is due.
struct Due {
    since: Instant,
    counts: bool,
}

/// What one window has seen.
struct Window {
    count: u64,
    seconds: f64,
    cpu_ns: Option<u64>,
    resident_kb: u64,
}

/// A measurement of `length` after a warm-up.
///
/// # Errors
/// A process of the gateway has ended.
pub async fn run(
    gateway: &Gateway,
    scenario: &Scenario,
    length: Duration,
) -> anyhow::Result<Sample> {
    let request: Arc<[u8]> = scenario::request_to(gateway, scenario).into();
    let shared = Arc::new(Shared::default());
    let mut tasks = JoinSet::new();
    let (release, due) = mpsc::channel(OPEN_WAITING_MAX);
    let due = Arc::new(tokio::sync::Mutex::new(due));
    let connections = match scenario.load {
        Load::Closed { connections } => connections,
        Load::Open { .. } => OPEN_CONNECTIONS,
    };
    for number in 0..connections {
        let request = Arc::clone(&request);
        let worker = Worker::new(gateway, request, scenario.stream, Arc::clone(&shared)).await?;
        match scenario.load {
            Load::Closed { .. } => tasks.spawn(worker.closed(stagger(scenario, number))),
            Load::Open { .. } => tasks.spawn(worker.open(Arc::clone(&due))),
        };
    }
    let warm_at = match scenario.load {
        Load::Closed { connections } => connections,
        Load::Open { per_s } => {
            tasks.spawn(release_at(per_s, release, Arc::clone(&shared)));
            1
        }
    };
    warm_up(&shared, warm_at).await;
    let window = window(gateway, &shared, length).await?;
    let times = collect(tasks, &shared).await?;
    gateway.add_answered(shared.done.load(Ordering::Relaxed));
    Ok(sample(times, &window, &shared))
}

/// Waits for the connections, which end when the load does; what still waits after [`OPEN_GRACE`] is given up.
async fn collect(mut tasks: JoinSet<Times>, shared: &Shared) -> anyhow::Result<Times> {
    let mut times = Times::default();
    let mut grace = pin!(tokio::time::sleep(OPEN_GRACE));
    loop {
        tokio::select! {
            joined = tasks.join_next() => match joined {
                Some(one) => times.extend(one.context("a connection of the load panicked")?),
                None => return Ok(times),
            },
            () = &mut grace, if !shared.over.load(Ordering::Relaxed) => {
                shared.over.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// Streams with pauses begin spread over the time that one takes, else all of them end at once and a window counts whole
/// waves.
fn stagger(scenario: &Scenario, number: usize) -> Duration {
    let Load::Closed { connections } = scenario.load else {
        return Duration::ZERO;
    };
    let one = Duration::from_millis(scenario.gap_ms) * u32::try_from(upstream::CHUNKS).unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "a few connections")]
    one.mul_f64(number as f64 / connections.max(1) as f64)
}

async fn warm_up(shared: &Shared, connections: usize) {
    let begun = Instant::now();
    tokio::time::sleep(WARM_UP).await;
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX);
    while shared.warm.load(Ordering::Relaxed) < wanted && begun.elapsed() < WARM_UP_MAX {
        tokio::time::sleep(WARM_UP_LOOK).await;
    }
}

/// Counts requests and the gateway's CPU between two moments under full load, then ends it.
async fn window(gateway: &Gateway, shared: &Shared, length: Duration) -> anyhow::Result<Window> {
    let cpu_before = process::cpu(&gateway.pids)?;
    let count_before = shared.done.load(Ordering::Relaxed);
    let begun = Instant::now();
    shared.measuring.store(true, Ordering::Relaxed);
    tokio::time::sleep(length).await;
    let count = shared.done.load(Ordering::Relaxed) - count_before;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = process::cpu(&gateway.pids)?.zip(cpu_before);
    shared.measuring.store(false, Ordering::Relaxed);
    shared.stop.store(true, Ordering::Relaxed);
    Ok(Window {
        count,
        seconds,
        cpu_ns: cpu.map(|(after, before)| after.since(before)),
        resident_kb: process::resident_kb(&gateway.pids)?,
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "times and counts are far below 2^52"
)]
fn sample(mut times: Times, window: &Window, shared: &Shared) -> Sample {
    let mut at = |values: fn(&mut Times) -> &mut Vec<u64>, share| {
        let values = values(&mut times);
        values.sort_unstable();
        if values.is_empty() {
            return f64::NAN;
        }
        percentile(values, share) as f64 / 1000.0
    };
    let of_gateway = |value: f64| window.cpu_ns.map_or(f64::NAN, |_| value);
    let cpu_ns = window.cpu_ns.unwrap_or_default() as f64;
    Sample {
        per_s: window.count as f64 / window.seconds,
        p50_us: at(|t| &mut t.total_ns, 0.5),
        p99_us: at(|t| &mut t.total_ns, 0.99),
        first_p50_us: at(|t| &mut t.first_ns, 0.5),
        first_p99_us: at(|t| &mut t.first_ns, 0.99),
        gap_p50_us: at(|t| &mut t.gaps_ns, 0.5),
        gap_p99_us: at(|t| &mut t.gaps_ns, 0.99),
        cpu_us: if window.count == 0 {
            f64::NAN
        } else {
            of_gateway(cpu_ns / window.count as f64 / 1000.0)
        },
        resident_mb: of_gateway(window.resident_kb as f64 / 1000.0),
        timed: times.total_ns.len() as u64,
        failed: shared.failed.load(Ordering::Relaxed),
        unanswered: shared.unanswered.load(Ordering::Relaxed),
        failure: shared.failure.lock().ok().and_then(|why| why.clone()),
    }
}

/// Releases requests at a fixed rate, at the runtime's grain of a millisecond. A request's time runs from its release,
/// so waiting for a free connection counts.
async fn release_at(per_s: u32, release: mpsc::Sender<Due>, shared: Arc<Shared>) -> Times {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(OPEN_TICK);
    let mut released = 0.0;
    while !shared.is_full() {
        ticks.tick().await;
        while released < begun.elapsed().as_secs_f64() * f64::from(per_s) {
            let due = Due {
                since: Instant::now(),
                counts: shared.measuring.load(Ordering::Relaxed),
            };
            if release.try_send(due).is_err() {
                shared.unanswered.fetch_add(1, Ordering::Relaxed);
            }
            released += 1.0;
        }
    }
    Times::default()
}
