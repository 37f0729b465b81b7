//! One request's walk: identify → classify → reserve → (decide, queue, route in the core) → relay → settle.
//!
//! Each step is one function in the file of that name. A step that refuses ends the walk; whoever showed a valid
//! key finds every request in the books, refused ones included.

mod apart;
mod claims;
mod classify;
mod facts;
mod flight;
mod identify;
mod inspect;
mod rate;
mod read;
mod relay;
mod reserve;
mod restore;
mod route;
mod settle;

pub(crate) use apart::Apart;
pub(crate) use claims::claims;
pub use classify::Ask;
pub(crate) use classify::{body_refused, count_prompt, nearest};
pub use facts::Facts;
pub use flight::Flight;
use identify::identify_known;
pub(crate) use identify::{identify, identify_presented};
pub(crate) use inspect::holds_personal_data;
pub use inspect::{Inspection, Masked, inspect};
pub(crate) use relay::{link_of, shown, too_many};
pub use restore::{Restore, RestoreStream};

use crate::clock;
use crate::gateway::Gateway;
use crate::key_slots::KeySlot;
use crate::keyring::Identity;
use crate::refused::Refused;
use crate::rights::{permit_endpoint, permit_period};
use axum::body::Body;
use axum::response::Response;
use http::HeaderMap;
use madang_types::{Action, Endpoint, ErrorCode, KeyId, Micros, RequestId, TenantId};
use std::sync::Arc;

/// Walks one request of the data plane. Dropping the future (the client left) frees all it holds and records it.
pub async fn walk(
    gateway: Arc<Gateway>,
    endpoint: Endpoint,
    request: http::Request<Body>,
) -> Response {
    let arrival = Arrival::now(endpoint);
    let (parts, body) = request.into_parts();
    let identity = match identify(&gateway, &parts.headers, arrival.at) {
        Ok(identity) => identity,
        Err(refused) => return refused.into_response_of(endpoint, Some(arrival.id)),
    };
    let slot = take_key_slot(&gateway, &identity.key).map(Some);
    walk_on(gateway, arrival, (identity, slot), (parts, body)).await
}

/// Walks one line of a batch as a request of the key that made the batch. It takes no slot of the key's: those are for who
/// waits at a connection.
pub(crate) async fn walk_line(
    gateway: Arc<Gateway>,
    endpoint: Endpoint,
    key: &KeyId,
    request: http::Request<Body>,
) -> Response {
    let arrival = Arrival::now(endpoint);
    let (parts, body) = request.into_parts();
    match identify_known(&gateway, key, arrival.at) {
        Ok(identity) => walk_on(gateway, arrival, (identity, Ok(None)), (parts, body)).await,
        Err(refused) => refused.into_response_of(endpoint, Some(arrival.id)),
    }
}

/// A request that has just come.
struct Arrival {
    id: RequestId,
    at: Micros,
    endpoint: Endpoint,
}

impl Arrival {
    fn now(endpoint: Endpoint) -> Self {
        Self {
            at: clock::now(),
            id: clock::request_id_new(),
            endpoint,
        }
    }
}

/// The walk of a request whose sender is known.
async fn walk_on(
    gateway: Arc<Gateway>,
    Arrival {
        id,
        at: arrived_at,
        endpoint,
    }: Arrival,
    (identity, slot): (Identity, Result<Option<KeySlot>, Refused>),
    (parts, body): (http::request::Parts, Body),
) -> Response {
    let tenant = match billed(&identity) {
        Ok(tenant) => tenant,
        Err(refused) => return refused.into_response_of(endpoint, Some(id)),
    };
    let opening = flight::Opening {
        id,
        arrived_at,
        endpoint,
        tenant,
        project: identity.project.clone(),
        key: identity.key.clone(),
        terms: Arc::clone(&identity.terms),
    };
    let facts = Facts::of(&identity);
    let mut flight = Flight::new(Arc::clone(&gateway), opening, facts);

    let programme = (identity.programme.as_ref(), identity.period);
    let permitted = permit_period(programme, arrived_at)
        .and_then(|()| permit_endpoint(&flight.terms, endpoint));
    if let Err(refused) = permitted {
        return settle::refuse(flight, refused).await;
    }
    match slot {
        Ok(slot) => flight.key_slot = slot,
        Err(refused) => return settle::refuse(flight, refused).await,
    }
    let mut ask = match classify::classify(&mut flight, (&parts, body)).await {
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
    let tokens = ask.prompt_tokens.saturating_add(ask.output_tokens_max);
    let (standing, taken) = rate::take(&mut flight, tokens).await;
    let mut response = match taken {
        Ok(()) => match reserve::reserve(&mut flight, &mut ask, &parts.headers).await {
            Ok(()) => relay::relay(flight, Arc::new(ask), &parts.headers).await,
            Err(refused) => settle::refuse(flight, refused).await,
        },
        Err(refused) => settle::refuse(flight, refused).await,
    };
    if let Some(standing) = standing {
        rate::mark(&standing, response.headers_mut());
    }
    response
}

/// Who asks for what is a tenant's and no request of the walk, and which tenant is meant.
pub(crate) fn caller(
    gateway: &Gateway,
    headers: &HeaderMap,
) -> Result<(TenantId, Identity), Refused> {
    let identity = identify(gateway, headers, clock::now())?;
    Ok((billed(&identity)?, identity))
}

/// Whom a request of this caller is billed to.
fn billed(identity: &Identity) -> Result<TenantId, Refused> {
    identity.may(Action::Infer)?;
    // Whoever may ask belongs to a tenant.
    let none = || Refused::new(ErrorCode::RoleForbidden, "this key belongs to no tenant");
    identity.tenant.clone().ok_or_else(none)
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
