//! `madang up`: data folder, books, fleet, endpoint; then wait, and leave nothing behind.

pub mod data_folder;
mod first_keys;
mod fleet_source;
mod jobs;
mod log_writer;
mod logging;
pub mod signals;
pub mod store;
mod welcome;

pub use fleet_source::{default_source, model_source};

use crate::args::UpArgs;
use crate::commands::load_failure;
use anyhow::{Context, anyhow};
use data_folder::DataFolder;
use first_keys::FirstKeys;
use madang_control::jobs::JobsPlane;
use madang_control::{ApplyError, Control, ControlOptions, FleetSource};
use madang_executor::GuardProgram;
use madang_fleet::{AuditLog, FileProblems, Fleet, Limits};
use madang_gateway::audit::{Audit, Settings};
use madang_gateway::batches::Batches;
use madang_gateway::client::ClientOptions;
use madang_gateway::doors::FrontDoors;
use madang_gateway::edge::{self, EdgeOptions, EdgeReport};
use madang_gateway::fine_tuning::{FineTunings, Jobs};
use madang_gateway::gateway::{Gateway, GatewayError, GatewayOptions};
use madang_provision::{Cache, progress_for_terminal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signals::{Asked, Signals};
use std::io;
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The hidden subcommand that stands beside each launched engine.
pub const GUARD_SUBCOMMAND: &str = "engine-guard";
/// The books, in the data folder.
pub const BOOKS_FILE: &str = "madang.sqlite";
/// Time that streams over `limits.drain_ms_max` have to send their error event and be booked.
const CUT_MS: u64 = 1_000;

/// Serves until a signal says otherwise.
pub async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let _log = logging::start(&args.log, args.log_format)?;
    raise_open_files();
    // Everything that can be wrong with what was asked comes before anything is made.
    let source = fleet_source(&args).await?;
    let reading = source.clone();
    let read = tokio::task::spawn_blocking(move || reading.read()).await?;
    let fleet = read.map_err(load_failure)?.fleet;
    let books = store::Books::of(&args)?;
    // From here on a signal ends things in order; before, there is nothing to end.
    let mut signals = Signals::new()?;
    let mut folder = DataFolder::open(&args.data)?;
    let listener = listen(&args).await?;
    folder.announce(listener.local_addr()?)?;

    let shared = books.are_shared();
    let store::Opened {
        gateway,
        store,
        bank,
        jobs,
        ledger,
        power,
    } = books.open(&folder, &fleet.limits).await?;
    let jobs = jobs::options((&gateway, shared), (jobs, ledger), &folder, &fleet)?;
    let (gateway, drained) = Gateway::new(GatewayOptions {
        id: gateway,
        store: Arc::clone(&store),
        bank,
        audit: open_audit(&folder, &fleet.audit).await?,
        client: client_options(&fleet.limits),
        record: args.record.clone(),
    })
    .await
    .map_err(gateway_failure)?;
    let noted = gateway.audit.note("start").await;
    noted.context("the audit log cannot be written")?;
    let files = folder.path().join("files");
    let batches = Batches::new(Arc::clone(&gateway), &files);
    let options = ControlOptions {
        source,
        data_dir: folder.path().to_path_buf(),
        guard: GuardProgram::this_binary(GUARD_SUBCOMMAND),
        cache: Cache::from_env()?,
        progress: Arc::from(progress_for_terminal()),
        jobs,
        power,
    };
    let control = Control::start(Arc::clone(&gateway), drained, options).await;
    let shown = folder.path().display();
    let control = control.with_context(|| format!("the data folder {shown} cannot be written"))?;

    let tunings = fine_tunings(&control, &folder, &files);
    let driver = batches.start(fleet.limits.drain_ms_max)?;
    let keeper = tunings.start()?;
    let result = serve(
        &args,
        (&control, &batches, &tunings),
        (listener, &fleet.limits),
        (&folder, &mut signals),
    )
    .await;
    tokio::select! {
        () = async { driver.stop().await; keeper.stop().await; control.stop().await } => {}
        () = signals.stop() => tracing::warn!("asked again to stop: the engines are left to their guards, which end them"),
    }
    if let Err(error) = gateway.audit.note("stop").await {
        tracing::error!(%error, "the stop was not logged");
    }
    gateway.close().await;
    result
}

fn fine_tunings(control: &Control, folder: &DataFolder, files: &Path) -> FineTunings {
    let jobs: Arc<dyn Jobs> = Arc::<JobsPlane>::clone(control.jobs());
    let gateway = Arc::clone(control.gateway());
    FineTunings::new(gateway, jobs, (files, &jobs::tuning_folder(folder)))
}

/// A stream holds two files. The system's soft limit is set for programs that cannot have many; the hard one is ours.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit on open files cannot be raised");
    }
}

async fn fleet_source(args: &UpArgs) -> anyhow::Result<FleetSource> {
    match (&args.fleet, &args.model) {
        (Some(path), _) => Ok(FleetSource::File(path.clone())),
        (None, Some(model)) => model_source(model.clone()).await,
        (None, None) => Ok(default_source()),
    }
}

async fn listen(args: &UpArgs) -> anyhow::Result<TcpListener> {
    TcpListener::bind(args.listen).await.with_context(|| {
        format!(
            "cannot listen on {}: is another program using the port? Choose one with --listen 127.0.0.1:PORT",
            args.listen
        )
    })
}

async fn open_audit(folder: &DataFolder, asked: &AuditLog) -> anyhow::Result<Audit> {
    let path = folder.path().join("audit");
    let settings = Settings {
        sync_ms_max: (asked.sync_ms_max > 0).then_some(asked.sync_ms_max),
        ..Settings::new(&asked.origin)
    };
    let offset_s = asked.offset_s;
    let opened = tokio::task::spawn_blocking(move || {
        Audit::open(&path, &settings, offset_s).map_err(|e| (e, path))
    })
    .await?;
    opened.map_err(|(error, path)| {
        anyhow!(error).context(format!("the audit log {} cannot be opened", path.display()))
    })
}

fn client_options(limits: &Limits) -> ClientOptions {
    ClientOptions {
        connect_ms_max: limits.connect_ms_max,
        ..ClientOptions::default()
    }
}

fn edge_options(limits: &Limits) -> EdgeOptions {
    EdgeOptions {
        lanes: std::thread::available_parallelism().map_or(1, NonZero::get),
        connections_max: usize::try_from(limits.connections_max).unwrap_or(usize::MAX),
        header_bytes_max: usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX),
        header_read_ms_max: limits.header_read_ms_max,
        client_stall_ms_max: limits.client_stall_ms_max,
        drain_ms_max: limits.drain_ms_max.saturating_add(CUT_MS),
        ..EdgeOptions::default()
    }
}

/// Answers from the first moment (health, keys, models), loads the fleet meanwhile, and runs until a signal.
async fn serve(
    args: &UpArgs,
    (control, batches, tunings): (&Arc<Control>, &Batches, &FineTunings),
    (listener, limits): (TcpListener, &Limits),
    (folder, signals): (&DataFolder, &mut Signals),
) -> anyhow::Result<ExitCode> {
    let gateway = Arc::clone(control.gateway());
    let fallback = Arc::clone(&gateway);
    let router = madang_gateway::doors::router(Arc::clone(&gateway))
        .merge(batches.router())
        .merge(tunings.router())
        .merge(madang_api::router(Arc::clone(control)))
        .merge(madang_api::audit_router(Arc::clone(control)))
        .fallback(move |request| madang_gateway::doors::fallback(Arc::clone(&fallback), request));
    let (stop, mut stopped) = watch::channel(false);
    let until_stop = async move {
        if stopped.wait_for(|stop| *stop).await.is_err() {
            tracing::debug!("the edge stops with its owner");
        }
    };
    let mut edge = tokio::spawn(edge::serve(
        listener,
        FrontDoors::new(Arc::clone(&gateway), router),
        edge_options(limits),
        until_stop,
    ));

    let started = tokio::select! {
        started = start(args, control, folder) => started.map(|()| true),
        () = signals.stop() => Ok(false),
    };
    if matches!(started, Ok(true)) {
        until_stop_asked(control, signals).await;
    }
    gateway.drain();
    stop.send_replace(true);
    let report = drain(&gateway, &mut edge, (limits.drain_ms_max, signals)).await;
    if let (Some(report), Ok(_)) = (report, &started) {
        tracing::info!(?report, "the edge has closed");
    }
    started.map(|_| ExitCode::SUCCESS)
}

/// Lets running requests finish, then cuts them. Asked again to stop, it cuts them at once.
async fn drain(
    gateway: &Gateway,
    edge: &mut JoinHandle<io::Result<EdgeReport>>,
    (drain_ms_max, signals): (u64, &mut Signals),
) -> Option<EdgeReport> {
    let late = async {
        tokio::time::sleep(Duration::from_millis(drain_ms_max)).await;
        gateway.cut();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        drained = &mut *edge => match drained {
            Ok(Ok(report)) => return Some(report),
            Ok(Err(error)) => tracing::error!(%error, "the edge could not be started"),
            Err(error) => tracing::error!(%error, "the edge panicked"),
        },
        () = late => {}
        () = signals.stop() => {
            tracing::warn!("asked again to stop: running requests are cut");
            edge.abort();
            // Its error says that it was aborted.
            edge.await.ok();
        }
    }
    None
}

/// Loads the fleet, makes the first keys, waits for the engines, and welcomes whoever started it.
async fn start(args: &UpArgs, control: &Arc<Control>, folder: &DataFolder) -> anyhow::Result<()> {
    let applied = control.reload().await.map_err(apply_failure)?;
    warn(&applied.warnings);
    let keys = FirstKeys::ensure(control, folder.path()).await?;
    let failed = welcome::wait_for_engines(control).await;
    if !failed.is_empty() && failed.len() == launched_count(&control.gateway().snapshot().fleet) {
        return Err(welcome::engines_failure(&failed));
    }
    let facts = welcome::Facts {
        listen: folder.listen(),
        data: folder.path(),
        keys: &keys,
        failed: &failed,
    };
    welcome::print(control, &facts, args.json);
    Ok(())
}

fn launched_count(fleet: &Fleet) -> usize {
    let launched =
        |replica: &&madang_fleet::Replica| matches!(replica.at, madang_fleet::ReplicaAt::Launch(_));
    // Where anything else can serve, a dead engine is a warning.
    let others = fleet
        .replicas
        .values()
        .filter(|replica| !launched(replica))
        .count()
        + fleet.upstreams.len();
    if others > 0 {
        usize::MAX
    } else {
        fleet.replicas.values().filter(launched).count()
    }
}

fn gateway_failure(error: GatewayError) -> anyhow::Error {
    match error {
        GatewayError::Record { .. } => {
            anyhow!(
                "{error}\n  help: name a file that does not exist yet, in a folder that does, with --record PATH"
            )
        }
        other => anyhow!(other),
    }
}

fn apply_failure(error: ApplyError) -> anyhow::Error {
    match error {
        ApplyError::Load(error) => load_failure(error),
        other => anyhow!(other),
    }
}

fn warn(warnings: &[FileProblems]) {
    for file in warnings {
        crate::out::note(&crate::diagnose::render(file, crate::out::color()));
    }
}

/// Reloads at each SIGHUP; returns at SIGTERM or SIGINT.
async fn until_stop_asked(control: &Arc<Control>, signals: &mut Signals) {
    while signals.next().await == Asked::Reload {
        // A reload may fetch weights for minutes.
        tokio::select! {
            () = reload(control) => {}
            () = signals.stop() => return,
        }
    }
}

async fn reload(control: &Arc<Control>) {
    match control.reload().await {
        Ok(applied) => {
            warn(&applied.warnings);
            tracing::info!(generation = applied.generation, "reloaded");
        }
        Err(error) => {
            let error = apply_failure(error);
            crate::out::note(&format!(
                "the fleet was not reloaded, the last good one goes on serving:\n{error:#}"
            ));
        }
    }
}
