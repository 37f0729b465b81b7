//! The decision core: pure, synchronous, deterministic. `apply(now, input, &mut effects)` and nothing else.
//!
//! It must not see a clock, randomness, a hash map's order, async or I/O, and names no wire format
//! (`clippy.toml` of this crate and `xtask tidy` hold it to that). The gateway, the twin and the tests drive
//! the same code; a recording of its inputs replays to byte-identical effects.

mod apply;
pub mod effect;
pub mod fleet_view;
pub mod input;
pub mod policy;
pub mod queue;
pub mod recording;
pub mod route;
mod state;
pub mod status;

pub use effect::{Decision, Effect, Refusal, RouteReason};
pub use fleet_view::*;
pub use input::{AttemptEnd, EngineLoad, Input, PREFIX_BLOCKS_MAX, Prefix, RequestSubmit, Spent};
pub use state::Core;
pub use status::*;
