//! Engines that Madang starts itself (`launch` in the fleet file): started, watched, logged and stopped.
//!
//! One [`Supervisor`] task per replica keeps one engine running. Between Madang and the engine stands
//! a small [`guard`] process that ends the engine, and all that it started, when Madang is gone for
//! whatever reason, `kill -9` included. This crate starts, watches and stops processes; it does not
//! decide where a model runs nor which replica a request goes to.

pub mod address;
pub mod backoff;
pub mod fill;
pub mod guard;
pub mod jobs;
pub mod logs;
pub mod pid_file;
mod process;
mod running;
pub mod spec;
mod supervisor;

pub use address::EngineAddress;
pub use backoff::BackoffOptions;
pub use fill::{FillError, Values, fill};
pub use guard::GuardProgram;
pub use pid_file::{Reaped, reap_leftovers};
pub use running::Exit;
pub use spec::{LaunchError, LaunchSpec};
pub use supervisor::{State, Status, Supervisor, SupervisorHandle, SupervisorOptions};
