//! The decision core: pure, synchronous, deterministic. `apply(now, input, &mut effects)` and nothing else.
//!
//! It must not see a clock, randomness, a hash map's order, async or I/O, and names no wire format
//! (`clippy.toml` of this crate and `xtask tidy` hold it to that). The gateway, the twin and the tests drive
//! the same code; a recording of its inputs replays to byte-identical effects.

mod apply;
pub mod effect;
pub mod input;
pub mod policy;
pub mod queue;
pub mod recording;
pub mod route;
mod state;

pub use effect::{Effect, Refusal};
pub use input::{
    AttemptEnd, CoreLimits, FleetView, Input, Place, PoolMember, ReplicaHealth, RequestSubmit,
};
pub use state::{Core, MemberStatus, PoolStatus};
