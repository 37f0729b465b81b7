//! Keys. A secret leaves once, in the answer that makes it; a hash never.

use super::{Result, programme, project, tenant};
use crate::bounds;
use crate::caller::{Caller, Ground, May, right};
use crate::extract::{JsonBody, PathId, Query};
use crate::near;
use crate::params::{Instant, KeyCreate, KeyQuery, Label};
use crate::refusal::Refusal;
use crate::sign_in::signed_in::is_sign_in;
use crate::state::Api;
use crate::views::{KeyView, List};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_gateway::clock;
use madang_gateway::keyring::{KeySecret, hash_secret, key_text};
use madang_types::{
    Action, DataMark, ErrorCode, KeyId, KeyRecord, KeyTerms, Micros, ModelId, ProgrammeId, Role,
    TenantId,
};
use std::sync::Arc;

const DAY_MS: u64 = 86_400_000;
/// The most keys of one tenant, or of one programme's managers, that others than an operator make; revoked ones included.
const KEYS_MAX: usize = 10_000;

/// Keys that the caller may see, without their secrets
#[utoipa::path(get, path = "/api/v1/keys", tag = "people", params(KeyQuery),
    responses((status = 200, body = List<KeyView>)))]
pub(crate) async fn key_list(
    may: May<right::KeyRead>,
    State(api): State<Arc<Api>>,
    Query(KeyQuery { tenant }): Query<KeyQuery>,
) -> Result<Json<List<KeyView>>> {
    let tenant = may.ground.tenant_asked(api.gateway(), tenant)?;
    let rows = api.store().key_list(tenant).await?;
    let now = clock::now();
    let seen = rows
        .iter()
        .filter(|row| may.ground.has_key(api.gateway(), row));
    Ok(Json(List::new(
        seen.map(|row| KeyView::new(row, now)).collect(),
    )))
}

/// One key, without its secret
#[utoipa::path(get, path = "/api/v1/keys/{id}", tag = "people",
    params(("id" = String, Path, description = "The key's public part")), responses((status = 200, body = KeyView)))]
pub(crate) async fn key_get(
    may: May<right::KeyRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<KeyView>> {
    let key = find(&api, &may.ground, &id).await?;
    Ok(Json(KeyView::new(&key, clock::now())))
}

/// The key that asks, without its secret: who one is
#[utoipa::path(get, path = "/api/v1/me", tag = "people", responses((status = 200, body = KeyView)))]
pub(crate) async fn me_get(caller: Caller, State(api): State<Arc<Api>>) -> Result<Json<KeyView>> {
    let id = caller.0.key;
    let absent = || Refusal::absent("key", id.as_str());
    let key = api.store().key_get(id.clone()).await?.ok_or_else(absent)?;
    Ok(Json(KeyView::new(&key, clock::now())))
}

/// Make a key; the answer is the only place where it is ever shown
///
/// It may do no more than the key that makes it.
#[utoipa::path(post, path = "/api/v1/keys", tag = "people", request_body = KeyCreate,
    responses((status = 201, body = KeyView)))]
pub(crate) async fn key_create(
    may: May<right::KeyWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<KeyCreate>,
) -> Result<(StatusCode, Json<KeyView>)> {
    let now = clock::now();
    let (id, secret) = KeySecret::generate();
    let record = record(&may, asked, (id, hash_secret(&secret), now))?;
    let _changing = api.changing.lock().await;
    must_be_known(&api, &may.ground, &record).await?;
    // Logged first: no key is in force unlogged.
    let by = Some(&may.caller.0.key);
    api.gateway().audit.key(&record, true, by).await?;
    api.store().key_insert(record.clone()).await?;
    api.gateway().key_apply(record.clone());
    let key = key_text(&record.id, &secret);
    Ok((StatusCode::CREATED, Json(KeyView::made(&record, key))))
}

/// The key as asked for, where its maker may make it: what it names is not looked up yet.
fn record(
    may: &May<right::KeyWrite>,
    asked: KeyCreate,
    (id, secret_hash, now): (KeyId, [u8; 32], Micros),
) -> Result<KeyRecord> {
    let KeyCreate {
        tenant,
        programme,
        project,
        role,
        models,
        endpoints,
        rate_requests_per_min,
        rate_tokens_per_min,
        limit_micro_won,
        class_floor,
        data_flags,
        label: Label(label),
        expires_at,
        expires_days,
    } = asked;
    let maker = &may.caller.0;
    let role = role.unwrap_or(Role::Member);
    if !maker.role.grants().contains(&role) {
        let message = format!(
            "a key of the role {} makes none of the role {role}",
            maker.role
        );
        return Err(Refusal::new(ErrorCode::RoleForbidden, message).at("role"));
    }
    let terms = KeyTerms {
        models,
        endpoints,
        rate_requests_per_min,
        rate_tokens_per_min,
        won_limit: limit_micro_won,
    };
    let (tenant, programme) = owner(&may.ground, role, (tenant, programme))?;
    if !role.is_of_tenant() && (project.is_some() || terms != KeyTerms::default()) {
        let message =
            format!("a key of the role {role} asks no models: it has no project, scopes and rates");
        return Err(Refusal::new(ErrorCode::FieldInvalid, message).at("role"));
    }
    let expires_at = expiry(expires_at, expires_days, now)?;
    bounds::key(maker, &terms, expires_at)?;
    if may.ground != Ground::All {
        let mark = DataMark {
            class: class_floor,
            flags: data_flags,
        };
        bounds::floors(maker.key_floor, mark)?;
    }
    Ok(KeyRecord {
        id,
        tenant,
        programme,
        project,
        role,
        terms: Arc::new(terms),
        class_floor,
        data_flags,
        label,
        secret_hash,
        created_at: now,
        expires_at,
        revoked_at: None,
    })
}

/// Whose key it is, by its role.
fn owner(
    ground: &Ground,
    role: Role,
    (tenant, programme): (Option<TenantId>, Option<ProgrammeId>),
) -> Result<(Option<TenantId>, Option<ProgrammeId>)> {
    let surplus = |what: &str| {
        let message =
            format!("a key of the role {role} belongs to no {what}: leave out {what} or role");
        Err(Refusal::new(ErrorCode::FieldInvalid, message).at(what))
    };
    match role {
        Role::TenantAdmin | Role::Member if programme.is_some() => surplus("programme"),
        Role::TenantAdmin | Role::Member => Ok((Some(tenant::named(ground, tenant)?), None)),
        Role::ProgrammeManager | Role::Operator | Role::Auditor if tenant.is_some() => {
            surplus("tenant")
        }
        Role::Operator | Role::Auditor if programme.is_some() => surplus("programme"),
        Role::Operator | Role::Auditor => Ok((None, None)),
        Role::ProgrammeManager => {
            let named = programme.or_else(|| ground.programme().cloned());
            let missing = || Refusal::new(ErrorCode::FieldMissing, "say for which programme");
            let named = named.ok_or_else(|| missing().at("programme"))?;
            Ok((None, Some(named)))
        }
    }
}

/// Refuses a key for what does not exist for its maker.
async fn must_be_known(api: &Api, ground: &Ground, key: &KeyRecord) -> Result<()> {
    if let Some(programme) = &key.programme {
        programme::must_exist(api, ground, programme).await?;
    }
    if let Some(tenant) = &key.tenant {
        tenant::must_exist(api, ground, tenant).await?;
        if let Some(project) = &key.project {
            project::must_exist(api, tenant, project).await?;
        }
    }
    let served = &api.gateway().snapshot().models;
    if let Some(unknown) = key.terms.models.iter().find(|id| !served.contains_key(*id)) {
        let hint = near::hint(unknown.as_str(), served.keys().map(ModelId::as_str));
        let message = format!("no model '{unknown}' is served here{hint}");
        return Err(Refusal::new(ErrorCode::FieldInvalid, message).at("models"));
    }
    if *ground == Ground::All {
        return Ok(());
    }
    let mut others = api.store().key_list(key.tenant.clone()).await?;
    others.retain(|other| (&other.tenant, &other.programme) == (&key.tenant, &key.programme));
    others.retain(|other| !is_sign_in(&other.id));
    if others.len() < KEYS_MAX {
        return Ok(());
    }
    let message = format!("its owner has had {KEYS_MAX} keys: an operator makes more");
    Err(Refusal::conflict(message))
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
    may: May<right::KeyRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<KeyView>> {
    let _changing = api.changing.lock().await;
    let key = find(&api, &may.ground, &id).await?;
    may.caller.ground(Action::KeyWrite)?;
    let now = clock::now();
    if is_lasting_operator(&key, now) {
        let keys = api.store().key_list(None).await?;
        let mut others = keys.iter().filter(|other| other.id != key.id);
        if !others.any(|other| is_lasting_operator(other, now)) {
            return Err(Refusal::conflict(format!(
                "'{id}' is the last operator key in force: make another one first"
            )));
        }
    }
    let revoked = revoke(&api, key, &may.caller.0.key).await?;
    Ok(Json(KeyView::new(&revoked, now)))
}

/// Refuses a key from now on. In force first, then logged, once: an end that cannot be logged is one all the same.
pub(super) async fn revoke(api: &Api, key: KeyRecord, by: &KeyId) -> Result<KeyRecord> {
    let revoked = api.store().key_revoke(key.id, clock::now()).await?;
    api.gateway().key_apply(revoked.clone());
    if key.revoked_at.is_none() {
        api.gateway().audit.key(&revoked, false, Some(by)).await?;
    }
    Ok(revoked)
}

/// Whether an operator could still use it should nobody be able to sign in any more.
fn is_lasting_operator(key: &KeyRecord, now: Micros) -> bool {
    key.role == Role::Operator && key.is_in_force(now) && !is_sign_in(&key.id)
}

async fn find(api: &Api, ground: &Ground, id: &str) -> Result<KeyRecord> {
    let absent = || Refusal::absent("key", id);
    let name = KeyId::new(id).map_err(|_| absent())?;
    let key = api.store().key_get(name).await?.ok_or_else(absent)?;
    if ground.has_key(api.gateway(), &key) {
        Ok(key)
    } else {
        Err(absent())
    }
}
