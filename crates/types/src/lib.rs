//! The words of Madang: ids, units, and the plain structs that cross crate borders.
//!
//! No I/O and no decisions live here; only what a value *is* and whether it is well formed.

pub mod class;
pub mod code;
pub mod flag;
pub mod id;
pub mod people;
pub mod pii;
pub mod stop;
pub mod unit;
pub mod usage;

pub use class::{DataClass, Priority};
pub use code::ErrorCode;
pub use flag::{DataFlag, DataFlags, DataMark};
pub use id::{
    KeyId, ModelId, NameError, NodesId, ProgrammeId, ReplicaId, RequestId, SiteId, TenantId,
    UpstreamId,
};
pub use people::{KeyRecord, Origin, Programme, Role, Tenant};
pub use pii::PiiKind;
pub use stop::{Stop, StopScope, StopScopeError};
pub use unit::{MicroWon, Micros, MilliJoules, Tokens};
pub use usage::{Endpoint, Outcome, TokenUse, UsageRecord};
