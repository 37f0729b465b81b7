//! The core as seen from outside: pools, members and tenants, for metrics, `madang status` and `madang top`.

use crate::credit::{Account, Month};
use crate::learn::{rounded, whole};
use crate::power::model::WHOLE_MILLI;
use crate::request::MemberIndex;
use crate::share::{Name, Node};
use crate::state::{Core, Pool};
use madang_types::{Micros, ModelId, ProgrammeId, ReplicaId, SiteId, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// Slow prompts that were called off so that others came in time.
    pub preempted: u64,
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
    /// Of them those that take what others leave.
    pub running_rest: u32,
    /// Sequences at once, as the fleet says.
    pub slots: u32,
    /// Sequences at once that time per output token allows now (and a slow start after a return); 0 where it rests, as power is short.
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
    /// The same with credit counted.
    pub lean_permille: u32,
    /// Service of the last minute ÷ its part by weight, in thousandths, of who has had requests waiting all that time.
    pub promise_permille: Option<u32>,
    /// Whether it wants more than its part while others want theirs.
    pub over_share: bool,
    /// Accelerator time charged so far, in microseconds.
    pub service_us: u64,
}

/// Service of the last minute below which a tenant that neither waits nor runs is not listed, in microseconds a second.
const LISTED_US_MIN: f64 = 1.0;
/// Whoever has had requests waiting for that long is backlogged.
const MINUTE_US: i64 = 60_000_000;

/// What a tenant has beside its share, over all pools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareStatus {
    /// Who.
    pub tenant: TenantId,
    /// Of which programme.
    pub programme: Option<ProgrammeId>,
    /// Its part by weight of everything that there is, in millionths.
    pub part_ppm: u32,
    /// Credit, or debt where below zero, in microseconds of one accelerator.
    pub balance_us: i64,
    /// What its share may become by that, in thousandths of itself.
    pub reach_permille: u32,
    /// The civil month so far.
    pub month: Month,
}

impl Core {
    /// Every tenant that has a share, in the order of their names.
    pub fn shares(&self) -> Vec<ShareStatus> {
        let status = |(tenant, account): (&TenantId, &Account)| ShareStatus {
            tenant: tenant.clone(),
            programme: account.programme.clone(),
            part_ppm: u32::try_from(rounded(account.part * 1e6)).unwrap_or(u32::MAX),
            balance_us: account.balance_us as i64,
            reach_permille: u32::try_from(rounded(self.credits.factor_of(account) * 1000.0 + 0.5))
                .unwrap_or(u32::MAX),
            month: account.month,
        };
        self.credits.accounts().map(status).collect()
    }

    /// Every pool, member and tenant, in the order of their names.
    pub fn status(&self, now: Micros) -> Vec<PoolStatus> {
        let mut pools: Vec<PoolStatus> = self
            .pool_indices()
            .into_iter()
            .filter_map(|index| {
                let pool = self.pool(index)?;
                Some(self.pool_status(now, pool))
            })
            .collect();
        pools.sort_by(|one, other| one.model.cmp(&other.model));
        pools
    }

    fn pool_status(&self, now: Micros, pool: &Pool) -> PoolStatus {
        let tenants = pool.tenant_status(now);
        let mut members: Vec<MemberStatus> = pool
            .members
            .iter()
            .filter_map(|index| self.member_status(now, pool, *index))
            .collect();
        members.sort_by(|one, other| one.replica.cmp(&other.replica));
        let slots = members
            .iter()
            .map(|member| member.slots_limit)
            .max()
            .unwrap_or(0);
        PoolStatus {
            model: Some(pool.model.clone()),
            waiting: pool.tree.waiting(),
            members,
            jain_permille: jain_permille(&tenants),
            tenants,
            reserve_permille: pool.guard.reserve_slots * 1000 / slots.max(1),
            attempts: pool.counts,
            refusals: pool
                .refusals
                .iter()
                .map(|(refusal, count)| (*refusal, *count))
                .collect(),
        }
    }

    fn member_status(&self, now: Micros, pool: &Pool, index: MemberIndex) -> Option<MemberStatus> {
        let member = self.member(index)?;
        Some(MemberStatus {
            replica: member.view.replica.clone(),
            site: member.view.site.clone(),
            model: member.view.model.clone(),
            available: member.available(now),
            leaving: member.leaving,
            ejected: member.breaker.is_open(now),
            running: member.running_count(),
            running_rest: self.rest_count(member),
            slots: member.view.slots,
            slots_limit: member.slots_limit(),
            kv_tokens_used: member.account.kv_tokens,
            kv_tokens: member.view.kv_tokens,
            prefill_us: member.account.outstanding_us(now),
            cached_tokens: pool.prefix.tokens(index),
            tpot_us: member.speed.tpot_us(),
            ttft_error_permille: member.speed.error_permille(),
        })
    }
}

impl MemberStatus {
    /// What of its sequences takes what others leave, in thousandths.
    pub fn rest_milli(&self) -> u32 {
        self.running_rest * WHOLE_MILLI / self.running.max(1)
    }

    /// It has done what it had and takes nothing, as others serve in its place while power is short.
    pub fn rests(&self) -> bool {
        self.slots_limit == 0 && self.running == 0
    }
}

impl TenantStatus {
    /// One tenant in two programmes, as it was moved from one to the other: it stands where it asks.
    fn beside(self, other: Self) -> Self {
        let asks = |status: &Self| (status.waiting + status.running, status.share_permille);
        let (now, before) = match asks(&self) >= asks(&other) {
            true => (self, other),
            false => (other, self),
        };
        Self {
            waiting: now.waiting + before.waiting,
            running: now.running + before.running,
            kv_tokens: now.kv_tokens.saturating_add(before.kv_tokens),
            service_us: now.service_us.saturating_add(before.service_us),
            ..now
        }
    }
}

impl Pool {
    fn tenant_status(&self, now: Micros) -> Vec<TenantStatus> {
        let mut known: BTreeMap<TenantId, (TenantStatus, f64, bool)> = BTreeMap::new();
        for (index, node) in self.tree.tenants() {
            let (above, _) = self.tree.weights(index);
            let programme = above
                .and_then(|(above, _)| self.tree.node(above))
                .and_then(programme_of);
            let (Name::Tenant(tenant), Some(usage)) = (&node.name, node.usage.as_deref()) else {
                continue;
            };
            let rate = usage.service.per_second(now.0);
            let (waiting, running) = (node.waiting_total(), node.running);
            if waiting == 0 && running == 0 && rate < LISTED_US_MIN {
                continue;
            }
            let backlogged = waiting > 0 && now.0.saturating_sub(usage.unbacked_us) >= MINUTE_US;
            let status = TenantStatus {
                tenant: tenant.clone(),
                programme,
                waiting,
                running,
                kv_tokens: usage.kv_tokens,
                service_permille: 0,
                share_permille: usage.share_permille,
                lean_permille: usage.lean_permille,
                promise_permille: None,
                over_share: usage.over,
                service_us: usage.service_us,
            };
            match known.remove(tenant) {
                None => drop(known.insert(tenant.clone(), (status, rate, backlogged))),
                Some((other, other_rate, other_backlogged)) => {
                    let both = status.beside(other);
                    let (rate, backlogged) = (rate + other_rate, backlogged || other_backlogged);
                    known.insert(tenant.clone(), (both, rate, backlogged));
                }
            }
        }
        let service: Vec<(f64, bool)> = known
            .values()
            .map(|(_, rate, backlogged)| (*rate, *backlogged))
            .collect();
        let mut tenants: Vec<TenantStatus> =
            known.into_values().map(|(status, ..)| status).collect();
        let total: f64 = service.iter().map(|(rate, _)| rate).sum();
        for (tenant, (rate, backlogged)) in tenants.iter_mut().zip(service) {
            let part = if total > 0.0 {
                rate.max(0.0) / total
            } else {
                0.0
            };
            tenant.service_permille = u32::try_from(rounded(part * 1000.0)).unwrap_or(1000);
            let share = f64::from(tenant.share_permille.max(1));
            let promise = u32::try_from(rounded(part * 1e6 / share)).unwrap_or(u32::MAX);
            tenant.promise_permille = backlogged.then_some(promise);
        }
        tenants
    }
}

fn programme_of(node: &Node) -> Option<ProgrammeId> {
    match &node.name {
        Name::Programme(programme) => Some(programme.clone()),
        _ => None,
    }
}

/// Jain's index, (Σx)² ÷ n·Σx², of service per share over those who wait or are over.
fn jain_permille(tenants: &[TenantStatus]) -> u32 {
    let wanting: Vec<f64> = tenants
        .iter()
        .filter(|tenant| tenant.waiting > 0 || tenant.over_share)
        .map(|tenant| f64::from(tenant.service_permille) / f64::from(tenant.share_permille.max(1)))
        .collect();
    let sum: f64 = wanting.iter().sum();
    let squares: f64 = wanting.iter().map(|x| x * x).sum();
    if wanting.len() < 2 || squares <= 0.0 {
        return 1000;
    }
    let count = whole(u64::try_from(wanting.len()).unwrap_or(1));
    u32::try_from(rounded(sum * sum * 1000.0 / (count * squares))).unwrap_or(1000)
}
