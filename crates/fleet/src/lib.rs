//! The fleet file: sites, machines, models, engines, upstreams, programmes and tenants in one TOML text.
//!
//! [`parse`] reports every problem of a text in one pass, each with its place, its reason and a remedy, and builds
//! the typed [`Fleet`] only when there is no error: whoever holds a `Fleet` holds one whose references all resolve.
//! [`schema`] is the same knowledge for editors. Nothing here starts, fetches or opens what the file names.

mod at;
mod check;
pub mod energy;
mod load;
pub mod model;
mod policy;
mod problem;
mod raw;
mod schema;
mod shape;

pub use load::{FILE_BYTES_MAX, FileProblems, LoadError, Loaded, PolicyText, load, load_text};
pub use model::{
    AuditLog, Builtin, Candidate, Costs, Dialect, Engine, FINE_TUNING_PLACEHOLDERS, FineTuning,
    FineTuningResources, Fleet, Hyperparameter, JobsBackfill, JobsBucket, JobsData, JobsExecutor,
    JobsLink, JobsQos, JobsReservation, JobsTerms, JobsWait, KeySource, Launch, LaunchWhat, Limits,
    Meter, MeterKind, Model, ModelKind, Nodes, NodesJobs, NodesPower, Origin, OriginAddress,
    PackagePart, PlaceFacts, PowerConfig, Prefer, PrefixCache, Probe, ProgrammeEntry, Replica,
    ReplicaAt, ReplicaPower, ResponsesSupport, RouteRule, Rules, ShareRule, SignIn, SignInRule,
    Site, SlurmCluster, TenantEntry, ToolSupport, Upstream, UpstreamModel, VirtualModel, Vtn,
    WeightSource, Weights,
};
pub use policy::{ParsedPolicy, parse_policy};
pub use problem::{CODES, PROBLEMS_MAX, Problem, Severity};
pub use schema::schema;

/// What other files of TOML are read with: values with places, reports of problems, the check of shapes against a schema.
pub mod text {
    pub use crate::at::At;
    pub use crate::problem::{Entry, Report, nearest};
    pub use crate::schema::tree_of;
    pub use crate::shape::{Shaped, brief, read_table};
}

use problem::Report;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// A fleet without errors, and what an operator should still be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Parsed {
    /// The fleet.
    pub fleet: Fleet,
    /// Problems of severity [`Severity::Warning`], by position.
    pub warnings: Vec<Problem>,
    /// Bytes of the ids of the policy's rules and statements, where they stand in this text.
    pub policy_spans: BTreeMap<String, Range<usize>>,
}

/// Reads a fleet file's text. Relative paths in it are resolved against `base_dir`, the file's folder; no file that
/// it names is opened: where the policy has a file of its own, [`load`] reads it.
///
/// # Errors
/// Every problem of the text (errors and warnings, by position; at most [`PROBLEMS_MAX`]) if at least one is an error.
pub fn parse(source: &str, base_dir: &Path) -> Result<Parsed, Vec<Problem>> {
    let mut report = Report::new(source);
    let raw = shape::read(source, &mut report);
    let policy = raw.as_ref().and_then(|raw| raw.raw.policy.as_ref());
    let policy_spans = policy.map(|at| check::policy_spans(&at.value));
    let fleet = raw.and_then(|raw| check::build(&raw, base_dir, &mut report));
    let (problems, has_error) = report.finish();
    match fleet {
        Some(fleet) if !has_error => Ok(Parsed {
            fleet,
            warnings: problems,
            policy_spans: policy_spans.unwrap_or_default(),
        }),
        _ => Err(problems),
    }
}
