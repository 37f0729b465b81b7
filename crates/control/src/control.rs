//! The control plane's handle: load, reload, look, stop.

use crate::jobs::{JobsOptions, JobsPlane};
use crate::launching::Launcher;
use crate::power::PowerPlane;
use crate::reconciler::{Board, Order, Reconciler, board_views};
use crate::source::{ApplyError, FleetSource};
use crate::view::ReplicaView;
use madang_executor::{GuardProgram, SupervisorOptions, logs, reap_leftovers};
use madang_fleet::{FileProblems, Fleet};
use madang_gateway::credits::Folded;
use madang_gateway::gateway::Gateway;
use madang_gateway::metrics::{FleetSample, ReplicaSample};
use madang_provision::{Cache, Prepared, Progress};
use madang_store::PowerBook;
use madang_types::ReplicaId;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior};

/// Orders that may wait while one is carried out.
const ORDERS_MAX: usize = 16;
/// Time between looks at the deadlines of waiting requests.
const TICK_MS: u64 = 50;
/// Time between two looks at what other gateways changed in the books that they share.
const FOLLOW_MS: u64 = 1_000;
/// Time between two looks at what is granted.
const SHARE_MS: u64 = 10_000;
/// How often credit is worked out anew from books that other gateways write to.
const CREDIT_EVERY: Duration = Duration::from_secs(3_600);

/// What the control plane is made of.
pub struct ControlOptions {
    /// Where the fleet comes from.
    pub source: FleetSource,
    /// Logs and pid files live here.
    pub data_dir: PathBuf,
    /// The guard of launched engines.
    pub guard: GuardProgram,
    /// Weights and engines.
    pub cache: Cache,
    /// Who hears of downloads.
    pub progress: Arc<dyn Progress>,
    /// What batch jobs are driven with.
    pub jobs: JobsOptions,
    /// Where caps and events of power are kept.
    pub power: Arc<dyn PowerBook>,
}

/// A load that was carried out.
#[derive(Clone, Debug)]
pub struct Applied {
    /// Counts loads.
    pub generation: u64,
    /// Replicas that start.
    pub started: usize,
    /// Replicas that leave or start anew.
    pub leaving: usize,
    /// What the operator should be told all the same: of the fleet file, then of the policy's own.
    pub warnings: Vec<FileProblems>,
}

/// The control plane.
pub struct Control {
    gateway: Arc<Gateway>,
    jobs: Arc<JobsPlane>,
    power: Arc<PowerPlane>,
    orders: mpsc::Sender<Order>,
    board: Board,
    log_dir: PathBuf,
    fleet_name: PathBuf,
    task: Mutex<Option<JoinHandle<()>>>,
    /// What looks again and again, until the stop.
    loops: [JoinHandle<()>; 3],
    stop: watch::Sender<bool>,
}

impl Control {
    /// Starts the control plane with no fleet; [`Control::reload`] loads the first.
    ///
    /// # Errors
    /// A folder under the data folder cannot be made.
    pub async fn start(
        gateway: Arc<Gateway>,
        drained: mpsc::UnboundedReceiver<ReplicaId>,
        options: ControlOptions,
    ) -> io::Result<Arc<Self>> {
        let ControlOptions {
            source,
            data_dir,
            guard,
            cache,
            progress,
            jobs,
            power,
        } = options;
        let log_dir = data_dir.join("logs");
        let run_dir = data_dir.join("run");
        make_folder(&log_dir)?;
        make_folder(&run_dir)?;
        for reaped in reap_leftovers(&run_dir).await? {
            tracing::warn!(
                replica = reaped.replica,
                gone = reaped.gone,
                "ended an engine left by an earlier run"
            );
        }
        let board = Board::default();
        let launcher = Launcher {
            supervisor: SupervisorOptions::new(guard, log_dir.clone()),
            run_dir,
            client: gateway.client.clone(),
        };
        let fleet_name = source.name();
        let (stop, stop_asked) = watch::channel(false);
        let reconciler = Reconciler {
            gateway: Arc::clone(&gateway),
            source,
            cache,
            progress,
            launcher,
            board: Arc::clone(&board),
            drained,
            wanted: Arc::new(Fleet::default()),
            prepared: Prepared::default(),
            running: BTreeMap::new(),
            leaving: BTreeSet::new(),
            ending: BTreeSet::new(),
            stopping: JoinSet::new(),
            stop_asked,
        };
        let sampled = (Arc::clone(&board), Arc::downgrade(&gateway));
        gateway.sampler_set(Box::new(move || sample(&sampled.0, &sampled.1)));
        let jobs = JobsPlane::start(Arc::clone(&gateway), jobs, Arc::clone(&power));
        // Before the fleet is there, and anybody is served.
        let power = PowerPlane::start(Arc::clone(&gateway), Arc::clone(&jobs), power).await;
        let (orders, waiting) = mpsc::channel(ORDERS_MAX);
        let task = Mutex::new(Some(tokio::spawn(reconciler.run(waiting))));
        let loops = [
            tokio::spawn(tick(Arc::clone(&gateway))),
            tokio::spawn(follow(Arc::clone(&gateway))),
            tokio::spawn(share(Arc::clone(&gateway))),
        ];
        Ok(Arc::new(Self {
            jobs,
            power,
            gateway,
            orders,
            board,
            log_dir,
            fleet_name,
            task,
            loops,
            stop,
        }))
    }

    /// Reads the fleet again and makes it the running one: whole, or not at all.
    ///
    /// # Errors
    /// What keeps it from being used; the fleet before goes on serving.
    pub async fn reload(&self) -> Result<Applied, ApplyError> {
        let (answer, result) = oneshot::channel();
        self.orders
            .send(Order::Reload(answer))
            .await
            .map_err(|_| ApplyError::Stopping)?;
        result.await.map_err(|_| ApplyError::Stopping)?
    }

    /// The data plane.
    pub fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// Batch jobs.
    pub fn jobs(&self) -> &Arc<JobsPlane> {
        &self.jobs
    }

    /// Power.
    pub fn power(&self) -> &Arc<PowerPlane> {
        &self.power
    }

    /// How the fleet is called in messages.
    pub fn fleet_name(&self) -> &Path {
        &self.fleet_name
    }

    /// Every replica, by id.
    pub fn replicas(&self) -> Vec<ReplicaView> {
        board_views(&self.board, &self.gateway.status())
    }

    /// The newest lines of a launched replica's log, oldest first; `None` where there is no such replica.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn log_tail(
        &self,
        replica: &ReplicaId,
        lines_max: usize,
    ) -> io::Result<Option<Vec<String>>> {
        let known = self
            .board
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(replica);
        match logs::tail(&self.log_dir, replica, lines_max) {
            Ok(lines) if known || !lines.is_empty() => Ok(Some(lines)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(known.then(Vec::new)),
            Err(error) => Err(error),
        }
    }

    /// Where the logs of launched replicas are.
    pub fn log_dir(&self) -> &Path {
        &self.log_dir
    }

    /// Stops every launched engine with all its processes. Jobs go on, and are found again.
    pub async fn stop(&self) {
        self.power.stop();
        self.jobs.stop();
        for task in &self.loops {
            task.abort();
        }
        self.stop.send_replace(true);
        let (answer, done) = oneshot::channel();
        let told = self.orders.send(Order::Stop(answer)).await.is_ok();
        if told && done.await.is_err() {
            tracing::error!("the reconciler ended before it had stopped everything");
        }
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task
            && task.await.is_err()
        {
            tracing::error!("the reconciler panicked");
        }
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    std::fs::create_dir_all(path).map_err(named)
}

async fn tick(gateway: Arc<Gateway>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
    loop {
        ticks.tick().await;
        gateway.tick();
    }
}

/// Looks again and again for what other gateways changed in the books; ends where nobody else writes to them.
async fn follow(gateway: Arc<Gateway>) {
    let mut looks = tokio::time::interval(Duration::from_millis(FOLLOW_MS));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Told when it begins, not at each look.
    let mut away = false;
    loop {
        looks.tick().await;
        match gateway.books_follow().await {
            Ok(true) => away = false,
            Ok(false) => return,
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(%error, "what other gateways change is not seen: the books cannot be read");
                }
            }
        }
    }
}

/// Keeps weights true to what is granted now, and credit to the books: once the first fleet is there, and where other gateways
/// write to the books too, from time to time.
async fn share(gateway: Arc<Gateway>) {
    let mut looks = tokio::time::interval(Duration::from_millis(SHARE_MS));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // When credit is read next; `None` once it need not be.
    let mut next = Some(Instant::now());
    let mut folded = Folded::default();
    // Told when it begins, not at each look.
    let mut away = false;
    loop {
        looks.tick().await;
        gateway.shares_apply();
        let due = next.is_some_and(|at| at <= Instant::now());
        if !due || gateway.snapshot().generation == 0 {
            continue;
        }
        match gateway.credits_restore(&mut folded).await {
            Ok(shared) => {
                away = false;
                next = shared.then(|| Instant::now() + CREDIT_EVERY);
            }
            Err(error) => {
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(%error, "credit is as it was: the books cannot be read");
                }
            }
        }
    }
}

/// The fleet's gauges as they stand.
fn sample(board: &Board, gateway: &Weak<Gateway>) -> FleetSample {
    let Some(gateway) = gateway.upgrade() else {
        return FleetSample::default();
    };
    let replica = |view: ReplicaView| ReplicaSample {
        replica: view.id,
        site: view.site,
        model: view.model,
        up: view.state == "up",
        restarts: view.starts_count.saturating_sub(1),
        engine_tells: view.load.is_some(),
        engine_running: view.load.as_ref().and_then(|load| load.running),
        engine_waiting: view.load.as_ref().and_then(|load| load.waiting),
        kv_used_ratio: view.load.as_ref().and_then(|load| load.kv_used_ratio),
    };
    let pools = gateway.status();
    let replicas = board_views(board, &pools).into_iter().map(replica);
    FleetSample {
        replicas: replicas.collect(),
        shares: gateway.share_status(),
        pools,
    }
}
