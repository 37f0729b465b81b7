//! `/v1/files`: a tenant's files, by any key of the tenant that may ask models.

use super::disk::{blocking, unavailable};
use super::id::FileId;
use super::pages::page;
use super::shelf::{FileMeta, Purpose};
use super::{Batches, not_found, unix_s, upload};
use crate::refused::Refused;
use crate::walk::take_key_slot;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, Multipart, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use madang_types::{ErrorCode, TenantId};
use serde::Deserialize;
use serde_json::{Value, json};
use std::str::FromStr;
use tokio::io::AsyncReadExt;

/// Files in one page of a list.
const PAGE_MAX: usize = 10_000;
/// Bytes of a file that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

pub(super) async fn create(State(batches): State<Batches>, request: Request) -> Response {
    let created = created(&batches, request).await;
    let refused = created.is_err();
    let mut answer = answered(created);
    if refused {
        // What is left of the form is not read: the client hears that it needs another connection, before it asks again on this one.
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
    answer
}

async fn created(batches: &Batches, request: Request) -> Result<Json<Value>, Refused> {
    let (tenant, identity) = batches.caller(request.headers())?;
    let _slot = take_key_slot(&batches.gateway, &identity.key)?;
    let parts = Multipart::from_request(request, &()).await.map_err(|_| {
        let message = "a file is sent as multipart/form-data, with the parts file and purpose";
        Refused::new(ErrorCode::FieldInvalid, message).at("content-type")
    })?;
    let meta = upload::take(batches, &tenant, parts).await?;
    tracing::info!(%tenant, file = %meta.id, bytes = meta.bytes, "a file was kept");
    Ok(Json(view(&meta)))
}

/// An id in a path, which is looked at once it is known who asks.
pub(crate) type Id = Result<Path<String>, PathRejection>;

/// What it names.
///
/// # Errors
/// It can name nothing.
pub(crate) fn named<T: FromStr>(id: Id, what: &str) -> Result<T, Refused> {
    let id = id.ok().and_then(|Path(id)| id.parse().ok());
    id.ok_or_else(|| not_found(what))
}

/// A query that is looked at once it is known who asks.
pub(crate) type Asked<T> = Result<Query<T>, QueryRejection>;

/// What a query asks for.
///
/// # Errors
/// The refusal to send.
pub(crate) fn asked<T>(query: Asked<T>) -> Result<T, Refused> {
    match query {
        Ok(Query(query)) => Ok(query),
        Err(error) => Err(Refused::new(ErrorCode::FieldInvalid, error.body_text())),
    }
}

/// What a list is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct FileQuery {
    after: Option<String>,
    limit: Option<usize>,
    order: Option<String>,
    purpose: Option<String>,
}

pub(super) async fn list(
    State(batches): State<Batches>,
    headers: HeaderMap,
    query: Asked<FileQuery>,
) -> Response {
    answered(listed(&batches, &headers, query).await)
}

async fn listed(
    batches: &Batches,
    headers: &HeaderMap,
    query: Asked<FileQuery>,
) -> Result<Json<Value>, Refused> {
    let (tenant, _) = batches.caller(headers)?;
    let query = asked(query)?;
    let shelf = batches.shelf.clone();
    let mut files = blocking(move || shelf.list(&tenant, unix_s())).await?;
    if query.order.as_deref() != Some("asc") {
        files.reverse();
    }
    let purpose = query.purpose.as_deref();
    files.retain(|file| purpose.is_none_or(|purpose| file.purpose.as_str() == purpose));
    let data: Vec<(String, Value)> = files
        .iter()
        .map(|file| (file.id.to_string(), view(file)))
        .collect();
    let limit = query.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    Ok(Json(page(data, query.after.as_deref(), limit)))
}

pub(super) async fn get(State(batches): State<Batches>, id: Id, headers: HeaderMap) -> Response {
    let found = found(&batches, &headers, id).await;
    answered(found.map(|(_, meta)| Json(view(&meta))))
}

async fn found(
    batches: &Batches,
    headers: &HeaderMap,
    id: Id,
) -> Result<(TenantId, FileMeta), Refused> {
    let (tenant, _) = batches.caller(headers)?;
    let id: FileId = named(id, "file")?;
    let (shelf, whose) = (batches.shelf.clone(), tenant.clone());
    let found = blocking(move || shelf.get(&whose, id, unix_s())).await?;
    let meta = found.ok_or_else(|| not_found("file"))?;
    Ok((tenant, meta))
}

pub(super) async fn delete(State(batches): State<Batches>, id: Id, headers: HeaderMap) -> Response {
    answered(deleted(&batches, &headers, id).await)
}

async fn deleted(batches: &Batches, headers: &HeaderMap, id: Id) -> Result<Json<Value>, Refused> {
    let (tenant, meta) = found(batches, headers, id).await?;
    let id = meta.id;
    let shelf = batches.shelf.clone();
    if !blocking(move || shelf.remove(&tenant, id)).await? {
        return Err(not_found("file"));
    }
    Ok(Json(json!({ "id": id, "object": "file", "deleted": true })))
}

pub(super) async fn content(
    State(batches): State<Batches>,
    id: Id,
    headers: HeaderMap,
) -> Response {
    answered(opened(&batches, &headers, id).await)
}

async fn opened(batches: &Batches, headers: &HeaderMap, id: Id) -> Result<Response, Refused> {
    let (tenant, meta) = found(batches, headers, id).await?;
    let path = batches.shelf.content(&tenant, meta.id);
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|error| unavailable(&error))?;
    let chunks = futures_util::stream::try_unfold(file, |mut file| async move {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let read = (&mut file)
            .take(CHUNK_BYTES as u64)
            .read_to_end(&mut chunk)
            .await?;
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(meta.bytes));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    Ok(response)
}

/// A file as OpenAI's clients know one.
fn view(meta: &FileMeta) -> Value {
    let FileMeta {
        id,
        bytes,
        created_at,
        expires_at,
        filename,
        purpose,
    } = meta;
    let purpose: &Purpose = purpose;
    json!({
        "id": id, "object": "file", "bytes": bytes, "created_at": created_at, "expires_at": expires_at,
        "filename": filename, "purpose": purpose, "status": "processed", "status_details": null,
    })
}

/// An answer or a refusal.
pub(crate) fn answered(result: Result<impl IntoResponse, Refused>) -> Response {
    match result {
        Ok(answer) => answer.into_response(),
        Err(refused) => refused.into_response(None),
    }
}
