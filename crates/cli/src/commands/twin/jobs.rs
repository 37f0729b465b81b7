//! `madang twin jobs` and `madang twin place`: batch jobs on the virtual clock.

use super::{asked_or_all, open, show, word};
use crate::out;
use crate::twin_args::{JobsArgs, PlaceArgs};
use anyhow::{Context, bail};
use madang_core::jobs::{JobRule, JobTerms};
use madang_twin::experiment::jobs::{
    JobData, JobsOptions, JobsReport, PlaceOptions, PlaceReport, SiteChoice, SitesOptions, place,
    replay,
};
use madang_twin::trace::{self, JobTrace};

const DAY_US: u64 = 86_400_000_000;
/// Fleets of the published replays of the Philly trace.
const ACCELERATORS: [u32; 2] = [512, 640];
const SEEDS: [u64; 3] = [1, 2, 3];
/// Tenants that are shown, those that wanted more for longest.
const TENANTS_SHOWN: usize = 12;

pub(super) fn run_jobs(args: &JobsArgs) -> anyhow::Result<()> {
    let path = args.trace.display();
    let JobTrace { rows, unordered } = trace::jobs(open(&args.trace)?)
        .with_context(|| format!("{path} is not a trace of jobs"))?;
    if let Some(unordered) = unordered {
        out::note(&format!("warning: {path}: {unordered}"));
    }
    let fleets = if args.accelerators.is_empty() {
        &ACCELERATORS[..]
    } else {
        &args.accelerators
    };
    for accelerators in fleets {
        let largest = rows.iter().map(|row| row.accelerators).max().unwrap_or(0);
        if largest > *accelerators {
            bail!(
                "a job of the trace needs {largest} accelerators, and --accelerators {accelerators} has no room for it"
            );
        }
    }
    let mut reports = Vec::new();
    for accelerators in fleets {
        for policy in asked_or_all(&args.policy) {
            let options = options(args, policy.rule(), *accelerators);
            let choices = choices(args, policy.rule());
            let each = choices
                .into_iter()
                .map(|sites| JobsOptions { sites, ..options });
            reports.extend(each.map(|options| JobsReport {
                unordered,
                ..replay(&rows, &options)
            }));
        }
    }
    let head = "accelerators   policy          completion h   wait h: mean       p95       p99       max   slowdown    stops   lost %";
    show(args.json, &reports, head, jobs_line)?;
    if !args.json {
        reports.iter().for_each(show_kept);
        show_sites(&reports);
        reports.iter().for_each(show_shares);
    }
    Ok(())
}

fn options(args: &JobsArgs, rule: JobRule, accelerators: u32) -> JobsOptions {
    JobsOptions {
        rule,
        terms: JobTerms {
            half_life_us: args.half_life_days * DAY_US,
            backfill: args.backfill.backfill(),
            ..JobTerms::default()
        },
        accelerators,
        other: args.other,
        sites: None,
        rigid: args.rigid,
        maintenance: args.maintenance,
        checkpoint_s: args.checkpoint_s,
        restore_s: args.restore_s,
    }
}

/// How a job's site is chosen: Madang's rule does it both ways, where there is a choice.
fn choices(args: &JobsArgs, rule: JobRule) -> Vec<Option<SitesOptions>> {
    let Some(won_per_hour) = args.won else {
        return vec![None];
    };
    let sites = |choice| {
        Some(SitesOptions {
            won_per_hour,
            wait_won_per_hour: args.wait_won,
            choice,
            data: args.data.map(|[gigabytes, mbit_per_s]| JobData {
                gigabytes,
                mbit_per_s,
            }),
        })
    };
    match rule {
        JobRule::Madang => vec![sites(SiteChoice::Cheapest), sites(SiteChoice::OneCost)],
        _ => vec![sites(SiteChoice::Cheapest)],
    }
}

fn show_sites(reports: &[JobsReport]) {
    const MILLION: f64 = 1e6;
    let with = reports
        .iter()
        .filter_map(|report| Some((report, report.sites?)));
    let mut head = Some(
        "\naccelerators   policy          site chosen by       wait h, mean   paid, million won   with waits   data moved",
    );
    for (report, sites) in with {
        if let Some(head) = head.take() {
            out::line(head);
        }
        let by = match sites.choice {
            SiteChoice::Cheapest => "cheapest with room",
            SiteChoice::OneCost => "one cost",
        };
        out::line(&format!(
            "{:>12}   {:<14}  {by:<18} {:>14.2} {:>19.0} {:>12.0} {:>12}",
            report.accelerators,
            word(report.rule),
            report.wait_h_mean,
            sites.paid_won / MILLION,
            sites.cost_won / MILLION,
            sites.moves,
        ));
    }
}

fn jobs_line(report: &JobsReport) -> String {
    format!(
        "{:>12}   {:<14} {:>13.2} {:>14.2} {:>9.2} {:>9.1} {:>9.0} {:>10.2} {:>8} {:>8.2}",
        report.accelerators,
        word(report.rule),
        report.completion_h_mean,
        report.wait_h_mean,
        report.wait_h_p95,
        report.wait_h_p99,
        report.wait_h_max,
        report.slowdown_mean,
        report.stops,
        report.lost_ratio * 100.0,
    )
}

fn show_kept(report: &JobsReport) {
    if let Some(held) = report.kept_held_max {
        let rule = word(report.rule);
        out::line(&format!(
            "{rule}: of the accelerators that were kept, {held} were held by jobs at one time"
        ));
    }
}

fn show_shares(report: &JobsReport) {
    if report.shares.is_empty() {
        return;
    }
    out::line(&format!(
        "\ntenants that wanted more than their share of {} accelerators\n\n\
         tenant             for h   promised accelerator-h   had / promised",
        report.accelerators
    ));
    for row in report.shares.iter().take(TENANTS_SHOWN) {
        out::line(&format!(
            "{:<14} {:>9.0} {:>24.0} {:>16.3}",
            row.tenant, row.backlogged_h, row.promised_accelerator_h, row.ratio
        ));
    }
    let others = report.shares.len().saturating_sub(TENANTS_SHOWN);
    if others > 0 {
        out::line(&format!("and {others} more, each for less time"));
    }
}

pub(super) fn run_place(args: &PlaceArgs) -> anyhow::Result<()> {
    let (tasks, nodes) = (args.tasks.display(), args.nodes.display());
    let tasks = trace::tasks(open(&args.tasks)?)
        .with_context(|| format!("{tasks} is not a trace of tasks"))?;
    let machines = trace::machines(open(&args.nodes)?)
        .with_context(|| format!("{nodes} is not a list of machines"))?;
    let seeds = if args.seed.is_empty() {
        &SEEDS[..]
    } else {
        &args.seed
    };
    let reports: Result<Vec<PlaceReport>, _> = seeds
        .iter()
        .map(|seed| {
            let options = PlaceOptions {
                seed: *seed,
                asked_ratio: args.asked,
                kinds: !args.any_kind,
            };
            place(&tasks, &machines, options)
        })
        .collect();
    let head = "seed   accelerators    tasks   turned away   given % when as much was asked as there is   at the end";
    show(args.json, &reports?, head, |report| {
        format!(
            "{:>4} {:>14} {:>8} {:>13} {:>45.2} {:>12.2}",
            report.seed,
            report.accelerators,
            report.tasks,
            report.turned_away,
            report.given_ratio_at_full * 100.0,
            report.given_ratio * 100.0
        )
    })
}
