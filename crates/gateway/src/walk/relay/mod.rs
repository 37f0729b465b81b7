//! Step 6: send it, and bring the answer back byte for byte. Attempts that fail before the first byte go elsewhere.

mod attempt;
mod chase;
mod meter;
mod notice;
mod race;
mod recode;
mod stream;
#[cfg(test)]
mod tests;
mod translate;
mod urls;
mod whole;

pub(crate) use urls::{link_of, shown, too_many};

use crate::driver::QueuePlace;
use crate::headers;
use crate::snapshot::{ModelEntry, Target};
use crate::trace_context::{RandomIds, TraceContext};
use crate::walk::classify::Ask;
use crate::walk::flight::Flight;
use crate::walk::{route, settle};
use axum::response::Response;
use chase::{Chase, End};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use madang_types::{Endpoint, Micros, RequestId};
pub(crate) use race::Start;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// What an attempt needs beside the request itself.
struct Route {
    /// Where it goes.
    pub target: Arc<Target>,
    /// The model that serves it.
    pub entry: Arc<ModelEntry>,
    /// Which attempt, and why there.
    pub start: Arc<Start>,
    /// The trace, a child of the caller's.
    pub trace: TraceContext,
    /// The end of the request's whole life.
    pub deadline: Instant,
    pub request: RequestId,
    pub arrived_at: Micros,
    /// Where it stood when it was queued, if it was.
    pub queued: Option<QueuePlace>,
}

/// Relays the request until something answers it or the core gives up.
pub(super) async fn relay(
    mut flight: Box<Flight>,
    ask: Arc<Ask>,
    request_headers: &HeaderMap,
) -> Response {
    let trace = TraceContext::from_headers(request_headers, &RandomIds::new());
    let limits = &ask.snapshot.fleet.limits;
    let now = Instant::now();
    let deadline = now + Duration::from_millis(limits.request_ms_max);
    let told = ask.features.stream && limits.queue_notice_ms > 0;
    let notice_at = told.then(|| now + Duration::from_millis(limits.queue_notice_ms));
    route::submit(&mut flight, &ask);
    let mut chase = Chase::new(flight, ask, (trace, deadline));
    match chase.run(notice_at).await {
        Some(End::Answered(answer)) => answer.into_response(chase.flight, &chase.ask).await,
        Some(End::Refused(refused)) => settle::refuse(chase.flight, refused).await,
        None => notice::respond(chase),
    }
}

fn put(response_headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response_headers.insert(name, value);
    }
}

/// The headers that every answer carries: who answered, where, under which law, and why there.
fn mark(
    response_headers: &mut HeaderMap,
    (ask, route): (&Ask, &Route),
    content_type: Option<HeaderValue>,
) {
    let target: &Target = &route.target;
    let id = route.request.to_string();
    put(response_headers, headers::REQUEST_ID, &id);
    if ask.endpoint == Endpoint::Messages {
        put(response_headers, headers::ANTHROPIC_REQUEST_ID, &id);
    }
    for (name, value) in &target.marks {
        response_headers.insert(name, value.clone());
    }
    put(response_headers, headers::MODEL, route.start.model.as_str());
    put(response_headers, headers::DECISION, &route.start.decision);
    mark_queued(response_headers, route.queued);
    if ask.clamped {
        let tokens = HeaderValue::from(ask.output_tokens_max);
        response_headers.insert(headers::OUTPUT_TOKENS_MAX, tokens);
    }
    if let Some(content_type) = content_type {
        response_headers.insert(header::CONTENT_TYPE, content_type);
    }
}

/// Where it stood when it was queued, and how long it was to wait.
pub(super) fn mark_queued(response_headers: &mut HeaderMap, queued: Option<QueuePlace>) {
    let Some(QueuePlace { place, wait_ms }) = queued else {
        return;
    };
    response_headers.insert(headers::QUEUE_PLACE, HeaderValue::from(place));
    if let Some(wait_ms) = wait_ms {
        response_headers.insert(headers::QUEUE_WAIT_MS, HeaderValue::from(wait_ms));
    }
}
