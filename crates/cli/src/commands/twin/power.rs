//! `madang twin power`.

use crate::out;
use crate::twin_args::PowerArgs;
use madang_core::power::governor::GovernorTerms;
use madang_twin::experiment::power::{PowerOptions, PowerReport, power};
use std::fmt::Write as _;

/// Power usage effectiveness of the site, in thousandths.
const PUE_MILLI: u32 = 1_300;

/// Runs the experiment.
pub fn run_power(args: &PowerArgs) -> anyhow::Result<()> {
    let report = power(&PowerOptions {
        profile: super::profile(&args.profile)?,
        engines: super::count(args.engines),
        requests_per_s: args.rate.clamp(0.01, 1_000.0),
        jobs: args.jobs,
        flexible_milli: args.flexible * 10,
        cut_milli: args.cut * 10,
        event_s: u64::from(args.minutes) * 60,
        pue_milli: PUE_MILLI,
        terms: GovernorTerms::default(),
        seed: args.seed,
    })?;
    if args.json {
        return super::print_json(&[report]);
    }
    out::line(text(&report).trim_end());
    Ok(())
}

fn text(report: &PowerReport) -> String {
    let mut text = String::new();
    let seconds = |seconds: Option<u64>| seconds.map_or("never".to_owned(), |s| format!("{s} s"));
    let (before, meanwhile) = (report.ttft_p99_before_us, report.ttft_p99_event_us);
    let lines = [
        (
            "drawn when the event began",
            format!("{} W", report.baseline_watts),
        ),
        ("left by the event", format!("{} W", report.cap_watts)),
        ("met after", seconds(report.met_after_s)),
        (
            "over the cap after that",
            format!("{} s", report.over_cap_s),
        ),
        (
            "drawn in the event, mean",
            format!("{} W", report.event_watts),
        ),
        ("first tokens before, p99", format!("{} ms", before / 1_000)),
        (
            "first tokens in the event, p99",
            format!("{} ms", meanwhile / 1_000),
        ),
        (
            "the one by the other",
            format!("{:.3}", report.ttft_ratio_milli as f64 / 1_000.0),
        ),
        (
            "requests answered, refused",
            format!("{}, {}", report.answered, report.refused),
        ),
        (
            "energy of the event",
            format!("{} kWh", report.joules / 3_600_000),
        ),
        (
            "less than at the baseline",
            format!("{} kWh", report.saved_joules / 3_600_000),
        ),
        (
            "jobs stood still",
            format!("{} accelerator-hours", report.stood_accelerator_s / 3_600),
        ),
        ("all was back after", seconds(report.back_after_s)),
    ];
    for (name, value) in lines {
        // Writing to a text does not fail.
        writeln!(text, "{name:32}{value}").unwrap_or_default();
    }
    writeln!(text, "\nwhat was done, in its order").unwrap_or_default();
    for act in &report.acts {
        writeln!(text, "  {act}").unwrap_or_default();
    }
    text
}
