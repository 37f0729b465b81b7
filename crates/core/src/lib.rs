//! The decision core: pure, synchronous, deterministic. `apply(now, input, &mut effects)` and nothing else.
//!
//! It must not see a clock, randomness, a hash map's order, async or I/O, and names no wire format
//! (`clippy.toml` of this crate and `xtask tidy` hold it to that). The gateway, the twin and the tests drive
//! the same code; a recording of its inputs replays to byte-identical effects.

mod apply;
pub mod budget;
pub mod credit;
pub mod desk;
pub mod effect;
mod explain;
pub mod fleet_view;
pub mod flex;
mod grant;
pub mod input;
mod invariants;
pub mod jobs;
mod learn;
mod lookup;
mod member;
mod overload;
pub mod policy;
pub mod power;
pub mod rate;
pub mod recording;
mod request;
mod route;
mod session;
mod share;
mod state;
mod status;

pub use credit::{CreditRow, CreditTerms, Holder};
pub use effect::{Decision, Effect, Refusal, RouteReason, Via};
pub use explain::{CandidateView, Explanation, Taken};
pub use fleet_view::{
    CoreLimits, EngineCosts, FleetView, Payer, PoolMember, ReplicaHealth, RouteRule, Rules,
    ShareRule, Shares, TenantShare, VirtualCandidate, VirtualModel,
};
pub use grant::Grant;
pub use input::{AttemptEnd, EngineLoad, Input, PREFIX_BLOCKS_MAX, Prefix, RequestSubmit, Spent};
pub use policy::{Denial, PolicyDecision, PolicyTable};
pub use state::Core;
pub use status::{AttemptCounts, MemberStatus, PoolStatus, ShareStatus, TenantStatus};
