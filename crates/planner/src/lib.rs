//! The planner: from a goal (demand, models, chips, sites, money) to the cheapest fleet, confirmed by the twin, and its report.
//!
//! A plan is a function of the goal's text and the files that it names: nothing here reads a clock, opens a socket, or draws at random.

mod check;
mod confirm;
mod effects;
mod energy;
mod fleet;
mod goal;
mod html;
mod inputs;
mod plan;
mod raw;
mod report;
mod said;
mod sizing;
#[cfg(test)]
mod tests;
mod what_if;

pub use effects::{Effect, EffectsReport, Missing};
pub use energy::{HourPower, YearEnergy};
pub use fleet::{PlanError, YearCost};
pub use goal::{Goal, Input};
pub use html::{Language, html};
pub use plan::{Asked, plan};
pub use report::{
    Binding, Confirmed, Line, PhaseLine, Report, ShadowLine, SiteLine, TornadoLine, Totals,
};
pub use said::Said;
pub use sizing::{Bound, Refused};

use madang_catalog::Catalog;
use madang_fleet::Problem;
use madang_fleet::text::{Report as Problems, read_table, tree_of};
use madang_twin::scenario::Files;
use raw::RawGoal;
use serde_json::Value;
use std::sync::LazyLock;

/// Goals that are built in, by name.
pub const BUILTIN: &[(&str, &str)] = &[
    (
        "korea-2026",
        include_str!("../../../examples/plans/korea-2026.toml"),
    ),
    (
        "single-node",
        include_str!("../../../examples/plans/single-node.toml"),
    ),
];

static TREE: LazyLock<Value> = LazyLock::new(|| tree_of::<RawGoal>("Madang plan"));

/// The JSON Schema of the goal's file, for editors.
pub fn schema() -> String {
    format!("{:#}\n", *TREE)
}

/// Reads a goal's text; the files that it names are read through.
///
/// # Errors
/// Every problem of the text, if at least one is an error.
pub fn parse(
    source: &str,
    files: &Files,
    catalog: &Catalog,
) -> Result<(Goal, Vec<Problem>), Vec<Problem>> {
    let mut report = Problems::new(source);
    let shaped = read_table::<RawGoal>(source, (&TREE, ""), &mut report);
    let goal = shaped.and_then(|shaped| {
        let mut check = check::Check {
            report: &mut report,
            files,
            catalog,
            years: None,
            inputs: inputs::of(source),
        };
        check::build(shaped.raw, &mut check)
    });
    let (problems, has_error) = report.finish();
    match goal {
        Some(goal) if !has_error => Ok((goal, problems)),
        _ => Err(problems),
    }
}
