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

pub use builtin::{never as builtin_never, rules as builtin_rules};
pub use decision::{ConditionKind, DENIALS_MAX, Denial, PolicyDecision, Unmet};
pub use difference::{Change, Difference};
pub use error::{Breach, PolicyError};
pub use ground::{is_unknown, zone_of};
pub use table::{PAIRS_MAX, PlaceIndex, PolicyTable, Subject, Whom};
