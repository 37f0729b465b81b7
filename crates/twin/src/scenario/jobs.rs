//! Batch jobs beside inference: where power may be short each run asks its site's governor before it begins.

use super::governed::BatchResult;
use super::model::{JobGroup, Scenario};
use crate::experiment::jobs::{JobsOptions, JobsReport};
use madang_core::jobs::{JobRule, JobTerms};
use madang_core::power::model::at_meter;
use serde::Serialize;
use std::collections::BTreeMap;

/// How long a checkpoint takes to write or to read, in seconds: the defaults of `madang twin jobs`.
const CHECKPOINT_S: u64 = 30;

/// What came of the jobs of a site.
#[derive(Clone, Debug, Serialize)]
pub struct JobsLine {
    /// Their name.
    pub name: String,
    /// Their site.
    pub site: String,
    /// Accelerators that all jobs ask for together.
    pub asked_accelerators: u64,
    /// Accelerators that there are for them.
    pub accelerators: u32,
    /// Of those, most that were held at once.
    pub held_accelerators_max: u32,
    /// Power at the meter where as many are used, in kW.
    pub full_kw: f64,
    /// Jobs that never ran: they are larger than all machines together, or never found the power.
    pub too_large: u64,
    /// Accelerator-hours of all that ran.
    pub accelerator_h: f64,
    /// Energy of those at the meter, in kWh, at full power.
    pub kwh: f64,
    /// How they went by Madang's rule; `None` where none could run.
    pub outcome: Option<JobsReport>,
}

/// Each group of those that take turns: as it went beside its site's engines where the site is governed, by itself where power is never
/// short.
pub(super) fn run_jobs(
    scenario: &Scenario,
    mut governed: BTreeMap<usize, BatchResult>,
) -> Vec<JobsLine> {
    let groups = scenario.jobs.iter().enumerate();
    let groups = groups.filter(|(_, group)| group.flex.is_none());
    let lines = groups.map(|(place, group)| {
        let result = governed.remove(&place);
        let result = result.unwrap_or_else(|| BatchResult::alone(scenario, place));
        line(scenario, group, result)
    });
    lines.collect()
}

/// How a group's jobs are scheduled on so many accelerators.
pub(super) fn options(group: &JobGroup) -> JobsOptions {
    JobsOptions {
        rule: JobRule::Madang,
        terms: JobTerms::default(),
        accelerators: group.accelerators,
        other: None,
        sites: None,
        rigid: !group.checkpoints,
        maintenance: None,
        checkpoint_s: CHECKPOINT_S,
        restore_s: CHECKPOINT_S,
    }
}

fn line(scenario: &Scenario, group: &JobGroup, result: BatchResult) -> JobsLine {
    let site = &scenario.sites[group.site];
    let kw = |accelerators: u64| {
        let watts = group.power.full_watts.saturating_mul(accelerators);
        at_meter(watts, site.pue_milli) as f64 / 1e3
    };
    let asked = group.rows.iter().map(|row| u64::from(row.accelerators));
    JobsLine {
        name: group.id.clone(),
        site: site.id.to_string(),
        asked_accelerators: asked.sum(),
        accelerators: group.accelerators,
        held_accelerators_max: result.most,
        full_kw: kw(u64::from(result.most)),
        too_large: result.too_large,
        accelerator_h: result.accelerator_h,
        kwh: result.accelerator_h * kw(1),
        outcome: (result.report.jobs > 0).then_some(JobsReport {
            unordered: group.unordered,
            ..result.report
        }),
    }
}
