//! One request's walk: identify → classify → (decide, queue, route in the core) → relay → settle.
//!
//! Each step is one function in the file of that name. A step that refuses ends the walk; whoever showed a valid
//! key finds every request in the books, refused ones included.

mod claims;
mod classify;
mod facts;
mod flight;
mod identify;
mod inspect;
mod relay;
mod restore;
mod route;
mod settle;

pub use classify::Ask;
pub(crate) use classify::{body_refused, count_prompt, nearest};
pub use facts::Facts;
pub use flight::Flight;
pub(crate) use identify::identify;
pub(crate) use inspect::holds_personal_data;
pub use inspect::{Inspection, Masked, inspect};
pub(crate) use relay::{link_of, shown, too_many};
pub use restore::{Restore, RestoreStream};

use crate::clock;
use crate::gateway::Gateway;
use crate::key_slots::KeySlot;
use crate::refused::Refused;
use axum::body::Body;
use axum::response::Response;
use madang_types::{Endpoint, ErrorCode, KeyId};
use std::sync::Arc;

/// Walks one request of the data plane. Dropping the future (the client left) frees all it holds and records it.
pub async fn walk(
    gateway: Arc<Gateway>,
    endpoint: Endpoint,
    request: http::Request<Body>,
) -> Response {
    let arrived_at = clock::now();
    let id = clock::request_id_new();
    let (parts, body) = request.into_parts();

    let identity = match identify(&gateway, &parts.headers, arrived_at) {
        Ok(identity) => identity,
        Err(refused) => return refused.into_response_of(endpoint, Some(id)),
    };
    let Some(tenant) = identity.tenant.clone() else {
        let message =
            "an operator key belongs to no tenant, and somebody must be billed: use a tenant's key";
        return Refused::new(ErrorCode::RoleForbidden, message)
            .into_response_of(endpoint, Some(id));
    };
    let opening = flight::Opening {
        id,
        arrived_at,
        endpoint,
        tenant,
        key: identity.key.clone(),
    };
    let facts = Facts::of(&identity);
    let mut flight = Flight::new(Arc::clone(&gateway), opening, facts);

    match take_key_slot(&gateway, &identity.key) {
        Ok(slot) => flight.key_slot = Some(slot),
        Err(refused) => return settle::refuse(flight, refused).await,
    }
    let ask = match classify::classify(&mut flight, (&parts, body)).await {
        Ok(ask) => ask,
        Err(refused) => return settle::refuse(flight, refused).await,
    };
    if gateway.books.resting() {
        let refused = Refused::new(
            ErrorCode::StoreUnavailable,
            "the books cannot be written at the moment",
        );
        return settle::refuse(flight, refused.retry_after_ms(Some(1_000))).await;
    }
    relay::relay(flight, ask, &parts.headers).await
}

/// One caller's requests leave room for the others'.
pub(crate) fn take_key_slot(gateway: &Gateway, key: &KeyId) -> Result<KeySlot, Refused> {
    let max = gateway.snapshot().fleet.limits.connections_key_max;
    if let Some(slot) = gateway.key_slots.take(key, max) {
        return Ok(slot);
    }
    let message =
        format!("{max} requests of this key are under way already (limits.connections_key_max)");
    Err(Refused::new(ErrorCode::KeyBusy, message).retry_after_ms(Some(1_000)))
}
