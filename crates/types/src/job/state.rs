//! How a job stands.

use super::{JobId, JobSpec};
use crate::class::words;
use crate::{KeyId, Micros, ProgrammeId, ProjectId, TenantId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How a job, or one task of it, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// It waits for its turn, for room, for its budget or for other jobs.
    Pending,
    /// It waits until somebody releases it.
    Held,
    /// It has machines; of an array, at least one task has.
    Running,
    /// It ended well; of an array, every task did.
    Completed,
    /// It ended otherwise, or could not be started; of an array, at least one task did.
    Failed,
    /// It was withdrawn.
    Cancelled,
    /// It was still running at its time limit.
    TimedOut,
}

words!(JobState, JobStateError,
    "a job's state is one of pending, held, running, completed, failed, cancelled, timed_out",
    "pending" => JobState::Pending, "held" => JobState::Held, "running" => JobState::Running,
    "completed" => JobState::Completed, "failed" => JobState::Failed, "cancelled" => JobState::Cancelled,
    "timed_out" => JobState::TimedOut);

impl JobState {
    /// Nothing follows.
    pub fn is_over(self) -> bool {
        match self {
            Self::Pending | Self::Held | Self::Running => false,
            Self::Completed | Self::Failed | Self::Cancelled | Self::TimedOut => true,
        }
    }
}

/// A job as the books have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Who pays.
    pub tenant: TenantId,
    /// For which of its projects.
    pub project: Option<ProjectId>,
    /// In which programme the tenant was then.
    pub programme: Option<ProgrammeId>,
    /// Whose key submitted it.
    pub key: Option<KeyId>,
    /// What it is.
    pub spec: JobSpec,
    /// How it stands.
    pub state: JobState,
    /// Somebody holds it back: it is not started, and not stopped for it where it runs.
    pub held: bool,
    /// Somebody withdrew it, and when: what of it runs is being stopped.
    pub cancelled_at: Option<Micros>,
    /// Why it stands so, where there is more to say: what it waits for, or what went wrong.
    pub why: Option<String>,
    /// When it came.
    pub submitted_at: Micros,
    /// When it was over.
    pub ended_at: Option<Micros>,
}
