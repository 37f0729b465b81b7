//! `madang twin run`: a scenario over the virtual clock, as tables, JSON or files of CSV.

mod csv;
mod show;

use crate::diagnose;
use crate::out;
use crate::twin_args::RunArgs;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use madang_fleet::FileProblems;
use madang_twin::scenario::{self, BUILTIN, Files, Progress, Report, Scenario, parse};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Bytes of a scenario.
const SCENARIO_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How often the bar is drawn.
const DRAWN: Duration = Duration::from_millis(200);

pub(super) fn run_scenario(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let Some(name) = &args.scenario else {
        out::result(&scenario::schema());
        return Ok(ExitCode::SUCCESS);
    };
    let (path, text, files) = source(name)?;
    let mut scenario = match parse(&text, &files) {
        Ok((scenario, warnings)) => {
            tell(&path, text, warnings);
            scenario
        }
        Err(problems) => {
            tell(&path, text, problems);
            return Ok(ExitCode::FAILURE);
        }
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
    let report = watched(&scenario, &files, args)?;
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

/// A file, or one of the scenarios that are built in.
fn source(name: &Path) -> anyhow::Result<(PathBuf, String, Files)> {
    if !name.exists() {
        let built_in = BUILTIN.iter().find(|(known, _)| name.as_os_str() == *known);
        let Some((known, text)) = built_in else {
            let known: Vec<&str> = BUILTIN.iter().map(|(known, _)| *known).collect();
            bail!(
                "there is no file {}, and no scenario of that name is built in: those are {}",
                name.display(),
                known.join(", ")
            );
        };
        return Ok((
            format!("{known}.toml").into(),
            (*text).to_owned(),
            Files::Builtin,
        ));
    }
    let shown = name.display();
    let size = std::fs::metadata(name)
        .with_context(|| format!("{shown} cannot be read"))?
        .len();
    if size > SCENARIO_BYTES_MAX {
        bail!("{shown} has {size} bytes; a scenario has at most {SCENARIO_BYTES_MAX}");
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("{shown} cannot be read"))?;
    let folder = name.parent().map(Path::to_path_buf).unwrap_or_default();
    Ok((name.to_owned(), text, Files::Folder(folder)))
}

fn tell(path: &Path, source: String, problems: Vec<madang_fleet::Problem>) {
    if problems.is_empty() {
        return;
    }
    let file = FileProblems {
        path: path.to_owned(),
        source,
        problems,
    };
    out::note(diagnose::render(&file, out::color()).trim_end());
}

/// Runs it, with a bar where somebody looks.
fn watched(scenario: &Scenario, files: &Files, args: &RunArgs) -> anyhow::Result<Report> {
    let progress = Progress {
        stepwise: args.step,
        ..Progress::default()
    };
    let threads = match args.threads {
        Some(threads) => usize::try_from(threads).unwrap_or(1),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
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
