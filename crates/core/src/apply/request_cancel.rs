//! The client left: whatever its request holds is free again.

use crate::effect::Effect;
use crate::state::Core;
use madang_types::{Micros, RequestId};

impl Core {
    pub(super) fn on_request_cancel(
        &mut self,
        now: Micros,
        id: RequestId,
        effects: &mut Vec<Effect>,
    ) {
        let Some(index) = self.requests.index(id) else {
            return;
        };
        self.unqueue(index);
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let (pool, made) = (request.pool, request.output_tokens);
        let attempts: Vec<u32> = request.runs.iter().map(|run| run.attempt).collect();
        // Only what was made is charged: of a prompt that has no answer yet no more than there was time for.
        let began_at = request.runs.last().map(|run| run.started_at);
        match began_at.filter(|_| !request.prompt_done && made == 0) {
            Some(at) => {
                self.true_up_part(now, index, now.since_us(at));
                self.believe_part(now, index);
            }
            None => self.true_up(now, index, made),
        }
        for attempt in attempts {
            self.release(now, index, attempt);
        }
        self.requests.remove(index);
        self.drop_drained(effects);
        self.serve(now, pool, effects);
    }
}
