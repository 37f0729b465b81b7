//! Tenants.

use super::{Result, programme};
use crate::caller::{Caller, Operator};
use crate::extract::{JsonBody, PathId};
use crate::near;
use crate::params::{TenantCreate, TenantPatch, Weight};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{List, TenantView};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_gateway::clock;
use madang_types::{ErrorCode, Origin, Tenant, TenantId};
use std::sync::Arc;

/// Every tenant that the caller may see, removed ones included
#[utoipa::path(get, path = "/api/v1/tenants", tag = "people", responses((status = 200, body = List<TenantView>)))]
pub(crate) async fn tenant_list(
    caller: Caller,
    State(api): State<Arc<Api>>,
) -> Result<Json<List<TenantView>>> {
    let mut rows = api.store().tenant_list().await?;
    rows.retain(|row| caller.sees(Some(&row.id)));
    Ok(Json(List::new(rows.into_iter().map(Into::into).collect())))
}

/// One tenant
#[utoipa::path(get, path = "/api/v1/tenants/{id}", tag = "people",
    params(("id" = String, Path, description = "The tenant")), responses((status = 200, body = TenantView)))]
pub(crate) async fn tenant_get(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<TenantView>> {
    Ok(Json(find(&api, &caller, &id).await?.into()))
}

/// Make a tenant
///
/// One that was removed is made again and keeps the time of its first making; the keys that it had stay refused.
#[utoipa::path(post, path = "/api/v1/tenants", tag = "people", request_body = TenantCreate,
    responses((status = 201, body = TenantView)))]
pub(crate) async fn tenant_create(
    _: Operator,
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
    let _changing = api.changing.lock().await;
    let before = api.store().tenant_get(id.clone()).await?;
    if before.as_ref().is_some_and(|row| row.disabled_at.is_none()) {
        let message = format!("the tenant '{id}' exists already");
        return Err(Refusal::conflict(message).at("id"));
    }
    if let Some(programme) = &programme {
        programme::must_exist(&api, programme).await?;
    }
    if before.is_some() {
        revoke_all(&api, &id).await?;
    }
    let row = Tenant {
        id,
        programme,
        weight,
        class_floor,
        data_flags,
        origin: Origin::Api,
        created_at: before.map_or_else(clock::now, |row| row.created_at),
        disabled_at: None,
    };
    write(&api, &row).await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// Change a tenant's weight, class floor or programme
#[utoipa::path(patch, path = "/api/v1/tenants/{id}", tag = "people", request_body = TenantPatch,
    params(("id" = String, Path, description = "The tenant")), responses((status = 200, body = TenantView)))]
pub(crate) async fn tenant_change(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    JsonBody(asked): JsonBody<TenantPatch>,
) -> Result<Json<TenantView>> {
    let _changing = api.changing.lock().await;
    let mut row = find(&api, &caller, &id).await?;
    caller.operator_only()?;
    must_be_ours(&row, "change")?;
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
    if let Some(Some(programme)) = &programme {
        programme::must_exist(&api, programme).await?;
    }
    row.programme = programme.unwrap_or(row.programme);
    row.weight = weight.map_or(row.weight, |Weight(weight)| weight);
    row.class_floor = class_floor.unwrap_or(row.class_floor);
    row.data_flags = data_flags.unwrap_or(row.data_flags);
    write(&api, &row).await?;
    Ok(Json(row.into()))
}

/// Remove a tenant: its keys are refused from then on, its records stay
#[utoipa::path(delete, path = "/api/v1/tenants/{id}", tag = "people",
    params(("id" = String, Path, description = "The tenant")), responses((status = 200, body = TenantView)))]
pub(crate) async fn tenant_remove(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<TenantView>> {
    let _changing = api.changing.lock().await;
    let mut row = find(&api, &caller, &id).await?;
    caller.operator_only()?;
    if row.disabled_at.is_none() {
        must_be_ours(&row, "remove")?;
        row.disabled_at = Some(clock::now());
        write(&api, &row).await?;
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

async fn find(api: &Api, caller: &Caller, id: &str) -> Result<Tenant> {
    let absent = || Refusal::absent("tenant", id);
    let name = TenantId::new(id).map_err(|_| absent())?;
    if !caller.sees(Some(&name)) {
        return Err(absent());
    }
    api.store().tenant_get(name).await?.ok_or_else(absent)
}

/// Into the books first, then in force.
async fn write(api: &Api, row: &Tenant) -> Result<()> {
    api.store().tenant_put(row.clone()).await?;
    api.gateway().tenant_apply(row.clone());
    Ok(())
}

/// Revokes every key of a tenant that was removed, so that its return does not bring them back.
async fn revoke_all(api: &Api, tenant: &TenantId) -> Result<()> {
    let keys = api.store().key_list(Some(tenant.clone())).await?;
    for key in keys.into_iter().filter(|key| key.revoked_at.is_none()) {
        let revoked = api.store().key_revoke(key.id, clock::now()).await?;
        api.gateway().keyring.apply_key(revoked);
    }
    Ok(())
}

/// Refuses a tenant that does not exist or was removed, naming the nearest that is there.
pub(super) async fn must_exist(api: &Api, id: &TenantId) -> Result<()> {
    let rows = api.store().tenant_list().await?;
    let open = || rows.iter().filter(|row| row.disabled_at.is_none());
    if open().any(|row| row.id == *id) {
        return Ok(());
    }
    let hint = near::hint(id.as_str(), open().map(|row| row.id.as_str()));
    let message = format!("there is no tenant '{id}'{hint}");
    Err(Refusal::new(ErrorCode::FieldInvalid, message).at("tenant"))
}
