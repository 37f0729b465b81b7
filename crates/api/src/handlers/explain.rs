//! What would become of a request, without sending it.

use super::Result;
use crate::caller::{May, right};
use crate::extract::LargeBody;
use crate::params::ExplainQuestion;
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::ExplainView;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use madang_gateway::explain::ExplainAsk;
use madang_types::{Endpoint, ErrorCode};
use std::sync::Arc;

/// What would become of a request: its class and why, every candidate with the rule that decides, and which would be taken
///
/// Nothing is sent. A tenant's key asks for that tenant.
#[utoipa::path(post, path = "/api/v1/explain", tag = "policy", request_body = ExplainQuestion,
    responses((status = 200, body = ExplainView)))]
pub(crate) async fn explain(
    may: May<right::Explain>,
    State(api): State<Arc<Api>>,
    LargeBody(question): LargeBody<ExplainQuestion>,
) -> Result<Json<ExplainView>> {
    let ExplainQuestion {
        tenant,
        key,
        model,
        endpoint,
        class,
        flags,
        body,
    } = question;
    let asked = may.ground.tenant_asked(api.gateway(), tenant)?;
    let tenant = asked.ok_or_else(|| {
        let message = "a key that belongs to no tenant says for which one";
        Refusal::new(ErrorCode::FieldMissing, message).at("tenant")
    })?;
    let body = body.map(|raw| Bytes::from(Box::<str>::from(raw).into_string()));
    let ask = ExplainAsk {
        tenant: tenant.clone(),
        key,
        endpoint: endpoint.unwrap_or(Endpoint::Chat),
        model: model.clone(),
        class,
        flags,
        body,
    };
    let gateway = api.gateway();
    let explained = gateway.explain(ask)?;
    let snapshot = gateway.snapshot();
    Ok(Json(ExplainView::new(
        (tenant, model),
        explained,
        &snapshot,
    )))
}
