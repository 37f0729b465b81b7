//! Properties of jobs, their runs and who drives them.

pub mod busy;
pub mod driven;
pub mod kept;
pub mod secrets;
pub mod used;

use super::Failure;
use crate::{JobBook, JobFilter, JobTerm, JobsChange, StoreError};
use async_trait::async_trait;
use madang_types::{GatewayId, Job, JobId, JobState, Micros, RunId, RunRecord, RunState, TaskId};
use std::sync::Arc;

/// What a property is tried on. Each test makes its own.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens the books, empty the first time. A later call, made when the earlier ones have been dropped, finds what they wrote.
    async fn open(&self) -> Arc<dyn JobBook>;
}

/// Expands to one `#[tokio::test]` for each property; `$make` is called without arguments and gives a [`Fixture`].
#[macro_export]
macro_rules! jobs_conformance_suite {
    ($make:path) => {
        $crate::jobs_conformance_suite! { @tests $make;
            kept: jobs_are_numbered_as_they_come, extreme_jobs_read_back, lists_are_newest_first_and_meet,
                lists_follow_all_filters, lists_are_bounded, wishes_are_kept_until_the_end;
            driven: what_is_over_is_not_open, a_term_is_held_by_one, an_old_term_writes_nothing, a_change_is_written_whole,
                extreme_runs_read_back, runs_are_by_task_and_number, runs_of_open_jobs_meet, runs_that_were_given_up_are_found, jobs_survive;
            busy: how_busy_runs_were_is_noted_and_found, what_was_held_is_summed_by_hour;
            used: what_was_used_is_summed_by_owner_and_span;
            secrets: a_secret_is_replaced_by_a_later_one_alone, secrets_are_their_tenants_and_projects;
        }
    };
    (@tests $make:path; $($room:ident: $($property:ident),+;)+) => {
        $($(
            #[::tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                let fixture = $make();
                let kept = $crate::conformance::jobs::$room::$property(&fixture).await;
                kept.expect("the property holds");
            }
        )+)+
    };
}
pub use crate::jobs_conformance_suite as suite;

type Book = Arc<dyn JobBook>;

/// A job as it is submitted; its number is the books' to give.
///
/// # Errors
/// Never, as its words are sound.
pub fn job(tenant: &str) -> Result<Job, Failure> {
    Ok(Job {
        id: JobId(0),
        tenant: tenant.parse()?,
        project: None,
        programme: None,
        key: None,
        spec: serde_json::from_value(serde_json::json!({
            "name": "훈련", "command": ["train"], "resources": {"count": 8}, "time_limit_ms": 3_600_000,
        }))?,
        state: JobState::Pending,
        held: false,
        cancelled_at: None,
        why: None,
        submitted_at: Micros(1),
        ended_at: None,
    })
}

/// The beginning of a run.
///
/// # Errors
/// Never, as its words are sound.
pub fn run(run: RunId) -> Result<RunRecord, Failure> {
    Ok(RunRecord {
        run,
        nodes: "pohang-h200".parse()?,
        place: None,
        pieces: Vec::new(),
        accelerator_milli: 8_000,
        state: RunState::Starting,
        stop: None,
        created_at: Micros(2),
        started_at: None,
        end: None,
        charge: None,
        unseen_since: None,
        unseen_until: None,
        candidates: Vec::new(),
    })
}

fn run_id(job: JobId, index: Option<u32>, number: u32) -> RunId {
    let task = TaskId { job, index };
    RunId { task, number }
}

async fn insert(book: &Book, count: usize) -> Result<Vec<Job>, Failure> {
    let mut inserted = Vec::new();
    for _ in 0..count {
        inserted.push(book.job_insert(job("demo")?).await?);
    }
    Ok(inserted)
}

async fn term(book: &Book, gateway: &str, at: i64, until: i64) -> Result<Option<u64>, Failure> {
    let gateway: GatewayId = gateway.parse()?;
    let held = book.term_hold(gateway, Micros(at), Micros(until)).await?;
    Ok(held.map(|JobTerm(number)| number))
}

/// The term of a driver that nobody replaces.
async fn drive(book: &Book) -> Result<JobTerm, Failure> {
    let held = book.term_hold("gw-1".parse()?, Micros(0), Micros(i64::MAX));
    Ok(held.await?.ok_or("nobody else has it")?)
}

async fn write(
    book: &Book,
    term: JobTerm,
    jobs: Vec<Job>,
    runs: Vec<RunRecord>,
) -> Result<(), StoreError> {
    book.jobs_write(term, JobsChange { jobs, runs }).await
}

fn over(job: &Job, state: JobState) -> Job {
    Job {
        state,
        ended_at: Some(Micros(9)),
        ..job.clone()
    }
}

async fn list(book: &Book, filter: JobFilter) -> Result<Vec<u64>, Failure> {
    let jobs = book.job_list(filter, None, u32::MAX).await?;
    Ok(jobs.iter().map(|job| job.id.0).collect())
}
