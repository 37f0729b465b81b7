//! One run: every load on every gateway, round by round, and what is printed of it.

use crate::args::Args;
use crate::gateways::{self, Gateway, Kind, Part, Place, Started};
use crate::load::{self, Sample};
use crate::report::{self, About, Measured, Row, Run};
use crate::scenario::{self, Load, Scenario};
use crate::{disk, process};
use anyhow::{Context, ensure};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Load on each gateway before anything is measured: code compiled, pools filled.
const WARM_UP: Duration = Duration::from_millis(300);
/// Reasons of failures that are printed.
const REASONS_MAX: usize = 10;

/// Measures and prints everything. An exit code other than success: requests of Madang, nginx or the bare upstream failed.
///
/// # Errors
/// No scenario is left, Madang has ended, or nothing can be written.
pub async fn run(args: &Args, place: &Place, started: &Started) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut out = std::io::stdout();
    let part = args.step().map_or(Part::Whole, |_| Part::Step);
    let named = |s: &Scenario| args.only.iter().all(|only| s.name.contains(only.as_str()));
    let wanted = |s: &Scenario| s.suits(part) && named(s);
    let scenarios: Vec<Scenario> = scenario::all().into_iter().filter(wanted).collect();
    ensure!(
        !scenarios.is_empty(),
        "no load has {:?} in its name",
        args.only
    );
    let mut run = Run {
        machine: report::machine()?,
        disk: disk::measure(&place.folder)?,
        rounds: args.rounds(),
        seconds: args.seconds(),
        about: about(&started.gateways)?,
        skipped: started.skipped.clone(),
        measured: Vec::new(),
    };
    head(&mut out, &run, &started.gateways)?;
    warm_up(&started.gateways).await;
    for scenario in scenarios {
        let measured = rounds(args, scenario, &started.gateways, &mut run.skipped).await?;
        report::loads(&mut out, &measured)?;
        run.measured.push(measured);
    }
    for about in &mut run.about {
        let gateway = started.gateways.iter().find(|g| g.name == about.name);
        about.after_mb = gateway.map_or(f64::NAN, resident_mb);
    }
    let lines = report::ratios(&run.measured);
    report::ratio_table(&mut out, &lines)?;
    report::memory(&mut out, &run.about)?;
    failures(&mut out, &run, started.skipped.len())?;
    for line in started.verify(place).await? {
        writeln!(out, "{line}")?;
    }
    let (seconds, load) = (begun.elapsed().as_secs(), report::load_average()?);
    writeln!(
        out,
        "measured for {seconds} s; load of the machine at the end: {load}"
    )?;
    if let Some(path) = &args.json {
        report::write_json(path, &run, &lines)?;
    }
    let bad = run.bad(&[
        "direct",
        "nginx",
        "madang",
        "madang-relaxed",
        "madang-priced",
    ]);
    Ok(ExitCode::from(u8::from(bad > 0)))
}

fn head(out: &mut impl Write, run: &Run, gateways: &[Gateway]) -> anyhow::Result<()> {
    writeln!(out, "{}", run.machine)?;
    writeln!(out, "{}", run.disk)?;
    writeln!(
        out,
        "rounds: {}, of {} s; load generator (1 thread), upstream (1 thread) and gateways share these cores; medians over \
         rounds, in brackets the least and the greatest; p99 of each round; times in µs; per core: requests for each \
         second of CPU; added: over direct in the same round",
        run.rounds, run.seconds,
    )?;
    for (name, why) in &run.skipped {
        writeln!(out, "skipped: {name}: {why}")?;
    }
    let slow: Vec<&str> = gateways
        .iter()
        .filter(|g| g.part == Part::Slow)
        .map(|g| g.name.as_str())
        .collect();
    if !slow.is_empty() {
        writeln!(
            out,
            "only in loads that they can take, and twice as long in these: {}",
            slow.join(", ")
        )?;
    }
    Ok(())
}

fn about(gateways: &[Gateway]) -> anyhow::Result<Vec<About>> {
    let own = gateways.iter().filter(|gateway| !gateway.pids.is_empty());
    own.map(|gateway| {
        Ok(About {
            name: gateway.name.clone(),
            version: gateway.version.clone(),
            processes: process::families(&gateway.pids).len(),
            ready_mb: resident_mb(gateway),
            after_mb: f64::NAN,
        })
    })
    .collect()
}

#[expect(clippy::cast_precision_loss, reason = "kilobytes of one machine")]
fn resident_mb(gateway: &Gateway) -> f64 {
    process::resident_kb(&gateway.pids).map_or(f64::NAN, |kb| kb as f64 / 1000.0)
}

/// The same for all; what fails here fails again where it is counted.
async fn warm_up(gateways: &[Gateway]) {
    let loads = scenario::all().into_iter();
    let at_once = Load::Closed { connections: 16 };
    let small = |s: &Scenario| s.body_bytes == 1000 && s.gap_ms == 0 && s.load == at_once;
    for scenario in loads.filter(small) {
        for gateway in gateways {
            drop(load::run(gateway, &scenario, WARM_UP).await);
        }
    }
}

/// Each round visits every gateway in turn, so that what the machine does meanwhile falls on all alike; each begins with
/// another one, so that none always follows the same.
async fn rounds(
    args: &Args,
    scenario: Scenario,
    gateways: &[Gateway],
    ended: &mut Vec<(String, String)>,
) -> anyhow::Result<Measured> {
    let suited: Vec<&Gateway> = gateways
        .iter()
        .filter(|gateway| scenario.suits(gateway.part))
        .collect();
    let new_row = |gateway: &&Gateway| Row {
        gateway: gateway.name.clone(),
        samples: Vec::new(),
    };
    let mut rows: Vec<Row> = suited.iter().map(new_row).collect();
    for round in 0..args.rounds() {
        for turn in 0..suited.len() {
            let index = (round + turn) % suited.len();
            let (gateway, row) = (suited[index], &mut rows[index]);
            if ended.iter().any(|(name, _)| *name == gateway.name) {
                continue;
            }
            match load::run(gateway, &scenario, length(args, gateway, &scenario)).await {
                Ok(sample) => row.samples.push(sample),
                Err(error) => {
                    let why = format!("under load of {}: {error:#}", scenario.name);
                    if matches!(gateways::kind(&gateway.name), Kind::Ours | Kind::Bare) {
                        return Err(error).with_context(|| format!("{} {why}", gateway.name));
                    }
                    ended.push((gateway.name.clone(), why));
                }
            }
        }
    }
    Ok(Measured { scenario, rows })
}

/// Where few requests are answered, a longer look; never more than twice the base.
fn length(args: &Args, gateway: &Gateway, scenario: &Scenario) -> Duration {
    let factor = match scenario.load {
        _ if gateway.part == Part::Slow => 2.0,
        Load::Open { .. } if scenario.suits_slow() => 2.0,
        Load::Open { .. } => 1.5,
        Load::Closed { .. } => 1.0,
    };
    Duration::from_secs_f64(args.seconds() * factor)
}

/// Who ended under load; failed requests, whose they are and why the first of each failed. The first `skipped` have been
/// named already.
fn failures(out: &mut impl Write, run: &Run, skipped: usize) -> anyhow::Result<()> {
    writeln!(out)?;
    for (name, why) in run.skipped.iter().skip(skipped) {
        writeln!(out, "not measured to the end: {name}: {why}")?;
    }
    let rows = run.measured.iter().flat_map(|measured| {
        let name = &measured.scenario.name;
        measured.rows.iter().map(move |row| (name, row))
    });
    let bad: Vec<(&String, &Row)> = rows.filter(|(_, row)| row.bad() > 0).collect();
    if bad.is_empty() {
        writeln!(out, "failed requests: none")?;
    }
    for (name, row) in bad.iter().take(REASONS_MAX) {
        let first = row
            .samples
            .iter()
            .find_map(|sample: &Sample| sample.failure.as_ref());
        let why = first.map_or("the rate is above what it can do", String::as_str);
        writeln!(
            out,
            "failed requests: {} of {}, {name}: {why}",
            row.bad(),
            row.gateway
        )?;
    }
    if bad.len() > REASONS_MAX {
        writeln!(
            out,
            "failed requests in {} more rows",
            bad.len() - REASONS_MAX
        )?;
    }
    Ok(())
}
