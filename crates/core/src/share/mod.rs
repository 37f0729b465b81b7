//! Who is next: a tree of programmes, tenants, projects and keys, each served by least weighted service; and how much of each
//! batch is kept for those who have had less than their part.

mod charge;
mod guard;
mod lend;
mod level;
mod parts;
mod tree;
mod weights;

pub(crate) use charge::Meter;
pub(crate) use guard::{Door, Guard, Holds, Lanes, Rest, Want};
pub(crate) use lend::{LATE_US, Lend};
pub(crate) use level::{Capacity, RestUse, TenantUse};
pub(crate) use parts::parts;
pub(crate) use tree::{LANES, Name, Node, REST_LANE, Tree};
pub(crate) use weights::Weights;
