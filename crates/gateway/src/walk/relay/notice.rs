//! A streamed request that waits: its head is sent, and comments say how the queue moves until the stream begins.

use super::attempt::Answer;
use super::chase::{Chase, End};
use super::stream::Relay;
use super::{mark_queued, put};
use crate::driver::QueuePlace;
use crate::gateway::Gateway;
use crate::headers;
use crate::refused::{Refused, doc_page};
use crate::walk::{classify, settle};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};
use madang_types::{Outcome, RequestId};
use madang_wire::error::{engine_error, stream_error_event};
use madang_wire::{AnswerKind, ErrorFields};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often a waiting client hears of its place.
const NOTICE_EVERY: Duration = Duration::from_secs(1);

/// What a request that waited comes to.
enum Began {
    Stream(Box<Relay>),
    /// The one event that says why not; the request is in the books.
    Refused(Bytes),
}

/// A stream's body from its early head on.
enum Phase {
    Waits(Waits),
    Streams(Box<Relay>),
    Over,
}

struct Waits {
    work: Pin<Box<dyn Future<Output = Began> + Send>>,
    ticks: Interval,
    gateway: Arc<Gateway>,
    request: RequestId,
}

/// Sends the head now. Its body tells the place in the queue, then the stream.
pub(super) fn respond(chase: Chase) -> Response {
    let flight = &chase.flight;
    let request = flight.record.id;
    let gateway = Arc::clone(&flight.gateway);
    let mut response = Response::new(Body::empty());
    let response_headers = response.headers_mut();
    put(response_headers, headers::REQUEST_ID, &request.to_string());
    let model = &chase.ask.model;
    // One that waits for another model than it asked for may yet go to a third: the head does not say which.
    if gateway.driver.model_of(request).as_ref() == Some(model) {
        put(response_headers, headers::MODEL, model.as_str());
    }
    mark_queued(response_headers, flight.queued);
    response_headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    let mut ticks = interval(NOTICE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let waits = Waits {
        work: Box::pin(begin(chase)),
        ticks,
        gateway,
        request,
    };
    let body = futures_util::stream::unfold(Phase::Waits(waits), |body| async move {
        let (event, body) = next(body).await?;
        Some((Ok::<Bytes, Infallible>(event), body))
    });
    *response.body_mut() = Body::from_stream(body);
    response
}

async fn next(body: Phase) -> Option<(Bytes, Phase)> {
    match body {
        Phase::Waits(mut waits) => {
            tokio::select! {
                biased;
                began = &mut waits.work => match began {
                    Began::Stream(mut relay) => {
                        let event = relay.next().await?;
                        Some((event, Phase::Streams(relay)))
                    }
                    Began::Refused(event) => Some((event, Phase::Over)),
                },
                _ = waits.ticks.tick() => {
                    let place = waits.gateway.driver.place(waits.request);
                    Some((comment(place), Phase::Waits(waits)))
                }
            }
        }
        Phase::Streams(mut relay) => {
            let event = relay.next().await?;
            Some((event, Phase::Streams(relay)))
        }
        Phase::Over => None,
    }
}

/// A line that parsers of event streams pass over, and that keeps proxies from closing the connection.
fn comment(place: Option<QueuePlace>) -> Bytes {
    match place {
        Some(QueuePlace {
            place,
            wait_ms: Some(wait_ms),
        }) => format!(": madang queue place={place} wait_ms={wait_ms}\n\n").into(),
        Some(QueuePlace {
            place,
            wait_ms: None,
        }) => format!(": madang queue place={place}\n\n").into(),
        None => Bytes::from_static(b": madang started\n\n"),
    }
}

/// Goes on to the answer. Its head has been sent, so that whatever is no stream becomes an event.
async fn begin(mut chase: Chase) -> Began {
    let end = loop {
        if let Some(end) = chase.run(None).await {
            break end;
        }
    };
    let Chase { flight, ask, .. } = chase;
    let kind = classify::answer_kind(ask.endpoint);
    match end {
        End::Answered(Answer::Stream(answer)) => Began::Stream(Box::new(answer.relay(flight))),
        End::Answered(Answer::Whole(answer)) => {
            let event = refusal_event(kind, &answer.body, &flight.record.id.to_string());
            Began::Refused(
                settle::refuse_event(flight, (Outcome::EngineRefused, answer.code), event).await,
            )
        }
        End::Refused(refused) => {
            let refused = settle::logged(&flight, refused).await;
            let event = error_event(kind, &refused, flight.record.id);
            let end = (settle::outcome(refused.code), Some(refused.code));
            Began::Refused(settle::refuse_event(flight, end, event).await)
        }
    }
}

/// A refusal as the last event of a stream that began.
pub(super) fn error_event(kind: AnswerKind, refused: &Refused, request: RequestId) -> Bytes {
    let doc = doc_page(refused.code);
    let (reasons, request) = (refused.reasons(), request.to_string());
    let fields = ErrorFields {
        // What stands in a header of an answer that has none of its head sent.
        retry_after_ms: refused.retry_after_ms,
        ..refused.facts((&request, &doc), &reasons)
    };
    stream_error_event(kind, &fields)
}

/// An engine's own refusal in the same form.
fn refusal_event(kind: AnswerKind, body: &[u8], request: &str) -> Bytes {
    let said = engine_error(body).unwrap_or_default();
    let fields = ErrorFields {
        message: &said.message,
        kind: said.kind.as_deref().unwrap_or("invalid_request_error"),
        param: said.param.as_deref(),
        code: said.code.as_deref().unwrap_or_default(),
        request_id: request,
        remedy: None,
        doc: "",
        retry_after_ms: None,
        reasons: &[],
    };
    stream_error_event(kind, &fields)
}
