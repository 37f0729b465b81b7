//! What comes of one line: it is walked like any other request, and its answer read to the end.

use super::batch::Order;
use super::line::{Line, path_of};
use super::results::{ErrorPart, ResponsePart, ResultLine};
use crate::gateway::Gateway;
use crate::headers;
use crate::walk::walk_line;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::BodyExt;
use madang_types::Priority;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// What came of a line.
pub(super) struct Answer {
    /// The request's id, as in the books.
    pub request: String,
    /// How many stood before it when it had to wait for room, where it had to.
    pub place: Option<u32>,
    pub verdict: Verdict,
}

/// What is to become of the line.
pub(super) enum Verdict {
    /// It has its result.
    Result { status: u16, body: Box<RawValue> },
    /// The engine failed it: it is tried again, a few times.
    Failed { status: u16, body: Box<RawValue> },
    /// There is no room for it now.
    Later { after: Option<Duration> },
}

/// Asks a line.
pub(super) async fn ask(gateway: Arc<Gateway>, order: &Order, body: Bytes) -> Answer {
    let response = walk_line(gateway, order.endpoint, &order.key, request(order, body)).await;
    let request = text(response.headers(), &headers::REQUEST_ID);
    let place = text(response.headers(), &headers::QUEUE_PLACE);
    Answer {
        request,
        place: place.parse().ok(),
        verdict: verdict(response).await,
    }
}

fn request(order: &Order, body: Bytes) -> Request<Body> {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(path_of(order.endpoint));
    let headers = request.headers_mut();
    headers.insert(
        headers::PRIORITY,
        HeaderValue::from_static(Priority::Batch.as_str()),
    );
    if let Some(class) = order.data_class {
        headers.insert(
            headers::DATA_CLASS,
            HeaderValue::from_static(class.as_str()),
        );
    }
    if !order.data_flags.is_empty()
        && let Ok(flags) = HeaderValue::from_str(&order.data_flags.to_string())
    {
        headers.insert(headers::DATA_FLAGS, flags);
    }
    request
}

async fn verdict(response: Response) -> Verdict {
    let status = response.status().as_u16();
    let after = retry_after(response.headers());
    let collected = response.into_body().collect().await;
    let body = collected.ok().and_then(|body| {
        let text = String::from_utf8(body.to_bytes().into()).ok()?;
        RawValue::from_string(text).ok()
    });
    // An answer that broke off, or is no JSON, can be had again.
    let Some(body) = body else {
        return Verdict::Later { after };
    };
    match status {
        429 | 503 => Verdict::Later { after },
        500.. => Verdict::Failed { status, body },
        _ => Verdict::Result { status, body },
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let ms = text(headers, &headers::RETRY_AFTER_MS).parse().ok()?;
    Some(Duration::from_millis(ms))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

impl<'a> ResultLine<'a> {
    /// An answer, be it a refusal.
    pub fn of(
        line: &'a Line,
        (status_code, request_id): (u16, &'a str),
        body: &'a RawValue,
    ) -> Self {
        Self {
            id: format!("batch_{request_id}"),
            custom_id: &line.custom_id,
            response: Some(ResponsePart {
                status_code,
                request_id,
                body,
            }),
            error: None,
        }
    }

    /// That there is none.
    pub fn without_answer(line: &'a Line, error: ErrorPart<'a>) -> Self {
        Self {
            id: format!("batch_req_line_{}", line.number),
            custom_id: &line.custom_id,
            response: None,
            error: Some(error),
        }
    }
}
