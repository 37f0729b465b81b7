//! Probes of engines: are they there, what do they serve, how loaded are they.
//!
//! [`http`] asks one engine once, [`metrics`] reads its load from what it exposes, [`health`] turns
//! answers into "up" and "down", [`process`] notices an engine that began anew. Nothing here starts, stops or routes.

pub mod health;
pub mod http;
pub mod metrics;
pub mod process;

pub use health::{Change, Health};
pub use http::{Answer, Probe, ProbeHttp, Served, probe};
pub use metrics::{EngineLoad, parse_load};
pub use process::{Process, for_core};
