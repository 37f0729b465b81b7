//! The last step: the record is in durable hands before the last byte leaves.

use crate::refused::Refused;
use crate::walk::flight::Flight;
use axum::response::Response;
use madang_types::{ErrorCode, Outcome};

/// Ends a walk with a refusal. A refusal is sent even where it could not be written down: it serves nothing.
pub(super) async fn refuse(mut flight: Flight, refused: Refused) -> Response {
    let outcome = match refused.code {
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
    };
    let id = flight.record.id;
    let written = flight
        .settle(outcome, refused.code.status(), Some(refused.code))
        .await;
    if written.is_err() {
        tracing::warn!(request = %id, "a refusal was sent without a record");
    }
    refused.into_response(Some(id))
}
