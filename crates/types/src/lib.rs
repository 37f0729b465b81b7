//! The words of Madang: ids, units, and the plain structs that cross crate borders.
//!
//! No I/O and no decisions live here; only what a value *is*, whether it is well formed, and the table of who may do what.

pub mod calendar;
pub mod class;
pub mod code;
pub mod country;
pub mod flag;
pub mod grant;
mod hex;
pub mod id;
pub mod job;
pub mod people;
pub mod pii;
pub mod policy;
pub mod power;
pub mod power_act;
pub mod rights;
mod secret;
pub mod stop;
pub mod text;
pub mod unit;
pub mod usage;

pub use class::{DataClass, Priority};
pub use code::ErrorCode;
pub use country::Country;
pub use flag::{DataFlag, DataFlags, DataMark};
pub use grant::{Allocation, ProgrammeBudget, Tranche};
pub use hex::Hex;
pub use id::{
    AllocationId, BasisId, CeilingId, Class, GatewayId, KeyId, ModelClass, ModelId, NameError,
    NodesId, ProgrammeId, ProjectId, ReplicaId, RequestId, RuleId, SiteId, TenantId, UpstreamId,
};
pub use job::{
    AT_WORK_PERMILLE, After, AfterWhen, BusySource, Job, JobArray, JobCheckpoint, JobFlex, JobId,
    JobIdError, JobResources, JobSpec, JobSpecError, JobStage, JobState, MILLI, Measured,
    NodesHeld, PROCESSORS, RESERVATIONS_MAX, RunBusy, RunCandidate, RunEnd, RunId, RunLack,
    RunOutcome, RunPiece, RunPlace, RunRecord, RunState, RunStop, STAGE_TASK, StopSignal, StopWhy,
    TaskId, accelerator_ms,
};
pub use people::{
    KeyRecord, KeyTerms, Origin, Period, Preempted, Programme, ProgrammeJobs, ProgrammeTerms,
    Project, Role, Tenant, WhenEnded,
};
pub use pii::PiiKind;
pub use policy::{
    Assurance, Basis, BasisKind, Conditions, Never, Place, Policy, PolicyEffect, PolicyHash, Rule,
    Zone,
};
pub use power::{POWER_EVENT_MS, POWER_LEAD_US, PowerEvent, PowerEventKind};
pub use power_act::{PowerAct, PowerActStand, PowerStand, RunStood};
pub use rights::{Action, Reach};
pub use secret::{
    SECRET_NAME_BYTES_MAX, SECRET_VALUE_BYTES_MAX, SECRETS_TENANT_MAX, SecretId, SecretName,
    SecretNameError, SecretRow,
};
pub use stop::{Stop, StopScope};
pub use unit::{MicroWon, Micros, MilliJoules, Tokens, Unit};
pub use usage::{Endpoint, Outcome, TokenUse, UsageRecord};
