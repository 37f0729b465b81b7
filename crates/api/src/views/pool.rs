//! Pools as the core sees them: who waits, who has how much, where it runs.

use madang_control::view::{AttemptCounts, MemberStatus, PoolStatus, TenantStatus};
use madang_gateway::refused::code_of;
use serde::Serialize;
use utoipa::ToSchema;

/// What serves one model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolView {
    /// The model.
    model: String,
    /// Requests that wait.
    waiting: u32,
    /// Jain's index of service per share over the tenants that want more than they got, 0 to 1; 1 where at most one does.
    jain_ratio: f64,
    /// Part of each member that is kept for tenants under their share, 0 to 1.
    reserve_ratio: f64,
    /// Attempts so far.
    attempts: AttemptsView,
    /// Refusals so far, by the code of the error.
    refusals: Vec<RefusalsView>,
    /// Tenants that wait, run, or were served in the last minute.
    tenants: Vec<TenantPartView>,
    /// Replicas and upstreams.
    members: Vec<MemberView>,
}

/// Attempts of a pool since it was loaded.
#[derive(Debug, Serialize, ToSchema)]
struct AttemptsView {
    /// First ones.
    first: u64,
    /// Retries after a failure.
    retry: u64,
    /// Retries that the budget forbade.
    retry_denied: u64,
    /// Second attempts beside one that was late.
    hedge: u64,
    /// Slow prompts that were called off before their first byte so that others came in time; each is attempted anew.
    preempted: u64,
}

/// Refusals of one kind.
#[derive(Debug, Serialize, ToSchema)]
struct RefusalsView {
    /// The code of the error.
    #[schema(value_type = String)]
    reason: &'static str,
    /// How many.
    count: u64,
}

/// A tenant's part in one pool.
#[derive(Debug, Serialize, ToSchema)]
struct TenantPartView {
    /// Who.
    tenant: String,
    /// Of which programme.
    programme: Option<String>,
    /// Requests waiting.
    waiting: u32,
    /// Requests running.
    running: u32,
    /// Tokens of memory that its running requests are predicted to hold.
    kv_tokens: u64,
    /// Its part of the pool's service in the last minute, 0 to 1.
    service_ratio: f64,
    /// Its part by weight among those who are active, 0 to 1.
    share_ratio: f64,
    /// The same with credit and debt counted.
    share_with_credit_ratio: f64,
    /// Service of the last minute over its part by weight; null where it did not have requests waiting all that time.
    promise_ratio: Option<f64>,
    /// Whether it wants more than its part while others want theirs.
    over_share: bool,
    /// Accelerator time charged so far, in microseconds.
    service_us: u64,
}

/// A replica or upstream in a pool.
#[derive(Debug, Serialize, ToSchema)]
struct MemberView {
    /// Its id.
    replica: String,
    /// Its site.
    site: String,
    /// Whether it would take a request now, free slots apart.
    available: bool,
    /// Whether it left the fleet and finishes what it has.
    leaving: bool,
    /// Whether it is left out for a while after failures.
    ejected: bool,
    /// Requests running.
    running: u32,
    /// Sequences at once, as the fleet says.
    slots: u32,
    /// Sequences that it is given at once now.
    slots_limit: u32,
    /// Tokens of memory that running requests are predicted to hold at their peak.
    kv_tokens_used: u64,
    /// Tokens of memory, where the fleet says so.
    kv_tokens: Option<u64>,
    /// Prompt work that was sent and is not answered yet, in microseconds.
    prefill_us: u64,
    /// Tokens that its prefix cache is believed to hold.
    cached_tokens: u64,
    /// Time per output token, as learnt, in microseconds.
    tpot_us: u64,
    /// Mean error of the predicted time to first token over the observed one; null before the first.
    ttft_error_ratio: Option<f64>,
}

fn ratio(permille: u32) -> f64 {
    f64::from(permille) / 1000.0
}

impl From<PoolStatus> for PoolView {
    fn from(pool: PoolStatus) -> Self {
        let PoolStatus {
            model,
            waiting,
            members,
            tenants,
            jain_permille,
            reserve_permille,
            attempts,
            refusals,
        } = pool;
        let refusals = refusals.into_iter().map(|(refusal, count)| RefusalsView {
            reason: code_of(refusal).as_str(),
            count,
        });
        Self {
            model: model.map(|id| id.to_string()).unwrap_or_default(),
            waiting,
            jain_ratio: ratio(jain_permille),
            reserve_ratio: ratio(reserve_permille),
            attempts: attempts.into(),
            refusals: refusals.collect(),
            tenants: tenants.into_iter().map(Into::into).collect(),
            members: members.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<AttemptCounts> for AttemptsView {
    fn from(counts: AttemptCounts) -> Self {
        let AttemptCounts {
            first,
            retries,
            retries_denied,
            hedges,
            preempted,
        } = counts;
        Self {
            first,
            retry: retries,
            retry_denied: retries_denied,
            hedge: hedges,
            preempted,
        }
    }
}

impl From<TenantStatus> for TenantPartView {
    fn from(part: TenantStatus) -> Self {
        let TenantStatus {
            tenant,
            programme,
            waiting,
            running,
            kv_tokens,
            service_permille,
            share_permille,
            lean_permille,
            promise_permille,
            over_share,
            service_us,
        } = part;
        Self {
            tenant: tenant.to_string(),
            programme: programme.map(|id| id.to_string()),
            waiting,
            running,
            kv_tokens,
            service_ratio: ratio(service_permille),
            share_ratio: ratio(share_permille),
            share_with_credit_ratio: ratio(lean_permille),
            promise_ratio: promise_permille.map(ratio),
            over_share,
            service_us,
        }
    }
}

impl From<MemberStatus> for MemberView {
    fn from(member: MemberStatus) -> Self {
        let MemberStatus {
            replica,
            site,
            // The pool's.
            model: _,
            available,
            leaving,
            ejected,
            running,
            running_rest: _,
            slots,
            slots_limit,
            kv_tokens_used,
            kv_tokens,
            prefill_us,
            cached_tokens,
            tpot_us,
            ttft_error_permille,
        } = member;
        Self {
            replica: replica.to_string(),
            site: site.to_string(),
            available,
            leaving,
            ejected,
            running,
            slots,
            slots_limit,
            kv_tokens_used,
            kv_tokens,
            prefill_us,
            cached_tokens,
            tpot_us,
            ttft_error_ratio: ttft_error_permille.map(ratio),
        }
    }
}
