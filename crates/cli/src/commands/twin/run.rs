//! `madang twin run`: a scenario over the virtual clock, as tables, JSON or files of CSV.

mod csv;
pub(super) mod show;

use crate::commands::source::{Kind, Source, threads};
use crate::out;
use crate::twin_args::RunArgs;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use madang_twin::scenario::{self, BUILTIN, Files, Progress, Report, Scenario, parse};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

const SCENARIOS: Kind = Kind {
    word: "scenario",
    built_in: BUILTIN,
    bytes_max: 4 * 1024 * 1024,
};
/// How often the bar is drawn.
const DRAWN: Duration = Duration::from_millis(200);

pub(super) fn run_scenario(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let Some(name) = &args.scenario else {
        out::result(&scenario::schema());
        return Ok(ExitCode::SUCCESS);
    };
    let source = Source::read(name, &SCENARIOS)?;
    let Some(mut scenario) = source.told(parse(&source.text, &source.files)) else {
        return Ok(ExitCode::FAILURE);
    };
    if let Some(seed) = args.seed {
        scenario.seed = seed;
    }
    if let Some(hours) = args.hours {
        if hours > scenario.hours {
            bail!(
                "--hours {hours} is more than the {} of the scenario",
                scenario.hours
            );
        }
        scenario.hours = hours;
    }
    let report = watched(&scenario, &source.files, args)?;
    if let Some(folder) = &args.csv {
        csv::write(folder, &report)
            .with_context(|| format!("{} cannot be written", folder.display()))?;
    }
    if args.json {
        out::line(&serde_json::to_string_pretty(&report)?);
    } else {
        show::show(&report);
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs it, with a bar where somebody looks.
fn watched(scenario: &Scenario, files: &Files, args: &RunArgs) -> anyhow::Result<Report> {
    let progress = Progress {
        stepwise: args.step,
        ..Progress::default()
    };
    let threads = threads(args.threads);
    if !std::io::stderr().is_terminal() {
        return Ok(scenario::run(scenario, files, threads, &progress)?);
    }
    let style =
        ProgressStyle::with_template("{bar:40} {percent} % of the time, {elapsed}, {eta} to go")?;
    let bar = ProgressBar::new(1).with_style(style);
    let (over, ended) = mpsc::channel::<()>();
    let progress = &progress;
    thread::scope(|scope| {
        scope.spawn(move || {
            while ended.recv_timeout(DRAWN) == Err(RecvTimeoutError::Timeout) {
                let shards = u64::try_from(progress.shards.load(Ordering::Relaxed)).unwrap_or(0);
                let seconds = u64::from(scenario.hours) * 3_600 * shards;
                bar.set_length(seconds.max(1));
                bar.set_position(progress.done_ns.load(Ordering::Relaxed) / 1_000_000_000);
            }
            bar.finish_and_clear();
        });
        let report = scenario::run(scenario, files, threads, progress);
        drop(over);
        Ok(report?)
    })
}
