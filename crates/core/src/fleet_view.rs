//! The fleet and its shares as the core needs them: flat, serialisable, whole at each load.

use crate::credit::CreditTerms;
use madang_types::{
    DataClass, DataFlags, Endpoint, KeyId, ModelId, Place, Policy, ProgrammeId, ProjectId,
    ReplicaId, SiteId, TenantId, Zone,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The fleet as the core needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetView {
    /// Everything that can serve something, by pool.
    pub members: Vec<PoolMember>,
    /// Places that serve nothing: those that URLs in requests lead to, and sites whose machines take batch jobs.
    pub origins: BTreeSet<(SiteId, Place)>,
    /// Bounds.
    pub limits: CoreLimits,
    /// The rules in force.
    pub rules: Rules,
    /// How credit lives.
    pub credit: CreditTerms,
    /// What may go where.
    pub policy: Policy,
    /// Names that lead to one of several models.
    pub virtuals: Vec<VirtualModel>,
}

/// A name that leads to one of several models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualModel {
    /// What a client asks for; no model of a member has it.
    pub id: ModelId,
    /// The models, best first.
    pub candidates: Vec<VirtualCandidate>,
}

/// A model that a name leads to, and for which requests. Policy is asked besides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualCandidate {
    /// The model, or an adapter's name.
    pub model: ModelId,
    /// For data up to that class.
    pub class_max: DataClass,
    /// For data with none of these flags.
    pub flags_none: DataFlags,
    /// For tenants of these programmes; `None`: for everybody.
    pub programme: Option<BTreeSet<ProgrammeId>>,
}

/// A replica or an upstream, as a member of the pool that serves one model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolMember {
    /// Its id; an upstream's member is named `<upstream>.<n>`-free: one member per (upstream, model).
    pub replica: ReplicaId,
    /// Its site; an upstream's own id stands as its site.
    pub site: SiteId,
    /// What it serves.
    pub model: ModelId,
    /// Further names under which it answers: adapters (LoRA) of its model.
    pub adapters: Vec<ModelId>,
    /// Which doors it serves.
    pub endpoints: Vec<Endpoint>,
    /// Sequences at once.
    pub slots: u32,
    /// Tokens that its KV memory holds; `None` where nobody said: then only slots bound it.
    pub kv_tokens: Option<u64>,
    /// Tokens of prefixes that it keeps in a tier behind its KV memory.
    pub host_tokens: u64,
    /// What its work costs until more is learnt.
    pub costs: EngineCosts,
    /// Where its bytes go, for the policy.
    pub place: Place,
    /// How it is until somebody reports (upstreams are up: nobody probes a stranger's API).
    pub health: ReplicaHealth,
    /// It finishes what it has, takes nothing new and comes back in another form: requests wait for it.
    pub held_back: bool,
}

/// What an engine's work costs, in accelerator time. The prior of what is learnt from its answers.
///
/// A batch iteration that takes `T` prompt tokens (at context `c`) beside `n` sequences that hold `k` tokens of memory lasts
/// `step + T·uncached·(1 + c/context_double) + n·output + k·kv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineCosts {
    /// Fixed time of one batch iteration, in microseconds.
    pub step_us: u64,
    /// Time for each prompt token that is computed, in nanoseconds.
    pub uncached_ns: u64,
    /// Time for each prompt token that is taken from a cache, in nanoseconds.
    pub cached_ns: u64,
    /// Time that each sequence adds to an iteration, in nanoseconds.
    pub output_ns: u64,
    /// Time that each token held in memory adds to an iteration, in picoseconds.
    pub kv_ps: u64,
    /// Context length at which a prompt token costs twice as much, in tokens; 0: never.
    pub context_double_tokens: u64,
}

impl Default for EngineCosts {
    /// A dense model of 32 billion parameters on two accelerators of the H100 class (15,928 prompt tokens a second is
    /// llm-d's published calibration of Qwen-32B at tensor parallel 2).
    fn default() -> Self {
        Self {
            step_us: 12_000,
            uncached_ns: 62_783,
            cached_ns: 4_000,
            output_ns: 20_000,
            kv_ps: 60_000,
            context_double_tokens: 32_768,
        }
    }
}

/// Bounds that the core enforces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreLimits {
    /// Requests waiting per model.
    pub queue_length_max: u32,
    /// Attempts per request, the first included.
    pub attempts_max: u32,
    /// Retries for each hundred first attempts of a pool (and ten a second beside them).
    pub retry_percent_max: u32,
    /// Hedged attempts for each hundred first attempts of a pool; 0 turns hedging off.
    pub hedge_percent_max: u32,
    /// Time per output token that a batch may reach before fewer sequences share it, in milliseconds.
    pub tpot_ms_target: u64,
    /// Time to first token beyond which an answer is of no use to its caller: what cannot be served within it is refused at
    /// once, with the time after which it can. In milliseconds; 0: whoever waits, waits.
    pub ttft_ms_max: u64,
}

/// Which rules decide. The defaults are Madang's; the others stand for what peers do, to compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Who is next.
    pub share: ShareRule,
    /// Where it goes.
    pub route: RouteRule,
}

/// Who is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShareRule {
    /// Hierarchical virtual tokens, with part of each batch kept for those under their share.
    #[default]
    Madang,
    /// Virtual token counter (OSDI'24): least weighted service first; input + 2 × output tokens.
    Vtc,
    /// Deficit round robin on prompt tokens.
    Drr,
    /// One request of each tenant in turn.
    RoundRobin,
    /// First come, first served; the queue is in the engines.
    Fcfs,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The better of two by lot, by requests.
    PowerOfTwo,
    /// Rendezvous hash of the first block.
    PrefixHash,
    /// Consistent hashing with bounded loads, c = 1.25.
    Chwbl,
    /// Longest match if over 0.3 of the prompt, else the smallest cache; shortest queue where loads differ by 64 and 1.5 ×.
    CacheAware,
    /// Prefill blocks less cached ones, plus decode blocks.
    BlockCost,
}

/// Weights of those who share the pools, and on which ground. Whoever is not named here has weight 1 and no floor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shares {
    /// Weight of each programme beside the others.
    pub programmes: Vec<(ProgrammeId, u32)>,
    /// Each tenant: its programme, and its weight beside the programme's others.
    pub tenants: Vec<TenantShare>,
    /// Ground below which the data of a programme's tenants is not served, whatever policy permits.
    #[serde(default)]
    pub floors: Vec<(ProgrammeId, Zone)>,
}

/// One tenant's part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantShare {
    /// Who.
    pub tenant: TenantId,
    /// Of which programme; tenants without one stand beside the programmes.
    pub programme: Option<ProgrammeId>,
    /// Its weight.
    pub weight: u32,
}

/// Below the tenant: which of its working units, which of its keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Payer {
    /// Who is billed.
    pub tenant: TenantId,
    /// Its working unit, where the key belongs to one.
    pub project: Option<ProjectId>,
    /// The key that was shown.
    pub key: KeyId,
}

/// How a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaHealth {
    /// Serves.
    Up,
    /// Does not serve yet, and is expected to within a moment: requests wait for it.
    Starting,
    /// Does not serve.
    Down,
}
