//! A replica as people and machines outside see it.

use crate::probe::metrics::EngineLoad;
use crate::reconciler::BoardEntry;
/// Pools and shares as the core tells them, for whoever shows them.
pub use madang_core::credit::Month;
pub use madang_core::policy::Unmet;
pub use madang_core::{
    AttemptCounts, CandidateView, Explanation, MemberStatus, PolicyDecision, PoolStatus,
    ShareStatus, Taken, TenantStatus,
};
use madang_executor::State;
use madang_types::{ModelId, ReplicaId, SiteId};
use std::sync::PoisonError;

/// One replica's state.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaView {
    /// Its id.
    pub id: ReplicaId,
    /// Where it runs.
    pub site: SiteId,
    /// What it serves.
    pub model: ModelId,
    /// `up`, `down`, or a launched engine's `starting`, `backoff`, `hung`, `stopping`, `stopped`.
    pub state: &'static str,
    /// Why it is not up, or what is odd.
    pub reason: Option<String>,
    /// Whether Madang started it.
    pub launched: bool,
    /// Process id of a launched engine.
    pub pid: Option<u32>,
    /// Starts so far, the first included; 0 for `url` replicas.
    pub starts_count: u64,
    /// Where it listens.
    pub address: Option<String>,
    /// Requests of ours that run there.
    pub running: u32,
    /// Sequences at once.
    pub slots: u32,
    /// The engine's own figures.
    pub load: Option<EngineLoad>,
    /// The last lines of its log when it ended.
    pub last_lines: Vec<String>,
}

pub(crate) fn view(entry: &BoardEntry, pools: &[PoolStatus]) -> ReplicaView {
    let watched = entry
        .watched
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let status = entry.supervised.as_ref().map(|handle| handle.status());
    let plan = &entry.plan;
    let member = pools
        .iter()
        .flat_map(|pool| &pool.members)
        .find(|member| member.replica == plan.id);
    let state = match &status {
        Some(status) if status.state != State::Ready => status.state.as_str(),
        _ if watched.up => "up",
        _ => "down",
    };
    let address = match (&status, &plan.replica.at) {
        (Some(status), _) => status.address.as_ref().map(ToString::to_string),
        (None, madang_fleet::ReplicaAt::Url(url)) => Some(url.clone()),
        (None, madang_fleet::ReplicaAt::Launch(_)) => None,
    };
    ReplicaView {
        id: plan.id.clone(),
        site: plan.replica.site.clone(),
        model: plan.model_id.clone(),
        state,
        reason: watched
            .reason
            .or_else(|| status.as_ref().and_then(|s| s.reason.clone())),
        launched: status.is_some(),
        pid: status.as_ref().and_then(|s| s.pid),
        starts_count: status.as_ref().map_or(0, |s| s.starts_count),
        address,
        running: member.map_or(0, |m| m.running),
        slots: plan.replica.slots,
        load: watched.load,
        last_lines: status.map(|s| s.last_lines).unwrap_or_default(),
    }
}
