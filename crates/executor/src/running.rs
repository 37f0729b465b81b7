//! One engine that runs, seen from Madang: the guard's process, its reports and the engine's log.

use crate::address::EngineAddress;
use crate::guard::{GuardProgram, watch_args};
use crate::logs::Pump;
use crate::pid_file;
use crate::process;
use crate::spec::{LaunchError, LaunchSpec};
use rustix::process::Signal;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{sleep, timeout};

/// From SIGTERM to SIGKILL when Madang is gone: nobody is left to drain for.
const ORPHAN_STOP_MS_MAX: u64 = 5_000;
/// The guard's own time to sweep, beyond the grace time.
const SWEEP_MS_MAX: u64 = 10_000;
const GONE_WAIT_MS_MAX: u64 = 5_000;
const GONE_POLL_MS: u64 = 20;

/// How an engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Its guard was killed, and the engine with it.
    GuardLost,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(127) => write!(f, "exit status 127 (the program could not be started)"),
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => match signal_name(*signal) {
                Some(name) => write!(f, "signal {signal} ({name})"),
                None => write!(f, "signal {signal}"),
            },
            Self::GuardLost => write!(f, "its guard process was killed"),
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        4 => "SIGILL: the program was built for another processor",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL: killed from outside, often for want of memory",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return None,
    })
}

/// What the guard tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The engine's process is there.
    Started(u32),
    /// Nothing of it is left.
    Ended(Exit),
}

/// An engine with its guard.
#[derive(Debug)]
pub(crate) struct Running {
    guard: Child,
    orders: ChildStdin,
    reports: Lines<BufReader<ChildStdout>>,
    pump: Pump,
    address: EngineAddress,
    engine_pid: Option<u32>,
    exit: Option<Exit>,
}

impl Running {
    /// Starts the guard, and through it the engine.
    pub fn start(
        guard: &GuardProgram,
        spec: &LaunchSpec,
        log_dir: &Path,
    ) -> Result<Self, LaunchError> {
        for path in [spec.run_dir.as_path(), log_dir] {
            fs::create_dir_all(path).map_err(|source| LaunchError::Folder {
                path: path.to_owned(),
                source,
            })?;
        }
        remove_socket(&spec.address);
        let failed = |source| LaunchError::Guard {
            program: guard.program.clone(),
            source,
        };
        let mut child = command(guard, spec).spawn().map_err(failed)?;
        let (Some(orders), Some(reports), Some(output)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed(io::Error::other("it has no pipes")));
        };
        Ok(Self {
            guard: child,
            orders,
            reports: BufReader::new(reports).lines(),
            pump: Pump::start(output, log_dir, &spec.replica, spec.log_bytes_max),
            address: spec.address.clone(),
            engine_pid: None,
            exit: None,
        })
    }

    /// The guard's next report. Dropping the future loses none.
    pub async fn next(&mut self) -> Report {
        while let Ok(Some(line)) = self.reports.next_line().await {
            if let Some(pid) = line.strip_prefix("started ") {
                if let Ok(pid) = pid.parse() {
                    self.engine_pid = Some(pid);
                    return Report::Started(pid);
                }
            } else if let Some(exit) = parse_exit(&line) {
                self.exit = Some(exit);
            }
        }
        // The guard's own status says nothing more than its report, or that there was none.
        let status = self.guard.wait().await;
        let code = status.ok().and_then(|status| status.code());
        let exit = match (self.exit, code) {
            (Some(exit), _) => exit,
            // The guard said in the log why it could not start the engine.
            (None, Some(code)) if self.engine_pid.is_none() => Exit::Code(code),
            (None, _) => Exit::GuardLost,
        };
        self.exit = Some(exit);
        Report::Ended(exit)
    }

    /// Asks the engine to end, ends it after `grace_ms`, and waits until its whole group is gone.
    pub async fn stop(&mut self, grace_ms: u64) -> Exit {
        let order = format!("stop {grace_ms}\n");
        // A guard that is gone cannot be told, and is found gone below.
        self.orders.write_all(order.as_bytes()).await.ok();
        let wait = Duration::from_millis(grace_ms.saturating_add(SWEEP_MS_MAX));
        let ended = timeout(wait, async {
            loop {
                if let Report::Ended(exit) = self.next().await {
                    return exit;
                }
            }
        });
        match ended.await {
            Ok(exit) => exit,
            Err(_) => {
                self.guard.kill().await.ok();
                Exit::GuardLost
            }
        }
    }

    /// Makes sure that nothing is left and gives the last lines of the log.
    pub async fn end(self, exit: Exit) -> Vec<String> {
        if let (Exit::GuardLost, Some(group)) = (exit, self.engine_pid) {
            sweep_group(group).await;
        }
        remove_socket(&self.address);
        self.pump.end().await
    }
}

fn command(guard: &GuardProgram, spec: &LaunchSpec) -> Command {
    let pid_file = pid_file::path(&spec.run_dir, spec.replica.as_str());
    let orphan_stop_ms = spec.stop_ms_max.min(ORPHAN_STOP_MS_MAX);
    let mut command = Command::new(&guard.program);
    // Madang's own settings, keys among them, are no business of an engine.
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(b"MADANG_") {
            command.env_remove(name);
        }
    }
    command
        .args(&guard.args)
        .args(watch_args(&pid_file, orphan_stop_ms, &spec.program))
        .args(&spec.args)
        .envs(&spec.env)
        // Out of the terminal's group: Ctrl-C is for Madang, which then ends its engines in order.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn parse_exit(line: &str) -> Option<Exit> {
    let (kind, number) = line.strip_prefix("exited ")?.split_once(' ')?;
    let number = number.parse().ok()?;
    match kind {
        "code" => Some(Exit::Code(number)),
        "signal" => Some(Exit::Signal(number)),
        _ => None,
    }
}

/// Without a guard the group is ended from here; what had left the group is found at the next start.
async fn sweep_group(group: u32) {
    for _ in 0..GONE_WAIT_MS_MAX / GONE_POLL_MS {
        if !process::group_lives(group) {
            return;
        }
        process::signal_group(group, Signal::KILL);
        sleep(Duration::from_millis(GONE_POLL_MS)).await;
    }
    tracing::error!(group, "processes of an engine did not end after SIGKILL");
}

/// An engine cannot bind where the socket of an earlier one lies.
fn remove_socket(address: &EngineAddress) {
    if let EngineAddress::Socket(path) = address {
        let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
        if is_socket {
            fs::remove_file(path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_an_end_are_read() {
        let cases = [
            ("exited code 3", Some(Exit::Code(3))),
            ("exited signal 9", Some(Exit::Signal(9))),
            ("exited", None),
            ("exited code", None),
            ("exited code x", None),
            ("started 3", None),
        ];
        for (line, exit) in cases {
            assert_eq!(parse_exit(line), exit, "{line:?}");
        }
    }

    #[test]
    fn ends_are_told_in_words() {
        assert_eq!(Exit::Code(1).to_string(), "exit status 1");
        assert!(Exit::Signal(9).to_string().contains("memory"));
        assert_eq!(Exit::Signal(40).to_string(), "signal 40");
    }
}
