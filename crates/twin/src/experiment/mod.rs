//! Experiments that anybody can repeat: noisy neighbours, routing, overload, speed.

pub mod noisy;
pub mod route;
mod stats;

pub use stats::percentile;
