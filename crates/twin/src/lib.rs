//! The twin: a model of engines on a virtual clock, driven by the same decision core as the live gateway.
//!
//! It must not call the gateway, open sockets or read clocks: a run is a function of its arguments and its seed.

pub mod engine;
pub mod experiment;
pub mod fidelity;
pub mod random;
pub mod scenario;
mod stats;
pub mod trace;
pub mod world;
