//! A request on its way to its answer: the core's words and the attempts' ends, until something answers or nothing will.

use super::Route;
use super::attempt::{self, Answer, Attempt};
use super::race::{Race, Start};
use crate::driver::{Turn, lost};
use crate::refused::Refused;
use crate::trace_context::TraceContext;
use crate::walk::classify::Ask;
use crate::walk::flight::Flight;
use crate::walk::route;
use madang_types::ErrorCode;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};

/// A request that was submitted. Dropping it closes its attempts and gives back what it holds.
pub(super) struct Chase {
    pub flight: Box<Flight>,
    pub ask: Arc<Ask>,
    trace: TraceContext,
    /// The end of the request's whole life.
    deadline: Instant,
    race: Race,
    last_failure: Option<Refused>,
    /// The attempt whose place the record names.
    noted: Option<u32>,
    /// Since when no attempt has run, in microseconds after its arrival.
    waiting_since_us: u64,
}

/// How it ended.
pub(super) enum End {
    Answered(Answer),
    Refused(Refused),
}

enum Step {
    Told(Turn),
    Ran(Arc<Start>, Attempt),
    StillWaits,
}

impl Chase {
    pub fn new(
        flight: Box<Flight>,
        ask: Arc<Ask>,
        (trace, deadline): (TraceContext, Instant),
    ) -> Self {
        Self {
            waiting_since_us: flight.elapsed_us(),
            flight,
            ask,
            trace,
            deadline,
            race: Race::default(),
            last_failure: None,
            noted: None,
        }
    }

    /// Goes on until the request is answered or refused. `None`: it still waits in the queue at `notice_at`; it is called
    /// again to go on.
    pub async fn run(&mut self, notice_at: Option<Instant>) -> Option<End> {
        loop {
            let end = match self.step(notice_at).await {
                Step::StillWaits => return None,
                Step::Told(turn) => self.told(turn),
                Step::Ran(start, attempt) => self.ran(&start, attempt),
            };
            if end.is_some() {
                return end;
            }
        }
    }

    async fn step(&mut self, notice_at: Option<Instant>) -> Step {
        let waits = self.race.is_empty();
        let Some(ticket) = &mut self.flight.ticket else {
            // It was never submitted, which no caller does.
            return Step::Told(lost());
        };
        tokio::select! {
            biased;
            turn = ticket.turn() => Step::Told(turn),
            (start, attempt) = self.race.next(), if !waits => Step::Ran(start, attempt),
            () = waited(notice_at), if waits => Step::StillWaits,
        }
    }

    /// The core's word.
    fn told(&mut self, turn: Turn) -> Option<End> {
        match turn {
            Turn::Start {
                attempt,
                replica,
                site,
                model,
                decision,
                grant,
            } => self.start(Start {
                attempt,
                replica,
                site,
                model,
                decision: decision.to_string(),
                grant,
            }),
            Turn::CallOff { attempt } => {
                self.race.call_off(attempt);
                self.wait_begins();
            }
            Turn::Queued(place) => {
                self.flight.queued.get_or_insert(place);
            }
            Turn::Cut { denial } => {
                // Only an answer under way is cut, and whoever relays it hears of it.
                self.race.clear();
                return Some(End::Refused(route::stopped(&denial)));
            }
            Turn::Refuse {
                refusal,
                retry_after_ms,
                denials,
            } => {
                self.race.clear();
                self.wait_ends();
                let refused = route::refused(refusal, retry_after_ms, &self.ask).denied(denials);
                return Some(End::Refused(best_reason(refused, self.last_failure.take())));
            }
        }
        None
    }

    fn start(&mut self, start: Start) {
        self.wait_ends();
        let start = Arc::new(start);
        self.flight.record.attempts = self.flight.record.attempts.max(start.attempt);
        self.note(&start);
        // The snapshot of now, not of the request's arrival: a reload may have added this replica since.
        let snapshot = self.flight.gateway.snapshot();
        let target = snapshot.targets.get(&start.replica);
        let Some((target, entry)) = target.zip(snapshot.models.get(&start.model)) else {
            return self.failed(
                &start,
                Refused::new(
                    ErrorCode::EngineUnreachable,
                    "the replica just left the fleet",
                ),
            );
        };
        let route = Route {
            target: Arc::clone(target),
            entry: Arc::clone(entry),
            start: Arc::clone(&start),
            trace: self.trace.clone(),
            deadline: self.deadline,
            request: self.flight.record.id,
            arrived_at: self.flight.record.arrived_at,
            queued: self.flight.queued,
        };
        let gateway = Arc::clone(&self.flight.gateway);
        let running = attempt::attempt(gateway, Arc::clone(&self.ask), route);
        if let Err(start) = self.race.add(start, Box::pin(running)) {
            let message = "so many attempts are under way already";
            self.failed(&start, Refused::new(ErrorCode::EngineUnreachable, message));
        }
    }

    /// An attempt is over: it answers, it failed, or it says that no other would do better.
    fn ran(&mut self, start: &Start, attempt: Attempt) -> Option<End> {
        match attempt {
            Attempt::Answered(answer) => {
                if let Some(ticket) = &self.flight.ticket {
                    // A whole answer's first byte comes with its last one, and would teach the core that its tokens took no
                    // time. Its end says that it has won.
                    if matches!(answer, Answer::Stream(_)) {
                        ticket.first_byte(start.attempt);
                    }
                    // It was stopped just as it answered: what its place says counts no more, and another one may have begun.
                    if ticket.is_called_off(start.attempt) {
                        return None;
                    }
                }
                self.race.clear();
                self.note(start);
                self.flight.serving = Some(start.attempt);
                return Some(End::Answered(answer));
            }
            Attempt::Refused(refused) if self.race.is_empty() || ends_all(refused.code) => {
                self.race.clear();
                self.note(start);
                self.flight.serving = Some(start.attempt);
                self.tell(start, &refused);
                return Some(End::Refused(refused));
            }
            // Another one is under way, and may do better.
            Attempt::Refused(refused) | Attempt::Failed(refused) => self.failed(start, refused),
        }
        None
    }

    fn tell(&self, start: &Start, refused: &Refused) {
        tracing::warn!(
            request = %self.flight.record.id, replica = %start.replica, attempt = start.attempt,
            code = %refused.code, reason = refused.reason(), "attempt failed"
        );
    }

    fn failed(&mut self, start: &Start, refused: Refused) {
        self.tell(start, &refused);
        if let Some(ticket) = &self.flight.ticket {
            ticket.attempt_failed(start.attempt);
        }
        self.last_failure = Some(refused);
        self.wait_begins();
    }

    /// Where it is served, as far as is known: where an attempt was begun last, and in the end where it answered.
    fn note(&mut self, start: &Start) {
        if self.noted.replace(start.attempt) == Some(start.attempt) {
            return;
        }
        let record = &mut self.flight.record;
        record.model = Some(start.model.clone());
        record.replica = Some(start.replica.clone());
        record.site = Some(start.site.clone());
        record.decision = Some(start.decision.clone());
        if let Some(target) = self.flight.gateway.snapshot().targets.get(&start.replica) {
            let about = (start, self.ask.prompt_tokens);
            self.flight.serve_at(target, about);
        }
    }

    fn wait_begins(&mut self) {
        if self.race.is_empty() {
            self.waiting_since_us = self.flight.elapsed_us();
        }
    }

    fn wait_ends(&mut self) {
        if self.race.is_empty() {
            let now_us = self.flight.elapsed_us();
            self.flight.record.queued_us += now_us.saturating_sub(self.waiting_since_us);
            self.waiting_since_us = now_us;
        }
    }
}

/// Returns at that time; never, where there is none.
async fn waited(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// What is no different at any other place: the request's whole time, and what it asks for.
fn ends_all(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::RequestTimeout
            | ErrorCode::AnswerTooLarge
            | ErrorCode::FeatureUnsupported
            | ErrorCode::FieldInvalid
            | ErrorCode::FieldMissing
            | ErrorCode::AuditUnavailable
            | ErrorCode::PolicyDenied
    )
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
