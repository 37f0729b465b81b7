//! Projects: a tenant's working units, which keys may belong to and usage is told apart by.

use super::{Result, tenant};
use crate::caller::{Ground, May, right};
use crate::extract::{JsonBody, PathPair, Query};
use crate::near;
use crate::params::{Label, ProjectCreate, ProjectPatch, ProjectQuery};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{List, ProjectView};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_gateway::clock;
use madang_ledger::check_project_limit;
use madang_types::{Action, ErrorCode, MicroWon, Project, ProjectId, TenantId};
use std::sync::Arc;

/// The most projects of one tenant, disabled ones included.
const PROJECTS_MAX: usize = 1_000;

/// Projects that the caller may see, disabled ones included
#[utoipa::path(get, path = "/api/v1/projects", tag = "people", params(ProjectQuery),
    responses((status = 200, body = List<ProjectView>)))]
pub(crate) async fn project_list(
    may: May<right::ProjectRead>,
    State(api): State<Arc<Api>>,
    Query(ProjectQuery { tenant }): Query<ProjectQuery>,
) -> Result<Json<List<ProjectView>>> {
    let tenant = may.ground.tenant_asked(api.gateway(), tenant)?;
    let mut rows = api.store().project_list(tenant).await?;
    rows.retain(|row| may.ground.has_tenant(api.gateway(), &row.tenant));
    Ok(Json(List::new(rows.into_iter().map(Into::into).collect())))
}

/// One project
#[utoipa::path(get, path = "/api/v1/projects/{tenant}/{id}", tag = "people",
    params(("tenant" = String, Path, description = "Whose"), ("id" = String, Path, description = "The project")),
    responses((status = 200, body = ProjectView)))]
pub(crate) async fn project_get(
    may: May<right::ProjectRead>,
    State(api): State<Arc<Api>>,
    path: PathPair,
) -> Result<Json<ProjectView>> {
    Ok(Json(find(&api, &may.ground, path).await?.into()))
}

/// Make a project
///
/// One that was disabled is in force again, with the keys that it had, and keeps the time of its first making.
#[utoipa::path(post, path = "/api/v1/projects", tag = "people", request_body = ProjectCreate,
    responses((status = 201, body = ProjectView)))]
pub(crate) async fn project_create(
    may: May<right::ProjectWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<ProjectCreate>,
) -> Result<(StatusCode, Json<ProjectView>)> {
    let ProjectCreate {
        id,
        tenant,
        label: Label(label),
        limit_micro_won,
    } = asked;
    let tenant = tenant::named(&may.ground, tenant)?;
    let _changing = api.changing.lock().await;
    tenant::must_exist(&api, &may.ground, &tenant).await?;
    let rows = api.store().project_list(Some(tenant.clone())).await?;
    let before = rows.iter().find(|row| row.id == id);
    if before.is_some_and(|row| row.disabled_at.is_none()) {
        let message = format!("the project '{id}' of '{tenant}' exists already");
        return Err(Refusal::conflict(message).at("id"));
    }
    if before.is_none() && rows.len() >= PROJECTS_MAX {
        let message = format!("'{tenant}' has {PROJECTS_MAX} projects, the most that a tenant has");
        return Err(Refusal::conflict(message));
    }
    let limit_before = before.and_then(|row| row.won_limit);
    may_limit((&tenant, &id), (limit_before, limit_micro_won))?;
    let row = Project {
        id,
        tenant,
        label,
        won_limit: limit_micro_won,
        created_at: before.map_or_else(clock::now, |row| row.created_at),
        disabled_at: None,
    };
    write(&api, &row).await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// Change a project's label, or raise what its keys may spend together
#[utoipa::path(patch, path = "/api/v1/projects/{tenant}/{id}", tag = "people", request_body = ProjectPatch,
    params(("tenant" = String, Path, description = "Whose"), ("id" = String, Path, description = "The project")),
    responses((status = 200, body = ProjectView)))]
pub(crate) async fn project_change(
    may: May<right::ProjectRead>,
    State(api): State<Arc<Api>>,
    path: PathPair,
    JsonBody(asked): JsonBody<ProjectPatch>,
) -> Result<Json<ProjectView>> {
    let _changing = api.changing.lock().await;
    let mut row = find(&api, &may.ground, path).await?;
    may.caller.ground(Action::ProjectWrite)?;
    if row.disabled_at.is_some() {
        let message = format!("the project '{}' is disabled: make it again first", row.id);
        return Err(Refusal::conflict(message));
    }
    let ProjectPatch {
        label,
        limit_micro_won,
    } = asked;
    let after = limit_micro_won.or(row.won_limit);
    may_limit((&row.tenant, &row.id), (row.won_limit, after))?;
    row.won_limit = after;
    row.label = label.map_or(row.label, |Label(label)| label);
    write(&api, &row).await?;
    Ok(Json(row.into()))
}

fn may_limit(
    project: (&TenantId, &ProjectId),
    limits: (Option<MicroWon>, Option<MicroWon>),
) -> Result<()> {
    check_project_limit(project, limits)
        .map_err(|why| Refusal::new(ErrorCode::FieldInvalid, why).at("limit_micro_won"))
}

/// Disable a project: its keys are refused from then on, its records stay
#[utoipa::path(delete, path = "/api/v1/projects/{tenant}/{id}", tag = "people",
    params(("tenant" = String, Path, description = "Whose"), ("id" = String, Path, description = "The project")),
    responses((status = 200, body = ProjectView)))]
pub(crate) async fn project_disable(
    may: May<right::ProjectRead>,
    State(api): State<Arc<Api>>,
    path: PathPair,
) -> Result<Json<ProjectView>> {
    let _changing = api.changing.lock().await;
    let mut row = find(&api, &may.ground, path).await?;
    may.caller.ground(Action::ProjectWrite)?;
    if row.disabled_at.is_none() {
        row.disabled_at = Some(clock::now());
        write(&api, &row).await?;
    }
    Ok(Json(row.into()))
}

async fn find(api: &Api, ground: &Ground, PathPair(tenant, id): PathPair) -> Result<Project> {
    let absent = || Refusal::absent("project", &format!("{tenant}/{id}"));
    let owner = TenantId::new(&tenant).map_err(|_| absent())?;
    let name = ProjectId::new(&id).map_err(|_| absent())?;
    if !ground.has_tenant(api.gateway(), &owner) {
        return Err(absent());
    }
    let found = api.store().project_get(owner, name).await?;
    found.ok_or_else(absent)
}

/// Into the books first, then in force.
async fn write(api: &Api, row: &Project) -> Result<()> {
    api.store().project_put(row.clone()).await?;
    api.gateway().project_apply(row.clone());
    Ok(())
}

/// Refuses a project that the tenant does not have or has disabled, naming the nearest that is there.
pub(super) async fn must_exist(api: &Api, tenant: &TenantId, id: &ProjectId) -> Result<()> {
    let mut rows = api.store().project_list(Some(tenant.clone())).await?;
    rows.retain(|row| row.disabled_at.is_none());
    if rows.iter().any(|row| row.id == *id) {
        return Ok(());
    }
    let hint = near::hint(id.as_str(), rows.iter().map(|row| row.id.as_str()));
    let message = format!("'{tenant}' has no project '{id}'{hint}");
    Err(Refusal::new(ErrorCode::FieldInvalid, message).at("project"))
}
