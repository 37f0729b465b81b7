//! A program that runs: started, told to end, ended with all that came of it.

use super::room::{Filled, Room};
use super::stops::Stops;
use crate::jobs::local::cgroup::Cgroup;
use crate::jobs::local::confine::Confinement;
use crate::jobs::local::container::Remains;
use crate::jobs::local::folder::{Claim, RunFolder, StopOrder};
use crate::jobs::local::log::LogWriter;
use crate::jobs::local::order::Order;
use crate::jobs::{RunProgram, STOP_MS};
use crate::pid_file::{Identity, MARK_VARIABLE};
use crate::process;
use madang_types::{JobCheckpoint, StopSignal};
use rustix::process::Signal;
use std::io::PipeWriter;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// What is read of its output at once.
const OUTPUT_BYTES: usize = 64 * 1024;
/// What is still read of it once it is over, and how long a silence ends that: somebody else may hold the other end.
const LATE_BYTES_MAX: usize = 4 * 1024 * 1024;
const LATE: Duration = Duration::from_millis(200);
/// Between two rounds of killing what is left: the first ones, and later.
const ROUND: Duration = Duration::from_millis(5);
const ROUND_LATER: Duration = Duration::from_millis(250);
const ROUNDS_FIRST: u32 = 200;
/// Where programs are looked for, unless the job says otherwise.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why it is being stopped, the more urgent the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    Limit,
    Checkpoint,
    /// Its files leave too little of the disk, on which Madang's own books may be.
    Disk,
    Cancel,
}

impl Why {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "its time is up",
            Self::Checkpoint => "it goes on later",
            Self::Disk => "its files fill the disk",
            Self::Cancel => "it was withdrawn",
        }
    }
}

enum Kind {
    /// A process in a group of its own, below the runner.
    Process {
        leader: Identity,
        children: SignalStream,
        cgroup: Option<Cgroup>,
    },
    Container {
        container: Remains,
        client: Box<Child>,
    },
}

/// A program that runs.
pub(super) struct Program {
    kind: Kind,
    output: pipe::Receiver,
    output_ended: bool,
    bytes: Box<[u8]>,
    /// Its exit code, once its first process is gone.
    code: Option<i32>,
    /// No process of it is left.
    empty: bool,
    stopped: Option<Why>,
    /// Its time limit comes: then it is told so.
    tell_at: Instant,
    told_by: JobCheckpoint,
    kill_at: Option<Instant>,
    killed: bool,
    room: Room,
}

impl Program {
    /// Starts it; the error is for its owner.
    pub async fn start(folder: &RunFolder, order: &Order, claim: &Claim) -> Result<Self, String> {
        let (output, input) = std::io::pipe().map_err(|e| e.to_string())?;
        let output = pipe::Receiver::from_owned_fd(output.into()).map_err(|e| e.to_string())?;
        let kind = match &claim.container {
            Some(container) => Kind::Container {
                client: Box::new(container.start(input).map_err(|e| e.to_string())?),
                container: container.clone(),
            },
            None => {
                let children = signal(SignalKind::child()).map_err(|e| e.to_string())?;
                let cgroup = claim.cgroup.clone().map(Cgroup::at);
                let leader = match &cgroup {
                    None => spawn(folder, order, claim, input)?,
                    Some(cgroup) => {
                        let start = || spawn(folder, order, claim, input);
                        let started = cgroup.make(order).and_then(|()| cgroup.within(start)?);
                        if started.is_err() {
                            cgroup.clear().await;
                        }
                        started?
                    }
                };
                Kind::Process {
                    leader,
                    children,
                    cgroup,
                }
            }
        };
        // Without a checkpoint it is withdrawn at its limit as any other.
        let told_by = order.checkpoint.unwrap_or(JobCheckpoint {
            signal: StopSignal::Term,
            grace_ms: STOP_MS,
        });
        let before_ms = order.checkpoint.map_or(0, |checkpoint| checkpoint.grace_ms);
        let tell_ms = order.time_limit_ms.saturating_sub(before_ms);
        Ok(Self {
            kind,
            output,
            output_ended: false,
            bytes: vec![0; OUTPUT_BYTES].into(),
            code: None,
            empty: false,
            stopped: None,
            tell_at: Instant::now() + Duration::from_millis(tell_ms),
            told_by,
            kill_at: None,
            killed: false,
            room: Room::of(folder),
        })
    }

    /// What of the disk it had when that was too much.
    pub fn filled(&self) -> Option<&Filled> {
        self.room.filled()
    }

    /// Its first process, where it is one of this machine's.
    pub fn identity(&self) -> Option<Identity> {
        match &self.kind {
            Kind::Process { leader, .. } => Some(*leader),
            Kind::Container { .. } => None,
        }
    }

    pub fn stopped(&self) -> Option<Why> {
        self.stopped
    }

    /// Whether it began at all: a container may be made and yet lack the program.
    pub async fn began(&self) -> bool {
        match &self.kind {
            Kind::Process { .. } => true,
            Kind::Container { container, .. } => container.began().await,
        }
    }

    /// Whether there is nothing more to wait for. The time that a stop leaves belongs to all of its processes: a shell that dies of the
    /// signal at once may have a child that writes a checkpoint.
    pub fn is_over(&mut self) -> bool {
        if let Kind::Process { leader, .. } = &self.kind {
            let (code, pid) = (&mut self.code, leader.pid);
            self.empty = process::reap(|child, status| {
                if child == pid {
                    *code = Some(exit_code(ExitStatus::from_raw(status.as_raw())));
                }
            });
        }
        self.killed || (self.code.is_some() && (self.empty || self.stopped.is_none()))
    }

    /// Waits for the next thing to happen to it, and does what that asks for.
    pub async fn step(&mut self, stops: &mut Stops, log: &mut LogWriter) {
        let due = self.kill_at.unwrap_or(self.tell_at);
        let changed = async {
            match &mut self.kind {
                Kind::Process { children, .. } => {
                    children.recv().await;
                    None
                }
                Kind::Container { client, .. } => Some(client.wait().await),
            }
        };
        tokio::select! {
            change = changed => if let Some(status) = change {
                self.code = Some(status.map_or(1, exit_code));
                self.empty = true;
            },
            read = self.output.read(&mut self.bytes), if !self.output_ended => match read {
                Ok(length @ 1..) => log.write(&self.bytes[..length]),
                Ok(0) | Err(_) => self.output_ended = true,
            },
            order = stops.next() => match order {
                StopOrder::Cancel => {
                    let by = JobCheckpoint { signal: StopSignal::Term, grace_ms: STOP_MS };
                    self.stop(Why::Cancel, by).await;
                }
                StopOrder::Checkpoint(by) => self.stop(Why::Checkpoint, by).await,
            },
            () = self.room.is_short() => {
                self.stopped = self.stopped.max(Some(Why::Disk));
                self.killed = true;
            }
            () = sleep_until(due) => match self.kill_at {
                Some(_) => self.killed = true,
                None => self.stop(Why::Limit, self.told_by).await,
            },
        }
    }

    /// Tells it to end, unless it knows already for a reason as urgent. It has the least of the times that it was given, and never more
    /// than its limit leaves.
    async fn stop(&mut self, why: Why, by: JobCheckpoint) {
        let grace = Duration::from_millis(by.grace_ms);
        let limit = self.tell_at + Duration::from_millis(self.told_by.grace_ms);
        let kill_at = (Instant::now() + grace).min(limit);
        self.kill_at = Some(self.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
        if self.stopped < Some(why) {
            self.stopped = Some(why);
            self.signal(by.signal).await;
        }
    }

    async fn signal(&self, by: StopSignal) {
        let (name, by) = match by {
            StopSignal::Term => ("TERM", Signal::TERM),
            StopSignal::Int => ("INT", Signal::INT),
            StopSignal::Hup => ("HUP", Signal::HUP),
            StopSignal::Usr1 => ("USR1", Signal::USR1),
            StopSignal::Usr2 => ("USR2", Signal::USR2),
        };
        match &self.kind {
            Kind::Container { container, .. } => {
                // One that stands still takes no signal. What goes wrong with that is met by the end of its time.
                container.freeze(false).await.ok();
                container.signal(name).await;
            }
            // The number of a group without its leader may be given to another.
            Kind::Process { .. } if self.code.is_some() => process::signal_children(by),
            Kind::Process { leader, .. } => {
                process::signal_group(leader.pid, by);
                // A stopped process takes a signal only once it goes on.
                process::signal_group(leader.pid, Signal::CONT);
            }
        }
    }

    /// Ends what is left of it, and stays until nothing is. Its exit code.
    pub async fn end(&mut self, log: &mut LogWriter) -> i32 {
        let mut rounds = 0;
        while !self.empty {
            match &mut self.kind {
                Kind::Container { container, client } => {
                    container.freeze(false).await.ok();
                    container.signal("KILL").await;
                    if let Ok(status) = timeout(ROUND_LATER, client.wait()).await {
                        self.code = Some(status.map_or(1, exit_code));
                        self.empty = true;
                    }
                }
                Kind::Process { leader, cgroup, .. } => {
                    if let Some(cgroup) = cgroup {
                        cgroup.kill();
                    }
                    if self.code.is_none() {
                        process::signal_group(leader.pid, Signal::KILL);
                    }
                    // Orphans come to the runner: each round ends one generation at least.
                    process::signal_children(Signal::KILL);
                    self.is_over();
                }
            }
            rounds += 1;
            if rounds == ROUNDS_FIRST {
                log.say("its processes do not end after SIGKILL");
            }
            let first = rounds < ROUNDS_FIRST;
            sleep(if first { ROUND } else { ROUND_LATER }).await;
        }
        if let Kind::Process {
            cgroup: Some(cgroup),
            ..
        } = &self.kind
        {
            if cgroup.ran_out_of_memory() {
                log.say("it was killed for its memory: it asked for less than it used");
            }
            while !cgroup.remove() {
                cgroup.kill();
                sleep(ROUND_LATER).await;
            }
        }
        let mut late = 0;
        while late < LATE_BYTES_MAX && !self.output_ended {
            match timeout(LATE, self.output.read(&mut self.bytes)).await {
                Ok(Ok(length @ 1..)) => {
                    log.write(&self.bytes[..length]);
                    late += length;
                }
                _ => break,
            }
        }
        self.code.unwrap_or(128 + Signal::KILL.as_raw())
    }
}

/// Its exit code, or 128 and the signal that ended it, as in shells.
fn exit_code(status: ExitStatus) -> i32 {
    let signal = status.signal().unwrap_or_default();
    status.code().unwrap_or(128 + signal)
}

fn spawn(
    folder: &RunFolder,
    order: &Order,
    claim: &Claim,
    output: PipeWriter,
) -> Result<Identity, String> {
    let (program, args) = words(folder, &order.program);
    let errors = output.try_clone().map_err(|e| e.to_string())?;
    let mut command = Command::new(&program);
    command
        .args(args)
        .env_clear()
        .envs([("PATH", PATH), ("LANG", "C.UTF-8")])
        .env("HOME", folder.work())
        .env("TMPDIR", folder.scratch())
        .envs(&order.env)
        .envs(&order.secrets)
        .env(MARK_VARIABLE, &claim.mark)
        .current_dir(folder.work())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    let child = match &order.confinement {
        None => command.spawn().map_err(|error| error.to_string()),
        Some(walls) => within(walls, folder, order).spawn(&mut command),
    };
    let child = child.map_err(|why| format!("cannot start {program}: {why}"))?;
    // It is there until it is fetched, dead or alive.
    Identity::of(child.id()).ok_or_else(|| "cannot read /proc".to_owned())
}

/// What is open to this run: what is open to all, to its tenant, and its own.
fn within(walls: &Confinement, folder: &RunFolder, order: &Order) -> Confinement {
    let mut walls = walls.clone();
    walls.read.push(folder.script());
    walls.write.extend([folder.work(), folder.scratch()]);
    for root in &order.stages.roots {
        let open = if root.writable {
            &mut walls.write
        } else {
            &mut walls.read
        };
        open.push(root.of(&order.tenant));
    }
    walls
}

/// The program and its arguments: a script that names no interpreter is the shell's.
pub(super) fn words(folder: &RunFolder, program: &RunProgram) -> (String, Vec<String>) {
    match program {
        RunProgram::Command(words) => {
            let mut words = words.iter().cloned();
            (words.next().unwrap_or_default(), words.collect())
        }
        RunProgram::Script(script) => {
            let path = folder.script().display().to_string();
            if script.starts_with("#!") {
                (path, Vec::new())
            } else {
                ("/bin/sh".to_owned(), vec![path])
            }
        }
    }
}
