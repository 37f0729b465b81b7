//! The data plane: accept → identify → classify → decide, queue and route (in the core) → relay → settle.
//!
//! It contains no policy: what may go where is decided in `madang-core`. docs/life-of-a-request.md names each step's file.

pub mod audit;
pub mod batches;
pub mod books;
pub mod client;
pub mod clock;
mod count_tokens;
pub mod credits;
pub mod doors;
mod drafts;
pub mod driver;
pub mod edge;
pub mod energy;
pub mod explain;
pub mod fetch;
pub mod fine_tuning;
mod follow;
pub mod gateway;
mod grants;
pub mod headers;
pub mod jobs;
mod key_rates;
mod key_slots;
pub mod keyring;
pub mod metrics;
pub mod policy;
mod power;
pub mod purses;
pub mod recorder;
pub mod refused;
mod rights;
mod shares;
pub mod snapshot;
pub mod stops;
pub mod trace_context;
pub mod walk;
pub mod worker;
