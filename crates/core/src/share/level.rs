//! Who wants more than their part: max-min fair (water-filling) shares over what tenants ask of a pool.
//!
//! What a tenant asks is the greatest of three parts: of accelerator time, of memory, of slots (dominant resource). While all of
//! it fits, nobody is over. Where it does not, the level is the share at which it would fit; whoever asks for more is over.

use super::parts::parts;
use super::tree::{REST_LANE, Tree};
use crate::credit::{Claimant, Reach, Used, leans};
use crate::learn::{Mean, Rate, whole};
use crate::request::FlowIndex;
use smallvec::SmallVec;

/// Whoever asked within that time is active: its part is counted.
const ACTIVE_US: i64 = 10_000_000;
/// Part of a pool from which on it counts as contended.
const CONTENDED: f64 = 0.75;
/// Whoever asks for more than its level by this factor is over; less is a burst, which the order of the queue evens out.
const OVER_FACTOR: f64 = 1.25;
/// The level is never below this: what is charged is of the order of an engine's time, and a bad sum must not make floods of those who
/// are flooded.
const LEVEL_MIN: f64 = 1.2;
/// The level is never above this: what others leave of their parts is for whoever wants it, but behind them.
const LEVEL_MAX: f64 = 1.5;
/// Who is over stays so until it asks for less than this part of that.
const BACK_UNDER: f64 = 0.9;

/// What a tenant asks of a pool, and what it got.
#[derive(Debug)]
pub(crate) struct TenantUse {
    pub last_seen_us: i64,
    /// When it came after it was away.
    pub since_us: i64,
    /// Accelerator time asked for, in microseconds.
    pub offered: Rate<10_000>,
    /// The same over a longer time, or since it came: a burst is no flood.
    pub offered_long: Rate<40_000>,
    /// Requests that came.
    pub arrivals: Rate<20_000>,
    /// Accelerator time charged, in microseconds.
    pub service: Rate<60_000>,
    pub service_us: u64,
    /// Memory that its running requests are predicted to need, and what one needs on average.
    pub kv_tokens: u64,
    pub need: Mean,
    /// What of its running requests just takes what is left: nothing of that is held against it.
    pub rest: RestUse,
    /// Requests that ended, and the memory that they left.
    pub ended: Rate<20_000>,
    pub ended_tokens: Rate<20_000>,
    /// Output tokens that its requests are predicted to make.
    pub output: Mean,
    /// Prompt work asked for, in microseconds.
    pub prompts: Rate<10_000>,
    /// Prompt work of its requests that is under way, in microseconds.
    pub prefill_us: u64,
    /// Asks for more than its part while others want theirs.
    pub over: bool,
    /// Asked for no more than its own part of the time of late, bursts aside, and no more of it waits than comes in a second.
    pub within: bool,
    /// Holds more than its part of the memory or the slots, whether or not others want theirs already: what is kept for them is
    /// not for it.
    pub heavy: bool,
    /// Its part by weight among the active, in thousandths.
    pub share_permille: u32,
    /// The same with credit counted.
    pub lean_permille: u32,
    /// What its share may become by its credit or debt, in times itself; `None` until it is known.
    pub reach: Option<Reach>,
    /// What no interval of credit has counted yet.
    pub unsettled: Used,
    /// When it was last seen with nothing waiting.
    pub unbacked_us: i64,
}

impl Default for TenantUse {
    fn default() -> Self {
        Self {
            last_seen_us: 0,
            since_us: 0,
            offered: Rate::default(),
            offered_long: Rate::default(),
            arrivals: Rate::default(),
            service: Rate::default(),
            service_us: 0,
            kv_tokens: 0,
            need: Mean::new(0.0),
            rest: RestUse::default(),
            ended: Rate::default(),
            ended_tokens: Rate::default(),
            output: Mean::new(0.0),
            prompts: Rate::default(),
            prefill_us: 0,
            over: false,
            within: false,
            heavy: false,
            share_permille: 0,
            lean_permille: 0,
            reach: None,
            unsettled: Used::default(),
            unbacked_us: 0,
        }
    }
}

impl TenantUse {
    /// It is over its share, or holds more than its part.
    pub fn takes_much(&self) -> bool {
        self.over || self.heavy
    }

    /// A request came. What was asked before its tenant was away says nothing of now.
    pub fn came(&mut self, now_us: i64) {
        if now_us.saturating_sub(self.last_seen_us) > ACTIVE_US {
            self.since_us = now_us;
            self.offered_long = Rate::default();
        }
        self.last_seen_us = self.last_seen_us.max(now_us);
    }
}

/// What running requests hold that take what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RestUse {
    pub running: u32,
    pub kv_tokens: u64,
}

/// What a pool has.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capacity {
    /// Members that serve.
    pub members: u32,
    /// Their slots, as limited now.
    pub slots: u32,
    /// Their memory; 0 where nobody said.
    pub kv_tokens: u64,
    /// Mean time of an iteration of a full batch, prompts apart.
    pub full_iteration_us: u64,
    /// Mean time of an output token of late.
    pub tpot_us: u64,
}

/// What those under their share are expected to need soon.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Expected {
    /// Requests a second.
    pub arrivals: f64,
    /// Mean memory of one, in tokens.
    pub need_tokens: f64,
    /// Mean memory of one that runs: those with long answers run for longer.
    pub held_tokens: f64,
    /// Mean output of one, in tokens.
    pub output_tokens: f64,
    /// Part of the pool's time that their prompts take.
    pub prefill_part: f64,
    /// Sequences and memory that they hold now.
    pub running: u32,
    pub kv_tokens: u64,
    /// Sequences and memory that the others leave in a second.
    pub freed_slots: f64,
    pub freed_tokens: f64,
    /// Tenants that are active, those over their share among them.
    pub tenants: usize,
    /// Some of them are over.
    pub flooded: bool,
}

/// Whoever's requests wait longer than this asks for more than it gets, however little it is told to ask by what it gets.
const WAITS_S: f64 = 10.0;
/// Tenants that are active together, as a rule: room for more is made.
const CLAIMS_USUAL: usize = 16;
/// Dimensions of a claim: accelerator time, memory, slots.
const DIMENSIONS: usize = 3;
const TIME: usize = 0;

/// One tenant's claim.
struct Claim {
    tenant: FlowIndex,
    /// Part of the pool that it asks for, in each dimension.
    asks: [f64; DIMENSIONS],
    /// Part of the pool's time that it asks for of late, however short.
    recent: f64,
    /// Requests that wait.
    waiting: u32,
    /// Its part by weight, of all active.
    part: f64,
    arrivals: f64,
    need: f64,
    output: f64,
    prefill: f64,
    running: u32,
    kv_tokens: u64,
    reach: Reach,
}

impl Claim {
    /// Whether it asks for no more than its own part of the time, bursts aside, and no more waits than comes in a second.
    fn is_within(&self) -> bool {
        self.recent <= self.part * OVER_FACTOR && f64::from(self.waiting) <= self.arrivals + 1.0
    }

    /// Whether it would take more than it gets. Who asks anew when answered asks for what it gets: how long it waits says so.
    fn is_backlogged(&self) -> bool {
        f64::from(self.waiting) > self.arrivals * WAITS_S + 1.0
    }

    /// Whether it asks for more of something than that many levels.
    fn is_above(&self, levels: &[f64; DIMENSIONS], part: f64) -> bool {
        let mut each = self.asks.iter().zip(levels);
        each.any(|(asks, level)| *asks > level * part)
    }

    /// What of its credit or debt counts now.
    fn claimant(&self, levels: &[f64; DIMENSIONS]) -> Claimant {
        let wants = if self.reach.factor > 1.0 {
            !self.is_within()
        } else {
            self.is_backlogged() || self.is_above(levels, self.part * OVER_FACTOR)
        };
        Claimant {
            part: self.part,
            reach: if wants { self.reach } else { Reach::LEVEL },
            asks: if self.is_backlogged() {
                f64::INFINITY
            } else {
                self.recent
            },
        }
    }
}

impl Tree {
    /// Marks who is over; says what the others are expected to need.
    pub fn level(&mut self, now_us: i64, capacity: Capacity, backlog: bool) -> Expected {
        let claims = self.claims(now_us, capacity);
        let mut levels = [f64::INFINITY; DIMENSIONS];
        for (dimension, level) in levels.iter_mut().enumerate() {
            let asked: f64 = claims.iter().map(|claim| claim.asks[dimension]).sum();
            let short = asked > CONTENDED || (backlog && dimension == TIME);
            if claims.len() > 1 && short {
                // Whoever asks for no more than its own part is never over, whatever the others ask.
                let water = water_level(&claims, dimension, asked.min(1.0));
                if water.is_finite() {
                    *level = water.clamp(LEVEL_MIN, LEVEL_MAX);
                }
            }
        }
        let mut expected = Expected {
            tenants: claims.len(),
            ..Expected::default()
        };
        let (mut need_sum, mut output_sum, mut held_sum) = (0.0, 0.0, 0.0);
        // Where everybody has a queue, its order alone is fair: nobody's room need be kept.
        let crowd = claims.len() > 1 && claims.iter().all(Claim::is_backlogged);
        let leaned = self.lean(&claims, &levels);
        let mut leaned = leaned.into_iter().flatten();
        for claim in &claims {
            let lean = leaned.next().unwrap_or(claim.part);
            let Some(usage) = self
                .node_mut(claim.tenant)
                .and_then(|n| n.usage.as_deref_mut())
            else {
                continue;
            };
            // Credit counts in the queue, not in the batch: who has it keeps no more room there than it would without.
            let part = claim.part.min(lean);
            let slack = OVER_FACTOR * if usage.over { BACK_UNDER } else { 1.0 };
            usage.over = claim.is_above(&levels, part * slack);
            usage.within = claim.is_within();
            expected.flooded |= usage.over;
            usage.heavy = claim.asks[TIME + 1..]
                .iter()
                .any(|asks| *asks > part * OVER_FACTOR);
            usage.share_permille = permille(claim.part);
            usage.lean_permille = permille(lean);
            if !usage.over && !usage.heavy && !crowd {
                expected.arrivals += claim.arrivals;
                need_sum += claim.arrivals * claim.need;
                output_sum += claim.arrivals * claim.output;
                held_sum += claim.arrivals * claim.output * claim.need;
                expected.prefill_part += claim.prefill;
                expected.running += claim.running;
                expected.kv_tokens += claim.kv_tokens;
            } else {
                expected.freed_slots += usage.ended.per_second(now_us);
                expected.freed_tokens += usage.ended_tokens.per_second(now_us);
            }
        }
        if expected.arrivals > 0.0 {
            expected.need_tokens = need_sum / expected.arrivals;
            expected.output_tokens = output_sum / expected.arrivals;
            expected.held_tokens = held_sum / output_sum.max(f64::EPSILON);
        }
        expected
    }

    /// Moves parts from those who owe to those who have credit, where both want more; the queue goes by them from now on. `None`
    /// where nothing moves.
    fn lean(&mut self, claims: &[Claim], levels: &[f64; DIMENSIONS]) -> Option<Vec<f64>> {
        let leaned = match claims.iter().all(|claim| claim.reach == Reach::LEVEL) {
            true => None,
            false => {
                let claimants: Vec<_> = claims.iter().map(|claim| claim.claimant(levels)).collect();
                leans(&claimants)
            }
        };
        let parts = claims.iter().zip(leaned.iter().flatten());
        let parts: Vec<_> = parts
            .map(|(claim, lean)| (claim.tenant, claim.part, *lean))
            .collect();
        self.tilt(&parts);
        leaned
    }

    /// The active tenants' claims; everybody else is forgotten to be over.
    fn claims(&mut self, now_us: i64, capacity: Capacity) -> Vec<Claim> {
        let mut claims = Vec::with_capacity(CLAIMS_USUAL);
        // What is charged is of the order of an engine's time, not that time: where more of it is had in a second than a second has,
        // it is as much too long for whoever asks.
        let members = f64::from(capacity.members.max(1));
        let time_us = self.served_us_per_second(now_us).max(1e6 * members);
        for (tenant, node) in self.tenants_mut() {
            let (running, waiting) = (node.running, node.waiting);
            let Some(usage) = node.usage.as_deref_mut() else {
                continue;
            };
            let waiting_total: u32 = waiting.iter().sum();
            // Those who take what is left wait as long as others ask.
            let waiting = waiting_total.saturating_sub(waiting[REST_LANE]);
            if running + waiting_total > 0 {
                usage.last_seen_us = usage.last_seen_us.max(now_us);
            }
            if waiting_total == 0 {
                usage.unbacked_us = now_us;
            }
            if now_us.saturating_sub(usage.last_seen_us) > ACTIVE_US {
                usage.over = false;
                usage.within = false;
                usage.heavy = false;
                usage.share_permille = 0;
                usage.lean_permille = 0;
                continue;
            }
            let running = running.saturating_sub(usage.rest.running);
            let kv_tokens = usage.kv_tokens.saturating_sub(usage.rest.kv_tokens);
            let memory = if capacity.kv_tokens == 0 {
                0.0
            } else {
                whole(kv_tokens) / whole(capacity.kv_tokens)
            };
            let long = usage.offered_long.per_second_since(now_us, usage.since_us);
            let recent = usage.offered.per_second(now_us);
            claims.push(Claim {
                tenant,
                asks: [
                    recent.min(long) / time_us,
                    memory,
                    f64::from(running) / f64::from(capacity.slots.max(1)),
                ],
                recent: recent / time_us,
                waiting,
                part: 0.0,
                arrivals: usage.arrivals.per_second(now_us),
                need: usage.need.value,
                output: usage.output.value,
                prefill: usage.prompts.per_second(now_us) / 1e6 / members,
                running,
                kv_tokens,
                reach: usage.reach.unwrap_or(Reach::LEVEL),
            });
        }
        let weights: SmallVec<[_; CLAIMS_USUAL]> = claims
            .iter()
            .map(|claim| self.weights(claim.tenant))
            .collect();
        for (claim, part) in claims.iter_mut().zip(parts(&weights)) {
            claim.part = part;
        }
        claims
    }
}

fn permille(part: f64) -> u32 {
    (part * 1000.0) as u32
}

/// The level at which everybody gets what they ask, but at most `level × part`, and `total` is used up.
fn water_level(claims: &[Claim], dimension: usize, total: f64) -> f64 {
    let asks = |claim: &Claim| {
        let (asks, part) = (claim.asks[dimension], claim.part);
        (asks / part.max(1e-12), asks, part)
    };
    let mut asks: SmallVec<[(f64, f64, f64); CLAIMS_USUAL]> = claims.iter().map(asks).collect();
    asks.sort_unstable_by(|(one, ..), (other, ..)| one.total_cmp(other));
    let mut left = total;
    let mut parts: f64 = claims.iter().map(|claim| claim.part).sum();
    for (_, asks, part) in asks {
        let level = left / parts.max(1e-12);
        if asks > level * part {
            return level.max(0.0);
        }
        left -= asks;
        parts -= part;
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests;
