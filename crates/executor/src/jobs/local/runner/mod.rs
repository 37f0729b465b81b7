//! The process that carries out one run, and outlives Madang: brings its files, starts its program, watches it, keeps what it made, and
//! writes down how it ended.
//!
//! It is told once what to do, through its standard input, and claims the run before it does anything: of several runners of one run one
//! claims it and the others leave. From then on it and Madang speak through the run's folder alone.

mod program;
mod room;
mod stops;

use super::container::{Remains, Unmade};
use super::folder::{Claim, RunFolder, State, StopOrder, create_private, now};
use super::log::LogWriter;
use super::order::{ORDER_BYTES_MAX, Order};
use super::stage::Stager;
use crate::jobs::RunProgram;
use crate::pid_file::{Identity, boot_id};
use madang_types::{RunEnd, RunId, RunOutcome};
use program::{Program, Why};
use rustix::process::{Resource, Rlimit, getpid, set_child_subreaper, setrlimit, setsid};
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use stops::Stops;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

/// What a runner says once, where the run is its own now, and where it is another's.
pub(super) const CLAIMED: &str = "claimed";
pub(super) const TAKEN: &str = "taken";

/// Until the disk or the container engine is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// The runner's program.
pub(crate) fn main(folder: PathBuf) -> Result<ExitCode, String> {
    let mut text = Vec::new();
    let mut input = io::stdin().lock().take(ORDER_BYTES_MAX);
    input.read_to_end(&mut text).map_err(|e| e.to_string())?;
    // A Madang that died on the way leaves half an order, which nobody carries out.
    let order: Order = serde_json::from_slice(&text).map_err(|e| format!("no order: {e}"))?;
    drop(text);
    let folder = RunFolder::at(folder);
    let claim = prepare_process(&order, &folder)?;
    let taken = folder.take(&claim);
    let taken = taken.map_err(|e| {
        let why = format!("cannot claim {}: {e}", folder.path().display());
        // Its file for errors is on the same disk, which may be full.
        writeln!(io::stdout(), "{why}").ok();
        why
    })?;
    let said = if taken { CLAIMED } else { TAKEN };
    // A Madang that died in the meantime needs no report.
    writeln!(io::stdout(), "{said}").ok();
    if !taken {
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let carried_out = runtime.block_on(async {
        Runner::new(folder, order, claim)?.carry_out().await;
        io::Result::Ok(())
    });
    carried_out.map_err(|e| e.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn prepare_process(order: &Order, folder: &RunFolder) -> Result<Claim, String> {
    // No end of a terminal or of Madang reaches it. It fails only where it leads one already.
    setsid().ok();
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // What a job holds in memory is not written down where it crashes.
    setrlimit(Resource::Core, none).map_err(|e| e.to_string())?;
    let runner = Identity::of(std::process::id()).ok_or("cannot read /proc")?;
    let run = folder.run().ok_or("its folder is not named after a run")?;
    let mark = format!("{run}-{}-{}", runner.start_ticks, runner.pid);
    let engine = order.image.as_ref().and(order.engine.as_ref());
    let container = engine.map(|engine| Remains::new(engine, &mark));
    let cgroup = order.cgroup.as_ref().filter(|_| order.image.is_none());
    let cgroup = cgroup.map(|above| above.join(format!("madang-{mark}")));
    if container.is_none() {
        // Every orphan below it comes to it. What an engine leaves behind is the engine's.
        let adopted = set_child_subreaper(Some(getpid()));
        adopted.map_err(|e| format!("cannot adopt orphans: {e}"))?;
    }
    Ok(Claim {
        runner,
        boot: boot_id(),
        mark,
        container,
        cgroup,
    })
}

struct Runner {
    folder: RunFolder,
    order: Order,
    claim: Claim,
    log: LogWriter,
    stops: Stops,
    state: State,
}

impl Runner {
    fn new(folder: RunFolder, order: Order, claim: Claim) -> io::Result<Self> {
        Ok(Self {
            log: LogWriter::new(folder.path(), order.log_bytes_max),
            stops: Stops::new(folder.clone())?,
            state: State::default(),
            folder,
            order,
            claim,
        })
    }

    async fn carry_out(mut self) {
        // A handler replaces the default action: who ends a run is Madang alone, by an order.
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let _held = kinds.map(signal);
        let (end, is_made) = match self.prepare().await {
            Ok(()) => (self.run().await, true),
            Err(unready) => (ended(unready.outcome), unready.is_made),
        };
        self.remove_container(is_made).await;
        if let RunOutcome::NotStarted { why } | RunOutcome::NotKept { why } = &end.outcome {
            self.log.say(why);
        }
        // A disk that the run itself has filled has room for its end.
        while let Err(error) = self.folder.set_end(&end) {
            if error.kind() == ErrorKind::NotFound {
                return;
            }
            self.folder.release();
            sleep(AGAIN).await;
        }
        self.folder.release();
    }

    /// Removes its container, and stays until that is done where there may be one: a container lives on without whoever made it.
    async fn remove_container(&mut self, is_made: bool) {
        let mut is_told = false;
        while let Err(why) = self.claim.remove_container().await {
            if !is_made {
                return;
            }
            if !std::mem::replace(&mut is_told, true) {
                let why = format!("its container cannot be removed yet: {why}");
                self.log.say(&why);
                self.state.preparing = why;
                self.write_state();
            }
            sleep(AGAIN).await;
        }
    }

    /// Brings all that it needs; else how the run ended by that.
    async fn prepare(&mut self) -> Result<(), Unready> {
        let not_started = |why: String| Unready {
            outcome: RunOutcome::NotStarted { why },
            is_made: false,
        };
        let made = make_folders(&self.folder, &self.order.program);
        made.map_err(|e| not_started(format!("its folder cannot be made: {e}")))?;
        let image = self.order.image.as_ref();
        if image.is_some() && self.claim.container.is_none() {
            let why = "there is no container engine on this machine";
            return Err(not_started(why.to_owned()));
        }
        self.state.preparing = match image {
            Some(image) => format!("its inputs and its image {image} are being brought"),
            None => "its inputs are being brought".to_owned(),
        };
        self.write_state();
        let ms_max = self.order.stages.ms_max;
        let bring = bring(&self.folder, &self.order, self.claim.container.as_ref());
        tokio::select! {
            brought = bring => brought.map_err(|unmade| Unready {
                is_made: unmade.may_be,
                ..not_started(unmade.why)
            }),
            stop = self.stops.next() => Err(Unready {
                outcome: match stop {
                    StopOrder::Cancel => RunOutcome::Cancelled,
                    StopOrder::Checkpoint(_) => RunOutcome::Stopped,
                },
                is_made: true,
            }),
            () = sleep(Duration::from_millis(ms_max)) => {
                let why = format!("what it needs was not there after {ms_max} ms, the most here");
                Err(Unready { is_made: true, ..not_started(why) })
            }
        }
    }

    /// Starts the program and stays until nothing of it is left.
    async fn run(&mut self) -> RunEnd {
        let started_at = now();
        let started = Program::start(&self.folder, &self.order, &self.claim).await;
        let mut program = match started {
            Ok(program) => program,
            Err(why) => return ended(RunOutcome::NotStarted { why }),
        };
        self.state.since = Some(started_at);
        self.state.program = program.identity();
        self.write_state();
        let (code, why) = self.watch(&mut program).await;
        let ended_at = now();
        if code != 0 && why.is_none() && !program.began().await {
            let (program, _) = program::words(&self.folder, &self.order.program);
            let why = format!("cannot start {program} in its container: its output says why");
            return ended(RunOutcome::NotStarted { why });
        }
        let filled = program.filled().map(ToString::to_string);
        if filled.is_some() {
            // Whoever comes next needs the room.
            room::clear(&self.folder);
        }
        let outcome = match (why, code) {
            (Some(Why::Cancel), _) => RunOutcome::Cancelled,
            (Some(Why::Disk), _) => RunOutcome::NotKept {
                why: filled.unwrap_or_default(),
            },
            (_, 0) => self.keep().await,
            (Some(Why::Checkpoint), _) => RunOutcome::Stopped,
            (Some(Why::Limit), _) => RunOutcome::TimedOut,
            (None, exit_code) => RunOutcome::Failed { exit_code },
        };
        RunEnd {
            outcome,
            started_at: Some(started_at),
            ended_at,
            energy: None,
        }
    }

    /// Watches the program until it is over; its exit code, and why it was stopped.
    async fn watch(&mut self, program: &mut Program) -> (i32, Option<Why>) {
        let mut told = None;
        while !program.is_over() {
            program.step(&mut self.stops, &mut self.log).await;
            if told != program.stopped() {
                told = program.stopped();
                self.state.stopping = true;
                self.write_state();
                let why = told.map_or("", Why::as_str);
                self.log.say(&format!("the run is being stopped: {why}"));
            }
        }
        let code = program.end(&mut self.log).await;
        (code, program.stopped())
    }

    /// Keeps its outputs.
    async fn keep(&mut self) -> RunOutcome {
        if self.order.outputs.is_empty() {
            return RunOutcome::Completed;
        }
        let ms_max = self.order.stages.ms_max;
        let mut until = Instant::now() + Duration::from_millis(ms_max);
        let keep = keep(&self.folder, &self.order);
        tokio::pin!(keep);
        loop {
            tokio::select! {
                kept = &mut keep => return match kept {
                    Ok(()) => RunOutcome::Completed,
                    Err(why) => RunOutcome::NotKept { why },
                },
                stop = self.stops.next() => match stop {
                    StopOrder::Cancel => return RunOutcome::Cancelled,
                    StopOrder::Checkpoint(checkpoint) => {
                        let grace = Duration::from_millis(checkpoint.grace_ms);
                        until = until.min(Instant::now() + grace);
                    }
                },
                () = sleep_until(until) => {
                    let why = "its outputs were not kept in the time that there was".to_owned();
                    return RunOutcome::NotKept { why };
                }
            }
        }
    }

    fn write_state(&mut self) {
        if let Err(error) = self.folder.set_state(&self.state) {
            self.log
                .say(&format!("its state cannot be written: {error}"));
        }
    }
}

/// How a run ended whose program did not begin, and whether a container of it may be there.
struct Unready {
    outcome: RunOutcome,
    is_made: bool,
}

/// The end of a run whose program did not begin.
fn ended(outcome: RunOutcome) -> RunEnd {
    RunEnd {
        outcome,
        started_at: None,
        ended_at: now(),
        energy: None,
    }
}

async fn bring(
    folder: &RunFolder,
    order: &Order,
    container: Option<&Remains>,
) -> Result<(), Unmade> {
    let unmade = |why: String| Unmade { why, may_be: false };
    let stager = Stager::new(&order.stages, &order.tenant, &folder.work());
    let stager = stager.map_err(|e| unmade(e.to_string()))?;
    for input in &order.inputs {
        stager.bring(input).await.map_err(unmade)?;
    }
    match container {
        Some(container) => container.create(folder, order).await,
        None => Ok(()),
    }
}

async fn keep(folder: &RunFolder, order: &Order) -> Result<(), String> {
    let stager = Stager::new(&order.stages, &order.tenant, &folder.work());
    let stager = stager.map_err(|e| e.to_string())?;
    for output in &order.outputs {
        stager.keep(output).await?;
    }
    Ok(())
}

/// Its folder, as the last run of the same task left it, else empty; its scratch folder, and its script.
fn make_folders(folder: &RunFolder, program: &RunProgram) -> io::Result<()> {
    inherit(folder)?;
    create_private(&folder.work())?;
    create_private(&folder.scratch())?;
    folder.reserve()?;
    if let RunProgram::Script(script) = program {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o700);
        let mut file = options.open(folder.script())?;
        file.write_all(script.as_bytes())?;
    }
    Ok(())
}

fn inherit(folder: &RunFolder) -> io::Result<()> {
    let Some(RunId { task, number }) = folder.run() else {
        return Ok(());
    };
    let runs = folder.path().parent().unwrap_or(Path::new("/"));
    for number in (1..number).rev() {
        let earlier = RunFolder::of(runs, RunId { task, number });
        if earlier.end()?.is_none() {
            continue;
        }
        match std::fs::rename(earlier.work(), folder.work()) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            moved => return moved,
        }
    }
    Ok(())
}
