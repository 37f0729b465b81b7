//! Where a request's bytes may go. Deny by default, deny overrides, a missing fact counts as the worst, an error denies.
//!
//! A policy is compiled to a table at each load, over every combination of what its rules can tell apart; a decision is
//! two indices then. What the rules mean is in `docs/policy.md`.

mod builtin;
mod clause;
mod compile;
mod decision;
mod difference;
mod error;
mod ground;
mod judge;
mod table;

pub use builtin::rules as builtin_rules;
pub use decision::{ConditionKind, DENIALS_MAX, Denial, PolicyDecision, Unmet};
pub use difference::{Change, Difference};
pub use error::{Breach, Lapse, PolicyError};
pub use table::{Content, PlaceIndex, PolicyTable, Subject, Whom};
