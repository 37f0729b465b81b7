//! A request wants a replica: it starts, waits, or is refused at once.

use crate::effect::{Effect, Refusal};
use crate::input::RequestSubmit;
use crate::route::Choice;
use crate::state::{Core, Request};
use madang_types::{Micros, RequestId};

/// When trying again makes sense where a pool has no available member: probes come every few seconds.
const RETRY_NO_REPLICA_MS: u64 = 2_000;
/// When trying again makes sense where a queue is full.
const RETRY_QUEUE_FULL_MS: u64 = 1_000;

impl Core {
    pub(super) fn on_request_submit(
        &mut self,
        now: Micros,
        submit: RequestSubmit,
        effects: &mut Vec<Effect>,
    ) {
        let id = submit.request;
        // An id is submitted once; a second submit would leak the first one's slot.
        if self.requests.contains_key(&id) {
            return;
        }
        if self.draining {
            effects.push(refuse(id, Refusal::Draining));
            return;
        }
        self.sequence += 1;
        let wait_until = now.plus_ms(submit.wait_ms_max);
        let request = Request {
            submit,
            sequence: self.sequence,
            wait_until,
            attempts: 0,
            tried: Vec::new(),
            running_at: None,
            first_byte: false,
        };
        self.requests.insert(id, request);
        self.place(now, id, effects);
    }

    /// Starts, queues or refuses a request that holds nothing.
    pub(super) fn place(&mut self, now: Micros, id: RequestId, effects: &mut Vec<Effect>) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let refusal = match self.choose_in_turn(now, request) {
            Choice::Member {
                replica,
                rule,
                candidates,
            } => {
                return self.start(id, &replica, (rule, candidates), effects);
            }
            Choice::Wait => match self.enqueue(id, effects) {
                Ok(()) => return,
                Err(refusal) => refusal,
            },
            Choice::ModelUnknown => Refusal::ModelUnknown,
            Choice::EndpointUnsupported => Refusal::EndpointUnsupported,
            Choice::PolicyDenied => Refusal::PolicyDenied,
            Choice::NoReplica if request.attempts > 0 => Refusal::AttemptsExhausted,
            Choice::NoReplica => Refusal::NoReplica,
        };
        self.requests.remove(&id);
        effects.push(refuse(id, refusal));
    }

    /// As [`Core::choose`], but nobody overtakes those who wait for the same pool in the same or a more urgent class.
    fn choose_in_turn(&self, now: Micros, request: &Request) -> Choice {
        let choice = self.choose(now, request);
        let first_waiting = self
            .pools
            .get(&request.submit.model)
            .and_then(|pool| pool.queue.in_order().next())
            .and_then(|id| self.requests.get(&id));
        let overtakes = first_waiting.is_some_and(|first| {
            (first.submit.priority, first.sequence) < (request.submit.priority, request.sequence)
        });
        match choice {
            Choice::Member { .. } if overtakes => Choice::Wait,
            other => other,
        }
    }

    fn enqueue(&mut self, id: RequestId, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let Some(request) = self.requests.get(&id) else {
            return Ok(());
        };
        let Some(pool) = self.pools.get_mut(&request.submit.model) else {
            return Err(Refusal::ModelUnknown);
        };
        if pool.queue.len() >= self.limits.queue_length_max {
            return Err(Refusal::QueueFull);
        }
        let place = pool
            .queue
            .insert(request.submit.priority, request.sequence, id);
        effects.push(Effect::Queued {
            request: id,
            place,
            wait_ms: None,
        });
        Ok(())
    }
}

/// The effect that refuses, with the time after which trying again makes sense.
pub(super) fn refuse(request: RequestId, refusal: Refusal) -> Effect {
    let retry_after_ms = match refusal {
        Refusal::NoReplica | Refusal::AttemptsExhausted | Refusal::Draining => {
            Some(RETRY_NO_REPLICA_MS)
        }
        Refusal::QueueFull | Refusal::QueueTimeout | Refusal::Overloaded | Refusal::Shed => {
            Some(RETRY_QUEUE_FULL_MS)
        }
        Refusal::ModelUnknown | Refusal::EndpointUnsupported | Refusal::PolicyDenied => None,
    };
    Effect::Refuse {
        request,
        refusal,
        retry_after_ms,
    }
}
