//! Stop switches: nothing goes to a place until its stop is lifted.

use super::Result;
use crate::caller::{May, right};
use crate::extract::{JsonBody, PathId};
use crate::near;
use crate::params::{Label, StopCreate};
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{List, StopView};
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use madang_gateway::clock;
use madang_gateway::stops::StopError;
use madang_types::{ErrorCode, Stop, StopScope};
use std::sync::Arc;

/// Stops in force
#[utoipa::path(get, path = "/api/v1/stops", tag = "policy", responses((status = 200, body = List<StopView>)))]
pub(crate) async fn stop_list(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
) -> Result<Json<List<StopView>>> {
    let stops = api.store().stop_list().await?;
    Ok(Json(List::new(stops.into_iter().map(Into::into).collect())))
}

/// Stop a country, an upstream or a site: nothing new goes there, and what runs there is cut
///
/// It is in force before the answer is sent, and stays so through restarts. A stop that is in force already stays as it was set.
#[utoipa::path(post, path = "/api/v1/stops", tag = "policy", request_body = StopCreate,
    responses((status = 201, body = StopView)))]
pub(crate) async fn stop_set(
    may: May<right::FleetWrite>,
    State(api): State<Arc<Api>>,
    JsonBody(StopCreate {
        scope,
        reason: Label(reason),
    }): JsonBody<StopCreate>,
) -> Result<(StatusCode, Json<StopView>)> {
    must_name_a_place(&api, &scope)?;
    let stop = Stop {
        scope,
        reason,
        set_by: may.caller.0.key,
        set_at: clock::now(),
    };
    let stop = api.gateway().stop_set(stop).await.map_err(refusal)?;
    Ok((StatusCode::CREATED, Json(stop.into())))
}

/// Lift a stop
#[utoipa::path(delete, path = "/api/v1/stops/{scope}", tag = "policy",
    params(("scope" = String, Path, description = "What is stopped, as `upstream:openai`")),
    responses((status = 200, body = StopView)))]
pub(crate) async fn stop_lift(
    may: May<right::FleetWrite>,
    State(api): State<Arc<Api>>,
    PathId(scope): PathId,
) -> Result<Json<StopView>> {
    let named: StopScope = scope.parse().map_err(|_| Refusal::absent("stop", &scope))?;
    let lifted = api.gateway().stop_lift(named, &may.caller.0.key).await;
    Ok(Json(lifted.map_err(refusal)?.into()))
}

/// A stop with a slip of the pen would stop nothing, and nobody would see it.
fn must_name_a_place(api: &Api, scope: &StopScope) -> Result<()> {
    let fleet = &api.gateway().snapshot().fleet;
    let names: Vec<String> = match scope {
        StopScope::Country(_) => return Ok(()),
        // An origin is run by others as an upstream is.
        StopScope::Upstream(_) => {
            let upstreams = fleet.upstreams.keys().map(ToString::to_string);
            let origins = fleet.origins.keys().map(ToString::to_string);
            upstreams.chain(origins).collect()
        }
        StopScope::Site(_) => fleet.sites.keys().map(ToString::to_string).collect(),
    };
    if names.iter().any(|name| name == scope.name()) {
        return Ok(());
    }
    let hint = near::hint(scope.name(), names.iter().map(String::as_str));
    let message = format!("the fleet has no {} '{}'{hint}", scope.kind(), scope.name());
    Err(Refusal::new(ErrorCode::FieldInvalid, message).at("scope"))
}

fn refusal(error: StopError) -> Refusal {
    match error {
        StopError::Store(error) => error.into(),
        StopError::Audit(error) => error.into(),
    }
}
