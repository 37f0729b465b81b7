//! Answers that are not streams: read to their end (so that a broken one can be had elsewhere), booked, sent.

use super::attempt::request_timeout;
use super::meter::Meter;
use super::recode;
use super::translate::Plan;
use super::{Route, put};
use crate::client::EngineBody;
use crate::clock;
use crate::headers;
use crate::refused::Refused;
use crate::walk::classify::Ask;
use crate::walk::flight::Flight;
use axum::body::Body;
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use madang_ledger::decimal_text;
use madang_types::{ErrorCode, Outcome};
use madang_wire::usage;
use serde::de::IgnoredAny;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// An answer in hand.
pub(super) struct WholeAnswer {
    status: StatusCode,
    headers: HeaderMap,
    pub body: Bytes,
    outcome: Outcome,
    /// What the books say of a refusal that has no words of the engine's own.
    pub code: Option<ErrorCode>,
    /// What it used; a refusal used nothing.
    meter: Option<Meter>,
    first_byte_us: Option<u64>,
}

impl WholeAnswer {
    /// An engine's own refusal, passed on as it came, or in words of ours, which have a code.
    pub fn refusal(
        status: StatusCode,
        headers: HeaderMap,
        (body, code): (Bytes, Option<ErrorCode>),
    ) -> Self {
        Self {
            status,
            headers,
            body,
            outcome: Outcome::EngineRefused,
            code,
            meter: None,
            first_byte_us: None,
        }
    }
}

/// An answer's bytes, and when the first came, in microseconds after the request's arrival.
pub(super) struct Read {
    bytes: Bytes,
    first_byte_us: Option<u64>,
}

/// Reads the answer's body within its bounds.
///
/// # Errors
/// It broke off, stood still, or passed `limits.answer_bytes_max`.
pub(super) async fn read(
    mut body: EngineBody,
    (ask, route): (&Ask, &Route),
) -> Result<Read, Refused> {
    let limits = &ask.snapshot.fleet.limits;
    let replica = &route.target.replica;
    let size_max = usize::try_from(limits.answer_bytes_max).unwrap_or(usize::MAX);
    let mut first_byte_us = None;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let now = Instant::now();
        // A timeout asks its future first: bytes that are always there already would keep the answer coming for ever.
        if now >= route.deadline {
            return Err(request_timeout(limits.request_ms_max));
        }
        let idle_until = now + Duration::from_millis(limits.first_byte_ms_max);
        let frame = match timeout_at(idle_until.min(route.deadline), body.frame()).await {
            Ok(frame) => frame,
            Err(_) if Instant::now() >= route.deadline => {
                return Err(request_timeout(limits.request_ms_max));
            }
            Err(_) => {
                let message = format!(
                    "the replica '{replica}' stood still in the middle of its answer for limits.first_byte_ms_max = {} ms",
                    limits.first_byte_ms_max
                );
                return Err(Refused::new(ErrorCode::EngineIdleTimeout, message));
            }
        };
        let data = match frame {
            None => break,
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(_)) => {
                let message =
                    format!("the replica '{replica}' broke off in the middle of its answer");
                return Err(Refused::new(ErrorCode::EngineCut, message));
            }
        };
        first_byte_us.get_or_insert_with(|| clock::now().since_us(route.arrived_at));
        if first.len() + all.len() + data.len() > size_max {
            let message = format!("the answer of '{replica}' has more than {size_max} bytes");
            return Err(Refused::new(ErrorCode::AnswerTooLarge, message));
        }
        if first.is_empty() && all.is_empty() {
            first = data;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(Read {
        bytes: if all.is_empty() { first } else { all.freeze() },
        first_byte_us,
    })
}

/// Checks and meters a complete answer, and turns it into what the caller asked for.
///
/// # Errors
/// It is not what the protocol promises.
pub(super) fn finish(
    read: Read,
    (plan, headers): (Plan, HeaderMap),
    (route, mut meter): (&Route, Meter),
) -> Result<WholeAnswer, Refused> {
    let Read {
        bytes: mut body,
        first_byte_us,
    } = read;
    let invalid = |what: &str| {
        let replica = &route.target.replica;
        let message = format!("the answer of '{replica}' {what}");
        Refused::new(ErrorCode::EngineAnswerInvalid, message)
    };
    if serde_json::from_slice::<IgnoredAny>(&body).is_err()
        || !body.trim_ascii_start().starts_with(b"{")
    {
        return Err(invalid("is not a JSON object"));
    }
    let facts = usage::from_answer(plan.kind, &body);
    if facts.error {
        return Err(invalid("is an error with status 200"));
    }
    meter.answer(&facts);
    if let Some(restore) = &plan.restore {
        body = restore.answer(&body).into();
    }
    body = recode::whole(&plan, body, route).map_err(|why| invalid(&why))?;
    Ok(WholeAnswer {
        status: StatusCode::OK,
        headers,
        body,
        outcome: Outcome::Finished,
        code: None,
        meter: Some(meter),
        first_byte_us,
    })
}

/// Books the answer, then lets it leave.
pub(super) async fn send(answer: WholeAnswer, mut flight: Box<Flight>, ask: &Ask) -> Response {
    let WholeAnswer {
        status,
        headers,
        body,
        outcome,
        code,
        meter,
        first_byte_us,
    } = answer;
    if let Some(meter) = meter {
        meter.write(&mut flight);
    }
    flight.record.first_token_us = flight.record.first_token_us.or(first_byte_us);
    flight.sent(&body);
    if flight.settle(outcome, status.as_u16(), code).await.is_err() {
        let message = format!(
            "the answer of '{}' cannot be recorded, so it is not given",
            ask.model
        );
        let refused =
            Refused::new(ErrorCode::StoreUnavailable, message).retry_after_ms(Some(1_000));
        return refused.into_response_of(ask.endpoint, Some(flight.record.id));
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if let Some(cost) = flight.record.cost {
        put(response.headers_mut(), headers::COST, &decimal_text(cost.0));
    }
    response
}
