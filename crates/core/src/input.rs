//! What a driver tells the core. Flat, serialisable, complete: a recording of inputs is the whole of what happened.

use crate::credit::CreditRow;
use crate::fleet_view::{FleetView, Payer, ReplicaHealth, Shares};
use crate::policy::Content;
use crate::power::governor::PowerTerms;
use madang_types::{
    DataClass, DataFlags, Endpoint, ModelId, Priority, ReplicaId, RequestId, SiteId, StopScope,
};
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A fleet was loaded or reloaded: this view replaces the last whole.
    FleetApply(FleetView),
    /// Weights changed: these replace the last whole.
    SharesApply(Shares),
    /// The books say what tenants have beside their shares: it takes the place of what they had here.
    CreditsRestore(Vec<CreditRow>),
    /// A probe, a supervisor or a relay learnt how a replica is.
    ReplicaReport {
        /// Which.
        replica: ReplicaId,
        /// How it is.
        health: ReplicaHealth,
    },
    /// An engine said how it is loaded, or that it is not the process that it was.
    ReplicaLoad {
        /// Which.
        replica: ReplicaId,
        /// What it said.
        load: EngineLoad,
    },
    /// A request wants a replica.
    RequestSubmit(RequestSubmit),
    /// The client left (waiting or served): whatever the request holds is free again.
    RequestCancel {
        /// Which.
        request: RequestId,
    },
    /// The engine's first byte came: no further attempt will be made.
    FirstByte {
        /// Which.
        request: RequestId,
        /// Which attempt; where two race, the other one is called off.
        attempt: u32,
    },
    /// A stream went on: what was charged by prediction is trued up.
    Progress {
        /// Which.
        request: RequestId,
        /// Output tokens so far.
        output_tokens: u64,
    },
    /// An attempt is over.
    AttemptEnd {
        /// Which request.
        request: RequestId,
        /// Which attempt, from 1.
        attempt: u32,
        /// How.
        end: AttemptEnd,
        /// What the engine counted, where it did.
        spent: Option<Spent>,
    },
    /// A stop switch is set or taken back: nothing new goes there, and what runs there is cut.
    StopSet {
        /// What it stops.
        scope: StopScope,
        /// Set, or taken back.
        on: bool,
    },
    /// Power is short at a site, or is not any more: what requests meet there.
    PowerSet {
        /// Where.
        site: SiteId,
        /// What they meet.
        terms: PowerTerms,
    },
    /// Madang is stopping: nothing new is admitted.
    Drain,
    /// Time went by; deadlines in the queue are looked at.
    Tick,
}

/// A request that wants a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSubmit {
    /// Its id.
    pub request: RequestId,
    /// Who is billed, by which key.
    pub payer: Payer,
    /// What it asks for.
    pub model: ModelId,
    /// Through which door.
    pub endpoint: Endpoint,
    /// Effective class.
    pub data_class: DataClass,
    /// What else its data is.
    pub flags: DataFlags,
    /// Placeholders can stand for all personal data in it. Where policy has data masked, one that is not is denied.
    pub maskable: bool,
    /// Urgency.
    pub priority: Priority,
    /// Its answer comes in pieces: its first byte will be told. Of an answer in one piece it is not.
    pub streamed: bool,
    /// Estimated prompt tokens.
    pub prompt_tokens: u64,
    /// Greatest number of output tokens.
    pub output_tokens_max: u64,
    /// Longest wait for a replica, from now.
    pub wait_ms_max: u64,
    /// What of its prompt a cache may hold.
    pub prefix: Prefix,
    /// Requests of one session are best served where the last one was.
    pub session: Option<u64>,
}

impl RequestSubmit {
    /// What its data is to the policy.
    pub(crate) fn content(&self) -> Content {
        Content {
            class: self.data_class,
            flags: self.flags,
            maskable: self.maskable,
        }
    }
}

/// A prompt's blocks by their hashes, from the first. Each hash stands for its block and all before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    /// Chained hashes of whole blocks, at most [`PREFIX_BLOCKS_MAX`].
    pub blocks: Vec<u64>,
    /// Tokens in each, estimated.
    pub block_tokens: u32,
}

/// Blocks of one prompt that are looked at: half a million tokens in blocks of 512.
pub const PREFIX_BLOCKS_MAX: usize = 1024;

/// Tokens that one request counts for at most, in its prompt and in its answer: a caller may ask for 2^64 of them and an engine may
/// say that it made as many, and neither may upset the sums.
pub(crate) const TOKENS_MAX: u64 = 1 << 24;

/// What an engine says of itself. `None` where it did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineLoad {
    /// Sequences in its batch.
    pub running: Option<u32>,
    /// Requests in its own queue.
    pub waiting: Option<u32>,
    /// Part of its KV memory in use, in thousandths.
    pub kv_permille: Option<u32>,
    /// Requests that it threw out of its batch for want of memory, ever.
    pub preemptions: Option<u64>,
    /// When its process began, seconds since 1970: another value means another process with an empty cache.
    pub started_s: Option<u64>,
}

/// What one attempt used, as the engine counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Prompt tokens, cached ones included.
    pub prompt_tokens: u64,
    /// Prompt tokens that came from a cache, where it said.
    pub cached_tokens: Option<u64>,
    /// Tokens that it made.
    pub output_tokens: u64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// The engine answered to the end (an error answer of the caller's making included).
    Done,
    /// No byte came, and another replica may be tried.
    FailedRetryable,
    /// The engine broke what it promises, and it must not be tried again (a byte was sent).
    FailedFinal,
    /// It ended for a reason of the caller's or of ours (a limit, a stop): the engine is not to blame.
    Abandoned,
}
