//! `/audit/*`: the audit log's files, read-only, for those whose key may see all. Its formats are not ours, so it stands
//! beside the API and its document.

use crate::caller::Caller;
use crate::refusal::Refusal;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{Uri, header};
use madang_audit::{AuditError, serve};
use madang_control::Control;
use madang_types::{Action, ErrorCode};
use std::sync::Arc;

/// The routes of the gateway's log.
pub fn audit_router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/audit/checkpoint", get(checkpoint))
        .route("/audit/tile/{*path}", get(tile))
        .route("/audit", any(absent))
        .route("/audit/{*path}", any(absent))
        .with_state(control)
}

async fn checkpoint(
    caller: Caller,
    State(control): State<Arc<Control>>,
) -> Result<Response, Refusal> {
    file((&control, &caller), "checkpoint".into()).await
}

async fn tile(
    caller: Caller,
    State(control): State<Arc<Control>>,
    Path(path): Path<String>,
) -> Result<Response, Refusal> {
    file((&control, &caller), format!("tile/{path}")).await
}

async fn absent(_: Caller, uri: Uri) -> Refusal {
    crate::handlers::nothing_at(&uri)
}

async fn file((control, caller): (&Control, &Caller), path: String) -> Result<Response, Refusal> {
    caller.ground(Action::AuditRead)?;
    let folder = control.gateway().audit.folder().to_path_buf();
    let served = blocking(move || serve(&folder, &path)).await?;
    let served = served.map_err(|error| {
        let code = match error {
            AuditError::NotFound(_) => ErrorCode::UrlNotFound,
            _ => ErrorCode::StoreUnavailable,
        };
        Refusal::new(code, error.to_string())
    })?;
    let headers = [
        (header::CONTENT_TYPE, served.content_type),
        (header::CACHE_CONTROL, served.cache_control),
    ];
    Ok((headers, served.bytes).into_response())
}

/// Work on the audit log that waits for the disk.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|error| {
        tracing::error!(%error, "work on the audit log broke off");
        Refusal::new(ErrorCode::Internal, "work on the audit log broke off")
    })
}
