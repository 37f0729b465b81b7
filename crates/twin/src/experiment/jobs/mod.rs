//! Batch jobs: a trace replayed over a number of accelerators, by Madang's rule and by the field's yardsticks.

mod place;
mod promise;
mod replay;

pub use place::{PlaceError, PlaceOptions, PlaceReport, place};
pub use promise::ShareRow;

use super::percentile;
use crate::trace::{JobRow, Unordered};
use madang_core::jobs::{JobRule, JobTerms};
use replay::Past;
pub(crate) use replay::Replay;
use serde::Serialize;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub struct JobsOptions {
    /// Who is next.
    pub rule: JobRule,
    /// How Madang's rule works.
    pub terms: JobTerms,
    /// How many accelerators there are, on machines of eight.
    pub accelerators: u32,
    /// Beside them, those of another kind.
    pub other: Option<OtherKind>,
    /// What both kinds cost, where they stand at two sites.
    pub sites: Option<SitesOptions>,
    /// No job writes checkpoints, so that none is stopped for others.
    pub rigid: bool,
    /// Machines that are kept for nobody for a time.
    pub maintenance: Option<Maintenance>,
    /// How long a job takes to write its checkpoint, in seconds: it holds its accelerators meanwhile, and gets on with nothing.
    pub checkpoint_s: u64,
    /// How long it takes to go on from there, in seconds, likewise.
    pub restore_s: u64,
}

/// Further accelerators, of another kind.
#[derive(Clone, Copy, Debug)]
pub struct OtherKind {
    /// How many, on machines of eight.
    pub accelerators: u32,
    /// How fast jobs run there, and what an hour counts in shares, in thousandths of what it does on the first kind.
    pub worth_milli: u32,
}

/// The two kinds stand at two sites.
#[derive(Clone, Copy, Debug)]
pub struct SitesOptions {
    /// What an hour of one accelerator costs at each, in won.
    pub won_per_hour: [u64; 2],
    /// What an hour is worth that one accelerator of a job waits, in won.
    pub wait_won_per_hour: u64,
    /// How a job's site is chosen.
    pub choice: SiteChoice,
    /// What each job brings: the data of tenants stands at the first site and at the second in turn.
    pub data: Option<JobData>,
}

/// How a job's site is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteChoice {
    /// Of sites with room the one whose accelerators are cheapest.
    Cheapest,
    /// Where run, data and wait cost least together.
    OneCost,
}

/// What a job brings from the site where it stands.
#[derive(Clone, Copy, Debug)]
pub struct JobData {
    /// How much, in gigabytes.
    pub gigabytes: u64,
    /// What lies between the sites, in megabits a second.
    pub mbit_per_s: u64,
}

/// Machines that are kept for nobody.
#[derive(Clone, Copy, Debug)]
pub struct Maintenance {
    /// How many accelerators; as many machines of eight as it takes.
    pub accelerators: u32,
    /// From when on, in hours.
    pub from_h: u64,
    /// For how long, in hours.
    pub span_h: u64,
}

/// What came of it. A wait is all the time between a job's coming and its end in which it did not run.
#[derive(Clone, Debug, Serialize)]
pub struct JobsReport {
    /// Who was next.
    pub rule: JobRule,
    /// How many accelerators there were.
    pub accelerators: u32,
    /// Jobs that ended.
    pub jobs: usize,
    /// Rows of the trace that stood below later ones, before it was sorted; `None` where none did.
    pub unordered: Option<Unordered>,
    /// From coming to end, mean, in hours.
    pub completion_h_mean: f64,
    /// Wait, mean, in hours.
    pub wait_h_mean: f64,
    /// Wait that 95 of 100 jobs do not pass, in hours.
    pub wait_h_p95: f64,
    /// Wait that 99 of 100 jobs do not pass, in hours.
    pub wait_h_p99: f64,
    /// The longest wait, in hours.
    pub wait_h_max: f64,
    /// Completion ÷ run time (10 s at least), mean.
    pub slowdown_mean: f64,
    /// How often a job was stopped for others.
    pub stops: u64,
    /// Part of all accelerator time in use that went into checkpoints and restores.
    pub lost_ratio: f64,
    /// How often it was decided anew.
    pub passes: u64,
    /// Most accelerators that somebody held of those that were kept for nobody, while they were; `None` where none were.
    pub kept_held_max: Option<u32>,
    /// What came of the choice between two sites; `None` where there was none.
    pub sites: Option<SitesReport>,
    /// What each tenant had of what it was promised, where shares count.
    pub shares: Vec<ShareRow>,
}

/// What came of the choice between two sites.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct SitesReport {
    /// How it was made.
    pub choice: SiteChoice,
    /// What accelerators cost that jobs held, in won.
    pub paid_won: f64,
    /// What is paid, and what accelerators waited at its worth, in won.
    pub cost_won: f64,
    /// How often a job brought its data from the other site.
    pub moves: u64,
}

/// Replays the trace.
pub fn replay(rows: &[JobRow], options: &JobsOptions) -> JobsReport {
    let past = Replay::new(rows, options).run();
    report(rows, options, &past)
}

fn report(rows: &[JobRow], options: &JobsOptions, past: &Past) -> JobsReport {
    const HOUR_S: f64 = 3_600.0;
    const US: f64 = 1e6;
    let seconds = |us: u64| us as f64 / US;
    let mut waits_s: Vec<f64> = Vec::with_capacity(rows.len());
    let (mut completion_s, mut slowdown, mut used_s) = (0.0, 0.0, 0.0);
    let mut waited_s = 0.0;
    let ended = rows.iter().zip(&past.ended_us);
    for (row, ended_us) in ended.filter_map(|(row, at)| Some((row, (*at)?))) {
        let all_s = seconds(ended_us) - row.submit_s as f64;
        let run_s = row.run_s as f64;
        completion_s += all_s;
        waits_s.push(all_s - run_s);
        waited_s += (all_s - run_s) * f64::from(row.accelerators);
        slowdown += (all_s / run_s.max(10.0)).max(1.0);
        used_s += run_s * f64::from(row.accelerators);
    }
    waits_s.sort_unstable_by(f64::total_cmp);
    let jobs = waits_s.len();
    let count = jobs.max(1) as f64;
    let wait_h = |permille| percentile(&waits_s, permille).unwrap_or(0.0) / HOUR_S;
    let lost_s = seconds(past.lost_us);
    JobsReport {
        rule: options.rule,
        accelerators: options.accelerators,
        jobs,
        unordered: None,
        completion_h_mean: completion_s / count / HOUR_S,
        wait_h_mean: waits_s.iter().sum::<f64>() / count / HOUR_S,
        wait_h_p95: wait_h(950),
        wait_h_p99: wait_h(990),
        wait_h_max: wait_h(1000),
        slowdown_mean: slowdown / count,
        stops: past.stops,
        lost_ratio: lost_s / (used_s + lost_s).max(1.0),
        passes: past.passes,
        sites: options.sites.map(|sites| SitesReport {
            choice: sites.choice,
            paid_won: past.paid_won,
            cost_won: past.paid_won + waited_s / HOUR_S * sites.wait_won_per_hour as f64,
            moves: past.moves,
        }),
        kept_held_max: options.maintenance.map(|_| past.kept_held_max),
        shares: past.shares.clone(),
    }
}

#[cfg(test)]
mod tests;
