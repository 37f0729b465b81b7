//! The trait behind which batch jobs are kept: what was asked for, and the runs that it was carried out in.

use crate::StoreError;
use async_trait::async_trait;
use madang_types::{
    GatewayId, Job, JobId, JobState, Micros, NodesHeld, ProgrammeId, ProjectId, RunBusy, RunId,
    RunRecord, SecretId, SecretRow, TaskId, TenantId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};

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
    /// How many jobs of a tenant are not over.
    async fn jobs_open_count(&self, tenant: TenantId) -> Result<u64, StoreError>;
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
    /// What was had of accelerators by runs that are over, by who answers for it and by spans of [`USED_SPAN_US`]: of runs whose middle is
    /// `since` or later, each in the span of its middle; the latest first, at most [`JOBS_USED_COUNT_MAX`].
    async fn jobs_used(&self, since: Micros) -> Result<Vec<JobsUsed>, StoreError>;
    /// All runs of jobs that are not over, by job, task and number, above `after`; at most [`JOBS_LIST_COUNT_MAX`].
    async fn runs_open(&self, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError>;
    /// Runs that were given up and of whose end nobody has told yet ([`RunRecord::is_untold`]), by job, task and number, above `after`; at
    /// most [`JOBS_LIST_COUNT_MAX`].
    async fn runs_untold(&self, after: Option<RunId>) -> Result<Vec<RunRecord>, StoreError>;

    /// Notes how busy runs were, each in place of what was noted of it before, and adds what was held of machines at `at`, hour by hour;
    /// what was held more than [`HELD_KEPT_HOURS`] before that is dropped.
    async fn busy_write(
        &self,
        at: Micros,
        runs: Vec<RunBusy>,
        held: Vec<NodesHeld>,
    ) -> Result<(), StoreError>;
    /// How busy these runs were, by run; those of which nothing was noted are left out.
    async fn busy_of(&self, runs: Vec<RunId>) -> Result<Vec<RunBusy>, StoreError>;
    /// Runs that were last measured in the filter's span, those that left most of what they held idle first; at most
    /// [`BUSY_LIST_COUNT_MAX`].
    async fn busy_list(&self, filter: BusyFilter) -> Result<Vec<BusyRun>, StoreError>;
    /// What was held of machines in the hours that begin in a span (from the first instant on, before the second), by their name.
    async fn nodes_held(&self, span: (Micros, Micros)) -> Result<Vec<NodesHeld>, StoreError>;

    /// Keeps a secret, in place of one of a lower version.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where there is one of this version or a later one: it stays.
    async fn secret_put(&self, row: SecretRow) -> Result<(), StoreError>;
    /// A tenant's secrets and its projects', by project and name, those of the tenant first.
    async fn secret_list(&self, tenant: TenantId) -> Result<Vec<SecretRow>, StoreError>;
    /// Drops a secret.
    ///
    /// # Errors
    /// [`StoreError::Absent`].
    async fn secret_delete(&self, id: SecretId) -> Result<(), StoreError>;
}

/// The length of a span of [`JobBook::jobs_used`], in microseconds: six hours, in which little of what is used fades.
pub const USED_SPAN_US: i64 = 21_600_000_000;
/// The most rows that it gives.
pub const JOBS_USED_COUNT_MAX: u32 = 200_000;

/// What was had of accelerators by one who answers for jobs, in one span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobsUsed {
    /// The tenant's programme when the jobs came.
    pub programme: Option<ProgrammeId>,
    /// The tenant.
    pub tenant: TenantId,
    /// Its project.
    pub project: Option<ProjectId>,
    /// The middle of the span.
    pub at: Micros,
    /// How much, in milliseconds of a whole accelerator.
    pub accelerator_ms: u64,
}

/// The most runs that [`JobBook::busy_list`] gives.
pub const BUSY_LIST_COUNT_MAX: u32 = 10_000;
/// What was held of machines is kept for so many hours: a year and a month.
pub const HELD_KEPT_HOURS: i64 = 9_528;
pub(crate) const HOUR_US: i64 = 3_600_000_000;

/// Which runs that were measured. All that is given must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyFilter {
    /// Last measured from the first instant on, before the second.
    pub span: (Micros, Micros),
    /// Only of tenants that were in this programme when they submitted.
    pub programme: Option<ProgrammeId>,
    /// Only this tenant's.
    pub tenant: Option<TenantId>,
}

/// A run that was measured, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusyRun {
    /// The tenant's programme when the job came.
    pub programme: Option<ProgrammeId>,
    /// The tenant.
    pub tenant: TenantId,
    /// Its project.
    pub project: Option<ProjectId>,
    /// The run.
    pub record: RunRecord,
    /// How busy it was.
    pub busy: RunBusy,
}

/// The first hour that begins at an instant or later, by its number since 1970-01-01.
pub(crate) fn hour_from(Micros(at): Micros) -> i64 {
    at.div_euclid(HOUR_US) + i64::from(at.rem_euclid(HOUR_US) > 0)
}

/// A number as a column holds it.
pub(crate) fn column_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A run's id from its key as columns hold it.
pub(crate) fn run_of(key: RunKey) -> Option<RunId> {
    let index = match key.task {
        -1 => None,
        task => Some(u32::try_from(task).ok()?),
    };
    let job = JobId(u64::try_from(key.job).ok()?);
    Some(RunId {
        task: TaskId { job, index },
        number: u32::try_from(key.number).ok()?,
    })
}

/// The middle of a span by its number.
pub(crate) fn middle_of(span: i64) -> Micros {
    Micros(
        span.saturating_mul(USED_SPAN_US)
            .saturating_add(USED_SPAN_US / 2),
    )
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

/// Jobs that are not over, as both databases' partial indexes say it.
pub(crate) const OPEN: &str = "state IN ('pending', 'held', 'running')";

impl JobFilter {
    /// The states as a condition; `None` where any will do. That they are all of jobs that are not over is said, for the index.
    pub(crate) fn state_condition(&self) -> Option<String> {
        if self.states.is_empty() {
            return None;
        }
        let words: Vec<String> = self.states.iter().map(|s| format!("'{s}'")).collect();
        let some = format!("state IN ({})", words.join(", "));
        Some(match self.states.iter().any(|state| state.is_over()) {
            true => some,
            false => format!("{some} AND {OPEN}"),
        })
    }
}

/// A change as rows: each job and run once, the last that is said of it, in their order.
pub(crate) struct ChangeRows<'a> {
    pub jobs: BTreeMap<i64, &'a Job>,
    pub runs: BTreeMap<RunKey, RunRow>,
}

/// A run as columns hold it beside its key.
pub(crate) struct RunRow {
    pub record: String,
    /// The middle of the time in which it had accelerators, once it is over.
    pub used_at: Option<i64>,
    /// How much of a whole one, in milliseconds.
    pub used_ms: Option<i64>,
    /// It was given up, and nobody has told yet how it ended.
    pub untold: bool,
}

impl RunRow {
    fn new(record: &RunRecord) -> Result<Self, StoreError> {
        let end = record.end.as_ref();
        let began = end.and_then(|end| end.started_at);
        let middle = began
            .zip(end)
            .map(|(began, end)| i64::midpoint(began.0, end.ended_at.0));
        let used = record.accelerator_ms().filter(|_| middle.is_some());
        Ok(Self {
            record: json_text("a run", record)?,
            used_at: middle,
            used_ms: used.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            untold: record.is_untold(),
        })
    }
}

impl<'a> ChangeRows<'a> {
    /// # Errors
    /// [`StoreError::Absent`] for a job whose number no database gives; [`StoreError::Invalid`].
    pub(crate) fn new(change: &'a JobsChange) -> Result<Self, StoreError> {
        let jobs = change.jobs.iter().map(|job| Ok((given(job.id)?, job)));
        let runs = change.runs.iter().map(|record| {
            given(record.run.task.job)?;
            Ok((RunKey::from(record.run), RunRow::new(record)?))
        });
        Ok(Self {
            jobs: jobs.collect::<Result<_, StoreError>>()?,
            runs: runs.collect::<Result<_, StoreError>>()?,
        })
    }

    /// All jobs that it is about.
    pub(crate) fn job_ids(&self) -> BTreeSet<i64> {
        let runs = self.runs.keys().map(|key| key.job);
        self.jobs.keys().copied().chain(runs).collect()
    }
}

/// A run's key as columns hold it; their order is that of [`RunId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunKey {
    pub job: i64,
    /// -1 of a job without an array.
    pub task: i64,
    pub number: i64,
}

impl RunKey {
    /// Below every run of a job that a database has numbered.
    pub(crate) const START: Self = Self {
        job: 0,
        task: -1,
        number: -1,
    };

    /// Where a page of one job's runs goes on.
    pub(crate) fn of_job(job: JobId, after: Option<RunId>) -> Self {
        let after = after.map_or(Self::START, Self::from);
        Self {
            job: bound(job),
            ..after
        }
    }
}

impl From<RunId> for RunKey {
    fn from(run: RunId) -> Self {
        let TaskId { job, index } = run.task;
        Self {
            job: bound(job),
            task: index.map_or(-1, i64::from),
            number: run.number.into(),
        }
    }
}

/// A job's number as a column holds it; of one that no database gives, the greatest.
pub(crate) fn bound(id: JobId) -> i64 {
    i64::try_from(id.0).unwrap_or(i64::MAX)
}

/// The last number of a page that goes on before a job.
pub(crate) fn last_before(before: Option<JobId>) -> i64 {
    before.map_or(i64::MAX, |id| bound(JobId(id.0.saturating_sub(1))))
}

/// A secret's project as a column holds it: empty where it is all of the tenant's.
pub(crate) fn project_column(id: &SecretId) -> &str {
    id.project.as_ref().map_or("", ProjectId::as_str)
}

pub(crate) fn project_read(column: &str) -> Result<Option<ProjectId>, StoreError> {
    let named = (!column.is_empty()).then(|| ProjectId::new(column));
    let damaged = |e| StoreError::Damaged(format!("a secret's project: {e}"));
    named.transpose().map_err(damaged)
}

pub(crate) fn secret_absent(id: &SecretId) -> StoreError {
    StoreError::Absent(format!("the secret {}", id.name))
}

/// What is said of a version where there is that one or a later one.
pub(crate) fn secret_newer(id: &SecretId) -> StoreError {
    StoreError::Exists(format!("a later version of the secret {}", id.name))
}

fn given(id: JobId) -> Result<i64, StoreError> {
    i64::try_from(id.0).map_err(|_| absent(id))
}

pub(crate) fn absent(id: impl std::fmt::Display) -> StoreError {
    StoreError::Absent(format!("the job {id}"))
}

/// What is said to a term that is not the last one.
pub(crate) fn superseded(last: u64) -> StoreError {
    StoreError::Exists(format!("term {last} of driving jobs"))
}

pub(crate) fn json_text(what: &str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Invalid(format!("{what}: {e}")))
}

pub(crate) fn json_value<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Damaged(format!("{what}: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_has_the_states_that_are_not_over() {
        use JobState::*;
        let all = [
            Pending, Held, Running, Completed, Failed, Cancelled, TimedOut,
        ];
        for state in all {
            let listed = OPEN.contains(&format!("'{state}'"));
            assert_eq!(listed, !state.is_over(), "{state}");
        }
    }
}
