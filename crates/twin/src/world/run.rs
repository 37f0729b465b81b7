//! The run: events in order, inputs to the core, effects carried out.

mod engines;
mod failures;

pub use engines::EngineView;
pub use failures::Failure;

use super::clients::{Ask, Clients, Ended, Outcome};
use super::event::{Agenda, Event};
use super::fleet::Fleet;
use super::flight::{Flight, Flights};
use crate::engine::{Cached, Engine, EngineEvent, EngineRequest};
use hashbrown::HashMap;
use madang_core::{Core, Effect, Input, PoolStatus, Prefix, Refusal, RequestSubmit};
use madang_types::{DataFlags, Endpoint, Micros, ModelId, NameError, ReplicaId, RequestId};
use std::hash::{BuildHasherDefault, DefaultHasher};

/// The gateway's ticker, in nanoseconds.
const TICK_NS: u64 = 50_000_000;
/// Attempts of one request that tags tell apart.
const TAG_BITS: u32 = 8;
/// How often streams report how far they are.
const PROGRESS_NS: u64 = 2_000_000_000;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Engines and rules.
    pub fleet: Fleet,
    /// From the gateway's start of an attempt until the engine has it, and its first token back: in nanoseconds.
    pub round_trip_ns: u64,
    /// Clients ask until then, in nanoseconds; what runs is waited for.
    pub until_ns: u64,
    /// Tokens are counted from the first instant to the second.
    pub window_ns: (u64, u64),
}

/// Tokens of an experiment's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Of prompts whose first token came in it.
    pub prompt_tokens: u64,
    /// Made in it.
    pub output_tokens: u64,
    /// Attempts started, in the whole run.
    pub attempts: u64,
}

/// Engines, clients and the core, on one clock.
pub struct World<C> {
    core: Core,
    engines: Vec<Engine>,
    /// When each serves, in nanoseconds.
    serves_at_ns: Vec<u64>,
    failures: Vec<Failure>,
    by_replica: HashMap<ReplicaId, u32, BuildHasherDefault<DefaultHasher>>,
    agenda: Agenda,
    flights: Flights,
    clients: C,
    now_ns: u64,
    until_ns: u64,
    round_trip_ns: u64,
    model: ModelId,
    effects: Vec<Effect>,
    events: Vec<EngineEvent>,
    window_ns: (u64, u64),
    totals: Totals,
}

impl<C: Clients> World<C> {
    /// A world at time zero.
    ///
    /// # Errors
    /// None: all names are names.
    pub fn new(options: WorldOptions, clients: C) -> Result<Self, NameError> {
        let WorldOptions {
            fleet,
            round_trip_ns,
            until_ns,
            window_ns,
        } = options;
        let view = fleet.view()?;
        let replicas = view.members.iter().map(|member| member.replica.clone());
        let mut world = Self {
            core: Core::new(),
            by_replica: replicas.zip(0..).collect(),
            serves_at_ns: vec![0; fleet.engines.len()],
            failures: Vec::new(),
            engines: fleet
                .engines
                .into_iter()
                .map(|engine| Engine::new(engine.profile))
                .collect(),
            agenda: Agenda::default(),
            flights: Flights::default(),
            clients,
            now_ns: 0,
            until_ns,
            round_trip_ns,
            model: fleet.model,
            effects: Vec::new(),
            events: Vec::new(),
            window_ns,
            totals: Totals::default(),
        };
        world.apply(Input::FleetApply(view));
        world.apply(Input::SharesApply(fleet.shares));
        world.apply(Input::CreditsRestore(fleet.credits));
        world.next_arrival();
        world.agenda.add(window_ns.0, Event::Mark(false));
        world.agenda.add(window_ns.1, Event::Mark(true));
        world.agenda.add(TICK_NS, Event::Tick);
        world.agenda.add(PROGRESS_NS, Event::Progress);
        Ok(world)
    }

    /// Runs until nobody asks any more and nothing runs. Returns the clients.
    pub fn run(mut self) -> (C, Totals) {
        while self.step() {}
        (self.clients, self.totals)
    }

    /// Runs until that instant, or until it is over; says whether more is to come.
    pub fn run_until(&mut self, at_ns: u64) -> bool {
        while self.agenda.next_at_ns().is_some_and(|next| next < at_ns) {
            if !self.step() {
                return false;
            }
        }
        self.now_ns = self.now_ns.max(at_ns);
        self.agenda.next_at_ns().is_some()
    }

    /// The clients, once all is over.
    pub fn into_clients(self) -> C {
        self.clients
    }

    /// The clients, while it goes on.
    pub fn clients_mut(&mut self) -> &mut C {
        &mut self.clients
    }

    /// The next event; whether more is to come.
    fn step(&mut self) -> bool {
        let Some((at_ns, event)) = self.agenda.next() else {
            return false;
        };
        self.now_ns = at_ns;
        self.happen(event);
        let idle = self.flights.len() == 0 && at_ns > self.until_ns;
        !idle && !self.clients.done()
    }

    /// The core's view of the moment.
    pub fn status(&self) -> Vec<PoolStatus> {
        self.core.status(self.now())
    }

    fn now(&self) -> Micros {
        Micros(i64::try_from(self.now_ns / 1000).unwrap_or(i64::MAX))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(ask) => {
                self.submit(*ask);
                self.next_arrival();
            }
            Event::Again(ask) => self.submit(*ask),
            Event::Reach { request, attempt } => self.reach(request, attempt),
            Event::Engine(engine) => self.engine_advance(engine),
            Event::Impatient(request) => self.leave(request),
            Event::Failure(at) => self.fail(at),
            Event::Probed(engine) => self.probed(engine),
            Event::Mark(end) => {
                let decoded: u64 = self.engines.iter().map(Engine::decoded_tokens).sum();
                let output = &mut self.totals.output_tokens;
                *output = if end { decoded - *output } else { decoded };
            }
            Event::Tick => {
                self.apply(Input::Tick);
                self.agenda.add(self.now_ns + TICK_NS, Event::Tick);
            }
            Event::Progress => {
                self.progress();
                self.agenda.add(self.now_ns + PROGRESS_NS, Event::Progress);
            }
        }
    }

    fn next_arrival(&mut self) {
        if let Some(ask) = self.clients.next()
            && ask.at_ns <= self.until_ns
        {
            self.agenda.add(ask.at_ns, Event::Arrival(Box::new(ask)));
        }
    }

    fn submit(&mut self, mut ask: Ask) {
        if !self.clients.admit(&mut ask) {
            return;
        }
        let number = self.flights.insert(Flight {
            ask,
            attempts: Vec::new(),
            started: 0,
            started_ns: None,
            engine: None,
            first_token_ns: None,
            cached: Cached::default(),
            transfer_ns: None,
        });
        let Some(Flight { ask, .. }) = self.flights.get_mut(number) else {
            return;
        };
        if ask.patience_ns > 0 {
            self.agenda
                .add(self.now_ns + ask.patience_ns, Event::Impatient(number));
        }
        let submit = RequestSubmit {
            request: RequestId(u128::from(number)),
            payer: ask.payer.clone(),
            model: self.model.clone(),
            endpoint: Endpoint::Chat,
            data_class: ask.data_class,
            flags: DataFlags::NONE,
            maskable: true,
            priority: ask.priority,
            streamed: true,
            prompt_tokens: ask.prompt_tokens,
            output_tokens_max: ask.output_tokens_max,
            wait_ms_max: ask.wait_ms_max,
            prefix: Prefix {
                blocks: ask.blocks.to_vec(),
                block_tokens: ask.block_tokens,
            },
            session: None,
        };
        self.apply(Input::RequestSubmit(submit));
    }

    /// Gives the core one input and carries out its effects.
    fn apply(&mut self, input: Input) {
        let mut effects = std::mem::take(&mut self.effects);
        let now = self.now();
        self.core.apply(now, input, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Start {
                request,
                attempt,
                replica,
                ..
            } => {
                let number = number_of(request);
                let engine = self.by_replica.get(&replica).copied().unwrap_or(0);
                let Some(flight) = self.flights.get_mut(number) else {
                    return;
                };
                self.totals.attempts += 1;
                flight.started = attempt;
                flight.started_ns.get_or_insert(self.now_ns);
                flight.engine = Some(engine);
                flight.attempts.push((attempt, engine, false));
                if self.round_trip_ns == 0 {
                    self.reach(number, attempt);
                } else {
                    let event = Event::Reach {
                        request: number,
                        attempt,
                    };
                    self.agenda.add(self.now_ns + self.round_trip_ns, event);
                }
            }
            Effect::CallOff { request, attempt } => self.call_off(number_of(request), attempt),
            Effect::Refuse {
                request,
                refusal,
                retry_after_ms,
                ..
            } => self.refused(number_of(request), refusal, retry_after_ms),
            // No experiment stops a place.
            Effect::Cut { .. } | Effect::Queued { .. } | Effect::Drained { .. } => {}
        }
    }

    fn reach(&mut self, number: u64, attempt: u32) {
        let Some(flight) = self.flights.get_mut(number) else {
            return;
        };
        let Some(place) = flight
            .attempts
            .iter_mut()
            .find(|(other, ..)| *other == attempt)
        else {
            return;
        };
        place.2 = true;
        let engine_index = place.1;
        if !self.serves(engine_index) {
            self.broken(number, attempt);
            return;
        }
        let Some(flight) = self.flights.get_mut(number) else {
            return;
        };
        let request = EngineRequest {
            tag: tag_of(number, attempt),
            prompt_tokens: flight.ask.prompt_tokens.max(1),
            output_tokens: flight.ask.output_tokens.max(1),
            blocks: flight.ask.blocks.clone(),
            block_tokens: u64::from(flight.ask.block_tokens),
        };
        let now_ns = self.now_ns;
        self.with_engine(engine_index, |engine| engine.submit(now_ns, request));
    }

    fn call_off(&mut self, number: u64, attempt: u32) {
        let Some(flight) = self.flights.get_mut(number) else {
            return;
        };
        let Some(at) = flight
            .attempts
            .iter()
            .position(|(other, ..)| *other == attempt)
        else {
            return;
        };
        let (_, engine, reached) = flight.attempts.remove(at);
        let now_ns = self.now_ns;
        if reached {
            self.with_engine(engine, |engine| {
                engine.cancel(now_ns, tag_of(number, attempt))
            });
        }
    }

    /// A client's patience is over.
    fn leave(&mut self, number: u64) {
        let Some(flight) = self.flights.get_mut(number) else {
            return;
        };
        if flight.first_token_ns.is_some() {
            return;
        }
        let attempts: Vec<u32> = flight
            .attempts
            .iter()
            .map(|(attempt, ..)| *attempt)
            .collect();
        self.apply(Input::RequestCancel {
            request: RequestId(u128::from(number)),
        });
        for attempt in attempts {
            self.call_off(number, attempt);
        }
        self.close(number, Outcome::Left, None);
    }

    fn refused(&mut self, number: u64, refusal: Refusal, retry_after_ms: Option<u64>) {
        self.close(number, Outcome::Refused(refusal), retry_after_ms);
    }

    fn close(&mut self, number: u64, outcome: Outcome, retry_after_ms: Option<u64>) {
        let Some(flight) = self.flights.remove(number) else {
            return;
        };
        let ended = Ended {
            label: flight.ask.label,
            asked_ns: flight.ask.at_ns,
            at_ns: self.now_ns,
            first_token_ns: flight.first_token_ns,
            outcome,
            prompt_tokens: flight.ask.prompt_tokens,
            cached: flight.cached,
            transfer_ns: flight.transfer_ns,
            output_tokens: flight.ask.output_tokens,
            attempts: flight.started,
            started_ns: flight.started_ns,
            engine: flight.engine,
            retry_after_ms,
        };
        if let Some(again) = self.clients.ended(&ended) {
            let at_ns = again.at_ns.max(self.now_ns);
            self.agenda.add(at_ns, Event::Again(Box::new(again)));
        }
    }
}

fn number_of(request: RequestId) -> u64 {
    u64::try_from(request.0).unwrap_or(u64::MAX)
}

/// What an engine knows an attempt by: one that was called off may still be in its iteration when the next one comes.
fn tag_of(number: u64, attempt: u32) -> u64 {
    (number << TAG_BITS) | (u64::from(attempt) % (1 << TAG_BITS))
}

/// Whose attempt a tag is.
fn number_of_tag(tag: u64) -> u64 {
    tag >> TAG_BITS
}
