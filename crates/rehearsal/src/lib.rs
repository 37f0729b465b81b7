//! The twin's engine model as a live OpenAI-compatible server in scaled real time, so that a fleet can be rehearsed without
//! accelerators; and the live form of the noisy-neighbour experiment, on any gateway or on a fleet of its own.
//!
//! It must not model anything itself (`twin` does), must not know the gateway or the core, and makes no sense of what it is
//! asked: its answers are filler words.

mod answer;
mod ask;
mod clock;
mod driver;
mod fault;
mod live;
mod load;
mod metrics;
mod options;
mod relay;
mod report;
mod serve;
mod ticket;

pub use fault::{Fault, FaultPlan, FaultPlanError};
pub use live::{LiveError, LiveOptions, live_noisy};
pub use load::{LoadError, NoisyLiveOptions, noisy_live};
pub use options::{Options, SPEED_MAX, SPEED_MIN};
pub use report::{LoadReport, LoadSide};
pub use serve::{Rehearsal, ServeError, serve};
