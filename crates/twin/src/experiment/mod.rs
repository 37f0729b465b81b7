//! Experiments that anybody can repeat: noisy neighbours, routing, overload, shares over a month, batch jobs, power, speed.

pub mod crowd;
pub mod jobs;
pub mod month;
pub mod noisy;
pub mod overload;
pub mod power;
pub mod route;
pub mod speed;

pub use crate::stats::percentile;
