//! Which member serves a request: the one whose first token is predicted to come first.

mod baseline;
mod choose;
mod forecast;
mod preempt;
pub(crate) mod prefix;

pub(crate) use choose::{Choice, Chosen, SLOW_US, Scratch};
pub(crate) use prefix::PrefixIndex;
