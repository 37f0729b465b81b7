//! `/v1/batches`: a tenant's batches, by any key of the tenant that may ask models. A batch runs as the key that made it.

use super::batch::{Batch, Order, State as Standing, Status};
use super::disk::blocking;
use super::file_doors::{Asked as Query, Id, answered, asked, named};
use super::id::{BatchId, FileId};
use super::line::{DOORS, path_of};
use super::pages::{PageQuery, got, page};
use super::shelf::Purpose;
use super::upload::keep_s;
use super::{Batches, TENANT_COUNT_MAX, not_found, unix_s};
use crate::refused::Refused;
use crate::rights::permit_endpoint;
use crate::walk::claims;
use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use http::HeaderMap;
use madang_types::{Endpoint, ErrorCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Bytes of the body that asks for a batch.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The one completion window, and what it is in seconds.
const WINDOW: (&str, i64) = ("24h", 24 * 3600);
/// Metadata as in OpenAI's API: pairs, and characters of a key and of a value.
const METADATA_MAX: (usize, usize, usize) = (16, 64, 512);

/// What is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    input_file_id: String,
    endpoint: String,
    completion_window: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    output_expires_after: Option<ExpiresAfter>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpiresAfter {
    anchor: String,
    seconds: i64,
}

pub(super) async fn create(State(batches): State<Batches>, request: Request) -> Response {
    answered(created(&batches, request).await)
}

async fn created(batches: &Batches, request: Request) -> Result<Json<Value>, Refused> {
    let (parts, body) = request.into_parts();
    let (tenant, identity) = batches.caller(&parts.headers)?;
    let (data_class, data_flags, _) = claims(&parts.headers)?;
    let asked = read(body).await?;
    let endpoint = endpoint(&asked)?;
    permit_endpoint(&identity.terms, endpoint)?;
    let now_s = unix_s();
    let order = Order {
        id: BatchId::new(),
        tenant: tenant.clone(),
        key: identity.key,
        endpoint,
        input_file_id: asked.input_file_id.parse().map_err(|_| no_input())?,
        created_at: now_s,
        expires_at: now_s.saturating_add(WINDOW.1),
        output_keep_s: output_keep_s(batches, &asked)?,
        metadata: asked.metadata,
        data_class,
        data_flags,
        output_file_id: FileId::new(),
        error_file_id: FileId::new(),
    };
    let (shelf, orders, kept) = (batches.shelf.clone(), batches.orders.clone(), order.clone());
    let inserted = blocking(move || {
        if orders.ids(&tenant)?.len() >= TENANT_COUNT_MAX {
            return Ok(Err(too_many()));
        }
        let input = shelf.get(&tenant, kept.input_file_id, now_s)?;
        if input.is_none_or(|file| file.purpose != Purpose::Batch) {
            return Ok(Err(no_input()));
        }
        orders
            .insert(&kept, &shelf.content(&tenant, kept.input_file_id))
            .map(Ok)
    });
    inserted.await??;
    batches.wake.notify_one();
    tracing::info!(batch = %order.id, tenant = %order.tenant, endpoint = %endpoint, "a batch was asked for");
    let state = Standing::default();
    Ok(Json(view(&Batch {
        order,
        state,
        cancelled_at: None,
    })))
}

/// A body of JSON, which asks for that.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn read_json<T: DeserializeOwned>(body: Body, what: &str) -> Result<T, Refused> {
    let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| {
            let message = format!("the body has more than {BODY_BYTES_MAX} bytes, or broke off");
            Refused::new(ErrorCode::BodyTooLarge, message).remedied("Send less.")
        })?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("the body is no request for {what}: {error}");
        Refused::new(ErrorCode::FieldInvalid, message)
    })
}

async fn read(body: Body) -> Result<Asked, Refused> {
    let asked: Asked = read_json(body, "a batch").await?;
    if asked.completion_window != WINDOW.0 {
        let message = format!("the completion_window is '{}'", WINDOW.0);
        return Err(Refused::new(ErrorCode::FieldInvalid, message).at("completion_window"));
    }
    check_metadata(asked.metadata.as_ref())?;
    Ok(asked)
}

/// Whether metadata is as in OpenAI's API.
///
/// # Errors
/// The refusal to send.
pub(crate) fn check_metadata(metadata: Option<&BTreeMap<String, String>>) -> Result<(), Refused> {
    let (pairs, key_chars, value_chars) = METADATA_MAX;
    let fits = |(key, value): (&String, &String)| {
        key.chars().count() <= key_chars && value.chars().count() <= value_chars
    };
    if metadata.is_some_and(|all| all.len() > pairs || !all.iter().all(fits)) {
        let message = format!(
            "metadata has at most {pairs} pairs, with keys of {key_chars} and values of {value_chars} characters"
        );
        return Err(Refused::new(ErrorCode::FieldInvalid, message).at("metadata"));
    }
    Ok(())
}

fn endpoint(asked: &Asked) -> Result<Endpoint, Refused> {
    let door = DOORS.iter().find(|(path, _)| *path == asked.endpoint);
    door.map(|(_, endpoint)| *endpoint).ok_or_else(|| {
        let paths = DOORS.map(|(path, _)| path).join(", ");
        let message = format!("the endpoint of a batch is one of {paths}");
        Refused::new(ErrorCode::FieldInvalid, message).at("endpoint")
    })
}

fn output_keep_s(batches: &Batches, asked: &Asked) -> Result<i64, Refused> {
    let max = batches.gateway.snapshot().fleet.limits.files_keep_s;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let Some(after) = &asked.output_expires_after else {
        return Ok(max);
    };
    let seconds = Some(after.seconds).filter(|_| after.anchor == "created_at");
    keep_s(seconds, max).map_err(|message| {
        let message = format!("{message}, from 'created_at' on");
        Refused::new(ErrorCode::FieldInvalid, message).at("output_expires_after")
    })
}

fn no_input() -> Refused {
    let message = "there is no such file with the purpose 'batch'";
    Refused::new(ErrorCode::NotFound, message).at("input_file_id")
}

fn too_many() -> Refused {
    let message = format!(
        "the tenant has {TENANT_COUNT_MAX} batches already; old ones are forgotten after limits.files_keep_s"
    );
    Refused::new(ErrorCode::FilesFull, message)
}

pub(super) async fn list(
    State(batches): State<Batches>,
    headers: HeaderMap,
    query: Query<PageQuery>,
) -> Response {
    answered(listed(&batches, &headers, query).await)
}

async fn listed(
    batches: &Batches,
    headers: &HeaderMap,
    query: Query<PageQuery>,
) -> Result<Json<Value>, Refused> {
    let (tenant, _) = batches.caller(headers)?;
    let query = asked(query)?;
    let (after, limit) = (query.behind("batch")?, query.limit());
    let orders = batches.orders.clone();
    let found = blocking(move || {
        let ids = orders.ids(&tenant)?;
        got(ids, (after, limit), |id| orders.get(&tenant, id))
    });
    let views = found.await?;
    let views = views
        .iter()
        .map(|batch| (batch.order.id.to_string(), view(batch)));
    Ok(Json(page(views.collect(), None, limit)))
}

pub(super) async fn get(State(batches): State<Batches>, id: Id, headers: HeaderMap) -> Response {
    let found = found(&batches, &headers, id).await;
    answered(found.map(|batch| Json(view(&batch))))
}

async fn found(batches: &Batches, headers: &HeaderMap, id: Id) -> Result<Batch, Refused> {
    let (tenant, _) = batches.caller(headers)?;
    let id: BatchId = named(id, "batch")?;
    let orders = batches.orders.clone();
    let found = blocking(move || orders.get(&tenant, id)).await?;
    found.ok_or_else(|| not_found("batch"))
}

pub(super) async fn cancel(State(batches): State<Batches>, id: Id, headers: HeaderMap) -> Response {
    answered(cancelled(&batches, &headers, id).await)
}

async fn cancelled(batches: &Batches, headers: &HeaderMap, id: Id) -> Result<Json<Value>, Refused> {
    let batch = found(batches, headers, id).await?;
    if batch.state.status.is_over() && batch.state.status != Status::Cancelled {
        let message = format!("the batch is {} already", batch.state.status.as_str());
        return Err(Refused::new(ErrorCode::Conflict, message).at("id"));
    }
    let folder = batches.orders.at(&batch.order.tenant, batch.order.id);
    let cancelled_at = blocking(move || {
        folder.cancel(unix_s())?;
        folder.cancelled_at()
    });
    let cancelled_at = cancelled_at.await?;
    Ok(Json(view(&Batch {
        cancelled_at,
        ..batch
    })))
}

/// A batch as OpenAI's clients know one.
fn view(batch: &Batch) -> Value {
    let Batch {
        order,
        state,
        cancelled_at,
    } = batch;
    let at = |status: Status| state.over_at.filter(|_| state.status == status);
    let files = (state.has_output, state.has_errors, state.status.is_over());
    let cancelling = cancelled_at.is_some() && !state.status.is_over();
    let status = if cancelling {
        "cancelling"
    } else {
        state.status.as_str()
    };
    let errors =
        (!state.errors.is_empty()).then(|| json!({ "object": "list", "data": state.errors }));
    json!({
        "id": order.id,
        "object": "batch",
        "endpoint": path_of(order.endpoint),
        "errors": errors,
        "input_file_id": order.input_file_id,
        "completion_window": WINDOW.0,
        "status": status,
        "output_file_id": (files.0 && files.2).then_some(order.output_file_id),
        "error_file_id": (files.1 && files.2).then_some(order.error_file_id),
        "created_at": order.created_at,
        "in_progress_at": state.in_progress_at,
        "expires_at": order.expires_at,
        "finalizing_at": state.finalizing_at,
        "completed_at": at(Status::Completed),
        "failed_at": at(Status::Failed),
        "expired_at": at(Status::Expired),
        "cancelling_at": cancelled_at,
        "cancelled_at": at(Status::Cancelled),
        "request_counts": { "total": state.total, "completed": state.completed, "failed": state.failed },
        "metadata": order.metadata,
    })
}
