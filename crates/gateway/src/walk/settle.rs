//! The last step: the record is written before the last byte leaves.

use crate::audit::Whose;
use crate::refused::Refused;
use crate::walk::flight::Flight;
use crate::walk::relay::mark_queued;
use axum::response::Response;
use bytes::Bytes;
use madang_audit::AuditError;
use madang_types::{ErrorCode, Outcome};

/// Ends a walk with a refusal, which the audit log has before it is sent. It is sent even where the books could not write
/// it down: it serves nothing.
pub(super) async fn refuse(mut flight: Box<Flight>, refused: Refused) -> Response {
    let refused = logged(&flight, refused).await;
    let (id, queued, endpoint) = (flight.record.id, flight.queued, flight.record.endpoint);
    let end = (outcome(refused.code), Some(refused.code));
    close(&mut flight, end, refused.code.status()).await;
    let mut response = refused.into_response_of(endpoint, Some(id));
    mark_queued(response.headers_mut(), queued);
    response
}

/// Logs a refusal; where that cannot be done, the refusal is that. What was tried somewhere has its leaves already, and its
/// end is logged with the record, unless policy ended it.
pub(super) async fn logged(flight: &Flight, refused: Refused) -> Refused {
    let decided = refused.code == ErrorCode::PolicyDenied || flight.record.attempts == 0;
    if !decided || refused.code == ErrorCode::AuditUnavailable {
        return refused;
    }
    let gateway = &flight.gateway;
    let whose = Whose::of(&flight.record);
    let about = (refused.code, refused.denials.as_slice());
    let hash = gateway.snapshot().policy_table.hash();
    match gateway
        .audit
        .refuse((&whose, &flight.facts), about, hash)
        .await
    {
        Ok(()) => refused,
        Err(error) => unlogged(&error),
    }
}

/// Nothing is served, and nothing refused, that the audit log does not have.
pub(super) fn unlogged(error: &AuditError) -> Refused {
    tracing::error!(%error, "the audit log cannot be written");
    let message = "the audit log cannot be written at the moment";
    Refused::new(ErrorCode::AuditUnavailable, message).retry_after_ms(Some(1_000))
}

/// The same where the head of a stream has been sent already: `event` says why.
pub(super) async fn refuse_event(
    mut flight: Box<Flight>,
    end: (Outcome, Option<ErrorCode>),
    event: Bytes,
) -> Bytes {
    flight.sent(&event);
    close(&mut flight, end, 200).await;
    event
}

async fn close(flight: &mut Flight, (outcome, code): (Outcome, Option<ErrorCode>), status: u16) {
    if flight.settle(outcome, status, code).await.is_err() {
        tracing::warn!(request = %flight.record.id, "a refusal was sent without a record");
    }
}

/// What a refusal is in the books.
pub(super) fn outcome(code: ErrorCode) -> Outcome {
    match code {
        ErrorCode::EngineUnreachable
        | ErrorCode::EngineFailed
        | ErrorCode::EngineAnswerInvalid
        | ErrorCode::AnswerTooLarge => Outcome::EngineFailed,
        ErrorCode::EngineCut => Outcome::EngineCut,
        ErrorCode::EngineFirstByteTimeout
        | ErrorCode::EngineIdleTimeout
        | ErrorCode::RequestTimeout
        | ErrorCode::QueueTimeout => Outcome::TimedOut,
        _ => Outcome::Refused,
    }
}
