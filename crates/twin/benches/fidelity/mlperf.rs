//! Runs as MLPerf's load generator makes them, over the twin's engine.
//!
//! Offline: all requests at once, and tokens by the time of the last one. Server: random arrivals for ten minutes, 99 of 100 first
//! tokens and times of a token within limits, and tokens by the time of the last one too: what is left to do after the last arrival
//! counts (`tokens_per_second` and `tps_as_completed` of loadgen's results.cc).

use madang_twin::engine::{Engine, EngineEvent, EngineRequest, Profile};
use madang_twin::random::Random;
use std::sync::Arc;

/// A run lasts for so long at least (`min_duration` of mlperf.conf).
const RUN_S: f64 = 600.0;
/// So many times the requests that would fill it are asked Offline (`kSlack` of loadgen).
const SLACK: f64 = 1.1;
/// Engines beyond these are like them: each is sent the same part of the requests.
const ENGINES_MAX: u32 = 8;
/// The part of requests that may be late, and how sure that must be.
const LATE: f64 = 0.01;
const DOUBT: f64 = 0.01;
/// Halvings of the range in which Server's rate is sought.
const BISECTIONS: usize = 8;
const SEED: u64 = 7;

/// Tokens of prompts or of answers: the mean, the standard deviation of their logarithms, the most.
pub struct Lengths {
    pub mean: f64,
    pub spread: f64,
    pub most: f64,
}

impl Lengths {
    pub const fn new(mean: f64, spread: f64, most: f64) -> Self {
        Self { mean, spread, most }
    }

    fn draw(&self, random: &mut Random) -> f64 {
        let middle = self.mean.ln() - self.spread * self.spread / 2.0;
        (middle + self.spread * random.normal())
            .exp()
            .clamp(1.0, self.most)
    }

    /// So many of them, stretched to the mean again after the longest were cut.
    fn many(&self, count: usize, purpose: u64) -> Vec<u64> {
        let mut random = Random::new(SEED, purpose);
        let drawn: Vec<f64> = (0..count).map(|_| self.draw(&mut random)).collect();
        let times = self.mean * count as f64 / drawn.iter().sum::<f64>();
        let round = |value: &f64| (value * times).clamp(1.0, self.most).round() as u64;
        drawn.iter().map(round).collect()
    }
}

/// A benchmark.
pub struct Task {
    pub name: &'static str,
    pub model: &'static str,
    /// Requests of its data set: as many are asked at least.
    pub samples: f64,
    pub input: Lengths,
    pub output: Lengths,
    /// Server's limits, in milliseconds: on 99 of 100 first tokens, and on 99 of 100 mean times of a further one.
    pub server: Limits,
    /// Interactive's, where there is one.
    pub interactive: Option<Limits>,
}

/// Of first tokens and of further ones, in milliseconds.
pub type Limits = (f64, f64);

/// What came of a run: tokens a second by the time of the last one, and of each request the first token and the mean time of a
/// further one, the longest last.
struct Outcome {
    tokens_s: f64,
    first_ms: Vec<f64>,
    token_ms: Vec<f64>,
}

/// Engines of one kind.
#[derive(Clone)]
pub struct System {
    pub profile: Profile,
    pub engines: u32,
}

/// An engine that takes so many times as long.
pub fn slower(profile: &Profile, times: f64) -> Profile {
    Profile {
        times: profile.times.as_ref().map(|own| own.slower(times)),
        ..profile.clone()
    }
}

impl System {
    /// The same with iterations of so many tokens.
    pub fn with_batch_tokens(&self, batch_tokens: u64) -> Self {
        let profile = Profile {
            batch_tokens,
            ..self.profile.clone()
        };
        Self {
            profile,
            engines: self.engines,
        }
    }

    /// The same with engines that take so many times as long.
    pub fn slower(&self, times: f64) -> Self {
        Self {
            profile: slower(&self.profile, times),
            engines: self.engines,
        }
    }

    /// Tokens a second, all asked at once. `expected` is what the submitter expects, in requests a second.
    pub fn offline(&self, task: &Task, expected: f64) -> f64 {
        let all = (SLACK * RUN_S * expected).max(task.samples);
        let each = (all / f64::from(self.engines)).ceil();
        let one = Self {
            profile: self.profile.clone(),
            engines: 1,
        };
        one.run(task, &vec![0; each as usize]).tokens_s * f64::from(self.engines)
    }

    /// The most tokens a second within the limits, with random arrivals. The rate is sought up to `offline`, which is Offline's in
    /// requests a second: more would be served for no longer than a run lasts.
    pub fn knee(&self, task: &Task, (first_ms, token_ms): Limits, offline: f64) -> f64 {
        let (mut low, mut high, mut best) = (0.0, offline, 0.0_f64);
        for _ in 0..BISECTIONS {
            let rate = (low + high) / 2.0;
            let (served, times) = self.server(task, rate);
            let late_max = late_max(served.first_ms.len() as f64 * times) / times;
            let keeps = |values: &[f64], limit: f64| {
                let within = values.partition_point(|value| *value <= limit);
                (values.len() - within) as f64 <= late_max
            };
            if keeps(&served.first_ms, first_ms) && keeps(&served.token_ms, token_ms) {
                low = rate;
                best = best.max(served.tokens_s * times);
            } else {
                high = rate;
            }
        }
        best
    }

    /// Random arrivals at a rate in requests a second: of some engines, and how many times as many there are.
    fn server(&self, task: &Task, rate: f64) -> (Outcome, f64) {
        let simulated = self.engines.min(ENGINES_MAX);
        let times = f64::from(self.engines) / f64::from(simulated);
        let mut random = Random::new(SEED, 3);
        let (mut at_ns, mut arrivals) = (0_u64, Vec::new());
        while (at_ns as f64) < RUN_S * 1e9 || (arrivals.len() as f64) < task.samples / times {
            arrivals.push(at_ns);
            at_ns += random.gap_ns(rate / times);
        }
        let some = Self {
            profile: self.profile.clone(),
            engines: simulated,
        };
        (some.run(task, &arrivals), times)
    }

    fn run(&self, task: &Task, arrivals: &[u64]) -> Outcome {
        let mut run = Run::new(self, task, arrivals);
        run.all();
        run.outcome()
    }
}

/// One run: requests by their place in it.
struct Run<'a> {
    arrivals: &'a [u64],
    inputs: Vec<u64>,
    outputs: Vec<u64>,
    engines: Vec<Engine>,
    /// Requests that each engine has.
    held: Vec<u32>,
    first_ns: Vec<u64>,
    last_ns: Vec<u64>,
}

impl<'a> Run<'a> {
    fn new(system: &System, task: &Task, arrivals: &'a [u64]) -> Self {
        let engines = (0..system.engines).map(|_| Engine::new(system.profile.clone()));
        Self {
            arrivals,
            inputs: task.input.many(arrivals.len(), 1),
            outputs: task.output.many(arrivals.len(), 2),
            engines: engines.collect(),
            held: vec![0; system.engines as usize],
            first_ns: vec![0; arrivals.len()],
            last_ns: vec![0; arrivals.len()],
        }
    }

    fn all(&mut self) {
        let (mut next, mut events) = (0, Vec::new());
        loop {
            let soonest = self.engines.iter().zip(0..).filter_map(|(engine, at)| {
                let at_ns = engine.next_at_ns()?;
                Some((at_ns, at))
            });
            let soonest: Option<(u64, usize)> = soonest.min();
            let arrival = self.arrivals.get(next).copied();
            match (arrival, soonest) {
                (None, None) => break,
                (Some(at_ns), busy) if busy.is_none_or(|(busy_ns, _)| at_ns <= busy_ns) => {
                    self.submit(next, at_ns);
                    next += 1;
                }
                (_, Some((at_ns, at))) => {
                    self.engines[at].advance(at_ns, &mut events);
                    for event in events.drain(..) {
                        match event {
                            EngineEvent::FirstToken { tag, .. } => {
                                self.first_ns[tag as usize] = at_ns;
                            }
                            EngineEvent::Finished { tag } => {
                                self.last_ns[tag as usize] = at_ns;
                                self.held[at] -= 1;
                            }
                        }
                    }
                }
                (Some(_), None) => unreachable!("an arrival comes first where no engine is busy"),
            }
        }
    }

    /// To the engine that has the fewest.
    fn submit(&mut self, request: usize, at_ns: u64) {
        let to = (0..self.held.len()).min_by_key(|at| self.held[*at]);
        let to = to.unwrap_or(0);
        self.held[to] += 1;
        let asked = EngineRequest {
            tag: request as u64,
            prompt_tokens: self.inputs[request],
            output_tokens: self.outputs[request],
            blocks: Arc::new([]),
            block_tokens: 16,
        };
        self.engines[to].submit(at_ns, asked);
    }

    fn outcome(&self) -> Outcome {
        let ms = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e6;
        let first = self.arrivals.iter().zip(&self.first_ns);
        let rest = self.first_ns.iter().zip(&self.last_ns).zip(&self.outputs);
        let end_ns = self.last_ns.iter().copied().max().unwrap_or(1);
        Outcome {
            tokens_s: self.outputs.iter().sum::<u64>() as f64 / (end_ns as f64 / 1e9),
            first_ms: sorted(first.map(|(from, to)| ms(*from, *to)).collect()),
            token_ms: sorted(
                rest.map(|((from, to), tokens)| ms(*from, *to) / (tokens - 1).max(1) as f64)
                    .collect(),
            ),
        }
    }
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// How many of so many requests may be late. Were one of 100 late by chance, so few would be with a probability of 1 % at most.
fn late_max(requests: f64) -> f64 {
    let odds = (LATE / (1.0 - LATE)).ln();
    let (mut late, mut sum) = (0.0, 0.0);
    // The probability of just so many: binomial, by its logarithm.
    let mut one = requests * (1.0 - LATE).ln();
    loop {
        sum += one.exp();
        if sum > DOUBT {
            return (late - 1.0_f64).max(0.0);
        }
        one += ((requests - late) / (late + 1.0)).ln() + odds;
        late += 1.0;
    }
}
