//! Overload: the load steps above what the fleet can do, and every client that is refused or kept waiting asks again, five times.
//!
//! Nine tenants of equal weight with the sizes of the Azure 2023 conversation trace ask at 0.7 of the fleet's capacity, for a
//! minute at the step, then at 0.7 again. A first token after five seconds is of no use; a client leaves after ten. Capacity is
//! what the same fleet finishes while it always has more to do.

use super::crowd::{self, ROUND_TRIP_NS, SECOND_NS, Sizes, TENANTS};
use super::noisy::ExperimentError;
use super::percentile;
use crate::engine::Profile;
use crate::random::Random;
use crate::world::{Ask, Clients, Ended, Fleet, Outcome, World, WorldOptions};
use madang_core::{Payer, RouteRule, Rules, ShareRule};
use madang_types::{DataClass, NameError, Priority};
use serde::Serialize;
use std::sync::Arc;

/// Seconds of each part of the run: before the step, the step, after it.
const BEFORE_S: u64 = 60;
const STEP_S: u64 = 60;
const AFTER_S: u64 = 60;
/// The ordinary load, as a part of capacity.
const ORDINARY: f64 = 0.7;
/// A first token later than this is of no use.
const USEFUL_MS: u64 = 5_000;
/// A client leaves without a first token after this.
const PATIENCE_MS: u64 = 10_000;
/// How often a client asks again, and after what time; it takes no notice of `Retry-After`.
const RETRIES: u64 = 5;
const RETRY_MS: u64 = 500;
/// The fleet has recovered once no more than this part of the arrivals of so many seconds miss.
const DISTURBED: f64 = 0.05;
const CALM_S: usize = 5;

/// What is run.
#[derive(Clone, Debug)]
pub struct OverloadOptions {
    /// Load during the step, as a part of capacity.
    pub step: f64,
    /// Who is next.
    pub share: ShareRule,
    /// Of the arrivals.
    pub seed: u64,
    /// Engines.
    pub replicas: usize,
    /// What each is.
    pub profile: Profile,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct OverloadReport {
    /// The rule.
    pub policy: ShareRule,
    /// Load during the step, as a part of capacity.
    pub step: f64,
    /// Of the arrivals.
    pub seed: u64,
    /// Requests a second that the fleet finishes when it always has more to do.
    pub capacity_per_second: f64,
    /// Useful answers a second during the step, as a part of capacity: first tokens in time since the client's latest try.
    pub goodput: f64,
    /// Seconds after the step until no more than a twentieth of the arrivals of five seconds miss.
    pub recovery_s: u64,
    /// Attempts at engines ÷ requests that engines finished: wasted work.
    pub amplification: f64,
    /// Tries of clients ÷ requests: what clients made of it at the gateway.
    pub client_amplification: f64,
    /// 99th percentile of the times to these first tokens, in milliseconds.
    pub ttft_p99_ms: f64,
    /// Requests, and those of them that came to nothing after all tries.
    pub requests: u64,
    /// See `requests`.
    pub given_up: u64,
}

/// Measures capacity, then runs the step.
///
/// # Errors
/// The built-in trace or a name is broken.
pub fn overload(options: &OverloadOptions) -> Result<OverloadReport, ExperimentError> {
    let sizes = Sizes::azure()?;
    let capacity = capacity(options, &sizes)?;
    let phases = [ORDINARY, options.step, ORDINARY].map(|part| part * capacity);
    let clients = Steps::new(options.seed, sizes, phases)?;
    let mut fleet = fleet(options)?;
    if options.share == ShareRule::Madang {
        fleet.limits.ttft_ms_max = USEFUL_MS;
    }
    let until_ns = (BEFORE_S + STEP_S + AFTER_S) * SECOND_NS;
    let world = World::new(
        WorldOptions {
            fleet,
            round_trip_ns: ROUND_TRIP_NS,
            until_ns,
            window_ns: (0, until_ns),
        },
        clients,
    )?;
    let (mut steps, totals) = world.run();
    steps.useful_ns.sort_unstable();
    let p99_ns = percentile(&steps.useful_ns, 990).unwrap_or(0);
    let useful = u64::try_from(steps.useful_ns.len()).unwrap_or(0);
    Ok(OverloadReport {
        policy: options.share,
        step: options.step,
        seed: options.seed,
        capacity_per_second: capacity,
        goodput: crowd::ratio(useful, STEP_S) / capacity,
        recovery_s: steps.recovery_s(),
        amplification: crowd::ratio(totals.attempts, steps.finished.max(1)),
        client_amplification: crowd::ratio(steps.tries, steps.requests.max(1)),
        ttft_p99_ms: crowd::ratio(p99_ns, 1_000_000),
        requests: steps.requests,
        given_up: steps.given_up,
    })
}

fn fleet(options: &OverloadOptions) -> Result<Fleet, NameError> {
    let rules = Rules {
        share: options.share,
        route: RouteRule::PredictedTtft,
    };
    let mut fleet = Fleet::new(&options.profile, options.replicas, rules)?;
    if options.share != ShareRule::Madang {
        fleet.limits.queue_length_max = u32::MAX;
    }
    Ok(fleet)
}

/// Requests a second that the fleet finishes while its queue never empties.
fn capacity(options: &OverloadOptions, sizes: &Sizes) -> Result<f64, ExperimentError> {
    const WARM_S: u64 = 60;
    const COUNT_S: u64 = 120;
    let mut fleet = fleet(options)?;
    fleet.rules.share = ShareRule::Vtc;
    fleet.limits.queue_length_max = u32::MAX;
    let plenty = 60.0 * crowd::ratio(u64::try_from(options.replicas).unwrap_or(1), 1);
    let mut clients = Steps::new(options.seed, sizes.clone(), [plenty; 3])?;
    clients.patient = true;
    clients.count_ns = (WARM_S * SECOND_NS, (WARM_S + COUNT_S) * SECOND_NS);
    let world = World::new(
        WorldOptions {
            fleet,
            round_trip_ns: ROUND_TRIP_NS,
            until_ns: clients.count_ns.1,
            window_ns: clients.count_ns,
        },
        clients,
    )?;
    let (steps, _) = world.run();
    Ok(crowd::ratio(steps.counted, COUNT_S))
}

/// Clients whose load steps up and down again, and who ask again.
struct Steps {
    random: Random,
    sizes: Sizes,
    payers: Vec<Payer>,
    phases: [f64; 3],
    next_ns: u64,
    asked: Vec<Asked>,
    /// Times of the first tokens that came during the step and in time, since the latest try.
    useful_ns: Vec<u64>,
    /// Arrivals and misses of each second.
    seconds: Vec<(u64, u64)>,
    requests: u64,
    tries: u64,
    finished: u64,
    given_up: u64,
    /// For the measurement of capacity: nobody leaves, and what finishes in a window is counted.
    patient: bool,
    count_ns: (u64, u64),
    counted: u64,
    over: bool,
}

/// One request over all of its tries.
struct Asked {
    first_ns: u64,
    tries: u64,
    ask: Ask,
}

impl Steps {
    fn new(seed: u64, sizes: Sizes, phases: [f64; 3]) -> Result<Self, NameError> {
        let seconds = usize::try_from(BEFORE_S + STEP_S + AFTER_S).unwrap_or(0);
        Ok(Self {
            random: Random::new(seed, 77),
            sizes,
            payers: crowd::payers()?,
            phases,
            next_ns: 0,
            asked: Vec::new(),
            useful_ns: Vec::new(),
            seconds: vec![(0, 0); seconds],
            requests: 0,
            tries: 0,
            finished: 0,
            given_up: 0,
            patient: false,
            count_ns: (0, 0),
            counted: 0,
            over: false,
        })
    }

    fn rate(&self, at_ns: u64) -> f64 {
        let second = at_ns / SECOND_NS;
        match second {
            _ if second < BEFORE_S => self.phases[0],
            _ if second < BEFORE_S + STEP_S => self.phases[1],
            _ => self.phases[2],
        }
    }

    /// Seconds from the end of the step to the first after which little is missed.
    fn recovery_s(&self) -> u64 {
        let end = Self::at(BEFORE_S + STEP_S);
        let after = self.seconds.get(end..).unwrap_or_default();
        let calm = |window: &[(u64, u64)]| {
            let arrivals: u64 = window.iter().map(|(arrivals, _)| arrivals).sum();
            let misses: u64 = window.iter().map(|(_, misses)| misses).sum();
            crowd::ratio(misses, arrivals.max(1)) <= DISTURBED
        };
        let found = after.windows(CALM_S).position(calm);
        u64::try_from(found.unwrap_or(after.len())).unwrap_or(AFTER_S)
    }

    fn at(label: u64) -> usize {
        usize::try_from(label).unwrap_or(usize::MAX)
    }

    /// A request came to nothing in time.
    fn missed(&mut self, label: u64) {
        let Some(first_ns) = self.asked.get(Self::at(label)).map(|asked| asked.first_ns) else {
            return;
        };
        if let Some(second) = self.seconds.get_mut(Self::at(first_ns / SECOND_NS)) {
            second.1 += 1;
        }
    }
}

impl Clients for Steps {
    fn next(&mut self) -> Option<Ask> {
        let rate = self.rate(self.next_ns);
        self.next_ns += self.random.gap_ns(rate);
        let at_ns = self.next_ns;
        self.over |= self.patient && at_ns > self.count_ns.1;
        let (prompt_tokens, output_tokens) = self.sizes.draw(&mut self.random);
        let tenant = Self::at(self.random.below(TENANTS));
        let ask = Ask {
            at_ns,
            label: u64::try_from(self.asked.len()).unwrap_or(0),
            payer: self.payers.get(tenant)?.clone(),
            priority: Priority::Standard,
            data_class: DataClass::Open,
            prompt_tokens,
            output_tokens,
            output_tokens_max: output_tokens.max(2_048),
            blocks: Arc::from([]),
            block_tokens: 512,
            wait_ms_max: 60_000,
            patience_ns: if self.patient {
                0
            } else {
                PATIENCE_MS * 1_000_000
            },
        };
        self.requests += 1;
        self.tries += 1;
        if let Some(second) = self.seconds.get_mut(Self::at(at_ns / SECOND_NS)) {
            second.0 += 1;
        }
        self.asked.push(Asked {
            first_ns: at_ns,
            tries: 1,
            ask: ask.clone(),
        });
        Some(ask)
    }

    fn ended(&mut self, ended: &Ended) -> Option<Ask> {
        if ended.outcome == Outcome::Finished {
            self.finished += 1;
            let (from, to) = self.count_ns;
            self.counted += u64::from((from..to).contains(&ended.at_ns));
            return None;
        }
        let asked = self.asked.get_mut(Self::at(ended.label))?;
        if asked.tries > RETRIES {
            self.given_up += 1;
            self.missed(ended.label);
            return None;
        }
        asked.tries += 1;
        self.tries += 1;
        let mut ask = asked.ask.clone();
        ask.at_ns = ended.at_ns + RETRY_MS * 1_000_000;
        Some(ask)
    }

    fn first_token(&mut self, label: u64, at_ns: u64, asked_ns: u64) {
        let in_time = at_ns - asked_ns <= USEFUL_MS * 1_000_000;
        let step = BEFORE_S * SECOND_NS..(BEFORE_S + STEP_S) * SECOND_NS;
        if !in_time {
            self.missed(label);
        } else if step.contains(&at_ns) {
            self.useful_ns.push(at_ns - asked_ns);
        }
    }

    fn done(&self) -> bool {
        self.over
    }
}
