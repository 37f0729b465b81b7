//! Step 6: send it, and bring the answer back byte for byte. Attempts that fail before the first byte go elsewhere.

mod attempt;
mod meter;
mod stream;
mod translate;
mod whole;

use crate::headers;
use crate::refused::Refused;
use crate::snapshot::Target;
use crate::trace_context::{RandomIds, TraceContext};
use crate::walk::classify::Ask;
use crate::walk::flight::Flight;
use crate::walk::{route, settle};
use attempt::Attempt;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use madang_types::ErrorCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What an attempt needs beside the request itself.
pub(super) struct Route {
    /// Where it goes.
    pub target: Arc<Target>,
    /// The trace, a child of the caller's.
    pub trace: TraceContext,
    /// The end of the request's whole life.
    pub deadline: Instant,
}

/// Relays the request until something answers it or the core gives up.
pub(super) async fn relay(mut flight: Flight, ask: Ask, request_headers: &HeaderMap) -> Response {
    let trace = TraceContext::from_headers(request_headers, &RandomIds::new());
    let limits = &ask.snapshot.fleet.limits;
    let deadline = Instant::now() + Duration::from_millis(limits.request_ms_max);
    route::submit(&mut flight, &ask);
    let mut last_failure = None;
    loop {
        let start = match route::next_turn(&mut flight, &ask).await {
            Ok(start) => start,
            Err(refused) => {
                return settle::refuse(flight, best_reason(refused, last_failure)).await;
            }
        };
        // The snapshot of now, not of the request's arrival: a reload may have added this replica since.
        let snapshot = flight.gateway.snapshot();
        let attempt = match snapshot.targets.get(&start.replica) {
            Some(target) => {
                let route = Route {
                    target: Arc::clone(target),
                    trace: trace.clone(),
                    deadline,
                };
                attempt::attempt(&mut flight, &ask, route).await
            }
            None => Attempt::Failed(Refused::new(
                ErrorCode::EngineUnreachable,
                "the replica just left the fleet",
            )),
        };
        match attempt {
            Attempt::Answered(answer) => return answer.into_response(flight, ask).await,
            Attempt::Refused(refused) => return settle::refuse(flight, refused).await,
            Attempt::Failed(refused) => {
                tracing::warn!(
                    request = %flight.record.id, replica = %start.replica, attempt = start.attempt,
                    code = %refused.code, reason = refused.message, "attempt failed"
                );
                if let Some(ticket) = &flight.ticket {
                    ticket.attempt_failed(start.attempt);
                }
                last_failure = Some(refused);
            }
        }
    }
}

/// What the last replica said is worth more to the caller than that every attempt failed.
fn best_reason(refused: Refused, last_failure: Option<Refused>) -> Refused {
    match last_failure {
        Some(failure) if refused.code == ErrorCode::EngineUnreachable => {
            failure.retry_after_ms(refused.retry_after_ms)
        }
        _ => refused,
    }
}

/// The headers that every answer carries: who answered, where, under which law, and why there.
fn mark(
    response_headers: &mut HeaderMap,
    flight: &Flight,
    target: &Target,
    content_type: Option<HeaderValue>,
) {
    let mut put = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            response_headers.insert(name, value);
        }
    };
    put(headers::REQUEST_ID, &flight.record.id.to_string());
    put(headers::SITE, target.site.as_str());
    put(headers::REPLICA, target.replica.as_str());
    put(headers::JURISDICTION, &target.jurisdiction);
    put(headers::MODEL, target.model.as_str());
    if let Some(decision) = &flight.record.decision {
        put(headers::DECISION, decision);
    }
    if let Some(content_type) = content_type {
        response_headers.insert(header::CONTENT_TYPE, content_type);
    }
}
