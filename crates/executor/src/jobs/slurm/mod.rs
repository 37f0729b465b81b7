//! Jobs on a Slurm cluster.
//!
//! Madang chooses the site, the time and the shares; the cluster's own scheduler chooses the machines. A run is one batch job named
//! after it, and Slurm neither requeues nor retries it. Our folder says which run is which job; a run whose submission was not answered
//! is found by its name, and so is every run where the folder was lost. Its times are Slurm's own, so that what we account is what
//! `sacct` says.
//!
//! A cluster is reached by its REST daemon or by its programs, here or over ssh. Nothing asks for the whole list of jobs.

mod ask;
mod book;
mod cli;
mod files;
mod inner;
mod job;
mod options;
mod rest;
mod script;
mod shell;
mod site;
mod store;
mod token;
mod transport;
mod usage;

pub use ask::minutes_asked;
pub use options::{
    LOST_MS, SETTLE_MS, SHELL_HERE, SlurmOptions, SlurmPower, SlurmRest, SlurmToken,
};
pub use site::{
    SlurmFound, SlurmQosWish, SlurmReservation, SlurmSite, SlurmWish, account_named, licence_named,
    qos_named,
};

use super::{JobExecutor, JobsError, RunLog, RunMeter, RunSpec, RunStatus, StopHow};
use async_trait::async_trait;
use inner::Inner;
use madang_types::{BusySource, Measured, Micros, RunId, RunRecord};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Runs jobs on one Slurm cluster.
pub struct SlurmExecutor {
    inner: Arc<Inner>,
    /// Asks after what runs, until this executor goes.
    watcher: JoinHandle<()>,
}

impl SlurmExecutor {
    /// Takes up what its folder knows. Slurm need not be there.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`] where the folder cannot be read or written; [`JobsError::Unsupported`] where the options do not fit
    /// together.
    pub fn open(options: SlurmOptions) -> Result<Self, JobsError> {
        let inner = Arc::new(Inner::open(options)?);
        let watcher = tokio::spawn(Arc::clone(&inner).watch());
        Ok(Self { inner, watcher })
    }
}

impl Drop for SlurmExecutor {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

#[async_trait]
impl JobExecutor for SlurmExecutor {
    async fn start(&self, spec: RunSpec) -> Result<(), JobsError> {
        self.inner.start(spec).await
    }

    fn never(&self, spec: &RunSpec) -> Option<String> {
        self.inner.never(spec)
    }

    async fn foretell(&self, spec: &RunSpec) -> Result<Option<Micros>, JobsError> {
        self.inner.foretell(spec).await
    }

    async fn stop(&self, run: RunId, how: StopHow) -> Result<(), JobsError> {
        self.inner.stop(run, how).await
    }

    async fn freeze(&self, run: RunId, still: bool) -> Result<(), JobsError> {
        self.inner.freeze(run, still).await
    }

    async fn look(&self, run: RunId) -> Result<Option<RunStatus>, JobsError> {
        self.inner.look(run).await
    }

    async fn runs(&self) -> Result<Vec<(RunId, RunStatus)>, JobsError> {
        self.inner.runs().await
    }

    async fn log(&self, run: RunId, from: u64, bytes_max: usize) -> Result<RunLog, JobsError> {
        self.inner.log(run, from, bytes_max).await
    }

    async fn shell(&self, run: RunId) -> Result<Vec<String>, JobsError> {
        self.inner.terminal(run).await
    }

    async fn forget(&self, run: RunId) -> Result<(), JobsError> {
        self.inner.forget(run).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes()
    }
}

#[async_trait]
impl RunMeter for SlurmExecutor {
    async fn measure(&self, runs: &[RunRecord]) -> Result<Vec<(RunId, Measured)>, JobsError> {
        self.inner.measure(runs).await
    }

    fn source(&self, measured: Measured) -> BusySource {
        match measured {
            Measured::Now(_) => BusySource::SlurmGpu,
            // Time that was used, of time that was given, can be told of all that was alone.
            Measured::SoFar(_) => BusySource::SlurmCpu,
        }
    }
}
