//! Time went by: who waited too long is refused, members come back from ejection. A tick without effects changes nothing.

use super::request_submit::refuse;
use crate::effect::{Effect, Refusal};
use crate::state::Core;
use madang_types::{Micros, ModelId, RequestId};

impl Core {
    pub(super) fn on_tick(&mut self, now: Micros, effects: &mut Vec<Effect>) {
        let models: Vec<ModelId> = self.pools.keys().cloned().collect();
        for model in models {
            self.refuse_overdue(now, &model, effects);
            self.serve(now, &model, effects);
        }
    }

    fn refuse_overdue(&mut self, now: Micros, model: &ModelId, effects: &mut Vec<Effect>) {
        let Some(pool) = self.pools.get_mut(model) else {
            return;
        };
        let overdue: Vec<RequestId> = pool
            .queue
            .in_order()
            .filter(|id| self.requests.get(id).is_some_and(|r| r.wait_until <= now))
            .collect();
        for id in overdue {
            if let Some(request) = self.requests.remove(&id) {
                pool.queue.remove(request.submit.priority, request.sequence);
                effects.push(refuse(id, Refusal::QueueTimeout));
            }
        }
    }

    /// Madang stops: whoever waits is refused, whoever runs may finish.
    pub(super) fn on_drain(&mut self, effects: &mut Vec<Effect>) {
        self.draining = true;
        let models: Vec<ModelId> = self.pools.keys().cloned().collect();
        for model in models {
            self.refuse_waiting(&model, Refusal::Draining, effects);
        }
    }
}
