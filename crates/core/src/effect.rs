//! What the core asks of its driver.

use madang_types::{ReplicaId, RequestId, SiteId};
use serde::{Deserialize, Serialize};

/// One thing that the driver must do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Send the request to this replica.
    Start {
        /// Which request.
        request: RequestId,
        /// Which attempt, from 1.
        attempt: u32,
        /// Where.
        replica: ReplicaId,
        /// At which site.
        site: SiteId,
        /// Why there, in one line for the record and the response header.
        decision: String,
    },
    /// The request waits.
    Queued {
        /// Which request.
        request: RequestId,
        /// Requests before it.
        place: u32,
    },
    /// The request is refused; it holds nothing.
    Refuse {
        /// Which request.
        request: RequestId,
        /// Why.
        refusal: Refusal,
        /// When trying again makes sense, where that is known.
        retry_after_ms: Option<u64>,
    },
    /// A replica that left the fleet serves nothing any more: it may be stopped.
    Drained {
        /// Which.
        replica: ReplicaId,
    },
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No pool serves the model.
    ModelUnknown,
    /// The pool's members do not serve this endpoint.
    EndpointUnsupported,
    /// Policy allows no place for this data class.
    PolicyDenied,
    /// The pool has no healthy member.
    NoReplica,
    /// The pool's queue is full.
    QueueFull,
    /// It waited as long as it may.
    QueueTimeout,
    /// Every attempt failed.
    AttemptsExhausted,
    /// Madang is stopping.
    Draining,
}
