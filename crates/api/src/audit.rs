//! `/audit/*`: the audit log's files, read-only, for those whose key may see all. Its formats are not ours, so it stands
//! beside the API and its document.

use crate::caller::Caller;
use crate::refusal::Refusal;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{HeaderMap, Uri, header};
use madang_audit::{AuditError, serve};
use madang_control::Control;
use madang_types::ErrorCode;
use std::path::PathBuf;
use std::sync::Arc;

struct Log {
    control: Arc<Control>,
    folder: PathBuf,
}

/// The routes of the log in `folder`.
pub fn audit_router(control: Arc<Control>, folder: PathBuf) -> Router {
    Router::new()
        .route("/audit/checkpoint", get(checkpoint))
        .route("/audit/tile/{*path}", get(tile))
        .route("/audit", any(absent))
        .route("/audit/{*path}", any(absent))
        .with_state(Arc::new(Log { control, folder }))
}

async fn checkpoint(State(log): State<Arc<Log>>, headers: HeaderMap) -> Result<Response, Refusal> {
    file(log, &headers, "checkpoint".into()).await
}

async fn tile(
    State(log): State<Arc<Log>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    file(log, &headers, format!("tile/{path}")).await
}

async fn absent(State(log): State<Arc<Log>>, headers: HeaderMap, uri: Uri) -> Refusal {
    match Caller::identify(log.control.gateway(), &headers) {
        Ok(_) => crate::handlers::nothing_at(&uri),
        Err(refusal) => refusal,
    }
}

async fn file(log: Arc<Log>, headers: &HeaderMap, path: String) -> Result<Response, Refusal> {
    Caller::identify(log.control.gateway(), headers)?.operator_only()?;
    let served = tokio::task::spawn_blocking(move || serve(&log.folder, &path)).await;
    let served = served.map_err(|error| {
        tracing::error!(%error, "reading the audit log broke off");
        Refusal::new(ErrorCode::Internal, "reading the audit log broke off")
    })?;
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
