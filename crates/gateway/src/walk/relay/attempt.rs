//! One attempt at one replica: send, wait for the first byte, tell apart what may be tried elsewhere.

use super::meter::Meter;
use super::race::Start;
use super::stream::StreamAnswer;
use super::translate::{self, Call, Plan};
use super::urls::{self, Errand};
use super::whole::{self, WholeAnswer};
use super::{Route, mark};
use crate::audit::Going;
use crate::client::{ClientError, ClientErrorKind, EngineAddress, EngineBody};
use crate::gateway::Gateway;
use crate::headers;
use crate::refused::{Refused, doc_page};
use crate::walk::Masked;
use crate::walk::classify::Ask;
use crate::walk::flight::Flight;
use crate::walk::settle::unlogged;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use madang_audit::AuditError;
use madang_fleet::Dialect;
use madang_types::{Endpoint, ErrorCode, PolicyEffect};
use madang_wire::error::{engine_error, error_body};
use madang_wire::{EngineError, ErrorFields, anthropic};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Headers that are sent on to an engine, and headers of an answer, at most: room that is set aside at once.
const ENGINE_HEADERS: usize = 6;
const ANSWER_HEADERS: usize = 10;
/// Bytes of an engine's error that are read.
const ERROR_BYTES_MAX: usize = 256 * 1024;
/// Characters of an engine's error that are passed on where it is not passed on whole.
const ERROR_CHARS_MAX: usize = 500;

/// How an attempt went.
pub(super) enum Attempt {
    /// The engine answers.
    Answered(Answer),
    /// No byte of an answer came; another replica may be tried.
    Failed(Refused),
    /// The request is at fault: trying elsewhere is of no use.
    Refused(Refused),
}

/// An answer under way.
pub(super) enum Answer {
    Whole(Box<WholeAnswer>),
    Stream(Box<StreamAnswer>),
}

impl Answer {
    pub async fn into_response(self, flight: Box<Flight>, ask: &Ask) -> Response {
        match self {
            Self::Whole(answer) => whole::send(*answer, flight, ask).await,
            Self::Stream(answer) => answer.send(flight),
        }
    }
}

/// Sends the request to the route's target and waits for its answer's first byte. It changes nothing of the request's
/// own: another attempt may be under way beside it.
pub(super) async fn attempt(gateway: Arc<Gateway>, ask: Arc<Ask>, route: Route) -> Attempt {
    let masked = match route.start.grant.effect {
        PolicyEffect::Allow => None,
        PolicyEffect::Mask => match masked(&gateway, &ask).await {
            Ok(masked) => Some(masked),
            Err(refused) => return Attempt::Refused(refused),
        },
        PolicyEffect::Deny => return Attempt::Failed(not_permitted(&route)),
    };
    let asked = masked.map_or(&ask.body, |masked| &masked.body);
    let errand = Errand {
        gateway: &gateway,
        ask: &ask,
        route: &route,
    };
    let filled = match urls::replaced(errand, asked).await {
        Ok(filled) => filled,
        Err(refused) => return Attempt::Refused(refused),
    };
    let asked = filled.as_ref().unwrap_or(asked);
    let restore = masked.map(|masked| Arc::clone(&masked.restore));
    let call = match translate::translate(&ask, (asked, restore), &route) {
        Ok(call) => call,
        Err(refused) => return Attempt::Refused(refused),
    };
    let Some(address) = gateway.address(&route.target.replica) else {
        let message = format!("the replica '{}' is being started", route.target.replica);
        return Attempt::Failed(Refused::new(ErrorCode::EngineUnreachable, message));
    };
    if let Err(error) = log(&gateway, &ask, &route).await {
        return Attempt::Refused(unlogged(&error));
    }
    let limits = &ask.snapshot.fleet.limits;
    let first_byte_by = Instant::now() + Duration::from_millis(limits.first_byte_ms_max);
    let until = first_byte_by.min(route.deadline);
    let sent = timeout_at(until, send(&gateway, (&address, &call), &route)).await;
    match sent {
        Err(_) => Attempt::Refused(first_byte_timeout(&ask, &route)),
        Ok(Err(error)) => Attempt::Failed(unreachable(&error, &route)),
        Ok(Ok(answer)) => receive((&ask, call.plan), answer, (route, until)).await,
    }
}

/// The body with placeholders, which are put there once.
async fn masked<'a>(gateway: &Gateway, ask: &'a Arc<Ask>) -> Result<&'a Masked, Refused> {
    let worked = Arc::clone(ask);
    let bytes = ask.body.bytes().len();
    gateway
        .apart
        .run(bytes, move || worked.masked().map(drop))
        .await??;
    ask.masked()
}

/// Writes the attempt down before its first byte leaves.
async fn log(gateway: &Gateway, ask: &Ask, route: &Route) -> Result<(), AuditError> {
    let Start {
        attempt,
        model,
        grant,
        ..
    } = &*route.start;
    let going = Going {
        attempt: *attempt,
        model,
        location: route.target.location(grant.zone),
        visit: None,
    };
    let about = (&ask.whose, &*ask.facts);
    gateway.audit.allow(about, going, grant).await
}

/// The core starts nothing that policy denies; should it, nothing is sent.
fn not_permitted(route: &Route) -> Refused {
    let message = format!("policy does not permit '{}'", route.target.site);
    Refused::new(ErrorCode::PolicyDenied, message)
}

fn unreachable(error: &ClientError, route: &Route) -> Refused {
    let message = format!(
        "the replica '{}' did not answer: {error}",
        route.target.replica
    );
    Refused::new(ErrorCode::EngineUnreachable, message)
}

fn first_byte_timeout(ask: &Ask, route: &Route) -> Refused {
    let limits = &ask.snapshot.fleet.limits;
    if Instant::now() >= route.deadline {
        return request_timeout(limits.request_ms_max);
    }
    let message = format!(
        "the replica '{}' sent no byte within limits.first_byte_ms_max = {} ms",
        route.target.replica, limits.first_byte_ms_max
    );
    Refused::new(ErrorCode::EngineFirstByteTimeout, message)
}

/// The request's whole life is over.
pub(super) fn request_timeout(request_ms_max: u64) -> Refused {
    let message =
        format!("the request took longer than limits.request_ms_max = {request_ms_max} ms");
    Refused::new(ErrorCode::RequestTimeout, message)
}

async fn send(
    gateway: &Gateway,
    (address, call): (&EngineAddress, &Call),
    route: &Route,
) -> Result<http::Response<EngineBody>, ClientError> {
    let answer = gateway.client.request(address, request(call, route)).await;
    match answer {
        // An engine that closed an idle connection just as it was used has seen nothing: once more, same place.
        Err(error) if error.reused && error.kind == ClientErrorKind::ClosedBeforeAnswer => {
            gateway.client.request(address, request(call, route)).await
        }
        other => other,
    }
}

/// The engine's request. No header of the client's is passed on but its trace, and what its wire format names.
fn request(call: &Call, route: &Route) -> Request<Vec<Bytes>> {
    let mut request = Request::new(call.body.clone());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(call.path);
    let request_headers = request.headers_mut();
    request_headers.clone_from(&call.headers);
    request_headers.reserve(ENGINE_HEADERS);
    request_headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Some((name, key)) = &route.target.credential {
        request_headers.insert(name, key.clone());
    }
    if let Ok(id) = HeaderValue::from_str(&route.request.to_string()) {
        request_headers.insert(headers::X_REQUEST_ID, id);
    }
    route.trace.write(request_headers);
    request
}

/// Reads the answer's head and first byte.
async fn receive(
    (ask, plan): (&Ask, Plan),
    answer: http::Response<EngineBody>,
    (route, until): (Route, Instant),
) -> Attempt {
    let (head, mut body) = answer.into_parts();
    let content_type = head.headers.get(header::CONTENT_TYPE).cloned();
    if head.status != StatusCode::OK {
        return engine_refusal((head.status, content_type), body, (ask, &route, until)).await;
    }
    let mut response_headers = HeaderMap::with_capacity(ANSWER_HEADERS);
    mark(&mut response_headers, (ask, &route), content_type.clone());
    let is_told = ask.bounded || ask.features.output_tokens_max().is_some();
    let asked = is_told.then_some(ask.output_tokens_max);
    let meter = Meter::new(ask.prompt_tokens, asked);
    if !ask.features.stream {
        return match whole::read(body, (ask, &route)).await {
            Ok(read) => match whole::finish(read, (plan, response_headers), (&route, meter)) {
                Ok(answer) => Attempt::Answered(Answer::Whole(Box::new(answer))),
                Err(refused) => Attempt::Failed(refused),
            },
            // The time is over, and the answer as large, at every other replica too.
            Err(refused)
                if matches!(
                    refused.code,
                    ErrorCode::RequestTimeout | ErrorCode::AnswerTooLarge
                ) =>
            {
                Attempt::Refused(refused)
            }
            Err(refused) => Attempt::Failed(refused),
        };
    }
    let is_events = content_type.is_some_and(|v| v.as_bytes().starts_with(b"text/event-stream"));
    if !is_events {
        let message = format!(
            "the replica '{}' was asked for a stream and sent none",
            route.target.replica
        );
        return Attempt::Failed(Refused::new(ErrorCode::EngineAnswerInvalid, message));
    }
    // The first byte decides whether this attempt may still be made elsewhere, so it is waited for here.
    match timeout_at(until, body.frame()).await {
        Err(_) => Attempt::Refused(first_byte_timeout(ask, &route)),
        Ok(Some(Ok(frame))) => {
            let first = frame.into_data().unwrap_or_default();
            let answer = StreamAnswer::new(
                (plan, meter),
                (body, first),
                (ask, &route),
                response_headers,
            );
            Attempt::Answered(Answer::Stream(Box::new(answer)))
        }
        Ok(Some(Err(_)) | None) => {
            let message = format!(
                "the replica '{}' broke off before its first byte",
                route.target.replica
            );
            Attempt::Failed(Refused::new(ErrorCode::EngineUnreachable, message))
        }
    }
}

/// An engine's error: passed on as it came where the caller is at fault, tried elsewhere where the engine is busy.
async fn engine_refusal(
    (status, content_type): (StatusCode, Option<HeaderValue>),
    body: EngineBody,
    (ask, route, until): (&Ask, &Route, Instant),
) -> Attempt {
    let replica = &route.target.replica;
    let limited = http_body_util::Limited::new(body, ERROR_BYTES_MAX);
    let bytes = match timeout_at(until, limited.collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(_)) | Err(_) => Bytes::new(),
    };
    let error = engine_error(&bytes);
    let said: String = error
        .as_ref()
        .map(|e| e.message.chars().take(ERROR_CHARS_MAX).collect())
        .unwrap_or_default();
    // 529 is Anthropic's word for an overload.
    let busy = matches!(status.as_u16(), 429 | 502 | 503 | 504 | 529);
    if busy {
        // Without the engine's words: this is logged, and they may quote the prompt or name our account there.
        let message = format!("the replica '{replica}' answered {status}");
        return Attempt::Failed(Refused::new(ErrorCode::EngineUnreachable, message));
    }
    // llama.cpp answers 500 to an image that its model cannot see.
    if said.contains("mmproj") || said.contains("image input is not supported") {
        let message = format!("this model does not take images ({said})");
        return Attempt::Refused(
            Refused::new(ErrorCode::FeatureUnsupported, message)
                .at("messages")
                .quoting(),
        );
    }
    // It is our key or our account that the engine does not take, never the caller's.
    if matches!(status.as_u16(), 401..=403 | 407) {
        let message = format!("the replica '{replica}' does not accept Madang: {status}");
        return Attempt::Failed(Refused::new(ErrorCode::EngineFailed, message));
    }
    if status.is_client_error() {
        let (said, content_type) = match error {
            Some(error) => {
                let body = in_callers_words(&error, bytes, (ask, route));
                ((body, None), content_type)
            }
            None => {
                let code = ErrorCode::EngineRefused;
                let body = in_our_words(code, (status, &bytes), (ask, route));
                let content_type = HeaderValue::from_static("application/json");
                ((body, Some(code)), Some(content_type))
            }
        };
        let mut response_headers = HeaderMap::new();
        mark(&mut response_headers, (ask, route), content_type);
        let refusal = WholeAnswer::refusal(status, response_headers, said);
        return Attempt::Answered(Answer::Whole(Box::new(refusal)));
    }
    let said = if status.is_redirection() {
        "redirects are not followed, so its url must be the place itself"
    } else {
        &said
    };
    let message = format!("the replica '{replica}' answered {status}: {said}");
    Attempt::Refused(Refused::new(ErrorCode::EngineFailed, message).quoting())
}

/// An engine's refusal as it came, or in the caller's shape where the two speak different wire formats.
fn in_callers_words(error: &EngineError, body: Bytes, (ask, route): (&Ask, &Route)) -> Bytes {
    let callers = ask.endpoint == Endpoint::Messages;
    let engines = route.target.dialect == Dialect::Anthropic;
    if callers == engines {
        return body;
    }
    let id = route.request.to_string();
    in_shape_of(
        ask.endpoint,
        &ErrorFields {
            message: &error.message,
            kind: error.kind.as_deref().unwrap_or("invalid_request_error"),
            param: error.param.as_deref(),
            code: error.code.as_deref().unwrap_or_default(),
            request_id: &id,
            remedy: None,
            doc: "",
            retry_after_ms: None,
            reasons: &[],
        },
    )
}

/// An engine's refusal that is no error object, such as a proxy's page: its status, and what it says, as an error of ours. That is the
/// caller's alone to read, since it may quote the prompt: it stands in the answer and in no log.
fn in_our_words(
    code: ErrorCode,
    (status, said): (StatusCode, &[u8]),
    (ask, route): (&Ask, &Route),
) -> Bytes {
    let said: String = String::from_utf8_lossy(said.trim_ascii())
        .chars()
        .take(ERROR_CHARS_MAX)
        .collect();
    let said = match said.is_empty() {
        true => "without a word",
        false => &said,
    };
    let replica = &route.target.replica;
    let message = format!("the replica '{replica}' answered {status}: {said}");
    let (id, doc) = (route.request.to_string(), doc_page(code));
    in_shape_of(
        ask.endpoint,
        &Refused::new(code, message).facts((&id, &doc), &[]),
    )
}

fn in_shape_of(endpoint: Endpoint, fields: &ErrorFields<'_>) -> Bytes {
    match endpoint {
        Endpoint::Messages => anthropic::error_body(fields).into(),
        _ => error_body(fields).into(),
    }
}
