//! `madang doctor`: what is missing on this machine, and the command that mends it.

use crate::args::DoctorArgs;
use crate::commands::load_failure;
use crate::out;
use crate::up::default_source;
use madang_control::FleetSource;
use madang_provision::{Cache, Check, DoctorOptions, Verdict, doctor};
use std::process::ExitCode;

/// Exit code 0 where nothing failed.
pub async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let source = match &args.fleet {
        Some(path) => FleetSource::File(path.clone()),
        None => default_source(),
    };
    let fleet = source.read().map_err(load_failure)?.fleet;
    let cache = Cache::from_env()?;
    let checks = doctor(DoctorOptions {
        fleet: Some(&fleet),
        cache: &cache,
        data_dir: &args.data,
        listen: args.listen,
        deep: args.deep,
    })
    .await;
    let failed = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fail)
        .count();
    if args.json {
        out::line(&serde_json::to_string(&checks)?);
    } else {
        let lines: Vec<String> = checks.iter().map(Check::to_string).collect();
        out::line(&lines.join("\n"));
        out::line(&match failed {
            0 => "\nnothing is missing".to_owned(),
            count => format!("\n{count} to mend"),
        });
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
