//! Keeps one engine running: start, wait until ready, watch, start again after a wait.
//!
//! ```text
//! Starting ──► Ready ──► Hung ──┐
//!    │  ▲        │              │
//!    │  └─ Backoff ◄── Exited ◄─┤◄── ended or too slow
//!    └───────────┴──► Stopping ──► Stopped
//! ```

mod status;
mod task;

pub use status::{State, Status};

use crate::address::EngineAddress;
use crate::backoff::BackoffOptions;
use crate::guard::GuardProgram;
use crate::spec::{LaunchError, LaunchSpec};
use madang_types::ReplicaId;
use status::Publisher;
use std::path::PathBuf;
use task::{Order, Task};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Orders that wait while the engine is being ended.
const ORDERS_MAX: usize = 8;

/// What all replicas have in common.
#[derive(Clone, Debug)]
pub struct SupervisorOptions {
    /// The guard's program.
    pub guard: GuardProgram,
    /// Folder of the logs.
    pub log_dir: PathBuf,
    /// Waits between starts.
    pub backoff: BackoffOptions,
    /// Time between two checks of an engine that starts, in milliseconds.
    pub ready_interval_ms: u64,
    /// Longest time from SIGTERM to SIGKILL for an engine that hangs or is too slow to start, in
    /// milliseconds: there is nothing to drain.
    pub hung_stop_ms_max: u64,
}

impl SupervisorOptions {
    /// The usual bounds.
    pub fn new(guard: GuardProgram, log_dir: PathBuf) -> Self {
        Self {
            guard,
            log_dir,
            backoff: BackoffOptions::default(),
            ready_interval_ms: 200,
            hung_stop_ms_max: 2_000,
        }
    }
}

/// The supervising task of one replica; see [`Supervisor::start`].
#[derive(Debug)]
pub struct Supervisor;

impl Supervisor {
    /// Starts to keep the replica's engine running; needs a tokio runtime.
    ///
    /// `spec_factory` is asked before each start (a free port is picked anew each time). `ready_check`
    /// is asked again and again, each time after the last answer, until it is `Ok`; its error is the
    /// reason shown while the engine starts. [`SupervisorHandle::status`] and
    /// [`SupervisorHandle::watch`] always have the newest.
    pub fn start<S, R, F>(
        replica: ReplicaId,
        options: SupervisorOptions,
        spec_factory: S,
        ready_check: R,
    ) -> SupervisorHandle
    where
        S: FnMut() -> Result<LaunchSpec, LaunchError> + Send + 'static,
        R: Fn(EngineAddress) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let (orders_tx, orders) = mpsc::channel(ORDERS_MAX);
        let (publisher, status) = Publisher::new(replica);
        let task = Task::new(options, (spec_factory, ready_check), orders, publisher);
        SupervisorHandle {
            orders: orders_tx,
            status,
            task: tokio::spawn(task.run()),
        }
    }
}

/// Owns the supervising task. Dropped, the engine is stopped in order, as by [`SupervisorHandle::stop`],
/// while the runtime lives, and by its guard when it does not.
#[derive(Debug)]
pub struct SupervisorHandle {
    orders: mpsc::Sender<Order>,
    status: watch::Receiver<Status>,
    task: JoinHandle<()>,
}

impl SupervisorHandle {
    /// Ends the engine and starts it again after the usual wait; during a wait it starts at once.
    /// For the prober when the engine hangs, and for people.
    pub fn restart(&self, reason: &str) {
        // A full queue means that restarts are already on their way.
        self.orders.try_send(Order::Restart(reason.to_owned())).ok();
    }

    /// Stops the engine for good. When this returns, its whole process group is gone. May be called
    /// more than once.
    pub async fn stop(&self) {
        // An error means that the task has ended.
        self.orders.send(Order::Stop).await.ok();
        let mut status = self.status.clone();
        status
            .wait_for(|status| status.state == State::Stopped)
            .await
            .ok();
    }

    /// How it is now.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// To wait for changes.
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Whether the supervising task is over (after a stop, or because it failed).
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}
