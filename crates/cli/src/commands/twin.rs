//! `madang twin`: experiments on the virtual clock, with the rules of others beside ours.

mod fidelity;
mod jobs;
mod power;
mod run;

use super::source::bounded;
use crate::out;
use crate::twin_args::{MonthArgs, NoisyArgs, OverloadArgs, RouteArgs, SpeedArgs, TwinCommand};
use anyhow::Context;
use clap::ValueEnum;
use madang_core::CreditTerms;
use madang_rehearsal::{LiveOptions, live_noisy};
use madang_twin::engine::{Profile, Tier};
use madang_twin::experiment::month::{MinutesReport, MonthOptions, MonthReport, MonthRow, month};
use madang_twin::experiment::noisy::{Flood, NoisyOptions, NoisyReport, noisy};
use madang_twin::experiment::overload::{OverloadOptions, OverloadReport, overload};
use madang_twin::experiment::route::{RouteOptions, RouteReport, route};
use madang_twin::experiment::speed::speed;
use madang_twin::trace::{Doubt, Requests};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;

/// The floods of many requests, of long prompts and of long answers.
const FLOODS: [(f64, u64, u64); 3] = [(120.0, 1_155, 211), (6.0, 30_000, 50), (60.0, 200, 2_000)];
/// Bytes of a table that is held in memory.
const TABLE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Runs the experiment.
pub fn run(command: TwinCommand) -> anyhow::Result<ExitCode> {
    match command {
        TwinCommand::Run(args) => return run::run_scenario(&args),
        TwinCommand::Noisy(args) if args.live => run_live(&args)?,
        TwinCommand::Noisy(args) => run_noisy(&args)?,
        TwinCommand::Route(args) => run_route(&args)?,
        TwinCommand::Overload(args) => run_overload(&args)?,
        TwinCommand::Month(args) => run_month(&args)?,
        TwinCommand::Jobs(args) => jobs::run_jobs(&args)?,
        TwinCommand::Place(args) => jobs::run_place(&args)?,
        TwinCommand::Catalog(args) => fidelity::run_catalog(&args)?,
        TwinCommand::Calibrate(args) => fidelity::run_calibrate(&args)?,
        TwinCommand::Predict(args) => fidelity::run_predict(&args)?,
        TwinCommand::Requests(args) => fidelity::run_requests(&args)?,
        TwinCommand::Power(args) => power::run_power(&args)?,
        TwinCommand::Speed(args) => run_speed(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A trace that is read through once: a pipe does, too.
fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("{} cannot be read", path.display()))
}

/// A table's bytes.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    bounded(path, "table", TABLE_BYTES_MAX)
}

fn profile(name: &str) -> anyhow::Result<Profile> {
    let profile = Profile::named(name).context("the flag takes names of profiles only")?;
    Ok(profile.clone())
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Those that were asked for, or all.
fn asked_or_all<T: ValueEnum>(asked: &[T]) -> Vec<T> {
    let all = if asked.is_empty() {
        T::value_variants()
    } else {
        asked
    };
    all.to_vec()
}

/// JSON, or a table: its head, and a line for each report.
fn show<T: Serialize>(
    json: bool,
    reports: &[T],
    head: &str,
    line: impl Fn(&T) -> String,
) -> anyhow::Result<()> {
    if json {
        return print_json(reports);
    }
    out::line(head);
    for report in reports {
        out::line(&line(report));
    }
    Ok(())
}

/// One object for one report, a list for several.
fn print_json<T: Serialize>(reports: &[T]) -> anyhow::Result<()> {
    let text = match reports {
        [one] => serde_json::to_string_pretty(one)?,
        several => serde_json::to_string_pretty(several)?,
    };
    out::line(&text);
    Ok(())
}

/// A rule's name as it is written on the command line.
fn word<T: Serialize>(rule: T) -> String {
    match serde_json::to_value(rule) {
        Ok(serde_json::Value::String(word)) => word.replace('_', "-"),
        _ => String::new(),
    }
}

fn run_noisy(args: &NoisyArgs) -> anyhow::Result<()> {
    let mut reports = Vec::new();
    for floods in flood_sets(&args.flood) {
        for policy in asked_or_all(&args.policy) {
            reports.push(noisy(&NoisyOptions {
                floods: floods.clone(),
                share: policy.rule(),
                credit: args.credit,
                seed: args.fleet.seed,
                replicas: count(args.replicas),
                profile: profile(&args.fleet.profile)?,
            })?);
        }
    }
    let head = "steady tenants' time to first token in ms, alone and beside the floods (requests a second, prompt, output tokens)\n\n\
        floods                        policy         alone p50    p99   flooded p50       p99   p99 ratio   tokens/s   refused";
    show(args.fleet.json, &reports, head, noisy_line)
}

/// The sets of floods that are run, one after another.
fn flood_sets(asked: &[Flood]) -> Vec<Vec<Flood>> {
    if !asked.is_empty() {
        return vec![asked.to_vec()];
    }
    let flood = |(rate, input_tokens, output_tokens)| Flood {
        rate,
        input_tokens,
        output_tokens,
    };
    FLOODS.map(|known| vec![flood(known)]).to_vec()
}

fn run_live(args: &NoisyArgs) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("the program's own path is not known")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut reports = Vec::new();
    for floods in flood_sets(&args.flood) {
        for policy in asked_or_all(&args.policy) {
            let options = LiveOptions {
                program: program.clone(),
                floods: floods.clone(),
                share: policy.rule(),
                seed: args.fleet.seed,
                replicas: count(args.replicas),
                profile: profile(&args.fleet.profile)?,
                speed: args.speed,
                seconds: args.seconds,
            };
            let report = runtime.block_on(live_noisy(options))?;
            if !args.fleet.json {
                out::line(&format!("{}\n{report}", word(policy.rule())));
            }
            reports.push(report);
        }
    }
    if args.fleet.json {
        return print_json(&reports);
    }
    Ok(())
}

fn noisy_line(report: &NoisyReport) -> String {
    let flood = |f: &Flood| format!("{},{},{}", f.rate, f.input_tokens, f.output_tokens);
    let floods: Vec<String> = report.floods.iter().map(flood).collect();
    format!(
        "{:<28}  {:<12} {:>11.0} {:>6.0} {:>13.0} {:>9.0} {:>11.2} {:>10.0} {:>9}",
        floods.join(" "),
        word(report.policy),
        report.alone.p50_ms,
        report.alone.p99_ms,
        report.flooded.p50_ms,
        report.flooded.p99_ms,
        report.inflation_p99,
        report.tokens_per_second,
        report.unserved,
    )
}

fn run_route(args: &RouteArgs) -> anyhow::Result<()> {
    let path = args.trace.display();
    let requests = Requests::new(Box::new(open(&args.trace)?));
    let requests = requests.and_then(|requests| requests.of_model(args.model.as_deref())?.all());
    let (rows, summary) = requests.with_context(|| format!("{path} is not a trace"))?;
    for Doubt { what, help } in summary.doubts() {
        out::note(&format!("warning: {path}: {what}\n  {help}"));
    }
    let kinds = [Some(&args.fleet.profile), args.second_profile.as_ref()];
    let mut profiles = Vec::new();
    for name in kinds.into_iter().flatten() {
        let mut profile = profile(name)?;
        profile.keep(Tier::host(args.host_tier));
        profiles.push(profile);
    }
    let profiles: Vec<Profile> = profiles
        .iter()
        .cycle()
        .take(count(args.replicas))
        .cloned()
        .collect();
    let mut reports = Vec::new();
    for rule in asked_or_all(&args.policy) {
        let options = RouteOptions {
            speed: args.speed,
            profiles: profiles.clone(),
            route: rule.rule(),
        };
        reports.push(route(&options, &rows)?);
    }
    let head =
        "policy                     within 5 s   prefix hit   TTFT p50 ms   TTFT p99 ms   refused";
    show(args.fleet.json, &reports, head, route_line)
}

fn route_line(report: &RouteReport) -> String {
    format!(
        "{:<26} {:>10.4} {:>12.3} {:>13.0} {:>13.0} {:>9}",
        word(report.policy),
        report.within_5s,
        report.prefix_hit,
        report.ttft_p50_ms,
        report.ttft_p99_ms,
        report.unserved,
    )
}

fn run_overload(args: &OverloadArgs) -> anyhow::Result<()> {
    let steps = if args.step.is_empty() {
        vec![1.4, 3.0]
    } else {
        args.step.clone()
    };
    let mut reports = Vec::new();
    for step in steps {
        for policy in asked_or_all(&args.policy) {
            reports.push(overload(&OverloadOptions {
                step,
                share: policy.rule(),
                seed: args.fleet.seed,
                replicas: count(args.replicas),
                profile: profile(&args.fleet.profile)?,
            })?);
        }
    }
    let head = "step  policy        capacity/s   goodput   recovery s   attempts per answer   tries per request   TTFT p99 ms";
    show(args.fleet.json, &reports, head, overload_line)
}

fn overload_line(report: &OverloadReport) -> String {
    format!(
        "{:<4}  {:<12} {:>11.1} {:>9.3} {:>12} {:>21.3} {:>19.2} {:>13.0}",
        report.step,
        word(report.policy),
        report.capacity_per_second,
        report.goodput,
        report.recovery_s,
        report.amplification,
        report.client_amplification,
        report.ttft_p99_ms,
    )
}

fn run_month(args: &MonthArgs) -> anyhow::Result<()> {
    let report = month(&MonthOptions {
        seed: args.fleet.seed,
        days: args.days,
        terms: CreditTerms {
            half_life_days: args.half_life_days,
            cap_days: args.cap_days,
            factor_max: args.factor_max,
            ..CreditTerms::default()
        },
        replicas: count(args.replicas),
        profile: profile(&args.fleet.profile)?,
    })?;
    if args.fleet.json {
        return print_json(&[report]);
    }
    show_month(&report);
    Ok(())
}

fn show_month(report: &MonthReport) {
    out::line(&format!(
        "delivered ÷ promised over {} days, with max-min fairness alone and with credit\n\n\
        tenant     programme  wants                      share   asked ÷ share   max-min   credit   credit left, days",
        report.days
    ));
    for row in &report.tenants {
        out::line(&month_line(row));
    }
    out::line(&format!(
        "{:<62}{:>19.3} {:>8.3}\n{:<62}{:>19.3} {:>8.3}",
        "least",
        report.max_min_min_ratio,
        report.credit_min_ratio,
        "used",
        report.max_min_used_ratio,
        report.credit_used_ratio
    ));
    out::line(
        "\nservice ÷ part over each of ten minutes, request by request, everybody backlogged",
    );
    show_minutes("nobody has credit", &report.minutes);
    show_minutes("the small one has, the others owe", &report.minutes_credit);
}

fn month_line(row: &MonthRow) -> String {
    format!(
        "{:<10} {:<10} {:<26} {:>5.3} {:>15.2} {:>9.3} {:>8.3} {:>19.2}",
        row.tenant,
        row.programme,
        row.wants,
        row.part,
        row.asked_ratio,
        row.max_min_ratio,
        row.credit_ratio,
        row.balance_days,
    )
}

fn show_minutes(what: &str, report: &MinutesReport) {
    out::line(&format!(
        "{what}: {:.0} % of the minutes within 5 %",
        report.within_5_percent_ratio * 100.0
    ));
    for row in &report.tenants {
        let minutes: Vec<String> = row.minutes.iter().map(|m| format!("{m:.3}")).collect();
        let (share, lean) = (row.share, row.lean);
        out::line(&format!(
            "  {:<7} share {share:.3}, with credit {lean:.3}   {}",
            row.tenant,
            minutes.join(" ")
        ));
    }
}

/// The twin's own speed.
#[derive(Debug, Serialize)]
struct SpeedReport {
    replicas: usize,
    requests: u64,
    cpu_seconds: f64,
    requests_per_cpu_second: f64,
    /// What it should be at least.
    goal: f64,
}

fn run_speed(args: &SpeedArgs) -> anyhow::Result<()> {
    let profile = profile(&args.fleet.profile)?;
    let mut reports = Vec::new();
    for (replicas, goal) in [(1, 300_000.0), (64, 150_000.0)] {
        let before = cpu_seconds();
        let answered = speed(&profile, replicas, args.requests, args.fleet.seed)?;
        let cpu_seconds = cpu_seconds() - before;
        reports.push(SpeedReport {
            replicas,
            requests: answered,
            cpu_seconds,
            requests_per_cpu_second: answered as f64 / cpu_seconds.max(1e-9),
            goal,
        });
    }
    let head = "replicas   requests   CPU s   requests per CPU second      goal";
    show(args.fleet.json, &reports, head, speed_line)
}

fn speed_line(report: &SpeedReport) -> String {
    format!(
        "{:>8} {:>10} {:>7.2} {:>25.0} {:>9.0}",
        report.replicas,
        report.requests,
        report.cpu_seconds,
        report.requests_per_cpu_second,
        report.goal
    )
}

/// Processor time of this process so far.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
