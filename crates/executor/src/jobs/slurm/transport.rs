//! What is asked of a cluster, whichever way it is reached.

use super::ask::Ask;
use super::job::SlurmJob;
use crate::jobs::JobsError;
use async_trait::async_trait;
use std::collections::BTreeMap;

/// One way to a cluster.
#[async_trait]
pub(super) trait Transport: Send + Sync {
    /// Submits it, once; gives the job's number.
    async fn submit(&self, ask: &Ask) -> Result<u32, Fault>;

    /// What the controller knows of these jobs, and of no others.
    async fn live(&self, ids: &[u32]) -> Result<Live, Fault>;

    /// What the accounting knows of jobs of that name that were there since then (seconds since 1970).
    async fn accounted(&self, name: &str, since_s: u64) -> Result<Vec<SlurmJob>, Fault>;

    /// Sends a signal to the job's script, which passes it on. A job that is over or not known is no error.
    async fn signal(&self, id: u32, signal: &str) -> Result<(), Fault>;

    /// Takes it out of the queue, or ends it by Slurm's own rule. A job that is over or not known is no error.
    async fn cancel(&self, id: u32) -> Result<(), Fault>;
}

/// What a controller knows of jobs. One that it does not know any more is in neither part.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) jobs: Vec<SlurmJob>,
    /// Those of which its answer could not be read, and why.
    pub(super) unread: BTreeMap<u32, Fault>,
}

/// Why a cluster did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It did not hear of it.
    NotSent(String),
    /// It may have heard of it.
    Unknown(String),
    /// It will not do it.
    Refused(String),
}

impl Fault {
    pub(super) fn named(self, cluster: &str) -> JobsError {
        match self {
            Self::NotSent(why) | Self::Unknown(why) => {
                JobsError::Unavailable(format!("the Slurm cluster {cluster}: {why}"))
            }
            Self::Refused(why) => JobsError::Refused(format!("the Slurm cluster {cluster}: {why}")),
        }
    }
}
