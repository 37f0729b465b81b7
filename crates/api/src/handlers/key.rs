//! Keys. A secret leaves once, in the answer that makes it; a hash never.

use super::{Result, tenant};
use crate::caller::{Caller, Operator};
use crate::extract::{JsonBody, PathId, Query};
use crate::params::{Instant, KeyCreate, KeyQuery, Label};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{KeyCreatedView, KeyView, List};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_gateway::clock;
use madang_gateway::keyring::{KeySecret, hash_secret, key_text};
use madang_types::{ErrorCode, KeyId, KeyRecord, Micros, Role, TenantId};
use std::sync::Arc;

const DAY_MS: u64 = 86_400_000;

/// Keys that the caller may see, without their secrets
#[utoipa::path(get, path = "/api/v1/keys", tag = "people", params(KeyQuery),
    responses((status = 200, body = List<KeyView>)))]
pub(crate) async fn key_list(
    caller: Caller,
    State(api): State<Arc<Api>>,
    Query(KeyQuery { tenant }): Query<KeyQuery>,
) -> Result<Json<List<KeyView>>> {
    let tenant = caller.tenant_asked(tenant)?;
    let rows = api.store().key_list(tenant).await?;
    let now = clock::now();
    let views = rows.into_iter().map(|row| KeyView::new(row, now)).collect();
    Ok(Json(List::new(views)))
}

/// One key, without its secret
#[utoipa::path(get, path = "/api/v1/keys/{id}", tag = "people",
    params(("id" = String, Path, description = "The key's public part")), responses((status = 200, body = KeyView)))]
pub(crate) async fn key_get(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<KeyView>> {
    let key = find(&api, &caller, &id).await?;
    Ok(Json(KeyView::new(key, clock::now())))
}

/// Make a key; the answer is the only place where it is ever shown
#[utoipa::path(post, path = "/api/v1/keys", tag = "people", request_body = KeyCreate,
    responses((status = 201, body = KeyCreatedView)))]
pub(crate) async fn key_create(
    _: Operator,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<KeyCreate>,
) -> Result<(StatusCode, Json<KeyCreatedView>)> {
    let KeyCreate {
        tenant,
        role,
        class_floor,
        data_flags,
        label: Label(label),
        expires_at,
        expires_days,
    } = asked;
    let now = clock::now();
    let role = role_asked(role, tenant.as_ref())?;
    let expires_at = expiry(expires_at, expires_days, now)?;
    let _changing = api.changing.lock().await;
    if let Some(id) = &tenant {
        tenant::must_exist(&api, id).await?;
    }
    let (id, secret) = KeySecret::generate();
    let record = KeyRecord {
        id,
        tenant,
        programme: None,
        project: None,
        role,
        terms: Arc::default(),
        class_floor,
        data_flags,
        label,
        secret_hash: hash_secret(&secret),
        created_at: now,
        expires_at,
        revoked_at: None,
    };
    api.store().key_insert(record.clone()).await?;
    api.gateway().keyring.apply_key(record.clone());
    let key = key_text(&record.id, &secret);
    Ok((StatusCode::CREATED, Json(KeyCreatedView::new(record, key))))
}

fn role_asked(role: Option<Role>, tenant: Option<&TenantId>) -> Result<Role> {
    match (role.unwrap_or(Role::Member), tenant) {
        (Role::Operator, Some(_)) => Err(Refusal::new(
            ErrorCode::FieldInvalid,
            "an operator key belongs to no tenant: leave out tenant or role",
        )
        .at("tenant")),
        (Role::Member, None) => Err(Refusal::new(
            ErrorCode::FieldMissing,
            "a key belongs to a tenant, or has \"role\": \"operator\"",
        )
        .at("tenant")),
        (role, _) => Ok(role),
    }
}

fn expiry(at: Option<Instant>, days: Option<u32>, now: Micros) -> Result<Option<Micros>> {
    let invalid = |message: &str| Refusal::new(ErrorCode::FieldInvalid, message).at("expires_at");
    match (at, days) {
        (Some(_), Some(_)) => Err(invalid("give expires_at or expires_days, not both")),
        (Some(Instant(at)), None) if at <= now => Err(invalid("expires_at has gone by")),
        (Some(Instant(at)), None) => Ok(Some(at)),
        (None, Some(days)) => Ok(Some(now.plus_ms(u64::from(days) * DAY_MS))),
        (None, None) => Ok(None),
    }
}

/// Refuse a key from now on; the last operator key in force stays
#[utoipa::path(delete, path = "/api/v1/keys/{id}", tag = "people",
    params(("id" = String, Path, description = "The key's public part")), responses((status = 200, body = KeyView)))]
pub(crate) async fn key_revoke(
    caller: Caller,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<KeyView>> {
    let _changing = api.changing.lock().await;
    let key = find(&api, &caller, &id).await?;
    caller.operator_only()?;
    let now = clock::now();
    if key.role == Role::Operator && in_force(&key, now) {
        let keys = api.store().key_list(None).await?;
        let mut others = keys.iter().filter(|other| other.id != key.id);
        if !others.any(|other| other.role == Role::Operator && in_force(other, now)) {
            return Err(Refusal::conflict(format!(
                "'{id}' is the last operator key in force: make another one first"
            )));
        }
    }
    let revoked = api.store().key_revoke(key.id, now).await?;
    api.gateway().keyring.apply_key(revoked.clone());
    Ok(Json(KeyView::new(revoked, now)))
}

fn in_force(key: &KeyRecord, now: Micros) -> bool {
    key.revoked_at.is_none() && key.expires_at.is_none_or(|at| now < at)
}

async fn find(api: &Api, caller: &Caller, id: &str) -> Result<KeyRecord> {
    let absent = || Refusal::absent("key", id);
    let name = KeyId::new(id).map_err(|_| absent())?;
    let key = api.store().key_get(name).await?.ok_or_else(absent)?;
    if caller.sees(key.tenant.as_ref()) {
        Ok(key)
    } else {
        Err(absent())
    }
}
