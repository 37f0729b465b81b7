//! Secrets of jobs: put, listed by name, deleted. None is ever read through here.

use super::Result;
use super::{project, tenant};
use crate::caller::{May, right};
use crate::extract::{JsonBody, PathPair, Query};
use crate::params::{SecretPut, SecretQuery, SecretScope};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{List, SecretView};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_control::secrets::SecretsError;
use madang_gateway::audit::SecretChange;
use madang_types::{ErrorCode, KeyId, ProjectId, SecretId, TenantId};
use std::sync::Arc;

/// Names of a tenant's secrets and its projects', by project and name; never their values
#[utoipa::path(get, path = "/api/v1/secrets", tag = "jobs", params(SecretQuery),
    responses((status = 200, body = List<SecretView>)))]
pub(crate) async fn secret_list(
    may: May<right::SecretRead>,
    State(api): State<Arc<Api>>,
    Query(SecretQuery { tenant }): Query<SecretQuery>,
) -> Result<Json<List<SecretView>>> {
    let asked = may.ground.tenant_asked(api.gateway(), tenant)?;
    let tenant = tenant::named(&may.ground, asked)?;
    let rows = api.control.jobs().secrets().list(&tenant).await;
    let rows = rows.map_err(refusal)?;
    Ok(Json(List::new(rows.into_iter().map(Into::into).collect())))
}

/// Put a secret, in place of the value before
///
/// It is sealed in the books, given to runs that begin from then on, and never readable again. A key of a project puts that project's
/// secrets alone.
#[utoipa::path(post, path = "/api/v1/secrets", tag = "jobs", request_body = SecretPut,
    responses((status = 201, body = SecretView)))]
pub(crate) async fn secret_put(
    may: May<right::SecretWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(asked): JsonBody<SecretPut>,
) -> Result<(StatusCode, Json<SecretView>)> {
    let SecretPut {
        name,
        tenant,
        project,
        value,
    } = asked;
    let tenant = tenant::named(&may.ground, tenant)?;
    let project = scope(&may.caller.0.project, project)?;
    let _changing = api.changing.lock().await;
    tenant::must_exist(&api, &may.ground, &tenant).await?;
    if let Some(project) = &project {
        project::must_exist(&api, &tenant, project).await?;
    }
    let id = SecretId {
        tenant,
        project,
        name,
    };
    let by = may.caller.0.key;
    let put = api
        .control
        .jobs()
        .secrets()
        .put(id, &value, by.clone())
        .await;
    let row = put.map_err(refusal)?;
    logged(&api, (&row.id, Some(row.version)), by).await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// Delete a secret: a run that has it keeps it, one that begins later and names it ends with a reason
#[utoipa::path(delete, path = "/api/v1/secrets/{tenant}/{id}", tag = "jobs",
    params(("tenant" = String, Path, description = "Whose"), ("id" = String, Path, description = "Its name"), SecretScope),
    responses((status = 200, body = SecretView)))]
pub(crate) async fn secret_delete(
    may: May<right::SecretWrite>,
    State(api): State<Arc<Api>>,
    PathPair(tenant, name): PathPair,
    Query(SecretScope { project }): Query<SecretScope>,
) -> Result<Json<SecretView>> {
    let absent = || Refusal::absent("secret", &format!("{tenant}/{name}"));
    let owner = TenantId::new(&tenant).map_err(|_| absent())?;
    if !may.ground.has_tenant(api.gateway(), &owner) {
        return Err(absent());
    }
    let id = SecretId {
        tenant: owner,
        project: scope(&may.caller.0.project, project)?,
        name: name.parse().map_err(|_| absent())?,
    };
    let _changing = api.changing.lock().await;
    let deleted = api.control.jobs().secrets().delete(id).await;
    let row = deleted.map_err(refusal)?;
    logged(&api, (&row.id, None), may.caller.0.key).await?;
    Ok(Json(row.into()))
}

/// The project that is meant: a key of one means its own.
fn scope(own: &Option<ProjectId>, asked: Option<ProjectId>) -> Result<Option<ProjectId>> {
    match (own, asked) {
        (None, asked) => Ok(asked),
        (Some(own), Some(asked)) if *own == asked => Ok(Some(asked)),
        (Some(own), _) => {
            let message = format!(
                "this key is for the project '{own}', and puts and deletes its secrets alone"
            );
            Err(Refusal::new(ErrorCode::RoleForbidden, message).at("project"))
        }
    }
}

/// Logs what was done, which stands even if it cannot be logged.
async fn logged(api: &Api, (id, version): (&SecretId, Option<u64>), key: KeyId) -> Result<()> {
    let SecretId {
        tenant,
        project,
        name,
    } = id.clone();
    let change = SecretChange {
        tenant,
        project,
        name,
        version,
        key,
    };
    Ok(api.gateway().audit.secret(change).await?)
}

fn refusal(error: SecretsError) -> Refusal {
    let code = match error {
        SecretsError::Store(error) => return error.into(),
        SecretsError::Value(_) => ErrorCode::FieldInvalid,
        SecretsError::Conflict(_) => ErrorCode::Conflict,
        SecretsError::Missing(_) => ErrorCode::NotFound,
        SecretsError::Sealed(_) | SecretsError::Keys(_) => ErrorCode::SecretsUnavailable,
    };
    Refusal::new(code, error.to_string())
}
