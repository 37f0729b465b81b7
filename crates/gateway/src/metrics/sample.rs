//! Gauges and counters of the fleet as it is at a scrape, most of them from the core's own account of it. Series of removed
//! replicas, and of tenants that went quiet, end with the sample that no longer has them.

use super::label::{Bounded, Label};
use super::{ModelLabels, seconds};
use crate::refused::code_of;
use arc_swap::ArcSwap;
use madang_core::{AttemptCounts, MemberStatus, PoolStatus, ShareStatus, TenantStatus};
use madang_types::{ModelId, ReplicaId, SiteId, TenantId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

/// The fleet at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetSample {
    /// All pools, as the core sees them.
    pub pools: Vec<PoolStatus>,
    /// What every tenant has beside its share.
    pub shares: Vec<ShareStatus>,
    /// All replicas, as the control plane sees them.
    pub replicas: Vec<ReplicaSample>,
}

/// A replica at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSample {
    /// Its name.
    pub replica: ReplicaId,
    /// Where it runs.
    pub site: SiteId,
    /// What it serves.
    pub model: ModelId,
    /// Whether requests may be sent to it.
    pub up: bool,
    /// How often it was started again.
    pub restarts: u64,
    /// Whether the engine told its load at the last probe.
    pub engine_tells: bool,
    /// Sequences that the engine says it runs.
    pub engine_running: Option<u64>,
    /// Sequences that the engine says wait in it.
    pub engine_waiting: Option<u64>,
    /// Share of its KV cache that the engine says is used, 0 to 1.
    pub kv_used_ratio: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    model: Label<ModelId>,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    model: Label<ModelId>,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabels {
    model: Label<ModelId>,
    tenant: Label<TenantId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShareLabels {
    tenant: Label<TenantId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplicaLabels {
    model: Label<ModelId>,
    replica: Label<ReplicaId>,
    site: Label<SiteId>,
}

/// A gauge: its name, what it is, and how it is read where it is known.
type Gauge<T> = (&'static str, &'static str, fn(&T) -> Option<f64>);

const POOL_GAUGES: &[Gauge<PoolStatus>] = &[
    (
        "madang_requests_waiting",
        "Requests waiting for a replica.",
        |pool| Some(f64::from(pool.waiting)),
    ),
    (
        "madang_fairness_jain_ratio",
        "Jain's index of service per share over the tenants that want more, 0 to 1; 1 is fair.",
        |pool| ratio(pool.jain_permille),
    ),
    (
        "madang_reserve_ratio",
        "Part of each replica that is kept for tenants under their share, 0 to 1.",
        |pool| ratio(pool.reserve_permille),
    ),
];

/// A tenant's figures in one pool; those of tenants beyond the bound are added up.
#[derive(Default)]
struct TenantRow {
    waiting: f64,
    running: f64,
    kv_tokens: f64,
    service_ratio: f64,
    share_ratio: f64,
    lean_ratio: f64,
    /// The least of several.
    promise_ratio: Option<f64>,
    over_share: f64,
    service_us: u64,
}

impl TenantRow {
    fn add(&mut self, tenant: &TenantStatus) {
        self.waiting += f64::from(tenant.waiting);
        self.running += f64::from(tenant.running);
        self.kv_tokens += tenant.kv_tokens as f64;
        self.service_ratio += f64::from(tenant.service_permille) / 1000.0;
        self.share_ratio += f64::from(tenant.share_permille) / 1000.0;
        self.lean_ratio += f64::from(tenant.lean_permille) / 1000.0;
        let promise = tenant.promise_permille.and_then(ratio);
        let least = [self.promise_ratio, promise].into_iter().flatten();
        self.promise_ratio = least.reduce(f64::min);
        self.over_share += f64::from(u8::from(tenant.over_share));
        self.service_us = self.service_us.saturating_add(tenant.service_us);
    }
}

const TENANT_GAUGES: &[Gauge<TenantRow>] = &[
    (
        "madang_tenant_requests_waiting",
        "Requests of a tenant that wait for a model.",
        |row| Some(row.waiting),
    ),
    (
        "madang_tenant_requests_running",
        "Requests of a tenant that run.",
        |row| Some(row.running),
    ),
    (
        "madang_tenant_kv_tokens",
        "Tokens of memory that a tenant's running requests are predicted to hold.",
        |row| Some(row.kv_tokens),
    ),
    (
        "madang_tenant_service_ratio",
        "A tenant's part of the model's service in the last minute, 0 to 1.",
        |row| Some(row.service_ratio),
    ),
    (
        "madang_tenant_share_ratio",
        "A tenant's part by weight among those who are active, 0 to 1.",
        |row| Some(row.share_ratio),
    ),
    (
        "madang_tenant_share_with_credit_ratio",
        "The same with credit and debt counted.",
        |row| Some(row.lean_ratio),
    ),
    (
        "madang_tenant_promise_ratio",
        "Service of the last minute over the part by weight, of a tenant that had requests waiting all that time.",
        |row| row.promise_ratio,
    ),
    (
        "madang_tenant_over_share",
        "1 where a tenant wants more than its part while others want theirs.",
        |row| Some(row.over_share),
    ),
];

const SHARE_GAUGES: &[Gauge<ShareStatus>] = &[
    (
        "madang_tenant_credit_seconds",
        "Accelerator time that a tenant left to others and has not had back; below zero what it owes them.",
        |share| Some(share.balance_us as f64 / 1e6),
    ),
    (
        "madang_tenant_month_delivered_seconds",
        "Accelerator time charged to a tenant in this month.",
        |share| Some(seconds(share.month.delivered_us)),
    ),
    (
        "madang_tenant_month_promised_seconds",
        "Its share of what there was in this month, or what it asked for, where that is less.",
        |share| Some(seconds(share.month.promised_us())),
    ),
];

const MEMBER_GAUGES: &[Gauge<MemberStatus>] = &[
    (
        "madang_requests_running",
        "Requests sent to a replica and not ended.",
        |m| Some(f64::from(m.running)),
    ),
    (
        "madang_replica_slots",
        "Sequences that the replica may run at once.",
        |m| Some(f64::from(m.slots)),
    ),
    (
        "madang_replica_slots_limit",
        "Sequences that it is given at once now, by its time per output token.",
        |m| Some(f64::from(m.slots_limit)),
    ),
    (
        "madang_replica_kv_tokens_used",
        "Tokens of memory that running requests are predicted to hold at their peak.",
        |m| Some(m.kv_tokens_used as f64),
    ),
    (
        "madang_replica_kv_tokens",
        "Tokens of memory, where the fleet says so.",
        |m| m.kv_tokens.map(|tokens| tokens as f64),
    ),
    (
        "madang_replica_prefill_seconds",
        "Prompt work that was sent and is not answered yet.",
        |m| Some(seconds(m.prefill_us)),
    ),
    (
        "madang_replica_cached_tokens",
        "Tokens that its prefix cache is believed to hold.",
        |m| Some(m.cached_tokens as f64),
    ),
    (
        "madang_replica_tpot_seconds",
        "Time per output token, as learnt.",
        |m| Some(seconds(m.tpot_us)),
    ),
    (
        "madang_replica_ttft_error_ratio",
        "Mean error of the predicted time to first token over the observed one; absent before the first.",
        |m| m.ttft_error_permille.and_then(ratio),
    ),
    (
        "madang_replica_ejected",
        "1 where it is left out for a while after failures.",
        |m| flag(m.ejected),
    ),
    (
        "madang_replica_available",
        "1 where it would take a request, free slots apart.",
        |m| flag(m.available),
    ),
];

const REPLICA_GAUGES: &[Gauge<ReplicaSample>] = &[
    (
        "madang_replica_up",
        "1 where requests may be sent to the replica.",
        |r| flag(r.up),
    ),
    (
        "madang_engine_metrics_up",
        "1 where the engine told its load at the last probe.",
        |r| flag(r.engine_tells),
    ),
    (
        "madang_engine_requests_running",
        "Sequences that the engine says it runs.",
        |r| r.engine_running.map(|count| count as f64),
    ),
    (
        "madang_engine_requests_waiting",
        "Sequences that the engine says wait in it.",
        |r| r.engine_waiting.map(|count| count as f64),
    ),
    (
        "madang_engine_kv_used_ratio",
        "Share of the engine's KV cache in use, 0 to 1.",
        |r| r.kv_used_ratio,
    ),
];

fn ratio(permille: u32) -> Option<f64> {
    Some(f64::from(permille) / 1000.0)
}

fn flag(on: bool) -> Option<f64> {
    Some(f64::from(u8::from(on)))
}

/// Writes the latest sample.
#[derive(Debug)]
pub(super) struct SampleCollector {
    fleet: Arc<ArcSwap<FleetSample>>,
    tenants: Arc<Bounded<TenantId>>,
}

impl SampleCollector {
    pub(super) fn new(fleet: Arc<ArcSwap<FleetSample>>, tenants: Arc<Bounded<TenantId>>) -> Self {
        Self { fleet, tenants }
    }

    /// Every tenant with a label of its own, and one row for the others.
    fn tenant_rows(&self, pools: &[PoolStatus]) -> Vec<(TenantLabels, TenantRow)> {
        let mut rows = Vec::new();
        for pool in pools {
            let mut others = None;
            for tenant in &pool.tenants {
                let label = self.tenants.label(&tenant.tenant);
                if label == Label::Other {
                    others.get_or_insert_with(TenantRow::default).add(tenant);
                    continue;
                }
                let mut row = TenantRow::default();
                row.add(tenant);
                rows.push((tenant_labels(pool, label), row));
            }
            if let Some(row) = others {
                rows.push((tenant_labels(pool, Label::Other), row));
            }
        }
        rows
    }
}

impl SampleCollector {
    /// Tenants that asked for anything this month, as far as they have labels of their own: no sum of the others means anything.
    fn share_rows<'a>(&self, shares: &'a [ShareStatus]) -> Vec<(ShareLabels, &'a ShareStatus)> {
        let asked = shares.iter().filter(|share| share.month.asked_us > 0);
        let rows = asked.map(|share| {
            let tenant = self.tenants.label(&share.tenant);
            (ShareLabels { tenant }, share)
        });
        rows.filter(|(labels, _)| labels.tenant != Label::Other)
            .collect()
    }
}

fn model(pool: &PoolStatus) -> Label<ModelId> {
    pool.model.clone().map_or(Label::None, Label::Known)
}

fn tenant_labels(pool: &PoolStatus, tenant: Label<TenantId>) -> TenantLabels {
    TenantLabels {
        model: model(pool),
        tenant,
    }
}

fn replica_labels(replica: &ReplicaId, (model, site): (&ModelId, &SiteId)) -> ReplicaLabels {
    ReplicaLabels {
        model: Label::Known(model.clone()),
        replica: Label::Known(replica.clone()),
        site: Label::Known(site.clone()),
    }
}

impl Collector for SampleCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let fleet = self.fleet.load();
        let pools = || fleet.pools.iter();
        let by_model = |pool| ModelLabels { model: model(pool) };
        let members = || pools().flat_map(|pool| &pool.members);
        let tenants = self.tenant_rows(&fleet.pools);
        let tenants = || tenants.iter().map(|(labels, row)| (labels.clone(), row));
        let replica = |r: &ReplicaSample| replica_labels(&r.replica, (&r.model, &r.site));
        let member = |m: &MemberStatus| replica_labels(&m.replica, (&m.model, &m.site));
        let replicas = || fleet.replicas.iter().map(|r| (replica(r), r));
        gauges(&mut encoder, POOL_GAUGES, || {
            pools().map(|p| (by_model(p), p))
        })?;
        gauges(&mut encoder, TENANT_GAUGES, tenants)?;
        let shares = self.share_rows(&fleet.shares);
        gauges(&mut encoder, SHARE_GAUGES, || {
            shares
                .iter()
                .map(|(labels, share)| (labels.clone(), *share))
        })?;
        gauges(&mut encoder, MEMBER_GAUGES, || {
            members().map(|m| (member(m), m))
        })?;
        gauges(&mut encoder, REPLICA_GAUGES, replicas)?;
        pool_counters(&mut encoder, &fleet.pools)?;
        let help = "Accelerator time charged to a tenant for a model.";
        let mut service = counters(&mut encoder, "madang_tenant_service_seconds", help)?;
        for (labels, row) in tenants() {
            let mut family = service.encode_family(&labels)?;
            family.encode_counter::<NoLabelSet, f64, f64>(&seconds(row.service_us), None)?;
        }
        let help = "Times that the replica was started again.";
        let mut restarts = counters(&mut encoder, "madang_replica_restarts", help)?;
        for (labels, replica) in replicas() {
            count(&mut restarts, &labels, replica.restarts)?;
        }
        Ok(())
    }
}

/// Writes every gauge of a list for everything that it is read of.
fn gauges<'a, T: 'a, L: EncodeLabelSet, I: Iterator<Item = (L, &'a T)>>(
    encoder: &mut DescriptorEncoder<'_>,
    list: &[Gauge<T>],
    rows: impl Fn() -> I,
) -> fmt::Result {
    for (name, help, read) in list {
        let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, row) in rows() {
            if let Some(value) = read(row) {
                gauge.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
    }
    Ok(())
}

/// A counter of attempts: its name, what it is, and how it is read.
type Counter = (&'static str, &'static str, fn(&AttemptCounts) -> u64);

/// Counters of a pool without further labels.
const POOL_COUNTERS: [Counter; 2] = [
    (
        "madang_retries_denied",
        "Retries that the budget of retries forbade.",
        |made| made.retries_denied,
    ),
    (
        "madang_prompts_preempted",
        "Slow prompts called off before their first byte so that others came in time.",
        |made| made.preempted,
    ),
];

fn pool_counters(encoder: &mut DescriptorEncoder<'_>, pools: &[PoolStatus]) -> fmt::Result {
    let help = "Attempts made on replicas: first ones, retries after a failure, hedges.";
    let mut attempts = counters(encoder, "madang_attempts", help)?;
    for pool in pools {
        let made = pool.attempts;
        for (kind, value) in [
            ("first", made.first),
            ("retry", made.retries),
            ("hedge", made.hedges),
        ] {
            let model = model(pool);
            count(&mut attempts, &AttemptLabels { model, kind }, value)?;
        }
    }
    for (name, help, read) in POOL_COUNTERS {
        let mut counter = counters(encoder, name, help)?;
        for pool in pools {
            let model = model(pool);
            count(&mut counter, &ModelLabels { model }, read(&pool.attempts))?;
        }
    }
    let help = "Requests refused, by the code of the error.";
    let mut refusals = counters(encoder, "madang_refusals", help)?;
    for pool in pools {
        for (refusal, value) in &pool.refusals {
            let reason = code_of(*refusal).as_str();
            let model = model(pool);
            count(&mut refusals, &RefusalLabels { model, reason }, *value)?;
        }
    }
    Ok(())
}

fn counters<'a>(
    encoder: &'a mut DescriptorEncoder<'_>,
    name: &'a str,
    help: &str,
) -> Result<MetricEncoder<'a>, fmt::Error> {
    encoder.encode_descriptor(name, help, None, MetricType::Counter)
}

fn count(encoder: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, value: u64) -> fmt::Result {
    encoder
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, u64, f64>(&value, None)
}
