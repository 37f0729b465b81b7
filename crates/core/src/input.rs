//! What a driver tells the core. Flat, serialisable, complete: a recording of inputs is the whole of what happened.

use madang_types::{
    DataClass, Endpoint, ModelId, Priority, ReplicaId, RequestId, SiteId, TenantId,
};
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A fleet was loaded or reloaded: this view replaces the last whole.
    FleetApply(FleetView),
    /// A probe, a supervisor or a relay learnt how a replica is.
    ReplicaReport {
        /// Which.
        replica: ReplicaId,
        /// How it is.
        health: ReplicaHealth,
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
    },
    /// An attempt is over.
    AttemptEnd {
        /// Which request.
        request: RequestId,
        /// Which attempt, from 1.
        attempt: u32,
        /// How.
        end: AttemptEnd,
    },
    /// Madang is stopping: nothing new is admitted.
    Drain,
    /// Time went by; deadlines in the queue are looked at.
    Tick,
}

/// The fleet as the core needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetView {
    /// Everything that can serve something, by pool.
    pub members: Vec<PoolMember>,
    /// Bounds.
    pub limits: CoreLimits,
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
    /// Which doors it serves.
    pub endpoints: Vec<Endpoint>,
    /// Sequences at once.
    pub slots: u32,
    /// Where its bytes go, for the policy.
    pub place: Place,
    /// How it is until somebody reports (upstreams are up: nobody probes a stranger's API).
    pub health: ReplicaHealth,
    /// It finishes what it has, takes nothing new and comes back in another form: requests wait for it.
    pub held_back: bool,
}

/// The facts of a location that policy looks at. A missing fact is `None` and counts as the worst.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// True for a site of ours, false for a service run by others.
    pub own: bool,
    /// ISO 3166-1 country where inference happens.
    pub country: Option<String>,
    /// Country of the operator's seat.
    pub operator_country: Option<String>,
}

/// Bounds that the core enforces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreLimits {
    /// Requests waiting per model.
    pub queue_length_max: u32,
    /// Attempts per request, the first included.
    pub attempts_max: u32,
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

/// A request that wants a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSubmit {
    /// Its id.
    pub request: RequestId,
    /// Who is billed.
    pub tenant: TenantId,
    /// What it asks for.
    pub model: ModelId,
    /// Through which door.
    pub endpoint: Endpoint,
    /// Effective class.
    pub data_class: DataClass,
    /// Urgency.
    pub priority: Priority,
    /// Estimated prompt tokens.
    pub prompt_tokens: u64,
    /// Greatest number of output tokens.
    pub output_tokens_max: u64,
    /// Longest wait for a replica, from now.
    pub wait_ms_max: u64,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// The engine answered to the end (an error answer of the caller's making included).
    Done,
    /// No byte came, and another replica may be tried.
    FailedRetryable,
    /// It failed and must not be tried again (a byte was sent, or the caller's limit is reached).
    FailedFinal,
}
