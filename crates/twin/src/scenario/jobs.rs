//! Batch jobs beside inference, under one cap of power.

use super::model::{JobGroup, Scenario};
use super::report::SiteEnergy;
use crate::experiment::jobs::{JobsOptions, JobsReport, replay};
use madang_core::jobs::{JobRule, JobTerms};
use madang_core::power::model::{at_machines, at_meter};
use serde::Serialize;

/// Accelerators of one machine.
const MACHINE_ACCELERATORS: u32 = 8;
/// How long a checkpoint takes to write or to read, in seconds: the defaults of `madang twin jobs`.
const CHECKPOINT_S: u64 = 30;
const SECONDS_PER_HOUR: f64 = 3_600.0;

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
    /// Of those, as many as the site's cap has power for, beside its engines at their peak and the jobs before.
    pub powered_accelerators: u32,
    /// Power at the meter where all of those are used, in kW.
    pub full_kw: f64,
    /// Jobs that need more than that, and never run.
    pub too_large: u64,
    /// Accelerator-hours of all that ran.
    pub accelerator_h: f64,
    /// Energy of those at the meter, in kWh, at full power.
    pub kwh: f64,
    /// How they went by Madang's rule; `None` where none could run.
    pub outcome: Option<JobsReport>,
}

/// Runs each group of those that take turns on as many accelerators as there is power for at the worst moment of its site's engines: the cap holds at every
/// moment, and what engines leave at night is not used.
pub(super) fn run_jobs(scenario: &Scenario, energy: &[SiteEnergy]) -> Vec<JobsLine> {
    let mut free: Vec<Option<u64>> = (scenario.sites.iter().zip(energy))
        .map(|(site, energy)| {
            Some(
                site.cap_watts?
                    .saturating_sub((energy.peak_kw * 1e3).ceil() as u64),
            )
        })
        .collect();
    let mut lines = Vec::new();
    for group in scenario.jobs.iter().filter(|group| group.flex.is_none()) {
        let pue = scenario.sites[group.site].pue_milli;
        let powered = match free[group.site] {
            Some(watts) => powered(group, at_machines(watts, pue)),
            None => group.accelerators,
        };
        let full_watts = at_meter(
            group.power.full_watts.saturating_mul(u64::from(powered)),
            pue,
        );
        if let Some(watts) = &mut free[group.site] {
            *watts = watts.saturating_sub(full_watts);
        }
        lines.push(line(scenario, group, (powered, full_watts)));
    }
    lines
}

/// Whole machines that so many watts feed at full power.
fn powered(group: &JobGroup, watts: u64) -> u32 {
    let fed = u32::try_from(watts / group.power.full_watts.max(1)).unwrap_or(u32::MAX);
    let fed = fed.min(group.accelerators);
    fed - fed % MACHINE_ACCELERATORS
}

fn line(scenario: &Scenario, group: &JobGroup, (powered, full_watts): (u32, u64)) -> JobsLine {
    let rows: Vec<_> = group
        .rows
        .iter()
        .filter(|row| row.accelerators <= powered)
        .cloned()
        .collect();
    let options = JobsOptions {
        rule: JobRule::Madang,
        terms: JobTerms::default(),
        accelerators: powered,
        other: None,
        sites: None,
        rigid: false,
        maintenance: None,
        checkpoint_s: CHECKPOINT_S,
        restore_s: CHECKPOINT_S,
    };
    let seconds = rows
        .iter()
        .map(|row| row.run_s as f64 * f64::from(row.accelerators));
    let accelerator_h = seconds.sum::<f64>() / SECONDS_PER_HOUR;
    let site = &scenario.sites[group.site];
    let one_kw = at_meter(group.power.full_watts, site.pue_milli) as f64 / 1e3;
    JobsLine {
        name: group.id.clone(),
        site: site.id.to_string(),
        asked_accelerators: group
            .rows
            .iter()
            .map(|row| u64::from(row.accelerators))
            .sum(),
        accelerators: group.accelerators,
        powered_accelerators: powered,
        full_kw: full_watts as f64 / 1e3,
        too_large: u64::try_from(group.rows.len() - rows.len()).unwrap_or(u64::MAX),
        accelerator_h,
        kwh: accelerator_h * one_kw,
        outcome: (!rows.is_empty()).then(|| replay(&rows, &options)),
    }
}
