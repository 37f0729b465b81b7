//! The data plane's routes: `/v1/*`, health, metrics. Each handler is a door; what happens behind it is in `walk/`.

use crate::clock;
use crate::count_tokens::count_tokens;
use crate::edge::{Answering, Doors};
use crate::gateway::Gateway;
use crate::keyring::Identity;
use crate::metrics;
use crate::refused::Refused;
use crate::rights::permit_model;
use crate::snapshot::Snapshot;
use crate::walk::{identify, identify_presented, walk};
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use http::{HeaderMap, Method, StatusCode, header};
use madang_types::{Action, Endpoint, ErrorCode, KeyTerms, ModelId};
use serde_json::{Value, json};
use std::sync::Arc;

/// The doors of the data plane in front of a router that has them too: what they serve goes straight to its walk, since
/// finding the way through the router costs as much as a good part of that.
#[derive(Clone)]
pub struct FrontDoors {
    gateway: Arc<Gateway>,
    router: Router,
}

impl FrontDoors {
    /// Stands in front of `router`, which answers all else.
    pub fn new(gateway: Arc<Gateway>, router: Router) -> Self {
        Self { gateway, router }
    }
}

impl Doors for FrontDoors {
    fn answer(&self, request: http::Request<Body>) -> Answering {
        let found = DOORS
            .iter()
            .find(|(path, _)| *path == request.uri().path() && request.method() == Method::POST);
        match found {
            Some((_, endpoint)) => {
                let gateway = Arc::clone(&self.gateway);
                Box::pin(walk(gateway, *endpoint, request))
            }
            None => self.router.answer(request),
        }
    }
}

const DOORS: [(&str, Endpoint); 5] = [
    ("/v1/chat/completions", Endpoint::Chat),
    ("/v1/completions", Endpoint::Completions),
    ("/v1/embeddings", Endpoint::Embeddings),
    ("/v1/responses", Endpoint::Responses),
    ("/v1/messages", Endpoint::Messages),
];

/// The data plane's router. Control routes are merged in by whoever owns them.
pub fn router(gateway: Arc<Gateway>) -> Router {
    DOORS
        .into_iter()
        .fold(Router::new(), |router, (path, endpoint)| {
            router.route(path, door(endpoint))
        })
        .route("/v1/messages/count_tokens", post(count_tokens))
        .route("/v1/models", get(model_list))
        .route("/v1/models/{*model}", get(model_get))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_get))
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(gateway)
}

/// Who sent a request with these headers, now: for routes outside the data plane.
///
/// # Errors
/// The refusal to send, which never says which part of a key was wrong.
pub fn identify_request(gateway: &Gateway, headers: &HeaderMap) -> Result<Identity, Refused> {
    identify(gateway, headers, clock::now())
}

/// Who shows this key, now: where it came in another way than in the headers that carry keys.
///
/// # Errors
/// As [`identify_request`].
pub fn identify_key(gateway: &Gateway, key: &str) -> Result<Identity, Refused> {
    identify_presented(gateway, Ok(Some(key)), clock::now())
}

/// The answer to a path that nothing serves; with a key, so that strangers learn nothing of what exists.
pub async fn fallback(gateway: Arc<Gateway>, request: Request) -> Response {
    if let Err(refused) = identify(&gateway, request.headers(), clock::now()) {
        return refused.into_response(None);
    }
    let path: String = request.uri().path().chars().take(200).collect();
    Refused::new(
        ErrorCode::UrlNotFound,
        format!("nothing is served at {path}"),
    )
    .into_response(None)
}

fn door(endpoint: Endpoint) -> MethodRouter<Arc<Gateway>> {
    post(
        move |State(gateway): State<Arc<Gateway>>, request: http::Request<Body>| {
            walk(gateway, endpoint, request)
        },
    )
}

async fn method_not_allowed(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    method_not_allowed_by(gateway, request).await
}

/// The answer to a method that a route does not have; with a key, as in [`fallback`].
pub(crate) async fn method_not_allowed_by(gateway: Arc<Gateway>, request: Request) -> Response {
    if let Err(refused) = identify(&gateway, request.headers(), clock::now()) {
        return refused.into_response(None);
    }
    let message = format!(
        "{} is not served with {}",
        request.uri().path(),
        request.method()
    );
    Refused::new(ErrorCode::MethodNotAllowed, message).into_response(None)
}

/// A model as the key may use it; `None` where it may not.
fn model_view(snapshot: &Snapshot, terms: &KeyTerms, id: &ModelId) -> Option<Value> {
    let entry = snapshot.models.get(id)?;
    let doors = entry
        .endpoints
        .iter()
        .filter(|e| terms.permit_endpoint(**e));
    let doors: Vec<&str> = doors.map(|e| e.as_str()).collect();
    if doors.is_empty() || !terms.permit_model(id) {
        return None;
    }
    let sites: std::collections::BTreeSet<&str> = snapshot
        .serving(id)
        .map(|target| target.site.as_str())
        .collect();
    let mut view = json!({
        "id": id, "object": "model", "created": 0, "owned_by": "madang",
        "context_tokens": entry.context_tokens, "endpoints": doors, "sites": sites,
    });
    if !entry.candidates.is_empty() {
        view["virtual"] = json!(true);
        view["candidates"] = json!(entry.candidates);
    }
    Some(view)
}

/// Who sent a request with these headers, where it may do that.
fn permitted(gateway: &Gateway, headers: &HeaderMap, action: Action) -> Result<Identity, Refused> {
    let identity = identify(gateway, headers, clock::now())?;
    identity.may(action)?;
    Ok(identity)
}

async fn model_list(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let identity = match permitted(&gateway, request.headers(), Action::InferLook) {
        Ok(identity) => identity,
        Err(refused) => return refused.into_response(None),
    };
    let snapshot = gateway.snapshot();
    let data: Vec<Value> = snapshot
        .models
        .keys()
        .filter_map(|id| model_view(&snapshot, &identity.terms, id))
        .collect();
    Json(json!({ "object": "list", "data": data })).into_response()
}

async fn model_get(
    State(gateway): State<Arc<Gateway>>,
    Path(name): Path<String>,
    request: Request,
) -> Response {
    let found = permitted(&gateway, request.headers(), Action::InferLook)
        .and_then(|identity| model_found(&gateway.snapshot(), &identity.terms, &name));
    match found {
        Ok(view) => Json(view).into_response(),
        Err(refused) => refused.into_response(None),
    }
}

fn model_found(snapshot: &Snapshot, terms: &KeyTerms, name: &str) -> Result<Value, Refused> {
    let id = ModelId::new(name).ok();
    let served = id.filter(|id| snapshot.models.contains_key(id));
    if let Some(id) = &served {
        permit_model(terms, id)?;
    }
    let view = served.and_then(|id| model_view(snapshot, terms, &id));
    view.ok_or_else(|| {
        let near = crate::walk::nearest((snapshot, terms), name).join(", ");
        let shown: String = name.chars().take(80).collect();
        let message = format!("no model '{shown}' is served here; nearest: {near}");
        Refused::new(ErrorCode::ModelNotFound, message).at("model")
    })
}

/// Alive: the process answers.
async fn health() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Ready: a fleet is loaded, the books can be written, and something can serve.
async fn ready(State(gateway): State<Arc<Gateway>>) -> Response {
    let pools = gateway.status();
    let serves = pools
        .iter()
        .any(|pool| pool.members.iter().any(|member| member.available));
    let books = !gateway.books.resting();
    let loaded = gateway.snapshot().generation > 0;
    let status = if serves && books && loaded {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body =
        json!({ "fleet_loaded": loaded, "books_writable": books, "a_replica_serves": serves });
    (status, Json(body)).into_response()
}

async fn metrics_get(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    // They name every tenant.
    if let Err(refused) = permitted(&gateway, request.headers(), Action::FleetRead) {
        return refused.into_response(None);
    }
    let text = gateway.metrics_text();
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}
