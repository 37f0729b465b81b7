//! Scenarios: sites, engines, tenants and demand in one file, run over the production core on the virtual clock.
//!
//! [`parse`] says every problem of a file at once. [`run`] runs one: each pool of each gateway is a world of its own, on as many
//! threads as are given, and what they say is put together in their order, so that the result is the same on one thread or many.

mod arrivals;
mod check;
mod energy;
mod event;
mod files;
mod governed;
mod jobs;
mod model;
mod purses;
mod raw;
mod report;
mod run;
mod shard;
mod shift;
mod tally;
#[cfg(test)]
mod tests;

pub use energy::{EnergyError, Renewables, covers, tariff};
pub use event::EventLine;
pub use files::{BUILTIN, Files};
pub use governed::{DeedLine, SitePower};
pub use jobs::JobsLine;
pub use model::Scenario;
pub(crate) use model::{
    Demand, DrawnSource, EngineGroup, GridEvent, JobGroup, Lengths, ServedModel, Site, Slo, Source,
    Tenant,
};
pub use report::{
    BudgetLine, GroupLine, Line, Percentiles, RecordingLine, Report, Row, SiteEnergy, Utilisation,
};
pub use run::run;
pub use shift::{LeftOut, ShiftReport, ShiftRow};
pub use tally::REFUSALS;

use crate::trace::TraceError;
use madang_fleet::Problem;
use madang_fleet::text::{Report as Problems, read_table, tree_of};
use madang_types::NameError;
use raw::RawScenario;
use serde_json::Value;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize};

static TREE: LazyLock<Value> = LazyLock::new(|| tree_of::<RawScenario>("Madang scenario"));

/// The JSON Schema of the scenario file, for editors.
pub fn schema() -> String {
    format!("{:#}\n", *TREE)
}

/// Reads a scenario's text; the files that it names are looked through.
///
/// # Errors
/// Every problem of the text, if at least one is an error.
pub fn parse(source: &str, files: &Files) -> Result<(Scenario, Vec<Problem>), Vec<Problem>> {
    let mut report = Problems::new(source);
    let shaped = read_table::<RawScenario>(source, (&TREE, ""), &mut report);
    let scenario = shaped.and_then(|shaped| check::build(shaped, files, &mut report));
    let (problems, has_error) = report.finish();
    match scenario {
        Some(scenario) if !has_error => Ok((scenario, problems)),
        _ => Err(problems),
    }
}

/// How far a run is, for whoever watches it from another thread; and how it goes.
#[derive(Debug, Default)]
pub struct Progress {
    /// Time that was simulated so far, of all shards, in nanoseconds.
    pub done_ns: AtomicU64,
    /// Shards; 0 before it began.
    pub shards: AtomicUsize,
    /// Each engine computes every iteration for itself.
    pub stepwise: bool,
}

/// Why a run came to no end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A trace of a demand cannot be read.
    #[error("the trace of {0} cannot be read: {1}")]
    Trace(String, TraceError),
    /// A name of ours is no name.
    #[error(transparent)]
    Name(#[from] NameError),
}
