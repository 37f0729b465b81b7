//! Usage: sums, and single requests.

use super::Result;
use crate::caller::Caller;
use crate::extract::{PathId, Query};
use crate::params::{Instant, RequestQuery, UsageBy, UsageFormat, UsageQuery};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{List, RequestList, RequestView, UsageView, usage_csv};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use madang_store::{UsageFilter, UsageGroup};
use madang_types::{ErrorCode, Micros, ModelId, RequestId, TenantId, UsageRecord};
use std::sync::Arc;

/// What was used: sums by model, tenant or day
#[utoipa::path(get, path = "/api/v1/usage", tag = "usage", params(UsageQuery),
    responses((status = 200, content((List<UsageView> = "application/json"), (String = "text/csv")))))]
pub(crate) async fn usage_get(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Query(asked): Query<UsageQuery>,
) -> Result<Response> {
    let UsageQuery {
        by,
        tenant,
        model,
        from,
        until,
        format,
        offset_s,
    } = asked;
    let filter = filter(&api, &caller, (tenant, model), (from, until)).await?;
    let group = match by {
        None => UsageGroup::All,
        Some(UsageBy::Model) => UsageGroup::Model,
        Some(UsageBy::Tenant) => UsageGroup::Tenant,
        Some(UsageBy::Day) => UsageGroup::Day { offset_s },
    };
    let sums = api.store().usage_sum(filter, group).await?;
    let rows: Vec<UsageView> = sums.into_iter().map(Into::into).collect();
    Ok(match format {
        UsageFormat::Json => Json(List::new(rows)).into_response(),
        UsageFormat::Csv => {
            let csv = [(
                header::CONTENT_TYPE,
                "text/csv; charset=utf-8; header=present",
            )];
            (csv, usage_csv(&rows)).into_response()
        }
    })
}

/// Requests in the books, newest first
#[utoipa::path(get, path = "/api/v1/requests", tag = "usage", params(RequestQuery),
    responses((status = 200, body = RequestList)))]
pub(crate) async fn request_list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Query(asked): Query<RequestQuery>,
) -> Result<Json<RequestList>> {
    let RequestQuery {
        tenant,
        model,
        from,
        until,
        before,
        limit,
    } = asked;
    let filter = filter(&api, &caller, (tenant, model), (from, until)).await?;
    if let Some(before) = before {
        let found = find(&api, &caller, before).await?;
        found.ok_or_else(|| Refusal::absent("request", &before.to_string()).at("before"))?;
    }
    let records = api.store().usage_list(filter, before, limit).await?;
    let is_full = u32::try_from(records.len()).is_ok_and(|count| count == limit);
    let data: Vec<RequestView> = records.into_iter().map(Into::into).collect();
    let last = data.last().filter(|_| is_full);
    Ok(Json(RequestList {
        object: "list",
        next_before: last.map(|view| view.id.clone()),
        data,
    }))
}

/// One request in the books
#[utoipa::path(get, path = "/api/v1/requests/{id}", tag = "usage",
    params(("id" = String, Path, description = "As in the header `x-madang-request-id`")),
    responses((status = 200, body = RequestView)))]
pub(crate) async fn request_get(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<RequestView>> {
    let absent = || Refusal::absent("request", &id);
    let request: RequestId = id.parse().map_err(|_| absent())?;
    let record = find(&api, &caller, request).await?.ok_or_else(absent)?;
    Ok(Json(record.into()))
}

/// A record, where the caller may see it.
async fn find(api: &Api, caller: &Caller, id: RequestId) -> Result<Option<UsageRecord>> {
    let record = api.store().usage_get(id).await?;
    Ok(record.filter(|record| caller.sees(Some(&record.tenant))))
}

/// The records that are asked for, of those that the caller may see.
async fn filter(
    api: &Api,
    caller: &Caller,
    (tenant, model): (Option<TenantId>, Option<ModelId>),
    (from, until): (Option<Instant>, Option<Instant>),
) -> Result<UsageFilter> {
    let tenant = caller.tenant_asked(tenant)?;
    if let Some(id) = &tenant
        && api.store().tenant_get(id.clone()).await?.is_none()
    {
        return Err(Refusal::absent("tenant", id.as_str()).at("tenant"));
    }
    let micros = |at: Option<Instant>| -> Option<Micros> { at.map(|Instant(at)| at) };
    let (from, until) = (micros(from), micros(until));
    if let (Some(from), Some(until)) = (from, until)
        && until <= from
    {
        let message = "until is not after from";
        return Err(Refusal::new(ErrorCode::FieldInvalid, message).at("until"));
    }
    Ok(UsageFilter {
        programme: None,
        tenant,
        project: None,
        model,
        from,
        until,
    })
}
