//! The control API as its callers meet it: real books, a real control plane, an engine on the loopback.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accelerators;
mod audit;
mod bench;
mod classes;
mod document;
mod erasure;
mod executor;
mod fleet;
mod grants;
mod idle;
mod jobs;
mod matrix;
mod people;
mod pools;
mod power;
mod projects;
mod report;
mod roles;
mod schema;
mod sign_in;
mod usage;
