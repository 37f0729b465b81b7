//! An attempt is over, or the client left: slots are free again, failed attempts are tried elsewhere.

use crate::effect::Effect;
use crate::input::AttemptEnd;
use crate::state::Core;
use madang_types::{Micros, ReplicaId, RequestId};

/// Failed attempts in a row after which a member is left out for a while, whatever its probes say.
const EJECT_AFTER_FAILURES: u32 = 3;
/// For how long.
const EJECT_MS: u64 = 5_000;

impl Core {
    pub(super) fn on_first_byte(&mut self, request: RequestId) {
        if let Some(request) = self.requests.get_mut(&request) {
            request.first_byte = true;
        }
    }

    pub(super) fn on_request_cancel(
        &mut self,
        now: Micros,
        id: RequestId,
        effects: &mut Vec<Effect>,
    ) {
        self.release(id);
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        let model = request.submit.model;
        if let Some(pool) = self.pools.get_mut(&model) {
            pool.queue.remove(request.submit.priority, request.sequence);
        }
        self.drop_drained(effects);
        self.serve(now, &model, effects);
    }

    pub(super) fn on_attempt_end(
        &mut self,
        now: Micros,
        (id, attempt): (RequestId, u32),
        end: AttemptEnd,
        effects: &mut Vec<Effect>,
    ) {
        let Some(request) = self.requests.get(&id) else {
            return;
        };
        let Some(replica) = request.running_at.clone() else {
            return;
        };
        // A late word about an attempt that is over already.
        if request.attempts != attempt {
            return;
        }
        let model = request.submit.model.clone();
        let again = end == AttemptEnd::FailedRetryable
            && !request.first_byte
            && !self.draining
            && request.attempts < self.limits.attempts_max;
        self.count_failure(now, &replica, end);
        self.release(id);
        if again {
            self.place(now, id, effects);
        } else {
            self.requests.remove(&id);
            if end == AttemptEnd::FailedRetryable {
                effects.push(super::request_submit::refuse(
                    id,
                    crate::Refusal::AttemptsExhausted,
                ));
            }
        }
        self.drop_drained(effects);
        self.serve(now, &model, effects);
    }

    /// Failures in a row make a member rest, unless it is the last that its pool has: a poor answer is better than none,
    /// and one caller's bad requests must not close a model to all.
    fn count_failure(&mut self, now: Micros, replica: &ReplicaId, end: AttemptEnd) {
        let Some(model) = self
            .members
            .get(replica)
            .map(|member| member.view.model.clone())
        else {
            return;
        };
        let others = self
            .members
            .iter()
            .any(|(id, m)| id != replica && m.view.model == model && m.available(now));
        let Some(member) = self.members.get_mut(replica) else {
            return;
        };
        match end {
            AttemptEnd::Done => {
                member.failures = 0;
                return;
            }
            AttemptEnd::Abandoned => return,
            AttemptEnd::FailedRetryable | AttemptEnd::FailedFinal => {}
        }
        member.failures = member.failures.saturating_add(1);
        if member.failures >= EJECT_AFTER_FAILURES && others {
            member.ejected_until = Some(now.plus_ms(EJECT_MS));
            member.failures = 0;
        }
    }
}
