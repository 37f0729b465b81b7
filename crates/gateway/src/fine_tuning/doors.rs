//! `/v1/fine_tuning/jobs`: a tenant's fine-tuning jobs, by any key of the tenant that may ask models.

use super::FineTunings;
use super::order::Tuning;
use super::view;
use crate::batches::disk::blocking;
use crate::batches::file_doors::{Asked as Query, Id, answered, asked, named};
use crate::batches::id::TuningId;
use crate::batches::not_found;
use crate::batches::pages::{PageQuery, got, page};
use crate::clock;
use crate::refused::Refused;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use madang_store::{JobWish, StoreError};
use madang_types::{ErrorCode, Job, JobState, TenantId};
use serde_json::Value;

/// What is not there.
const WHAT: &str = "fine-tuning job";

pub(super) async fn list(
    State(tunings): State<FineTunings>,
    headers: HeaderMap,
    query: Query<PageQuery>,
) -> Response {
    answered(listed(&tunings, &headers, query).await)
}

async fn listed(
    tunings: &FineTunings,
    headers: &HeaderMap,
    query: Query<PageQuery>,
) -> Result<Json<Value>, Refused> {
    let (tenant, _) = tunings.caller(headers)?;
    let query = asked(query)?;
    let (after, limit) = (query.behind(WHAT)?, query.limit());
    let orders = tunings.orders.clone();
    let found = blocking(move || {
        let ids = orders.ids(&tenant)?;
        got(ids, (after, limit), |id| orders.get(&tenant, id))
    });
    let mut views = Vec::new();
    for tuning in found.await? {
        let job = job_of(tunings, &tuning).await?;
        views.push((
            tuning.order.id.to_string(),
            view::job(&tuning, job.as_ref()),
        ));
    }
    Ok(Json(page(views, None, limit)))
}

/// The batch job that it is, where it was submitted.
async fn job_of(tunings: &FineTunings, tuning: &Tuning) -> Result<Option<Job>, Refused> {
    match tuning.job {
        // How it ended is written down.
        Some(_) if tuning.end.is_some() => Ok(None),
        Some(id) => tunings.jobs.book().job_get(id).await.map_err(store),
        None => Ok(None),
    }
}

fn store(error: StoreError) -> Refused {
    match error {
        StoreError::Absent(what) => {
            Refused::new(ErrorCode::NotFound, format!("{what} is not there"))
        }
        other => Refused::new(ErrorCode::StoreUnavailable, other.to_string()),
    }
}

async fn found(
    tunings: &FineTunings,
    headers: &HeaderMap,
    id: Id,
) -> Result<(TenantId, Tuning), Refused> {
    let (tenant, _) = tunings.caller(headers)?;
    let id: TuningId = named(id, WHAT)?;
    let (orders, whose) = (tunings.orders.clone(), tenant.clone());
    let found = blocking(move || orders.get(&whose, id)).await?;
    Ok((tenant, found.ok_or_else(|| not_found(WHAT))?))
}

async fn shown(tunings: &FineTunings, tuning: &Tuning) -> Result<Json<Value>, Refused> {
    let job = job_of(tunings, tuning).await?;
    Ok(Json(view::job(tuning, job.as_ref())))
}

pub(super) async fn get(
    State(tunings): State<FineTunings>,
    id: Id,
    headers: HeaderMap,
) -> Response {
    let got = async {
        let (_, tuning) = found(&tunings, &headers, id).await?;
        shown(&tunings, &tuning).await
    };
    answered(got.await)
}

pub(super) async fn cancel(
    State(tunings): State<FineTunings>,
    id: Id,
    headers: HeaderMap,
) -> Response {
    let wish = |_: &Job| Ok(JobWish::Cancel(clock::now()));
    answered(wished(&tunings, &headers, (id, wish)).await)
}

pub(super) async fn pause(
    State(tunings): State<FineTunings>,
    id: Id,
    headers: HeaderMap,
) -> Response {
    let wish = |job: &Job| match job.state {
        JobState::Running => Err("it runs: it can be paused only before it begins"),
        _ => Ok(JobWish::Hold),
    };
    answered(wished(&tunings, &headers, (id, wish)).await)
}

pub(super) async fn resume(
    State(tunings): State<FineTunings>,
    id: Id,
    headers: HeaderMap,
) -> Response {
    let wish = |job: &Job| match job.held {
        true => Ok(JobWish::Release),
        false => Err("it is not paused"),
    };
    answered(wished(&tunings, &headers, (id, wish)).await)
}

/// Says what somebody wants of a job that is not over.
async fn wished(
    tunings: &FineTunings,
    headers: &HeaderMap,
    (id, wish): (Id, impl Fn(&Job) -> Result<JobWish, &'static str>),
) -> Result<Json<Value>, Refused> {
    let (_, tuning) = found(tunings, headers, id).await?;
    let id = tuning.order.id;
    let conflict = |what: &str| Refused::new(ErrorCode::Conflict, format!("{WHAT} {id}: {what}"));
    let job = job_of(tunings, &tuning).await?;
    let job = job.filter(|job| !job.state.is_over() && job.cancelled_at.is_none());
    let job = job.ok_or_else(|| match (&tuning.end, tuning.job) {
        (None, None) => conflict("it is being submitted, try again"),
        _ => conflict("it is over"),
    })?;
    let wish = wish(&job).map_err(conflict)?;
    let job = tunings.jobs.wish(job.id, wish).await.map_err(store)?;
    Ok(Json(view::job(&tuning, Some(&job))))
}

pub(super) async fn events(
    State(tunings): State<FineTunings>,
    id: Id,
    headers: HeaderMap,
    query: Query<PageQuery>,
) -> Response {
    answered(told(&tunings, &headers, (id, query), false).await)
}

pub(super) async fn checkpoints(
    State(tunings): State<FineTunings>,
    id: Id,
    headers: HeaderMap,
    query: Query<PageQuery>,
) -> Response {
    answered(told(&tunings, &headers, (id, query), true).await)
}

/// What was told of a job, newest first.
async fn told(
    tunings: &FineTunings,
    headers: &HeaderMap,
    (id, query): (Id, Query<PageQuery>),
    checkpoints: bool,
) -> Result<Json<Value>, Refused> {
    let (tenant, tuning) = found(tunings, headers, id).await?;
    let query = asked(query)?;
    let (orders, order) = (tunings.orders.clone(), tuning.order);
    // There may be thousands of them.
    let page = blocking(move || {
        let events = orders.events(&tenant, order.id).read()?;
        let placed = events.iter().enumerate().rev();
        let views = placed.filter_map(|(place, event)| match checkpoints {
            true => view::checkpoint(&order, place + 1, event),
            false => Some(view::event(order.id, place + 1, event)),
        });
        let views = views.collect();
        Ok(page(views, query.after.as_deref(), query.limit()))
    });
    Ok(Json(page.await?))
}
