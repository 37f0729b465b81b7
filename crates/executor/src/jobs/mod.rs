//! Batch jobs on machines: one trait, behind which each way to run them stands.
//!
//! An executor carries out and tells; it does not choose who runs, nor where. It is told of a *run*: one stretch of one task. It keeps
//! what it knows of its runs on its own side (a folder, a cluster's own queue), so that a restart of Madang finds them again and none is
//! run twice.
//!
//! For Kubernetes, which is not there because it cannot be tested here, an executor would make of a run one suspended `Job` named after
//! it (names are unique, so that a second `start` finds the first), with `backoffLimit: 0`, `parallelism` and an `Indexed` completion
//! for pieces, extended resources (`nvidia.com/gpu`) or claims of devices for accelerators, `activeDeadlineSeconds` for the time limit,
//! and a small program of ours as the first process of its container for what the batch script does on Slurm: inputs, signals, the
//! checkpoint's grace, outputs, and an exit code that says which of these failed. `look` and `changes` are one watch over our label, the
//! end's times are the container's own (`terminated.startedAt`, `finishedAt`), `log` is the kubelet's with its rotation, `shell` is
//! `exec`. `forget` deletes the `Job`; until then nothing else may (`ttlSecondsAfterFinished` unset). A task's folder is a volume claim
//! named after the task, which each of its runs mounts; the last `forget` of a task deletes it. Secrets are a `Secret` that the `Job`
//! owns, never words of its own text. `never` says what such a cluster cannot: a run without an image, files that are no objects of a
//! store, parts of an accelerator where none is cut. `freeze` is [`JobsError::Unsupported`]: a suspended `Job` loses its pods.
//! `foretell` is `None`, as its scheduler does not say. An API server that does not answer is [`JobsError::Unavailable`], and a `Job`
//! whose pod's machine is gone is told as lost. It takes its word in `jobs.executor` of the fleet file, a line in `up/jobs.rs` of the
//! room `cli`, a fixture over a small real cluster for the suite, and a [`RunMeter`] (DCGM's exporter by pod).

pub mod local;
mod meter;
pub mod nvml;
mod run;
pub mod slurm;
mod tls;

pub use meter::{RunMeter, of_devices};
pub use run::{RunProgram, RunSpec, SecretText};

use async_trait::async_trait;
use madang_types::{JobCheckpoint, Micros, RunEnd, RunId};
use tokio::sync::watch;

/// Runs jobs on the machines of some `[[nodes]]`. Every implementation passes the suite in `tests/jobs/conformance`.
///
/// Each call ends within a bound of its own, in [`JobsError::Unavailable`] where it must: a run is not lost by that, and is asked
/// about again.
#[async_trait]
pub trait JobExecutor: Send + Sync + 'static {
    /// Begins a run. What it does in vain by itself (an input that is missing, an image that cannot be had) it tells as the run's end.
    /// A run that it knows already is not begun again, whatever became of it. Where it knows an earlier run of the same task, that one's
    /// folder goes on: a checkpoint is found where it was written.
    ///
    /// # Errors
    /// Nothing was begun, or nobody knows ([`JobsError::Unavailable`]): it may be asked again.
    async fn start(&self, spec: RunSpec) -> Result<(), JobsError>;

    /// Why it would never run it, as far as it knows by itself, without asking anybody.
    fn never(&self, _spec: &RunSpec) -> Option<String> {
        None
    }

    /// When the site's own scheduler would have such a run begin, were it told of it now; `None` where there is none, or it does not say.
    /// Nothing is begun by that.
    ///
    /// # Errors
    /// [`JobsError::Refused`] where the site would never run it; [`JobsError::Unavailable`].
    async fn foretell(&self, _spec: &RunSpec) -> Result<Option<Micros>, JobsError> {
        Ok(None)
    }

    /// Ends a run, and all that came of it: by its checkpoint signal and after its grace by force, or at once (`SIGTERM`, and by force
    /// [`STOP_MS`] later). A second call may be more urgent than the first. A run that is over or that nobody knows stays as it is.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`].
    async fn stop(&self, run: RunId, how: StopHow) -> Result<(), JobsError>;

    /// Has a run's processes stand still, or go on. One that is over, that nobody knows or that stands so already stays as it is; one that
    /// is stopped goes on by that.
    ///
    /// # Errors
    /// [`JobsError::Unsupported`] where it cannot be had here; [`JobsError::Absent`] where others may have begun it and it was not asked yet
    /// how it stands; [`JobsError::Unavailable`].
    async fn freeze(&self, run: RunId, still: bool) -> Result<(), JobsError>;

    /// Where others drive the same runs at other times: whether it is told of them from here from now on. What its own side knows of how
    /// they were told to stand is old then.
    fn leads(&self, _leads: bool) {}

    /// How a run stands; `None` where it is not known: it was never begun, or was forgotten.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`].
    async fn look(&self, run: RunId) -> Result<Option<RunStatus>, JobsError>;

    /// All runs that it knows, by id: those that are over too, until they are forgotten.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`].
    async fn runs(&self) -> Result<Vec<(RunId, RunStatus)>, JobsError>;

    /// Its output (both streams in the order of writing) from the byte `from` on, at most `bytes_max` of it; empty where there is no
    /// more yet.
    ///
    /// # Errors
    /// [`JobsError::Absent`], [`JobsError::Unavailable`].
    async fn log(&self, run: RunId, from: u64, bytes_max: usize) -> Result<RunLog, JobsError>;

    /// What leads into a run that runs, for somebody who looks after it: a program and its arguments, that gives a shell in its folder
    /// and with its environment, on this machine.
    ///
    /// # Errors
    /// [`JobsError::Absent`] where it does not run; [`JobsError::Unsupported`].
    async fn shell(&self, run: RunId) -> Result<Vec<String>, JobsError>;

    /// Drops all that it keeps of a run that is over, its folder too: a run that is to go on from there is begun before. One that is not
    /// known is no error.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`], also where it is not over.
    async fn forget(&self, run: RunId) -> Result<(), JobsError>;

    /// Another number each time that something has changed, so that nobody has to ask in vain; a change may be told late, by at most
    /// [`NOTICE_MS_MAX`].
    fn changes(&self) -> watch::Receiver<u64>;
}

/// From `SIGTERM` to `SIGKILL` where a run is withdrawn.
pub const STOP_MS: u64 = 5_000;
/// The longest time until a change is told by [`JobExecutor::changes`].
pub const NOTICE_MS_MAX: u64 = 2_000;

/// How a run is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopHow {
    /// It may write a checkpoint: others are to run. It ends as `Stopped`, unless its program ended with 0 as if it were done.
    Checkpoint(JobCheckpoint),
    /// It was withdrawn, and ends as `Cancelled`.
    Cancel,
}

/// How a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunStatus {
    /// It is on its way: in the site's own queue, its inputs or its image are being fetched.
    Preparing {
        /// What it waits for, in a word or a line.
        why: String,
    },
    /// Its program runs.
    Running {
        /// Since when.
        since: Micros,
    },
    /// It was told to stop, and is not gone yet.
    Stopping {
        /// When its program began; `None` where it did not.
        since: Option<Micros>,
    },
    /// It is over: none of its processes is left.
    Ended(RunEnd),
}

impl RunStatus {
    /// Nothing follows.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

/// A part of a run's output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunLog {
    /// Where it begins: later than was asked where what stood before was dropped for its length.
    pub from: u64,
    /// The bytes, as they were written.
    pub bytes: Vec<u8>,
}

/// Why an executor could not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobsError {
    /// It cannot be reached, or its disk failed: nobody knows more.
    #[error("{0}")]
    Unavailable(String),
    /// It can never be done so: the site refused it.
    #[error("{0}")]
    Refused(String),
    /// There is no such run.
    #[error("the run {0} is not there")]
    Absent(RunId),
    /// This executor does not do that.
    #[error("{0}")]
    Unsupported(String),
}
