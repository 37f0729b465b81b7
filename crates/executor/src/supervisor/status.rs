//! What others see of a supervised engine.

use crate::address::EngineAddress;
use crate::running::Exit;
use madang_types::{Micros, ReplicaId};
use std::time::SystemTime;
use tokio::sync::watch;

/// Where in its life an engine is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its process is being started, or loads its weights.
    Starting,
    /// It answered the ready check.
    Ready,
    /// It is being ended because it hangs (or somebody asked for a restart).
    Hung,
    /// It ended; the reason is in the status.
    Exited,
    /// Nothing runs until the wait is over.
    Backoff,
    /// It is being ended for good.
    Stopping,
    /// Nothing runs, and nothing will.
    Stopped,
}

impl State {
    /// The state as a word, for people and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Hung => "hung",
            Self::Exited => "exited",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// A snapshot of one supervised engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Where in its life it is.
    pub state: State,
    /// Since when.
    pub since: Micros,
    /// Where it listens; set while a process is there.
    pub address: Option<EngineAddress>,
    /// The engine's process; its group has the same number.
    pub pid: Option<u32>,
    /// Starts so far, the first included.
    pub starts_count: u64,
    /// Ends in a row without lasting health between them.
    pub failures_count: u32,
    /// How the engine ended last.
    pub last_exit: Option<Exit>,
    /// Why the engine ended last, or is being ended; nothing once it is ready.
    pub reason: Option<String>,
    /// What the ready check said last, while the engine starts.
    pub ready_error: Option<String>,
    /// The newest lines of the log when the engine ended, oldest first.
    pub last_lines: Vec<String>,
    /// The wait before the next start, in milliseconds; set during [`State::Backoff`].
    pub retry_in_ms: Option<u64>,
}

/// Tells the newest status to all who look.
#[derive(Debug)]
pub(super) struct Publisher {
    pub replica: ReplicaId,
    status: watch::Sender<Status>,
}

impl Publisher {
    pub fn new(replica: ReplicaId) -> (Self, watch::Receiver<Status>) {
        let (status, seen) = watch::channel(Status {
            state: State::Starting,
            since: now(),
            address: None,
            pid: None,
            starts_count: 0,
            failures_count: 0,
            last_exit: None,
            reason: None,
            ready_error: None,
            last_lines: Vec::new(),
            retry_in_ms: None,
        });
        (Self { replica, status }, seen)
    }

    /// Changes the status and tells it.
    pub fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut before = None;
        self.status.send_modify(|status| {
            before = Some(status.state);
            change(status);
            if Some(status.state) != before {
                status.since = now();
            }
        });
        let status = self.status.borrow();
        if before != Some(status.state) {
            let state = status.state.as_str();
            let reason = status.reason.as_deref();
            tracing::info!(replica = %self.replica, state, reason, "engine changed its state");
        }
    }

    /// Changes the state alone.
    pub fn state(&self, state: State) {
        self.change(|status| status.state = state);
    }

    /// Keeps what the ready check says.
    pub fn not_ready(&self, error: String) {
        self.status.send_if_modified(|status| {
            let news = status.ready_error.as_ref() != Some(&error);
            status.ready_error = Some(error);
            news
        });
    }

    /// What the ready check said last.
    pub fn ready_error(&self) -> Option<String> {
        self.status.borrow().ready_error.clone()
    }
}

fn now() -> Micros {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Micros(i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX))
}
