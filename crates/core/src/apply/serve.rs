//! Starting requests: the one place where a slot is taken, and the walk over a queue when one is free.

use super::request_submit::refuse;
use crate::effect::{Decision, Effect, Refusal, RouteReason};
use crate::policy::PolicyRule;
use crate::route::Choice;
use crate::state::Core;
use madang_types::{Micros, ModelId, ReplicaId, RequestId};

impl Core {
    /// Takes a slot for the request and says so.
    pub(super) fn start(
        &mut self,
        id: RequestId,
        replica: &ReplicaId,
        (rule, candidates): (PolicyRule, u32),
        effects: &mut Vec<Effect>,
    ) {
        self.sequence += 1;
        let sequence = self.sequence;
        let (Some(request), Some(member)) =
            (self.requests.get_mut(&id), self.members.get_mut(replica))
        else {
            return;
        };
        request.attempts += 1;
        request.tried.push(replica.clone());
        request.running_at = Some(replica.clone());
        member.running.insert(id);
        member.work_tokens = member.work_tokens.saturating_add(request.work_tokens());
        member.started_at_sequence = sequence;
        effects.push(Effect::Start {
            request: id,
            attempt: request.attempts,
            replica: replica.clone(),
            site: member.view.site.clone(),
            decision: Decision {
                rule,
                reason: RouteReason::Baseline,
                candidates,
                ttft_us: 0,
                cached_tokens: 0,
            },
        });
    }

    /// Gives back what the request holds at its member.
    pub(super) fn release(&mut self, id: RequestId) {
        let Some(request) = self.requests.get_mut(&id) else {
            return;
        };
        let work_tokens = request.work_tokens();
        let Some(replica) = request.running_at.take() else {
            return;
        };
        if let Some(member) = self.members.get_mut(&replica) {
            member.running.remove(&id);
            member.work_tokens = member.work_tokens.saturating_sub(work_tokens);
        }
    }

    /// Starts whoever can start, pool by pool.
    pub(super) fn serve_all(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let models: Vec<ModelId> = self
            .pools
            .iter()
            .filter(|(_, pool)| !pool.queue.is_empty())
            .map(|(model, _)| model.clone())
            .collect();
        for model in models {
            self.serve(now, &model, effects);
        }
    }

    /// Walks a pool's queue in order: starts, leaves waiting, or refuses whom nothing can serve any more.
    ///
    /// Ends at the first that must wait while every slot is taken: those behind it need a slot too.
    pub(super) fn serve(&mut self, now: Micros, model: &ModelId, effects: &mut Vec<Effect>) {
        let Some(pool) = self.pools.get(model) else {
            return;
        };
        let waiting: Vec<RequestId> = pool.queue.in_order().collect();
        for id in waiting {
            let Some(request) = self.requests.get(&id) else {
                continue;
            };
            let (priority, sequence) = (request.submit.priority, request.sequence);
            let choice = self.choose(now, request);
            if choice == Choice::Wait {
                if self.has_free_slot(now, model) {
                    continue;
                }
                break;
            }
            let attempted = request.attempts > 0;
            if let Some(pool) = self.pools.get_mut(model) {
                pool.queue.remove(priority, sequence);
            }
            match choice {
                Choice::Member {
                    replica,
                    rule,
                    candidates,
                } => {
                    self.start(id, &replica, (rule, candidates), effects);
                }
                Choice::ModelUnknown | Choice::EndpointUnsupported => {
                    self.refuse_one(id, Refusal::ModelUnknown, effects);
                }
                Choice::PolicyDenied => self.refuse_one(id, Refusal::PolicyDenied, effects),
                Choice::NoReplica if attempted => {
                    self.refuse_one(id, Refusal::AttemptsExhausted, effects);
                }
                Choice::NoReplica | Choice::Wait => {
                    self.refuse_one(id, Refusal::NoReplica, effects)
                }
            }
        }
    }

    fn has_free_slot(&self, now: Micros, model: &ModelId) -> bool {
        self.members
            .values()
            .any(|m| m.view.model == *model && m.available(now) && m.has_free_slot())
    }

    fn refuse_one(&mut self, id: RequestId, refusal: Refusal, effects: &mut Vec<Effect>) {
        self.requests.remove(&id);
        effects.push(refuse(id, refusal));
    }

    /// Refuses everybody who waits for a model.
    pub(super) fn refuse_waiting(
        &mut self,
        model: &ModelId,
        refusal: Refusal,
        effects: &mut Vec<Effect>,
    ) {
        let Some(pool) = self.pools.get_mut(model) else {
            return;
        };
        let waiting: Vec<RequestId> = pool.queue.in_order().collect();
        for id in waiting {
            if let Some(request) = self.requests.remove(&id) {
                pool.queue.remove(request.submit.priority, request.sequence);
                effects.push(refuse(id, refusal));
            }
        }
    }
}
