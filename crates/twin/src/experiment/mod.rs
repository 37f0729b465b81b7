//! Experiments that anybody can repeat: noisy neighbours, routing, overload, speed.

pub mod crowd;
pub mod noisy;
pub mod overload;
pub mod route;
pub mod speed;
mod stats;

pub use stats::percentile;
