//! Usage: sums, and single requests.

use super::Result;
use crate::caller::{Ground, May, right};
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
use madang_types::{ErrorCode, Micros, ModelId, ProjectId, RequestId, TenantId, UsageRecord};
use std::sync::Arc;

/// The type of every table.
pub(super) const CSV: &str = "text/csv; charset=utf-8; header=present";

/// What was used: sums by model, tenant, project or day
#[utoipa::path(get, path = "/api/v1/usage", tag = "usage", params(UsageQuery),
    responses((status = 200, content((List<UsageView> = "application/json"), (String = "text/csv")))))]
pub(crate) async fn usage_get(
    may: May<right::UsageRead>,
    State(api): State<Arc<Api>>,
    Query(asked): Query<UsageQuery>,
) -> Result<Response> {
    let UsageQuery {
        by,
        tenant,
        project,
        model,
        from,
        until,
        format,
        offset_s,
    } = asked;
    let filter = filter(&api, &may.ground, (tenant, project, model), (from, until)).await?;
    let group = match by {
        None => UsageGroup::All,
        Some(UsageBy::Model) => UsageGroup::Model,
        Some(UsageBy::Tenant) => UsageGroup::Tenant,
        Some(UsageBy::Project) => UsageGroup::Project,
        Some(UsageBy::Day) => UsageGroup::Day { offset_s },
    };
    let sums = api.store().usage_sum(filter, group).await?;
    let rows: Vec<UsageView> = sums.into_iter().map(Into::into).collect();
    Ok(match format {
        UsageFormat::Json => Json(List::new(rows)).into_response(),
        UsageFormat::Csv => {
            let csv = [(header::CONTENT_TYPE, CSV)];
            (csv, usage_csv(&rows)).into_response()
        }
    })
}

/// Requests in the books, newest first
#[utoipa::path(get, path = "/api/v1/requests", tag = "usage", params(RequestQuery),
    responses((status = 200, body = RequestList)))]
pub(crate) async fn request_list(
    may: May<right::UsageRead>,
    State(api): State<Arc<Api>>,
    Query(asked): Query<RequestQuery>,
) -> Result<Json<RequestList>> {
    let RequestQuery {
        tenant,
        project,
        model,
        from,
        until,
        before,
        limit,
    } = asked;
    let filter = filter(&api, &may.ground, (tenant, project, model), (from, until)).await?;
    if let Some(before) = before {
        let found = find(&api, &may.ground, before).await?;
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
    may: May<right::UsageRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<RequestView>> {
    let absent = || Refusal::absent("request", &id);
    let request: RequestId = id.parse().map_err(|_| absent())?;
    let record = find(&api, &may.ground, request).await?.ok_or_else(absent)?;
    Ok(Json(record.into()))
}

/// A record, where the caller may see it.
async fn find(api: &Api, ground: &Ground, id: RequestId) -> Result<Option<UsageRecord>> {
    let record = api.store().usage_get(id).await?;
    Ok(record.filter(|record| ground.has_tenant(api.gateway(), &record.tenant)))
}

/// The records that are asked for, of those that the caller may see.
async fn filter(
    api: &Api,
    ground: &Ground,
    (tenant, project, model): (Option<TenantId>, Option<ProjectId>, Option<ModelId>),
    (from, until): (Option<Instant>, Option<Instant>),
) -> Result<UsageFilter> {
    let tenant = tenant_asked(api, ground, tenant).await?;
    if let Some(project) = &project {
        must_be_a_project(api, tenant.as_ref(), project).await?;
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
        programme: ground.programme().cloned(),
        tenant,
        project,
        model,
        from,
        until,
    })
}

/// Whose records are asked for: a tenant that the caller may see and that is there.
pub(super) async fn tenant_asked(
    api: &Api,
    ground: &Ground,
    tenant: Option<TenantId>,
) -> Result<Option<TenantId>> {
    let tenant = ground.tenant_asked(api.gateway(), tenant)?;
    if let Some(id) = &tenant
        && api.store().tenant_get(id.clone()).await?.is_none()
    {
        return Err(Refusal::absent("tenant", id.as_str()).at("tenant"));
    }
    Ok(tenant)
}

/// A project's name means something in its tenant only.
async fn must_be_a_project(api: &Api, tenant: Option<&TenantId>, id: &ProjectId) -> Result<()> {
    let Some(tenant) = tenant else {
        let message = "a project is a tenant's: give the tenant too";
        return Err(Refusal::new(ErrorCode::FieldMissing, message).at("tenant"));
    };
    let found = api.store().project_get(tenant.clone(), id.clone()).await?;
    let absent = || Refusal::absent("project", id.as_str()).at("project");
    found.map(drop).ok_or_else(absent)
}
