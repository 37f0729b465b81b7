//! Tenants.

use super::{Result, key, programme};
use crate::bounds;
use crate::caller::{Ground, May, right};
use crate::extract::{JsonBody, PathId};
use crate::near;
use crate::params::{TenantCreate, TenantPatch, Weight};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{List, TenantView};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_gateway::audit::SaidBy;
use madang_gateway::clock;
use madang_types::{Action, DataMark, ErrorCode, KeyId, Origin, ProgrammeId, Tenant, TenantId};
use std::sync::Arc;

/// The most tenants of one programme that others than an operator make, removed ones included.
const TENANTS_MAX: usize = 10_000;

/// Every tenant that the caller may see, removed ones included
#[utoipa::path(get, path = "/api/v1/tenants", tag = "people", responses((status = 200, body = List<TenantView>)))]
pub(crate) async fn tenant_list(
    may: May<right::TenantRead>,
    State(api): State<Arc<Api>>,
) -> Result<Json<List<TenantView>>> {
    let mut rows = api.store().tenant_list().await?;
    rows.retain(|row| may.ground.has_tenant(api.gateway(), &row.id));
    Ok(Json(List::new(rows.into_iter().map(Into::into).collect())))
}

/// One tenant
#[utoipa::path(get, path = "/api/v1/tenants/{id}", tag = "people",
    params(("id" = String, Path, description = "The tenant")), responses((status = 200, body = TenantView)))]
pub(crate) async fn tenant_get(
    may: May<right::TenantRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<TenantView>> {
    Ok(Json(find(&api, &may.ground, &id).await?.into()))
}

/// Make a tenant
///
/// One that was removed is made again and keeps the time of its first making; the keys that it had stay refused.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "people", request_body = TenantCreate,
    responses((status = 201, body = TenantView)))]
pub(crate) async fn tenant_create(
    may: May<right::TenantWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<TenantCreate>,
) -> Result<(StatusCode, Json<TenantView>)> {
    let TenantCreate {
        id,
        programme,
        weight: Weight(weight),
        class_floor,
        data_flags,
    } = asked;
    let ground = &may.ground;
    let programme = programme.or_else(|| ground.programme().cloned());
    let _changing = api.changing.lock().await;
    let before = api.store().tenant_get(id.clone()).await?;
    // One that was removed keeps its records: it is not another's to make again.
    let again = |row: &Tenant| row.disabled_at.is_some() && ground.has_tenant(api.gateway(), &id);
    if before.as_ref().is_some_and(|row| !again(row)) {
        let message = format!("the tenant '{id}' exists already");
        return Err(Refusal::conflict(message).at("id"));
    }
    if let Some(programme) = &programme {
        programme::must_exist(&api, ground, programme).await?;
    }
    let mark = DataMark {
        class: class_floor,
        flags: data_flags,
    };
    if *ground != Ground::All {
        must_leave_room(&api, programme.as_ref()).await?;
        bounds::floors(before.as_ref().map(mark_of).unwrap_or_default(), mark)?;
    }
    if before.is_some() {
        revoke_all(&api, &id, &may.caller.0.key).await?;
    }
    let row = Tenant {
        id,
        programme,
        weight,
        class_floor,
        data_flags,
        origin: Origin::Api,
        created_at: before
            .as_ref()
            .map_or_else(clock::now, |row| row.created_at),
        disabled_at: None,
    };
    write(&api, before.as_ref(), &row, &may.caller.0.key).await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// Change a tenant's weight, class floor or programme
#[utoipa::path(patch, path = "/api/v1/tenants/{id}", tag = "people", request_body = TenantPatch,
    params(("id" = String, Path, description = "The tenant")), responses((status = 200, body = TenantView)))]
pub(crate) async fn tenant_change(
    may: May<right::TenantRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    JsonBody(asked): JsonBody<TenantPatch>,
) -> Result<Json<TenantView>> {
    let _changing = api.changing.lock().await;
    let standing = find(&api, &may.ground, &id).await?;
    let ground = may.caller.ground(Action::TenantWrite)?;
    must_be_ours(&standing, "change")?;
    let mut row = standing.clone();
    if row.disabled_at.is_some() {
        let message = format!("the tenant '{id}' was removed: make it again first");
        return Err(Refusal::conflict(message));
    }
    let TenantPatch {
        programme,
        weight,
        class_floor,
        data_flags,
    } = asked;
    match &programme {
        Some(Some(programme)) => programme::must_exist(&api, &ground, programme).await?,
        Some(None) if ground != Ground::All => {
            let message = "an operator takes a tenant out of its programme";
            return Err(Refusal::new(ErrorCode::RoleForbidden, message).at("programme"));
        }
        Some(None) | None => {}
    }
    row.programme = programme.unwrap_or(row.programme);
    row.weight = weight.map_or(row.weight, |Weight(weight)| weight);
    row.class_floor = class_floor.unwrap_or(row.class_floor);
    row.data_flags = data_flags.unwrap_or(row.data_flags);
    if ground != Ground::All {
        bounds::floors(mark_of(&standing), mark_of(&row))?;
    }
    write(&api, Some(&standing), &row, &may.caller.0.key).await?;
    Ok(Json(row.into()))
}

/// Remove a tenant: its keys are refused from then on, its records stay
#[utoipa::path(delete, path = "/api/v1/tenants/{id}", tag = "people",
    params(("id" = String, Path, description = "The tenant")), responses((status = 200, body = TenantView)))]
pub(crate) async fn tenant_remove(
    may: May<right::TenantRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<TenantView>> {
    let _changing = api.changing.lock().await;
    let before = find(&api, &may.ground, &id).await?;
    may.caller.ground(Action::TenantWrite)?;
    let mut row = before.clone();
    if row.disabled_at.is_none() {
        must_be_ours(&row, "remove")?;
        row.disabled_at = Some(clock::now());
        write(&api, Some(&before), &row, &may.caller.0.key).await?;
    }
    Ok(Json(row.into()))
}

/// Refuses to touch a row of the fleet file.
fn must_be_ours(row: &Tenant, verb: &str) -> Result<()> {
    match row.origin {
        Origin::Api => Ok(()),
        Origin::Fleet => Err(Refusal::conflict(format!(
            "the tenant '{}' stands in the fleet file: {verb} it there and reload",
            row.id
        ))),
    }
}

/// Refuses one more tenant of a programme that has many, to others than an operator.
async fn must_leave_room(api: &Api, programme: Option<&ProgrammeId>) -> Result<()> {
    let rows = api.store().tenant_list().await?;
    let of_it = rows
        .iter()
        .filter(|row| row.programme.as_ref() == programme);
    if of_it.count() < TENANTS_MAX {
        return Ok(());
    }
    let message = format!("the programme has had {TENANTS_MAX} tenants: an operator makes more");
    Err(Refusal::conflict(message))
}

fn mark_of(row: &Tenant) -> DataMark {
    DataMark {
        class: row.class_floor,
        flags: row.data_flags,
    }
}

async fn find(api: &Api, ground: &Ground, id: &str) -> Result<Tenant> {
    let absent = || Refusal::absent("tenant", id);
    let name = TenantId::new(id).map_err(|_| absent())?;
    if !ground.has_tenant(api.gateway(), &name) {
        return Err(absent());
    }
    api.store().tenant_get(name).await?.ok_or_else(absent)
}

/// Into the audit log where it is weighty, then into the books, then in force.
async fn write(api: &Api, before: Option<&Tenant>, row: &Tenant, by: &KeyId) -> Result<()> {
    if before.map(Tenant::ground) != Some(row.ground()) {
        let by = SaidBy::Key(by);
        api.gateway().audit.tenant(row, by).await?;
    }
    api.store().tenant_put(row.clone()).await?;
    api.gateway().tenant_apply(row.clone());
    Ok(())
}

/// Revokes every key of a tenant that was removed, so that its return does not bring them back.
async fn revoke_all(api: &Api, tenant: &TenantId, by: &KeyId) -> Result<()> {
    let keys = api.store().key_list(Some(tenant.clone())).await?;
    for key in keys.into_iter().filter(|key| key.revoked_at.is_none()) {
        key::revoke(api, key, by).await?;
    }
    Ok(())
}

/// The tenant that a new row is for: the one named, else the caller's own.
pub(super) fn named(ground: &Ground, asked: Option<TenantId>) -> Result<TenantId> {
    match (asked, ground) {
        (Some(named), _) => Ok(named),
        (None, Ground::Tenant(own)) => Ok(own.clone()),
        (None, Ground::All | Ground::Programme(_)) => {
            let message = "say for which tenant";
            Err(Refusal::new(ErrorCode::FieldMissing, message).at("tenant"))
        }
    }
}

/// Refuses a tenant that was removed or does not exist for the caller, naming the nearest that does.
pub(super) async fn must_exist(api: &Api, ground: &Ground, id: &TenantId) -> Result<()> {
    let mut rows = api.store().tenant_list().await?;
    rows.retain(|row| row.disabled_at.is_none() && ground.has_tenant(api.gateway(), &row.id));
    if rows.iter().any(|row| row.id == *id) {
        return Ok(());
    }
    let hint = near::hint(id.as_str(), rows.iter().map(|row| row.id.as_str()));
    let message = format!("there is no tenant '{id}'{hint}");
    Err(Refusal::new(ErrorCode::FieldInvalid, message).at("tenant"))
}
