//! The last step: the record is written before the last byte leaves.

use crate::refused::Refused;
use crate::walk::flight::Flight;
use crate::walk::relay::mark_queued;
use axum::response::Response;
use bytes::Bytes;
use madang_types::{ErrorCode, Outcome};

/// Ends a walk with a refusal. A refusal is sent even where it could not be written down: it serves nothing.
pub(super) async fn refuse(mut flight: Flight, refused: Refused) -> Response {
    let (id, queued) = (flight.record.id, flight.queued);
    let end = (outcome(refused.code), Some(refused.code));
    close(&mut flight, end, refused.code.status()).await;
    let mut response = refused.into_response(Some(id));
    mark_queued(response.headers_mut(), queued);
    response
}

/// The same where the head of a stream has been sent already: `event` says why.
pub(super) async fn refuse_event(
    mut flight: Flight,
    end: (Outcome, Option<ErrorCode>),
    event: Bytes,
) -> Bytes {
    flight.record.bytes_out = u64::try_from(event.len()).unwrap_or(u64::MAX);
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
