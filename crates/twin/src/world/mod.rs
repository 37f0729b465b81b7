//! The discrete-event driver: engines and clients on one virtual clock, and the decision core between them.
//!
//! It carries out the core's effects as the gateway does, at once and in order. It must not decide anything.

mod clients;
mod event;
mod fleet;
mod flight;
mod run;

pub use clients::{Ask, Clients, Ended, Outcome};
pub(crate) use fleet::home;
pub use fleet::{Fleet, FleetEngine};
pub use run::{EngineView, Failure, Totals, World, WorldOptions};
