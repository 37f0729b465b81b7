//! A stop switch: nothing new goes to a place from then on, and what runs there is cut.

use crate::effect::{Effect, Refusal};
use crate::policy::Denial;
use crate::request::{Request, RequestIndex, Run};
use crate::state::Core;
use madang_types::{Micros, StopScope};

impl Core {
    pub(super) fn on_stop_set(
        &mut self,
        now: Micros,
        (scope, on): (StopScope, bool),
        effects: &mut Vec<Effect>,
    ) {
        let changed = if on {
            self.stops.insert(scope.clone())
        } else {
            self.stops.remove(&scope)
        };
        if !changed {
            return;
        }
        self.policy.stops_set(&self.stops);
        if on {
            let stopped: Vec<(RequestIndex, u32)> = self.running_at(&scope).collect();
            for (index, attempt) in stopped {
                self.cut(now, (index, attempt), effects);
            }
            self.drop_drained(effects);
        }
        self.serve_all(now, effects);
    }

    /// Attempts that run at the places that a switch stops.
    fn running_at<'a>(
        &'a self,
        scope: &'a StopScope,
    ) -> impl Iterator<Item = (RequestIndex, u32)> + 'a {
        let stopped = |run: &Run| {
            let member = self.member(run.member);
            member.is_some_and(|member| scope.stops(&member.view.site, &member.view.place))
        };
        let attempts = move |(index, request): (RequestIndex, &'a Request)| {
            let runs = request.runs.iter().filter(move |run| stopped(run));
            runs.map(move |run| (index, run.attempt))
        };
        self.requests.iter().flat_map(attempts)
    }

    /// Ends an attempt. Before its first byte the request goes elsewhere, or is refused; after it, the answer ends.
    fn cut(
        &mut self,
        now: Micros,
        (index, attempt): (RequestIndex, u32),
        effects: &mut Vec<Effect>,
    ) {
        let Some(request) = self.requests.get(index) else {
            return;
        };
        let id = request.submit.request;
        let (begun, made) = (request.first_byte_at.is_some(), request.output_tokens);
        if begun {
            self.true_up(now, index, made);
        }
        let denial = self.denial_of(index, attempt);
        if self.release(now, index, attempt).is_none() {
            return;
        }
        let alone = self.requests.get(index).is_some_and(|r| r.runs.is_empty());
        match denial {
            Some(denial) if begun => {
                self.requests.remove(index);
                effects.push(Effect::Cut {
                    request: id,
                    attempt,
                    denial,
                });
            }
            _ => {
                effects.push(Effect::CallOff {
                    request: id,
                    attempt,
                });
                if alone {
                    self.go_elsewhere(now, index, effects);
                }
            }
        }
    }

    fn denial_of(&self, index: RequestIndex, attempt: u32) -> Option<Denial> {
        let request = self.requests.get(index)?;
        let run = request.runs.iter().find(|run| run.attempt == attempt)?;
        let content = request.submit.content();
        let place = self.member(run.member)?.place;
        self.policy.denial(request.subject, content, place)
    }

    fn go_elsewhere(&mut self, now: Micros, index: RequestIndex, effects: &mut Vec<Effect>) {
        let tries = self.requests.get(index).map_or(0, Request::tries);
        if self.draining {
            self.refuse(now, index, Refusal::Draining, effects);
        } else if tries >= self.limits.attempts_max {
            self.refuse(now, index, Refusal::PolicyDenied, effects);
        } else {
            self.place(now, index, effects);
        }
    }
}
