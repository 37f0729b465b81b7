//! The site: engines behind the core, jobs beside them, a meter, and the governor once a second.

use super::{AFTER_S, BEFORE_S, PowerError, PowerOptions, PowerReport, WARM_S};
use crate::engine::{Engine, EngineEvent, EngineRequest, PowerProfile, Spent, rated};
use crate::experiment::percentile;
use crate::random::Random;
use crate::world::Fleet;
use madang_core::power::caps::{cap_at, watts_of};
use madang_core::power::governor::{
    Bend, Governor, Load, LoadId, Pause, PauseHow, PowerDeed, Scene,
};
use madang_core::power::model::{WHOLE_MILLI, at_meter, millijoules};
use madang_core::{
    AttemptEnd, Core, Effect, Input, Payer, Prefix, RequestSubmit, Rules, Spent as Tokens,
};
use madang_types::{
    DataClass, DataFlags, Endpoint, KeyId, Micros, ModelId, PowerEvent, PowerEventKind, Priority,
    ReplicaId, RequestId, RunId, SiteId, TenantId,
};
use std::collections::BTreeMap;
use std::sync::Arc;

const S_NS: u64 = 1_000_000_000;
/// Accelerators of a job.
const JOB_ACCELERATORS: u64 = 8;
/// From the order until a job stands still, or goes on, in seconds.
const FREEZES_S: u64 = 1;
/// How long a flexible job may stand still in all, in microseconds: longer than any event here.
const STANDS_US: u64 = 48 * 3_600 * 1_000_000;
/// By how much of what lies between idle and full the site may rise in a second, in thousandths.
const RISE_MILLI: u64 = 20;

struct Job {
    run: RunId,
    flexible: bool,
    profile: PowerProfile,
    /// It stands still, and since when it was told otherwise than before.
    told: (bool, u64),
    stood_s: u64,
}

impl Job {
    fn stands(&self, second: u64) -> bool {
        let (still, since) = self.told;
        // Until it has taken hold, what was told before holds.
        if second >= since + FREEZES_S {
            still
        } else {
            !still
        }
    }

    fn watts(&self, second: u64) -> u64 {
        if self.stands(second) {
            self.profile.idle_watts
        } else {
            self.profile.full_watts
        }
    }
}

/// The site, on one clock.
pub(super) struct Site<'o> {
    options: &'o PowerOptions,
    core: Core,
    model: ModelId,
    payer: Payer,
    engines: Vec<Engine>,
    by_replica: BTreeMap<ReplicaId, usize>,
    spent: Vec<Spent>,
    limits: Vec<u64>,
    power: PowerProfile,
    jobs: Vec<Job>,
    governor: Governor,
    events: Vec<PowerEvent>,
    site: SiteId,
    key: KeyId,
    random: Random,
    now_ns: u64,
    next_ns: u64,
    number: u64,
    /// Requests under way: when each came, its tokens, its engine and attempt.
    flights: BTreeMap<u64, Flight>,
    effects: Vec<Effect>,
    /// What was read at the meter a second ago.
    read_watts: u64,
    report: PowerReport,
    before_us: Vec<u64>,
    event_us: Vec<u64>,
    joules_mj: u128,
}

struct Flight {
    asked_ns: u64,
    prompt_tokens: u64,
    output_tokens: u64,
    attempt: u32,
}

impl<'o> Site<'o> {
    pub fn new(options: &'o PowerOptions) -> Result<Self, PowerError> {
        let fleet = Fleet::new(&options.profile, options.engines, Rules::default())?;
        let mut core = Core::new();
        core.apply(Micros(0), Input::FleetApply(fleet.view()?), &mut Vec::new());
        let mut by_replica = BTreeMap::new();
        for index in 0..options.engines {
            by_replica.insert(ReplicaId::new(&format!("engine-{index}"))?, index);
        }
        let power = rated(&options.profile);
        let one = PowerProfile::of_accelerator("h100").unwrap_or(power);
        let flexible = u64::from(options.jobs) * u64::from(options.flexible_milli) / 1_000;
        let mut jobs = Vec::new();
        for number in 1..=u64::from(options.jobs) {
            jobs.push(Job {
                run: format!("{number}-1").parse()?,
                flexible: number <= flexible,
                profile: one.times(JOB_ACCELERATORS),
                told: (false, 0),
                stood_s: 0,
            });
        }
        Ok(Self {
            core,
            model: fleet.model,
            payer: Payer {
                tenant: TenantId::new("people")?,
                project: None,
                key: KeyId::new("people")?,
            },
            engines: vec_of(options),
            by_replica,
            spent: vec![Spent::default(); options.engines],
            limits: vec![power.full_watts; options.engines],
            power,
            jobs,
            governor: Governor::new(options.terms),
            events: Vec::new(),
            site: SiteId::new("site")?,
            key: KeyId::new("grid")?,
            random: Random::new(options.seed, 71),
            now_ns: 0,
            next_ns: 0,
            number: 0,
            flights: BTreeMap::new(),
            effects: Vec::new(),
            read_watts: 0,
            report: PowerReport::default(),
            before_us: Vec::new(),
            event_us: Vec::new(),
            joules_mj: 0,
            options,
        })
    }

    pub fn run(mut self) -> PowerReport {
        let end_s = BEFORE_S + self.options.event_s + AFTER_S;
        for second in 1..=end_s {
            self.until(second * S_NS);
            self.second(second);
        }
        self.finish()
    }

    /// Requests and iterations of engines, in the order of time.
    fn until(&mut self, until_ns: u64) {
        loop {
            let engine = (0..).zip(&self.engines);
            let engine = engine.filter_map(|(index, engine)| Some((engine.next_at_ns()?, index)));
            let (at_ns, which) = match engine.min() {
                Some((at_ns, index)) if at_ns <= self.next_ns => (at_ns, Some(index)),
                _ => (self.next_ns, None),
            };
            if at_ns > until_ns {
                self.now_ns = until_ns;
                return;
            }
            self.now_ns = at_ns;
            match which {
                Some(index) => self.advance(index),
                None => self.arrive(),
            }
        }
    }

    fn now(&self) -> Micros {
        Micros(i64::try_from(self.now_ns / 1_000).unwrap_or(i64::MAX))
    }

    fn arrive(&mut self) {
        let per_s = self.options.requests_per_s * count(self.options.engines);
        self.next_ns = self.now_ns + self.random.gap_ns(per_s);
        self.number += 1;
        let (prompt_tokens, output_tokens) =
            (200 + self.random.below(1_800), 20 + self.random.below(380));
        self.flights.insert(
            self.number,
            Flight {
                asked_ns: self.now_ns,
                prompt_tokens,
                output_tokens,
                attempt: 0,
            },
        );
        self.apply(Input::RequestSubmit(RequestSubmit {
            request: RequestId(u128::from(self.number)),
            payer: self.payer.clone(),
            model: self.model.clone(),
            endpoint: Endpoint::Chat,
            data_class: DataClass::Open,
            flags: DataFlags::NONE,
            maskable: true,
            priority: Priority::Standard,
            streamed: true,
            prompt_tokens,
            output_tokens_max: output_tokens,
            wait_ms_max: 60_000,
            prefix: Prefix::default(),
            session: None,
        }));
    }

    fn apply(&mut self, input: Input) {
        let mut effects = std::mem::take(&mut self.effects);
        self.core.apply(self.now(), input, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(&effect);
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::Start {
                request,
                attempt,
                replica,
                ..
            } => {
                let number = number_of(*request);
                let index = self.by_replica.get(replica).copied();
                if let (Some(flight), Some(index)) = (self.flights.get_mut(&number), index) {
                    flight.attempt = *attempt;
                    let request = EngineRequest {
                        tag: number,
                        prompt_tokens: flight.prompt_tokens,
                        output_tokens: flight.output_tokens,
                        blocks: Arc::new([]),
                        block_tokens: 16,
                    };
                    self.engines[index].submit(self.now_ns, request);
                }
            }
            Effect::Refuse { request, .. } => {
                self.flights.remove(&number_of(*request));
                self.report.refused += u64::from(self.in_event());
            }
            Effect::CallOff { .. }
            | Effect::Cut { .. }
            | Effect::Queued { .. }
            | Effect::Drained { .. } => {}
        }
    }

    fn advance(&mut self, index: usize) {
        let mut events = Vec::new();
        self.engines[index].advance(self.now_ns, &mut events);
        for event in events {
            match event {
                EngineEvent::FirstToken { tag, .. } => self.first_token(tag),
                EngineEvent::Finished { tag } => self.finished(tag),
            }
        }
    }

    fn first_token(&mut self, tag: u64) {
        let Some(flight) = self.flights.get(&tag) else {
            return;
        };
        let (ttft_us, attempt) = ((self.now_ns - flight.asked_ns) / 1_000, flight.attempt);
        let asked_s = flight.asked_ns / S_NS;
        if (WARM_S..BEFORE_S).contains(&asked_s) {
            self.before_us.push(ttft_us);
        } else if (BEFORE_S..BEFORE_S + self.options.event_s).contains(&asked_s) {
            self.event_us.push(ttft_us);
        }
        self.apply(Input::FirstByte {
            request: RequestId(u128::from(tag)),
            attempt,
        });
    }

    fn finished(&mut self, tag: u64) {
        let Some(flight) = self.flights.remove(&tag) else {
            return;
        };
        self.report.answered += u64::from(self.in_event());
        self.apply(Input::AttemptEnd {
            request: RequestId(u128::from(tag)),
            attempt: flight.attempt,
            end: AttemptEnd::Done,
            spent: Some(Tokens {
                prompt_tokens: flight.prompt_tokens,
                cached_tokens: Some(0),
                output_tokens: flight.output_tokens,
            }),
        });
    }

    fn in_event(&self) -> bool {
        let second = self.now_ns / S_NS;
        (BEFORE_S..BEFORE_S + self.options.event_s).contains(&second)
    }

    /// A second is over: what was drawn in it is read, and the governor looks at what was read a second ago.
    fn second(&mut self, second: u64) {
        self.apply(Input::Tick);
        let mut loads = Vec::with_capacity(self.engines.len() + self.jobs.len());
        for index in 0..self.engines.len() {
            let spent = self.engines[index].spent(self.now_ns);
            let mix = spent.mix(&self.spent[index], S_NS);
            self.spent[index] = spent;
            let watts = self
                .power
                .watts(self.power.used_milli(mix))
                .min(self.limits[index]);
            loads.push(self.engine_load(index, watts));
        }
        for job in &mut self.jobs {
            job.stood_s += u64::from(job.stands(second));
            loads.push(job_load(job, second));
        }
        let drawn: u64 = loads.iter().map(|load| load.watts).sum();
        let drawn_watts = at_meter(drawn, self.options.pue_milli);
        self.measure(second, drawn_watts);
        let read_watts = std::mem::replace(&mut self.read_watts, drawn_watts);
        if second == BEFORE_S {
            self.begin(drawn_watts);
        }
        let dynamic: u64 = loads.iter().map(|load| load.profile.dynamic_watts()).sum();
        let scene = Scene {
            cap: cap_at(None, &self.events, Some(read_watts), self.now()),
            drawn_watts: read_watts,
            age_us: 1_000_000,
            rise_watts_per_s: at_meter(dynamic * RISE_MILLI / 1_000, self.options.pue_milli),
            pue_milli: self.options.pue_milli,
            loads,
            elsewhere: false,
        };
        self.govern(second, &scene);
    }

    fn engine_load(&self, index: usize, watts: u64) -> Load {
        let id = self.by_replica.iter().find(|(_, at)| **at == index);
        Load {
            id: id.map_or(LoadId::Rest, |(id, _)| LoadId::Replica(id.clone())),
            watts,
            profile: self.power,
            bend: Bend::Engine {
                slows: true,
                batch_milli: 0,
            },
        }
    }

    fn begin(&mut self, drawn_watts: u64) {
        let ends = BEFORE_S + self.options.event_s;
        let event = PowerEvent {
            id: 1,
            site: self.site.clone(),
            kind: PowerEventKind::Cut {
                milli: self.options.cut_milli,
                baseline_watts: Some(drawn_watts),
            },
            from: self.now(),
            until: Some(Micros(i64::try_from(ends * 1_000_000).unwrap_or(i64::MAX))),
            reason: String::new(),
            set_by: self.key.clone(),
            set_at: self.now(),
        };
        self.report.baseline_watts = drawn_watts;
        self.report.cap_watts = watts_of(&event, Some(drawn_watts)).unwrap_or(drawn_watts);
        self.events.push(event);
    }

    fn measure(&mut self, second: u64, drawn_watts: u64) {
        let begins = BEFORE_S;
        if second <= begins || second > begins + self.options.event_s {
            return;
        }
        self.joules_mj += u128::from(millijoules(drawn_watts, 1_000_000));
        let over = drawn_watts > self.report.cap_watts;
        match self.report.met_after_s {
            None if !over => self.report.met_after_s = Some(second - begins),
            Some(_) if over => self.report.over_cap_s += 1,
            _ => {}
        }
    }

    fn govern(&mut self, second: u64, scene: &Scene) {
        let now = self.now();
        self.governor.look(now, scene);
        let new = self.governor.log().filter(|line| line.at == now);
        for line in new {
            if let PowerDeed::Took { act, .. } = &line.what {
                self.report.acts.push(act.to_string());
            }
        }
        let orders = self.governor.orders();
        for job in &mut self.jobs {
            let still = orders.paused.contains(&job.run);
            if job.told.0 != still {
                job.told = (still, second);
            }
        }
        let limit = match orders.level_milli < WHOLE_MILLI {
            true => self.power.limit_watts(orders.level_milli),
            false => self.power.full_watts,
        };
        for index in 0..self.engines.len() {
            if std::mem::replace(&mut self.limits[index], limit) != limit {
                let stretch = self.power.stretch(limit);
                self.engines[index].stretch(self.now_ns, stretch);
            }
        }
        let (site, terms) = (self.site.clone(), orders.terms);
        self.apply(Input::PowerSet { site, terms });
        let ended = BEFORE_S + self.options.event_s;
        let free = self.governor.acts().next().is_none();
        if second >= ended && free && self.report.back_after_s.is_none() {
            self.report.back_after_s = Some(second - ended);
        }
    }

    fn finish(mut self) -> PowerReport {
        let p99 = |times: &mut Vec<u64>| {
            times.sort_unstable();
            percentile(times, 990).unwrap_or(0)
        };
        let mut report = self.report;
        report.ttft_p99_before_us = p99(&mut self.before_us);
        report.ttft_p99_event_us = p99(&mut self.event_us);
        report.ttft_ratio_milli =
            report.ttft_p99_event_us * 1_000 / report.ttft_p99_before_us.max(1);
        let event_s = self.options.event_s.max(1);
        report.joules = u64::try_from(self.joules_mj / 1_000).unwrap_or(u64::MAX);
        report.event_watts = report.joules / event_s;
        report.saved_joules = (report.baseline_watts * event_s).saturating_sub(report.joules);
        let stood: u64 = self.jobs.iter().map(|job| job.stood_s).sum();
        report.stood_accelerator_s = stood * JOB_ACCELERATORS;
        report
    }
}

fn vec_of(options: &PowerOptions) -> Vec<Engine> {
    let engine = |_| Engine::new(options.profile.clone());
    (0..options.engines).map(engine).collect()
}

fn job_load(job: &Job, second: u64) -> Load {
    let pause = Pause {
        how: PauseHow::Freeze { us_max: STANDS_US },
        left_watts: job.profile.idle_watts,
    };
    Load {
        id: LoadId::Run(job.run),
        watts: job.watts(second),
        profile: job.profile,
        bend: Bend::Run {
            pause: job.flexible.then_some(pause),
        },
    }
}

fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

fn number_of(request: RequestId) -> u64 {
    u64::try_from(request.0).unwrap_or(u64::MAX)
}
