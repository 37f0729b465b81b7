//! One function per route, named by what it does to what.

mod energy;
mod erasure;
mod explain;
mod fleet;
mod gateway;
mod idle;
mod jobs;
mod key;
mod money;
mod power;
mod programme;
mod project;
mod report;
mod secrets;
mod sign_in;
mod stop;
mod tenant;
mod terminal;
mod usage;

pub(crate) use energy::*;
pub(crate) use erasure::*;
pub(crate) use explain::*;
pub(crate) use fleet::*;
pub(crate) use gateway::*;
pub(crate) use idle::*;
pub(crate) use jobs::*;
pub(crate) use key::*;
pub(crate) use money::*;
pub(crate) use power::*;
pub(crate) use programme::*;
pub(crate) use project::*;
pub(crate) use report::*;
pub(crate) use secrets::*;
pub(crate) use sign_in::*;
pub(crate) use stop::*;
pub(crate) use tenant::*;
pub(crate) use terminal::*;
pub(crate) use usage::*;

use crate::caller::{Caller, May, right};
use crate::refusal::Refusal;
use crate::state::Api;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{Method, Uri, header};
use madang_types::ErrorCode;
use std::sync::Arc;

type Result<T> = std::result::Result<T, Refusal>;

/// The OpenAPI document.
pub(crate) async fn openapi_get(
    _: May<right::ServedRead>,
    State(api): State<Arc<Api>>,
) -> Response {
    let json = [(header::CONTENT_TYPE, "application/json")];
    (json, api.document.clone()).into_response()
}

/// A path under the API that nothing serves.
pub(crate) async fn absent(_: Caller, uri: Uri) -> Refusal {
    nothing_at(&uri)
}

/// The refusal of a path that nothing serves.
pub(crate) fn nothing_at(uri: &Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::new(
        ErrorCode::UrlNotFound,
        format!("nothing is served at {path}"),
    )
}

/// A path that is served, with another method.
pub(crate) async fn method_not_allowed(_: Caller, method: Method, uri: Uri) -> Refusal {
    let path: String = uri.path().chars().take(200).collect();
    Refusal::new(
        ErrorCode::MethodNotAllowed,
        format!("{path} is not served with {method}"),
    )
}
