//! What the decisions are made by, beside the fleet itself: costs of an engine's work, and the rules in force.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an engine's work costs, in its own time. What is not given is taken from the model, then from a dense model of 32
/// billion parameters on two H100; more is learnt from the engine's answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// Fixed time of one batch iteration, in microseconds.
    #[schemars(range(min = 0, max = 60_000_000))]
    pub step_us: Option<u64>,
    /// Time for each prompt token that is computed, in nanoseconds.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub uncached_ns: Option<u64>,
    /// Time for each prompt token that is taken from a cache, in nanoseconds.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub cached_ns: Option<u64>,
    /// Time that each sequence adds to an iteration, in nanoseconds.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub output_ns: Option<u64>,
    /// Time that each token held in memory adds to an iteration, in picoseconds.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub kv_ps: Option<u64>,
    /// Context length at which a prompt token costs twice as much; 0: never.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub context_double_tokens: Option<u64>,
}

impl Costs {
    /// These, and where nothing is said, the others.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            step_us: self.step_us.or(other.step_us),
            uncached_ns: self.uncached_ns.or(other.uncached_ns),
            cached_ns: self.cached_ns.or(other.cached_ns),
            output_ns: self.output_ns.or(other.output_ns),
            kv_ps: self.kv_ps.or(other.kv_ps),
            context_double_tokens: self.context_double_tokens.or(other.context_double_tokens),
        }
    }
}

/// `[credit]`: what of its share a tenant left to others comes back to it, out of the shares of those who took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Credit {
    /// Credit and debt fade to half in so many days.
    #[schemars(range(min = 1, max = 3650))]
    pub half_life_days: u32,
    /// Neither is more than the tenant's share of everything over so many days; 0: there is none.
    #[schemars(range(min = 0, max = 366))]
    pub cap_days: u32,
    /// Credit raises a share to at most so many times itself, and debt lowers one to no less than this part of it; 1: neither does.
    #[schemars(range(min = 1, max = 100))]
    pub factor_max: u32,
}

impl Default for Credit {
    fn default() -> Self {
        Self {
            half_life_days: 30,
            cap_days: 7,
            factor_max: 4,
        }
    }
}

/// `[rules]`: the rules in force. The others than the defaults stand for what peers do, to compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Who is next.
    pub share: ShareRule,
    /// Where it goes.
    pub route: RouteRule,
}

/// Who is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShareRule {
    /// Fair shares by weight, with part of each batch kept for those under theirs.
    #[default]
    Madang,
    /// Virtual token counter.
    Vtc,
    /// Deficit round robin on prompt tokens.
    Drr,
    /// One request of each tenant in turn.
    RoundRobin,
    /// First come, first served.
    Fcfs,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteRule {
    /// Least predicted time to first token, then least predicted completion.
    #[default]
    PredictedTtft,
    /// The same without looking at caches.
    PredictedTtftNoCache,
    /// Any, by lot.
    Random,
    /// Each in turn.
    RoundRobin,
    /// Fewest requests.
    LeastRequest,
    /// The better of two by lot.
    PowerOfTwo,
    /// Hash of the prompt's first block.
    PrefixHash,
    /// Consistent hashing with bounded loads.
    Chwbl,
    /// Longest cached beginning, unless loads differ.
    CacheAware,
    /// Prefill blocks less cached ones, plus decode blocks.
    BlockCost,
}
