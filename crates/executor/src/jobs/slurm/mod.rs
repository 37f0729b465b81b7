//! Jobs on a Slurm cluster.
//!
//! Madang chooses the site, the time and the shares; the cluster's own scheduler chooses the machines. A run is one batch job named
//! after it, and Slurm neither requeues nor retries it. Our folder says which run is which job; a run whose submission was not answered
//! is found by its name, and so is every run where the folder was lost. Its times are Slurm's own, so that what we account is what
//! `sacct` says. All runs are one user's of the cluster, or each tenant's are a user's of its own.
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
mod users;

pub use ask::minutes_asked;
pub use options::{
    LOST_MS, SETTLE_MS, SHELL_HERE, SlurmOptions, SlurmPower, SlurmRest, SlurmToken,
};
pub use site::{
    SlurmFound, SlurmQosWish, SlurmReservation, SlurmSite, SlurmWish, account_named, licence_named,
    qos_named,
};
pub use users::USER;

use super::{JobExecutor, JobsError, RunLog, RunMeter, RunSpec, RunStatus, StopHow};
use async_trait::async_trait;
use madang_types::{BusySource, Measured, Micros, RunId, RunRecord};
use tokio::sync::watch;
use tokio::task::JoinSet;
use users::Users;

/// Runs jobs on one Slurm cluster.
pub struct SlurmExecutor {
    users: Users,
    /// They ask after what runs, until this executor goes.
    _watchers: JoinSet<()>,
}

impl SlurmExecutor {
    /// Takes up what its folder knows. Slurm need not be there.
    ///
    /// # Errors
    /// [`JobsError::Unavailable`] where the folder cannot be read or written; [`JobsError::Unsupported`] where the options do not fit
    /// together.
    pub fn open(options: SlurmOptions) -> Result<Self, JobsError> {
        let mut watchers = JoinSet::new();
        Ok(Self {
            users: Users::open(options, &mut watchers)?,
            _watchers: watchers,
        })
    }
}

#[async_trait]
impl JobExecutor for SlurmExecutor {
    async fn start(&self, spec: RunSpec) -> Result<(), JobsError> {
        // Whoever has it goes on with it, though its tenant has another user by now.
        let part = match self.users.holding(spec.run) {
            Some(part) => part,
            None => self.users.of_owner(&spec)?,
        };
        part.start(spec).await
    }

    fn never(&self, spec: &RunSpec) -> Option<String> {
        match self.users.of_owner(spec) {
            Ok(part) => part.never(spec),
            Err(refused) => Some(refused.to_string()),
        }
    }

    async fn foretell(&self, spec: &RunSpec) -> Result<Option<Micros>, JobsError> {
        self.users.of_owner(spec)?.foretell(spec).await
    }

    async fn stop(&self, run: RunId, how: StopHow) -> Result<(), JobsError> {
        for part in self.users.of_run(run) {
            part.stop(run, how).await?;
        }
        Ok(())
    }

    async fn freeze(&self, run: RunId, still: bool) -> Result<(), JobsError> {
        for part in self.users.of_run(run) {
            part.freeze(run, still).await?;
        }
        Ok(())
    }

    fn leads(&self, leads: bool) {
        self.users.all().for_each(|part| part.leads(leads));
    }

    async fn look(&self, run: RunId) -> Result<Option<RunStatus>, JobsError> {
        for part in self.users.of_run(run) {
            if let Some(status) = part.look(run).await? {
                return Ok(Some(status));
            }
        }
        Ok(None)
    }

    async fn runs(&self) -> Result<Vec<(RunId, RunStatus)>, JobsError> {
        let mut all = Vec::new();
        for part in self.users.all() {
            all.extend(part.runs().await?);
        }
        all.sort_by_key(|(run, _)| *run);
        Ok(all)
    }

    async fn log(&self, run: RunId, from: u64, bytes_max: usize) -> Result<RunLog, JobsError> {
        let mut read = Err(JobsError::Absent(run));
        for part in self.users.of_run(run) {
            read = part.log(run, from, bytes_max).await;
            if !matches!(read, Err(JobsError::Absent(_))) {
                break;
            }
        }
        read
    }

    async fn shell(&self, run: RunId) -> Result<Vec<String>, JobsError> {
        let mut found = Err(JobsError::Absent(run));
        for part in self.users.of_run(run) {
            found = part.terminal(run).await;
            if !matches!(found, Err(JobsError::Absent(_))) {
                break;
            }
        }
        found
    }

    async fn forget(&self, run: RunId) -> Result<(), JobsError> {
        for part in self.users.of_run(run) {
            part.forget(run).await?;
        }
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.users.changes()
    }
}

#[async_trait]
impl RunMeter for SlurmExecutor {
    async fn measure(&self, runs: &[RunRecord]) -> Result<Vec<(RunId, Measured)>, JobsError> {
        let mut all = Vec::new();
        for part in self.users.all() {
            all.extend(part.measure(runs).await?);
        }
        Ok(all)
    }

    fn source(&self, measured: Measured) -> BusySource {
        match measured {
            Measured::Now(_) => BusySource::SlurmGpu,
            // Time that was used, of time that was given, can be told of all that was alone.
            Measured::SoFar(_) => BusySource::SlurmCpu,
        }
    }
}
