//! Routing a trace over a pool: how many first tokens come within five seconds, under which rule.

use super::crowd::{ROUND_TRIP_NS, SECOND_NS, named_payer, ratio};
use super::noisy::ExperimentError;
use super::percentile;
use crate::engine::Profile;
use crate::trace::Request;
use crate::world::{Ask, Clients, Ended, Fleet, Outcome, World, WorldOptions};
use madang_core::{Payer, RouteRule, Rules, ShareRule};
use madang_types::{DataClass, Priority};
use serde::Serialize;

/// A first token that comes later is late.
const LATE_NS: u64 = 5 * SECOND_NS;

/// What is run.
#[derive(Clone, Debug)]
pub struct RouteOptions {
    /// How much faster than recorded requests arrive.
    pub speed: f64,
    /// Each engine.
    pub profiles: Vec<Profile>,
    /// Where requests go.
    pub route: RouteRule,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct RouteReport {
    /// The rule.
    pub policy: RouteRule,
    /// How much faster than recorded requests arrived.
    pub speed: f64,
    /// Engines.
    pub replicas: usize,
    /// Tokens of the tier behind each engine's memory.
    pub host_tokens: u64,
    /// Requests of the trace.
    pub requests: usize,
    /// Part of them whose first token came within five seconds; what was refused counts as late.
    pub within_5s: f64,
    /// Part of all prompt tokens that came from a cache.
    pub prefix_hit: f64,
    /// Median time to first token, in milliseconds.
    pub ttft_p50_ms: f64,
    /// 99th percentile.
    pub ttft_p99_ms: f64,
    /// Requests that got no first token.
    pub unserved: u64,
}

/// Replays a trace over a fleet.
///
/// # Errors
/// A name of ours is no name.
pub fn route(options: &RouteOptions, rows: &[Request]) -> Result<RouteReport, ExperimentError> {
    // The rules of others have no queue of their own.
    let share = match options.route {
        RouteRule::PredictedTtft => ShareRule::Madang,
        _ => ShareRule::Fcfs,
    };
    let rules = Rules {
        share,
        route: options.route,
    };
    let mut fleet = Fleet::at_home(options.profiles.clone(), rules)?;
    fleet.limits.queue_length_max = u32::MAX;
    fleet.limits.hedge_percent_max = 0;
    let payer = named_payer("tenant")?;
    let tokens_max = options.profiles.iter().map(Profile::request_tokens_max);
    let clients = Replay {
        rows,
        next: 0,
        tokens_max: tokens_max.max().unwrap_or(0),
        speed: options.speed,
        payer,
        ttft_ns: Vec::with_capacity(rows.len()),
        prompt_tokens: 0,
        cached_tokens: 0,
        unserved: 0,
    };
    let world = World::new(
        WorldOptions {
            fleet,
            round_trip_ns: ROUND_TRIP_NS,
            until_ns: u64::MAX / 2,
            window_ns: (0, 1),
        },
        clients,
    )?;
    let (mut replay, _) = world.run();
    Ok(replay.report(options))
}

struct Replay<'a> {
    rows: &'a [Request],
    next: usize,
    /// Prompt and answer of the longest request that an engine has the memory for.
    tokens_max: u64,
    speed: f64,
    payer: Payer,
    ttft_ns: Vec<u64>,
    prompt_tokens: u64,
    cached_tokens: u64,
    unserved: u64,
}

impl Replay<'_> {
    fn report(&mut self, options: &RouteOptions) -> RouteReport {
        self.ttft_ns.sort_unstable();
        let in_time = self.ttft_ns.partition_point(|ttft| *ttft <= LATE_NS);
        let host = options.profiles.first().map_or(0, Profile::tier_tokens);
        let ms = |permille| ratio(percentile(&self.ttft_ns, permille).unwrap_or(0), 1_000_000);
        let count = |number: usize| u64::try_from(number).unwrap_or(0);
        RouteReport {
            policy: options.route,
            speed: options.speed,
            replicas: options.profiles.len(),
            host_tokens: host,
            requests: self.rows.len(),
            within_5s: ratio(count(in_time), count(self.rows.len())),
            prefix_hit: ratio(self.cached_tokens, self.prompt_tokens.max(1)),
            ttft_p50_ms: ms(500),
            ttft_p99_ms: ms(990),
            unserved: self.unserved,
        }
    }
}

impl Clients for Replay<'_> {
    fn next(&mut self) -> Option<Ask> {
        let row = loop {
            let row = self.rows.get(self.next)?;
            self.next += 1;
            if row.input_tokens + row.output_tokens <= self.tokens_max {
                break row;
            }
            self.unserved += 1;
        };
        let at_ns = (row.arrival_us as f64 * 1e3 / self.speed) as u64;
        Some(Ask {
            at_ns,
            label: 0,
            payer: self.payer.clone(),
            priority: Priority::Standard,
            data_class: DataClass::Open,
            prompt_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            output_tokens_max: row.output_tokens.max(2_048),
            blocks: row.blocks.clone(),
            block_tokens: 512,
            wait_ms_max: 3_600_000,
            patience_ns: 0,
        })
    }

    fn ended(&mut self, ended: &Ended) -> Option<Ask> {
        match ended.outcome {
            Outcome::Finished => {
                self.prompt_tokens += ended.prompt_tokens;
                self.cached_tokens += ended.cached.tokens();
            }
            Outcome::Refused(_) | Outcome::Left | Outcome::Broken => self.unserved += 1,
        }
        None
    }

    fn first_token(&mut self, _label: u64, at_ns: u64, asked_ns: u64) {
        self.ttft_ns.push(at_ns - asked_ns);
    }

    fn done(&self) -> bool {
        self.next == self.rows.len()
            && self.ttft_ns.len() + usize::try_from(self.unserved).unwrap_or(0) == self.rows.len()
    }
}
