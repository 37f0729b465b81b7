//! What is between the world and its engines: they are told, looked at, and heard.

use super::{World, number_of_tag, tag_of};
use crate::engine::{Engine, EngineEvent, EngineStatus, Spent};
use crate::world::clients::{Clients, Outcome};
use crate::world::event::Event;
use crate::world::flight::Flight;
use madang_core::power::governor::PowerTerms;
use madang_core::power::model::Stretch;
use madang_core::{AttemptEnd, Input, Spent as Tokens};
use madang_types::{RequestId, SiteId};

/// An engine at one moment.
#[derive(Clone, Copy, Debug)]
pub struct EngineView {
    /// What it has done with its time so far.
    pub spent: Spent,
    /// How loaded it is.
    pub status: EngineStatus,
}

impl<C: Clients> World<C> {
    /// Each engine computes every iteration for itself: slower, and the measure of the faster way.
    #[must_use]
    pub fn stepwise(mut self) -> Self {
        self.engines = self.engines.into_iter().map(Engine::stepwise).collect();
        self
    }

    /// Each engine as it is now.
    pub fn engines(&self) -> impl Iterator<Item = EngineView> + '_ {
        self.engines.iter().map(|engine| EngineView {
            spent: engine.spent(self.now_ns),
            status: engine.status(),
        })
    }

    /// How each engine bends, as the core sees it: what of its sequences takes what others leave, in thousandths, and whether it rests.
    pub fn bends(&self) -> Vec<(u32, bool)> {
        let mut bends = vec![(0, false); self.engines.len()];
        let pools = self.status();
        for member in pools.iter().flat_map(|pool| &pool.members) {
            let at = self.by_replica.get(&member.replica);
            if let Some(bend) = at.and_then(|at| bends.get_mut(usize::try_from(*at).ok()?)) {
                *bend = (member.rest_milli(), member.rests());
            }
        }
        bends
    }

    /// From the next iteration on an engine's work takes so much longer.
    pub fn stretch(&mut self, index: u32, stretch: Stretch) {
        let now_ns = self.now_ns;
        self.with_engine(index, |engine| engine.stretch(now_ns, stretch));
    }

    /// What requests meet at a site where power is short.
    pub fn power_set(&mut self, site: SiteId, terms: PowerTerms) {
        self.apply(Input::PowerSet { site, terms });
    }

    /// Does something to an engine and puts its next end of iterations on the agenda, where that changed.
    pub(super) fn with_engine(&mut self, index: u32, act: impl FnOnce(&mut Engine)) {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(engine) = self.engines.get_mut(at) else {
            return;
        };
        let before = engine.next_at_ns();
        act(engine);
        let after = engine.next_at_ns();
        if let Some(at_ns) = after
            && before != after
        {
            self.agenda.add(at_ns, Event::Engine(index));
        }
    }

    pub(super) fn engine_advance(&mut self, index: u32) {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(engine) = self.engines.get(at) else {
            return;
        };
        // An engine whose run was cut has another event on the agenda.
        if engine.next_at_ns() != Some(self.now_ns) {
            return;
        }
        let now_ns = self.now_ns;
        let mut events = std::mem::take(&mut self.events);
        // The gateway hears of an iteration's end while the next one begins.
        self.with_engine(index, |engine| engine.advance(now_ns, &mut events));
        for event in events.drain(..) {
            self.engine_said(index, event);
        }
        self.events = events;
    }

    fn engine_said(&mut self, engine: u32, event: EngineEvent) {
        match event {
            EngineEvent::FirstToken {
                tag,
                cached,
                transfer_ns,
            } => {
                let (now_ns, number) = (self.now_ns, number_of_tag(tag));
                let Some(flight) = self.flights.get_mut(number) else {
                    return;
                };
                let Some(attempt) = attempt_at(flight, engine) else {
                    return;
                };
                flight.first_token_ns = Some(now_ns);
                flight.engine = Some(engine);
                flight.cached = cached;
                flight.transfer_ns = transfer_ns;
                let (label, asked_ns) = (flight.ask.label, flight.ask.at_ns);
                if (self.window_ns.0..self.window_ns.1).contains(&now_ns) {
                    self.totals.prompt_tokens += flight.ask.prompt_tokens + 1;
                }
                self.clients.first_token(label, now_ns, asked_ns);
                self.apply(Input::FirstByte {
                    request: RequestId(u128::from(number)),
                    attempt,
                });
            }
            EngineEvent::Finished { tag } => {
                let number = number_of_tag(tag);
                let Some(flight) = self.flights.get_mut(number) else {
                    return;
                };
                let Some(attempt) = attempt_at(flight, engine) else {
                    return;
                };
                let spent = Tokens {
                    prompt_tokens: flight.ask.prompt_tokens,
                    cached_tokens: Some(flight.cached.tokens()),
                    output_tokens: flight.ask.output_tokens,
                };
                self.apply(Input::AttemptEnd {
                    request: RequestId(u128::from(number)),
                    attempt,
                    end: AttemptEnd::Done,
                    spent: Some(spent),
                });
                self.close(number, Outcome::Finished, None);
            }
        }
    }

    /// Streams tell how far they are.
    pub(super) fn progress(&mut self) {
        for number in self.flights.streaming() {
            let now_ns = self.now_ns;
            let Some(flight) = self.flights.get_mut(number) else {
                continue;
            };
            let Some((attempt, engine, _)) = flight.attempts.first() else {
                continue;
            };
            let tag = tag_of(number, *attempt);
            let at = usize::try_from(*engine).unwrap_or(usize::MAX);
            let made = self
                .engines
                .get(at)
                .and_then(|engine| engine.made(now_ns, tag));
            if let Some(output_tokens) = made {
                self.apply(Input::Progress {
                    request: RequestId(u128::from(number)),
                    output_tokens,
                });
            }
        }
    }
}

fn attempt_at(flight: &Flight, engine: u32) -> Option<u32> {
    flight
        .attempts
        .iter()
        .find(|(_, at, _)| *at == engine)
        .map(|(attempt, ..)| *attempt)
}
