//! A model of an inference engine: continuous batching, chunked prefill, slots, KV memory, a prefix cache with tiers.
//!
//! Time is an argument in nanoseconds; the same model runs on the twin's virtual clock and behind `madang engine` in scaled
//! real time. It must not see a clock, sockets or randomness.

mod cache;
mod lru;
mod meter;
mod model;
mod power;
mod profile;
mod roofline;
mod run;
mod server;
mod speculation;
mod split;
mod step;
#[cfg(test)]
mod tests;
mod tier;

pub use madang_core::power::model::PowerProfile;
pub use meter::{Drawn, Meter};
pub use model::{EngineEvent, EngineRequest, EngineStatus};
pub use power::{Spent, rated};
pub use profile::{PROFILES, Profile};
pub use roofline::Roofline;
pub use server::Engine;
pub use speculation::Speculation;
pub use split::{Division, KV_LINK_BYTES_S, KV_LINK_LATENCY_US, PartKind};
pub use tier::{Cached, DISK_BYTES_S, DISK_LATENCY_US, Place, Tier};
