//! Erasure: what was hashed for a tenant in a month can no longer be confirmed.

use super::Result;
use crate::audit::blocking;
use crate::caller::{May, right};
use crate::extract::JsonBody;
use crate::params::ErasureCreate;
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::ErasureView;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_audit::AuditError;
use madang_types::ErrorCode;
use std::sync::Arc;

/// Destroy the key of a tenant's hashes of a month, so that they confirm nothing any more
///
/// The audit log says so, and still verifies. The running month may be erased too: it goes on with a new key.
#[utoipa::path(post, path = "/api/v1/audit/erasures", tag = "policy", request_body = ErasureCreate,
    responses((status = 201, body = ErasureView)))]
pub(crate) async fn erasure_create(
    _: May<right::AuditErase>,
    State(api): State<Arc<Api>>,
    JsonBody(ErasureCreate { tenant, month }): JsonBody<ErasureCreate>,
) -> Result<(StatusCode, Json<ErasureView>)> {
    let (control, whose) = (Arc::clone(&api.control), tenant.clone());
    let erased = blocking(move || control.gateway().audit.erase(whose, month)).await?;
    let erased = erased.map_err(|error| {
        let code = match error {
            AuditError::NotFound(_) => ErrorCode::NotFound,
            _ => ErrorCode::AuditUnavailable,
        };
        Refusal::new(code, error.to_string())
    })?;
    let view = ErasureView::new((tenant, month), erased);
    Ok((StatusCode::CREATED, Json(view)))
}
