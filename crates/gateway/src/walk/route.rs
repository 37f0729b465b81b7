//! Steps 3 to 5 as the core decides them: may it go anywhere, must it wait, where does it go?

use crate::driver::Turn;
use crate::refused::Refused;
use crate::walk::classify::Ask;
use crate::walk::flight::Flight;
use madang_core::{Payer, Prefix, Refusal, RequestSubmit};
use madang_types::ErrorCode;

/// Hands the request to the core; its word comes by [`next_turn`].
pub(super) fn submit(flight: &mut Flight, ask: &Ask) {
    let submit = RequestSubmit {
        request: flight.record.id,
        payer: Payer {
            tenant: flight.record.tenant.clone(),
            project: None,
            key: flight.record.key.clone(),
        },
        prefix: Prefix::default(),
        session: None,
        model: ask.model.clone(),
        endpoint: ask.endpoint,
        data_class: ask.data_class,
        priority: ask.priority,
        prompt_tokens: ask.prompt_tokens,
        output_tokens_max: ask.output_tokens_max,
        wait_ms_max: ask.snapshot.fleet.limits.queue_wait_ms_max,
    };
    let ticket = flight.gateway.driver.submit(submit);
    flight.ticket = Some(ticket);
}

/// A start: which attempt, at which replica.
pub(super) struct Start {
    pub attempt: u32,
    pub replica: madang_types::ReplicaId,
}

/// Waits for the core: a start, noted in the record, or a refusal.
///
/// # Errors
/// The refusal to send.
pub(super) async fn next_turn(flight: &mut Flight, ask: &Ask) -> Result<Start, Refused> {
    let waiting_since_us = flight.elapsed_us();
    let Some(ticket) = &mut flight.ticket else {
        return Err(Refused::new(
            ErrorCode::Internal,
            "the request was never submitted",
        ));
    };
    let turn = ticket.turn().await;
    flight.record.queued_us += flight.elapsed_us().saturating_sub(waiting_since_us);
    match turn {
        Turn::Start {
            attempt,
            replica,
            site,
            decision,
        } => {
            flight.record.attempts = attempt;
            flight.record.replica = Some(replica.clone());
            flight.record.site = Some(site);
            flight.record.decision = Some(decision.to_string());
            Ok(Start { attempt, replica })
        }
        Turn::Refuse {
            refusal,
            retry_after_ms,
        } => Err(refused(&refusal, ask).retry_after_ms(retry_after_ms)),
    }
}

fn refused(refusal: &Refusal, ask: &Ask) -> Refused {
    let model = &ask.model;
    let limits = &ask.snapshot.fleet.limits;
    let (code, message) = match refusal {
        Refusal::ModelUnknown => (
            ErrorCode::ModelNotFound,
            format!("the model '{model}' is no longer served here"),
        ),
        Refusal::EndpointUnsupported => (
            ErrorCode::ModelEndpointUnsupported,
            format!("the model '{model}' does not serve {}", ask.endpoint),
        ),
        Refusal::PolicyDenied => (
            ErrorCode::PolicyDenied,
            format!(
                "data of class {} may not go to any place that serves '{model}'",
                ask.data_class
            ),
        ),
        Refusal::NoReplica => (
            ErrorCode::NoReplica,
            format!("the model '{model}' has no healthy replica now"),
        ),
        Refusal::QueueFull => (
            ErrorCode::QueueFull,
            format!(
                "{} requests wait for '{model}' already (limits.queue_length_max)",
                limits.queue_length_max
            ),
        ),
        Refusal::QueueTimeout => (
            ErrorCode::QueueTimeout,
            format!(
                "no replica of '{model}' was free within limits.queue_wait_ms_max = {} ms",
                limits.queue_wait_ms_max
            ),
        ),
        Refusal::Overloaded | Refusal::Shed => (
            ErrorCode::QueueFull,
            format!("too many requests wait for '{model}'"),
        ),
        Refusal::AttemptsExhausted => (
            ErrorCode::EngineUnreachable,
            format!(
                "no replica of '{model}' answered (limits.attempts_max = {})",
                limits.attempts_max
            ),
        ),
        Refusal::Draining => (ErrorCode::Draining, "Madang is stopping".into()),
    };
    Refused::new(code, message)
}
