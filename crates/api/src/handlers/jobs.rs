//! Batch jobs: submitted, looked at, held, released, withdrawn, begun anew; what they print.

use super::Result;
use crate::caller::{Ground, May, right};
use crate::extract::{LargeBody, PathId, Query};
use crate::params::{JobLogQuery, JobQuery, JobRunsQuery, JobShellQuery, JobSubmit, LOG_BYTES_MAX};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{JobRunView, JobShellView, JobView, List};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode, header};
use madang_control::jobs::JobsError;
use madang_gateway::clock;
use madang_store::{JobFilter, JobWish};
use madang_types::{ErrorCode, Job, JobId, JobState, RunRecord, RunState, TaskId};
use std::sync::Arc;

/// Where the next part of an output begins.
const LOG_NEXT: HeaderName = HeaderName::from_static("x-madang-log-next");
/// The run whose output it is.
const LOG_RUN: HeaderName = HeaderName::from_static("x-madang-run");
/// `true` where the run is over and no more follows.
const LOG_END: HeaderName = HeaderName::from_static("x-madang-log-end");

/// Submit a job
///
/// It is looked at before it is taken: what no machine could run, and what policy keeps away from every machine, is refused with what
/// stands in the way.
#[utoipa::path(post, path = "/api/v1/jobs", tag = "jobs", request_body = JobSubmit,
    responses((status = 201, body = JobView)))]
pub(crate) async fn job_submit(
    may: May<right::JobSubmit>,
    State(api): State<Arc<Api>>,
    LargeBody(asked): LargeBody<JobSubmit>,
) -> Result<(StatusCode, Json<JobView>)> {
    let key = may.caller.0.key.clone();
    let Ground::Tenant(tenant) = may.ground else {
        let message = "a job belongs to a tenant, and this key to none";
        return Err(Refusal::new(ErrorCode::RoleForbidden, message));
    };
    let job = api
        .control
        .jobs()
        .submit((tenant, key), asked.into())
        .await?;
    Ok((StatusCode::CREATED, view(&api, job)))
}

/// Jobs that the caller may see, the newest first, without what each waits for
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", params(JobQuery),
    responses((status = 200, body = List<JobView>)))]
pub(crate) async fn job_list(
    may: May<right::JobRead>,
    State(api): State<Arc<Api>>,
    Query(asked): Query<JobQuery>,
) -> Result<Json<List<JobView>>> {
    let JobQuery {
        tenant,
        project,
        state,
        before,
        limit,
    } = asked;
    let filter = JobFilter {
        programme: may.ground.programme().cloned(),
        tenant: may.ground.tenant_asked(api.gateway(), tenant)?,
        project,
        states: state.into_iter().collect(),
    };
    let jobs = api
        .control
        .jobs()
        .book()
        .job_list(filter, before, limit)
        .await?;
    // When each will start is worked out for one job, not for a page of them.
    let plane = api.control.jobs();
    let views = jobs.into_iter().map(|job| {
        let standing = plane.standing(job.id);
        JobView::new(job, standing)
    });
    Ok(Json(List::new(views.collect())))
}

/// One job, why it waits and when it is expected to start
#[utoipa::path(get, path = "/api/v1/jobs/{id}", tag = "jobs",
    params(("id" = String, Path, description = "The job's number")), responses((status = 200, body = JobView)))]
pub(crate) async fn job_get(
    may: May<right::JobRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<JobView>> {
    let job = find(&api, &may.ground, &id).await?;
    Ok(view(&api, job))
}

/// Runs of a job, by task and number
#[utoipa::path(get, path = "/api/v1/jobs/{id}/runs", tag = "jobs",
    params(("id" = String, Path, description = "The job's number"), JobRunsQuery), responses((status = 200, body = List<JobRunView>)))]
pub(crate) async fn job_runs(
    may: May<right::JobRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    Query(JobRunsQuery { after, limit }): Query<JobRunsQuery>,
) -> Result<Json<List<JobRunView>>> {
    let job = find(&api, &may.ground, &id).await?;
    if let Some(other) = after.filter(|after| after.task.job != job.id) {
        return Err(Refusal::absent("run", &other.to_string()).at("after"));
    }
    let mut runs = api.control.jobs().book().run_list(job.id, after).await?;
    runs.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(Json(List::new(runs.into_iter().map(Into::into).collect())))
}

/// What a run of a job prints, from a byte on: `x-madang-log-next` is where the next part begins
#[utoipa::path(get, path = "/api/v1/jobs/{id}/log", tag = "jobs",
    params(("id" = String, Path, description = "The job's number"), JobLogQuery),
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn job_log(
    may: May<right::JobOutput>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    Query(asked): Query<JobLogQuery>,
) -> Result<Response> {
    let job = find(&api, &may.ground, &id).await?;
    let run = run_of(&api, &job, (asked.task, asked.run)).await?;
    let bytes_max = usize::try_from(LOG_BYTES_MAX).unwrap_or(usize::MAX);
    let read = api.control.jobs().log(&run, asked.from, bytes_max).await;
    let log = read.map_err(|error| executor(&error))?;
    let next = log.from + u64::try_from(log.bytes.len()).unwrap_or(0);
    let is_end = run.state == RunState::Ended && log.bytes.is_empty();
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (LOG_NEXT, next.to_string()),
        (LOG_RUN, run.run.to_string()),
        (LOG_END, is_end.to_string()),
    ];
    Ok((headers, log.bytes).into_response())
}

/// What leads into a run of a job, on the server's own machine
#[utoipa::path(get, path = "/api/v1/jobs/{id}/shell", tag = "jobs",
    params(("id" = String, Path, description = "The job's number"), JobShellQuery),
    responses((status = 200, body = JobShellView)))]
pub(crate) async fn job_shell(
    may: May<right::JobOutput>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    Query(JobShellQuery { task }): Query<JobShellQuery>,
) -> Result<Json<JobShellView>> {
    let job = find(&api, &may.ground, &id).await?;
    let run = run_of(&api, &job, (task, None)).await?;
    if run.state == RunState::Ended {
        let message = format!(
            "the run {} is over: a shell leads into one that runs",
            run.run
        );
        return Err(Refusal::conflict(message));
    }
    let found = api.control.jobs().shell(&run).await;
    Ok(Json(JobShellView {
        run: run.run.to_string(),
        command: found.map_err(|error| executor(&error))?,
    }))
}

/// Withdraw a job: what of it runs is stopped
#[utoipa::path(post, path = "/api/v1/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path, description = "The job's number")), responses((status = 200, body = JobView)))]
pub(crate) async fn job_cancel(
    may: May<right::JobWrite>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<JobView>> {
    wish(&api, &may.ground, (&id, JobWish::Cancel(clock::now()))).await
}

/// Hold a job back: what of it runs goes on
#[utoipa::path(post, path = "/api/v1/jobs/{id}/hold", tag = "jobs",
    params(("id" = String, Path, description = "The job's number")), responses((status = 200, body = JobView)))]
pub(crate) async fn job_hold(
    may: May<right::JobWrite>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<JobView>> {
    wish(&api, &may.ground, (&id, JobWish::Hold)).await
}

/// Let a job go on that is held back
#[utoipa::path(post, path = "/api/v1/jobs/{id}/release", tag = "jobs",
    params(("id" = String, Path, description = "The job's number")), responses((status = 200, body = JobView)))]
pub(crate) async fn job_release(
    may: May<right::JobWrite>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<JobView>> {
    wish(&api, &may.ground, (&id, JobWish::Release)).await
}

/// Have what runs of a job begin anew
#[utoipa::path(post, path = "/api/v1/jobs/{id}/requeue", tag = "jobs",
    params(("id" = String, Path, description = "The job's number")), responses((status = 200, body = JobView)))]
pub(crate) async fn job_requeue(
    may: May<right::JobWrite>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<JobView>> {
    let job = find(&api, &may.ground, &id).await?;
    if !api.control.jobs().requeue(job.id) {
        let id = job.id;
        let message = match job.state.is_over() {
            true => format!("job {id} is over: it is {}; submit it again", job.state),
            false => format!("nothing of job {id} runs: it begins when its turn comes"),
        };
        return Err(Refusal::conflict(message));
    }
    Ok(view(&api, job))
}

async fn wish(api: &Api, ground: &Ground, (id, wish): (&str, JobWish)) -> Result<Json<JobView>> {
    let job = find(api, ground, id).await?;
    if job.state.is_over() {
        let message = format!("job {} is over: it is {}", job.id, job.state);
        return Err(Refusal::conflict(message));
    }
    let job = api.control.jobs().wish(job.id, wish).await?;
    Ok(view(api, job))
}

fn view(api: &Api, job: Job) -> Json<JobView> {
    let plane = api.control.jobs();
    // That it is held or let go the books may be told a moment later; that it runs, or ran, they say with the run itself.
    let open = plane.open_job(job.id);
    let open = open.filter(|open| ![open.state, job.state].contains(&JobState::Running));
    let job = open.unwrap_or(job);
    let outlook = plane.outlook(job.id);
    Json(JobView::new(job, outlook))
}

/// The job of that number, where its tenant stands on the caller's ground.
async fn find(api: &Api, ground: &Ground, id: &str) -> Result<Job> {
    let absent = || Refusal::absent("job", id);
    let number: JobId = id.parse().map_err(|_| absent())?;
    let job = api.control.jobs().book().job_get(number).await?;
    job.filter(|job| ground.has_tenant(api.gateway(), &job.tenant))
        .ok_or_else(absent)
}

/// One run of a task: the last where no other is asked for.
async fn run_of(
    api: &Api,
    job: &Job,
    (task, number): (Option<TaskId>, Option<u32>),
) -> Result<RunRecord> {
    let first = TaskId {
        job: job.id,
        index: job.spec.array.map(|_| 0),
    };
    let task = task.unwrap_or(first);
    if task.job != job.id {
        return Err(Refusal::absent("task", &task.to_string()).at("task"));
    }
    let before = madang_types::RunId { task, number: 0 };
    let runs = api
        .control
        .jobs()
        .book()
        .run_list(job.id, Some(before))
        .await?;
    let asked = |run: &RunRecord| number.is_none_or(|number| run.run.number == number);
    let found = runs.into_iter().take_while(|run| run.run.task == task);
    found.filter(asked).last().ok_or_else(|| {
        let message = match number {
            Some(number) => format!("no run {number} of task {task} has begun"),
            None => format!("no run of task {task} has begun"),
        };
        Refusal::new(ErrorCode::NotFound, message).at("task")
    })
}

fn executor(error: &JobsError) -> Refusal {
    let code = match error {
        JobsError::Unavailable(_) => ErrorCode::ExecutorUnavailable,
        JobsError::Absent(_) => ErrorCode::NotFound,
        JobsError::Refused(_) | JobsError::Unsupported(_) => ErrorCode::Conflict,
    };
    Refusal::new(code, error.to_string())
}
