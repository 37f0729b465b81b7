//! `/v1/messages/count_tokens`: the estimate of a prompt that admission and routing go by, without asking an engine.

use crate::clock;
use crate::gateway::Gateway;
use crate::refused::Refused;
use crate::rights::permit_endpoint;
use crate::walk::{count_prompt, identify, take_key_slot};
use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use madang_types::{Action, Endpoint};
use serde_json::json;
use std::sync::Arc;

/// Answers with the tokens that the request's prompt is taken for. It is not in the books: it uses nothing.
pub(crate) async fn count_tokens(
    State(gateway): State<Arc<Gateway>>,
    request: Request,
) -> Response {
    match count(&gateway, request).await {
        Ok(tokens) => Json(json!({ "input_tokens": tokens })).into_response(),
        Err(refused) => refused.into_response_of(Endpoint::Messages, None),
    }
}

async fn count(gateway: &Gateway, request: Request) -> Result<u64, Refused> {
    let (parts, body) = request.into_parts();
    let identity = identify(gateway, &parts.headers, clock::now())?;
    identity.may(Action::InferLook)?;
    permit_endpoint(&identity.terms, Endpoint::Messages)?;
    let _slot = take_key_slot(gateway, &identity.key)?;
    let known = (&*gateway.snapshot(), &*identity.terms);
    count_prompt(gateway, known, &parts, body).await
}
