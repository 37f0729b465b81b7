//! The control plane: makes what runs equal to what the fleet file says, and watches it.
//!
//! It carries out and reports, and must not decide by itself: which replica serves a request is decided in `madang-core`, and when an engine may be
//! stopped is the core's word too (a replica that left the fleet is stopped once it is idle).

pub mod control;
pub mod jobs;
mod launching;
mod people;
mod policy_load;
pub mod power;
pub mod probe;
mod probe_client;
mod reconciler;
pub mod secrets;
pub mod source;
pub mod view;
pub mod watching;

pub use control::{Applied, Control, ControlOptions};
pub use source::{ApplyError, FleetSource};
pub use view::ReplicaView;
