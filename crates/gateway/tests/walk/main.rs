//! Whole requests through real sockets: edge, walk, core, books, and engines that break what they promise.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod batches;
mod books;
mod budgets;
mod classes;
mod faults;
mod fidelity;
mod harness;
mod logs;
mod messages;
mod preempt;
mod programmes;
mod queue;
mod refusals;
mod reload;
mod replay;
mod responses;
mod shares;
mod slots;
mod submit;
mod tenants;
mod terms;
mod tools;
mod upstreams;
mod urls;
mod virtuals;
