//! The guard's watch over one engine.

use super::{Watch, say};
use crate::pid_file::PidFile;
use crate::process;
use rustix::process::{Signal, WaitStatus, getpid, set_child_subreaper};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// Rounds of killing what is left; each kills at least one generation of descendants.
const SWEEP_ROUNDS_MAX: u32 = 200;
const SWEEP_ROUND_MS: u64 = 25;
/// An order is a word and a number; the pipe delivers it in one piece.
const ORDER_BYTES_MAX: usize = 256;

/// Starts the engine and stays until nothing of it is left.
pub(super) fn watch(order: &Watch, prefix: &[OsString]) -> Result<ExitCode, String> {
    set_child_subreaper(Some(getpid())).map_err(|e| format!("cannot adopt orphans: {e}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    runtime
        .block_on(Guard::run(order, prefix))
        .map_err(|e| format!("cannot watch the engine: {e}"))
}

struct Guard {
    /// Also the number of its group.
    engine_pid: u32,
    orders: pipe::Receiver,
    /// When SIGKILL is due; `None` while nobody asked for the end.
    kill_at: Option<Instant>,
    /// After the end of the input there are no more orders.
    orphaned: bool,
    orphan_stop_ms: u64,
}

impl Guard {
    async fn run(order: &Watch, prefix: &[OsString]) -> io::Result<ExitCode> {
        // A handler replaces the default action: when to end is Madang's decision alone.
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let _held = kinds.map(signal);
        let mut child_signal = signal(SignalKind::child())?;
        let orders = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
        let mut guard = Self {
            engine_pid: spawn(order, prefix)?,
            orders,
            kill_at: None,
            orphaned: false,
            orphan_stop_ms: order.orphan_stop_ms,
        };
        report(&format!("started {}", guard.engine_pid));
        let status = loop {
            let mut status = None;
            process::reap(|pid, ended| {
                if pid == guard.engine_pid {
                    status = Some(ended);
                }
            });
            if let Some(status) = status {
                break status;
            }
            tokio::select! {
                _ = child_signal.recv() => {}
                () = guard.next_step() => {}
            }
        };
        guard.sweep().await;
        PidFile::remove(&order.pid_file, guard.engine_pid);
        Ok(ended(status))
    }

    /// Waits for an order, the end of the input or the end of the grace time, and acts on it.
    async fn next_step(&mut self) {
        let mut text = [0; ORDER_BYTES_MAX];
        let kill_at = self.kill_at;
        tokio::select! {
            read = self.orders.read(&mut text), if !self.orphaned => match read {
                Ok(length @ 1..) => {
                    if let Some(grace_ms) = last_order(&text[..length]) {
                        self.stop(grace_ms);
                    }
                }
                Ok(0) | Err(_) => {
                    self.orphaned = true;
                    self.stop(self.orphan_stop_ms);
                }
            },
            () = sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                process::signal_group(self.engine_pid, Signal::KILL);
                // Only the engine's end is left to wait for; a second SIGKILL would change nothing.
                self.kill_at = None;
            }
            // All is done that can be: the caller waits for the engine's end beside this.
            else => std::future::pending().await,
        }
    }

    fn stop(&mut self, grace_ms: u64) {
        let due = Instant::now() + Duration::from_millis(grace_ms);
        self.kill_at = Some(self.kill_at.map_or(due, |earlier| earlier.min(due)));
        process::signal_group(self.engine_pid, Signal::TERM);
        // A stopped process takes SIGTERM only once it goes on.
        process::signal_group(self.engine_pid, Signal::CONT);
    }

    /// Kills all descendants. Orphans come to this process as their subreaper, and their pids cannot be
    /// given to others before it has fetched them: no signal reaches a stranger.
    async fn sweep(&self) {
        process::signal_group(self.engine_pid, Signal::KILL);
        for _ in 0..SWEEP_ROUNDS_MAX {
            process::signal_children(Signal::KILL);
            if process::reap(|_, _| {}) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(SWEEP_ROUND_MS)).await;
        }
        say("processes of the engine did not end after SIGKILL");
    }
}

/// Starts the process that becomes the engine: a new group, no input, and its output on our standard
/// error; our standard output carries reports to Madang.
fn spawn(order: &Watch, prefix: &[OsString]) -> io::Result<u32> {
    let log = io::stderr().as_fd().try_clone_to_owned()?;
    let child = Command::new("/proc/self/exe")
        .args(prefix)
        .arg("exec")
        .arg(&order.pid_file)
        .arg(std::process::id().to_string())
        .args(&order.command)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(log)
        .spawn()?;
    Ok(child.id())
}

/// Tells Madang; a Madang that is gone needs no report.
fn report(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).ok();
}

/// The grace time in the last whole order of what was read.
fn last_order(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut orders = text.lines().filter_map(|line| line.strip_prefix("stop "));
    orders.next_back()?.trim().parse().ok()
}

/// Reports the engine's end and gives the guard's own exit code: the same, or 128 and the signal.
fn ended(status: WaitStatus) -> ExitCode {
    let status = ExitStatus::from_raw(status.as_raw());
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => {
            report(&format!("exited code {code}"));
            code
        }
        (None, signal) => {
            let signal = signal.unwrap_or_default();
            report(&format!("exited signal {signal}"));
            128 + signal
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_order_counts() {
        let check = |text: &str, expected| {
            assert_eq!(last_order(text.as_bytes()), expected, "{text:?}");
        };
        check("stop 500\n", Some(500));
        check("stop 500\nstop 20\n", Some(20));
        check("", None);
        check("stop\n", None);
        check("stop -1\n", None);
        check("start 5\n", None);
    }
}
