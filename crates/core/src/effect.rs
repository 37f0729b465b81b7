//! What the core asks of its driver.

use crate::policy::Denial;
use madang_types::{ModelId, ReplicaId, RequestId, RuleId, SiteId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that the driver must do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Send the request to this replica. A second one without an end of the first is a hedge: the first byte wins.
    Start {
        /// Which request.
        request: RequestId,
        /// Which attempt, from 1.
        attempt: u32,
        /// Where.
        replica: ReplicaId,
        /// At which site.
        site: SiteId,
        /// Which model serves it; another one than was asked for where [`Decision::via`] says so.
        model: ModelId,
        /// Its personal data is masked first.
        masked: bool,
        /// Why there.
        decision: Decision,
    },
    /// Another attempt won, or was called off: close this one. It holds nothing any more and no end of it need be told.
    CallOff {
        /// Which request.
        request: RequestId,
        /// Which attempt.
        attempt: u32,
    },
    /// The place of an attempt was stopped after its first byte: close it at once and end the answer. The request holds nothing
    /// any more and no end of it need be told.
    Cut {
        /// Which request.
        request: RequestId,
        /// Which attempt.
        attempt: u32,
        /// What stopped it.
        denial: Denial,
    },
    /// The request waits.
    Queued {
        /// Which request.
        request: RequestId,
        /// Requests that are likely served before it.
        place: u32,
        /// Predicted wait from now, in milliseconds; `None` where nothing is known yet.
        wait_ms: Option<u64>,
    },
    /// The request is refused; it holds nothing.
    Refuse {
        /// Which request.
        request: RequestId,
        /// Why.
        refusal: Refusal,
        /// When trying again makes sense, where that is known.
        retry_after_ms: Option<u64>,
        /// Where policy denies: why, for each place that serves a model that it may have,
        /// [`crate::policy::DENIALS_MAX`] at most.
        denials: Vec<Denial>,
    },
    /// A replica that left the fleet serves nothing any more: it may be stopped.
    Drained {
        /// Which.
        replica: ReplicaId,
    },
}

/// Why a request went where it went. Written out, one line for the record and the response header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The policy rule that allowed the place, or had it masked.
    pub rule: RuleId,
    /// Why it, of all allowed.
    pub reason: RouteReason,
    /// Members that could have served it.
    pub candidates: u32,
    /// Predicted time from now to the first token, in microseconds.
    pub ttft_us: u64,
    /// Prompt tokens that its cache is believed to hold.
    pub cached_tokens: u64,
    /// What was asked for, where another model serves it.
    pub via: Option<Via>,
}

/// How a request came to a model that it did not ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// It asked for a name that leads to several models: this one.
    Virtual(ModelId),
    /// It asked for this model, which policy denies, and whose rules name the other one instead.
    Reroute(ModelId),
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Virtual(asked) => write!(f, "virtual:{asked}"),
            Self::Reroute(asked) => write!(f, "reroute:{asked}"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            reason,
            candidates,
            ttft_us,
            cached_tokens,
            via,
        } = self;
        let reason = reason.as_str();
        let ttft_ms = ttft_us.div_ceil(1000);
        write!(
            f,
            "{rule} {reason} 1/{candidates} ttft={ttft_ms}ms cached={cached_tokens}"
        )?;
        via.as_ref().map_or(Ok(()), |via| write!(f, " {via}"))
    }
}

/// Why one of several allowed members was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteReason {
    /// Its first token is predicted to come first.
    LeastTtft,
    /// First tokens are predicted alike; its last token comes first.
    LeastCompletion,
    /// The session was there before, and it is about as good.
    Session,
    /// A second attempt beside one that is late.
    Hedge,
    /// The place for long prompts of those over their share.
    LongLane,
    /// A rule to compare with.
    Baseline,
}

impl RouteReason {
    /// The word that stands for it in headers and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeastTtft => "least-ttft",
            Self::LeastCompletion => "least-completion",
            Self::Session => "session",
            Self::Hedge => "hedge",
            Self::LongLane => "long-lane",
            Self::Baseline => "baseline",
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Nothing serves the model, and no other model has that name.
    ModelUnknown,
    /// The pool's members do not serve this endpoint.
    EndpointUnsupported,
    /// Policy allows no place for this data class.
    PolicyDenied,
    /// The pool has no healthy member.
    NoReplica,
    /// The pool's queue is full, and nobody in it stands behind this one.
    QueueFull,
    /// It waited as long as it may.
    QueueTimeout,
    /// It would wait longer than its answer is of use.
    Overloaded,
    /// It waited, and gave its place to a more urgent one, or to one of a tenant that has had less.
    Shed,
    /// Power is short wherever it could be served, and more urgent requests have what there is.
    PowerShort,
    /// Every attempt failed, or the pool's retries are used up.
    AttemptsExhausted,
    /// Madang is stopping.
    Draining,
}
