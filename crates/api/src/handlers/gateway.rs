//! The gateways that share the books.

use super::Result;
use crate::caller::{May, right};
use crate::extract::PathId;
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{GatewayView, List};
use axum::Json;
use axum::extract::State;
use madang_gateway::audit::GatewayEnd;
use madang_gateway::clock;
use madang_types::{GatewayId, KeyId};
use std::sync::Arc;

/// Gateways that have served from these books
#[utoipa::path(get, path = "/api/v1/gateways", tag = "fleet", responses((status = 200, body = List<GatewayView>)))]
pub(crate) async fn gateway_list(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
) -> Result<Json<List<GatewayView>>> {
    let rows = api.bank().gateway_list().await?;
    Ok(Json(List::new(rows.into_iter().map(Into::into).collect())))
}

/// Give a gateway up of which nothing was heard for a minute
///
/// What it held of allocations waits in suspense for what it may still report, and nobody else spends it. When it is heard of again it
/// begins a new run, with nothing.
#[utoipa::path(delete, path = "/api/v1/gateways/{id}", tag = "fleet",
    params(("id" = String, Path, description = "Its name, as the list shows it")),
    responses((status = 200, body = GatewayView)))]
pub(crate) async fn gateway_give_up(
    may: May<right::FleetWrite>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<GatewayView>> {
    let gateway = named(&id)?;
    api.bank().give_up(gateway.clone(), clock::now()).await?;
    ended(&api, (gateway, false), may.caller.0.key).await
}

/// Release what waits of a gateway that was given up an hour ago or earlier: it never comes back
///
/// What is left in suspense goes back to the allocations that it came from, and can be spent again. What the gateway reports all the same
/// is booked, and the tenant owes it beyond its grant.
#[utoipa::path(post, path = "/api/v1/gateways/{id}/release", tag = "fleet",
    params(("id" = String, Path, description = "Its name, as the list shows it")),
    responses((status = 200, body = GatewayView)))]
pub(crate) async fn gateway_release(
    may: May<right::FleetWrite>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<GatewayView>> {
    let gateway = named(&id)?;
    api.bank().release(gateway.clone(), clock::now()).await?;
    ended(&api, (gateway, true), may.caller.0.key).await
}

fn named(id: &str) -> Result<GatewayId> {
    id.parse().map_err(|_| Refusal::absent("gateway", id))
}

/// Logs what was done, which stands even if it cannot be logged, and shows the gateway as it is now.
async fn ended(
    api: &Api,
    (gateway, released): (GatewayId, bool),
    key: KeyId,
) -> Result<Json<GatewayView>> {
    let end = GatewayEnd {
        gateway: gateway.clone(),
        released,
        key,
    };
    api.gateway().audit.gateway(end).await?;
    let rows = api.bank().gateway_list().await?;
    let row = rows.into_iter().find(|row| row.holder.gateway == gateway);
    let absent = || Refusal::absent("gateway", gateway.as_str());
    Ok(Json(row.ok_or_else(absent)?.into()))
}
