//! The core as seen from outside: pools, members and tenants, for metrics, `madang status` and `madang top`.

use madang_types::{ModelId, ProgrammeId, ReplicaId, SiteId, TenantId};
use serde::{Deserialize, Serialize};

/// A pool as seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// What it serves.
    pub model: Option<ModelId>,
    /// Requests waiting.
    pub waiting: u32,
    /// Its members, leaving ones included.
    pub members: Vec<MemberStatus>,
    /// Tenants that wait, run, or were served in the last minute, by name.
    pub tenants: Vec<TenantStatus>,
    /// Jain's index of service per share over the tenants that wanted more than they got, in thousandths; 1000 where
    /// at most one did.
    pub jain_permille: u32,
    /// Part of each member that is kept for tenants under their share, in thousandths.
    pub reserve_permille: u32,
    /// First attempts, retries and hedges so far.
    pub attempts: AttemptCounts,
    /// Refusals so far, by reason, in the order of [`crate::Refusal`].
    pub refusals: Vec<(crate::Refusal, u64)>,
}

/// Attempts of a pool so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptCounts {
    /// First ones.
    pub first: u64,
    /// Retries after a failure.
    pub retries: u64,
    /// Retries that the budget forbade.
    pub retries_denied: u64,
    /// Hedges.
    pub hedges: u64,
}

/// A pool member as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its id.
    pub replica: ReplicaId,
    /// Its site.
    pub site: SiteId,
    /// What it serves.
    pub model: ModelId,
    /// Whether it would take a request now, free slots apart.
    pub available: bool,
    /// Whether it left the fleet and finishes what it has.
    pub leaving: bool,
    /// Left out after failures.
    pub ejected: bool,
    /// Requests running.
    pub running: u32,
    /// Sequences at once, as the fleet says.
    pub slots: u32,
    /// Sequences at once that time per output token allows now (and a slow start after a return).
    pub slots_limit: u32,
    /// Tokens of memory that running requests are predicted to hold at their peak.
    pub kv_tokens_used: u64,
    /// Tokens of memory; `None` where nobody said.
    pub kv_tokens: Option<u64>,
    /// Prompt work that has been sent and not been answered yet, in microseconds.
    pub prefill_us: u64,
    /// Tokens that its cache is believed to hold.
    pub cached_tokens: u64,
    /// Time per output token, learnt, in microseconds.
    pub tpot_us: u64,
    /// Mean of |observed − predicted| ÷ observed over recent first tokens, in thousandths; `None` before the first.
    pub ttft_error_permille: Option<u32>,
}

/// A tenant's part in one pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantStatus {
    /// Who.
    pub tenant: TenantId,
    /// Of which programme.
    pub programme: Option<ProgrammeId>,
    /// Requests waiting.
    pub waiting: u32,
    /// Requests running.
    pub running: u32,
    /// Tokens of memory that its running requests are predicted to hold.
    pub kv_tokens: u64,
    /// Its part of the service that the pool gave in the last minute (an average that fades), in thousandths.
    pub service_permille: u32,
    /// Its part by weight among those who are active, in thousandths.
    pub share_permille: u32,
    /// Whether it wants more than its part while others want theirs.
    pub over_share: bool,
    /// Accelerator time charged so far, in microseconds.
    pub service_us: u64,
}
