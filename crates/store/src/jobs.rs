//! The trait behind which batch jobs are kept: what was asked for, and the runs that it was carried out in.

use crate::StoreError;
use async_trait::async_trait;
use madang_types::{
    GatewayId, Job, JobId, JobState, Micros, ProgrammeId, ProjectId, RunId, RunRecord, TenantId,
};

/// The most jobs or runs in one page of a list.
pub const JOBS_LIST_COUNT_MAX: u32 = 1000;

/// Which jobs. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only of tenants that were in this programme when they submitted.
    pub programme: Option<ProgrammeId>,
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
    /// Only of projects of this name.
    pub project: Option<ProjectId>,
    /// Only those that stand so; any where empty.
    pub states: Vec<JobState>,
}

/// Who drives jobs: one of the gateways that share the books, until its term ends. A later term has a greater number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobTerm(pub u64);

/// Jobs in the books. Its writes are durable and visible to every later read when they return.
#[async_trait]
pub trait JobBook: Send + Sync + 'static {
    /// Keeps a job that was submitted, and gives it the next number (the one in `job` says nothing).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn job_insert(&self, job: Job) -> Result<Job, StoreError>;
    /// One job.
    async fn job_get(&self, id: JobId) -> Result<Option<Job>, StoreError>;
    /// Jobs, newest first; `before` continues after the last of a page; at most `count_max`, and never more than
    /// [`JOBS_LIST_COUNT_MAX`].
    async fn job_list(
        &self,
        filter: JobFilter,
        before: Option<JobId>,
        count_max: u32,
    ) -> Result<Vec<Job>, StoreError>;
    /// Jobs that are not over, oldest first, above `after`; at most [`JOBS_LIST_COUNT_MAX`].
    async fn jobs_open(&self, after: Option<JobId>) -> Result<Vec<Job>, StoreError>;
    /// Says what somebody wants of a job: to hold it back or not, or to withdraw it (for which the first instant stays). A job that is
    /// over stays as it is. Gives it as it stands then.
    ///
    /// # Errors
    /// [`StoreError::Absent`].
    async fn job_wish(&self, id: JobId, wish: JobWish) -> Result<Job, StoreError>;
    /// A number that is another one once anybody has inserted a job or wished something of one; `None` where nobody but this process
    /// writes to these books.
    async fn jobs_revision(&self) -> Result<Option<u64>, StoreError>;

    /// Takes the driving of jobs for `gateway`, or goes on with it: until `until`, where nobody else has it at `at`. Gives its term: the
    /// same one for whoever had it last, without a break, and a greater one else. `None` where another gateway has it.
    async fn term_hold(
        &self,
        gateway: GatewayId,
        at: Micros,
        until: Micros,
    ) -> Result<Option<JobTerm>, StoreError>;
    /// Writes, in one transaction, how jobs and runs stand: of a job its state, why, and its end; a run as a whole, whether it is new
    /// or not.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where a later term has begun: nothing is written. [`StoreError::Absent`] for a job that is not there.
    async fn jobs_write(&self, term: JobTerm, change: JobsChange) -> Result<(), StoreError>;

    /// Runs of a job, by task and number, above `after`; at most [`JOBS_LIST_COUNT_MAX`].
    async fn run_list(
        &self,
        job: JobId,
        after: Option<RunId>,
    ) -> Result<Vec<RunRecord>, StoreError>;
    /// All runs of jobs that are not over, by job, task and number, above `after`; at most [`JOBS_LIST_COUNT_MAX`].
    async fn runs_open(&self, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError>;
}

/// What somebody wants of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobWish {
    /// Hold it back.
    Hold,
    /// Let it go on.
    Release,
    /// Withdraw it.
    Cancel(Micros),
}

/// How jobs and runs stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobsChange {
    /// Jobs: state, why and end are written, the rest is not.
    pub jobs: Vec<Job>,
    /// Runs, whole.
    pub runs: Vec<RunRecord>,
}
