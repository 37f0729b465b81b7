//! The one binary: `madang up` serves; every other command asks a running server or checks a file.
//!
//! Flags live here and are converted once; no rule of the product is decided in this crate.

mod args;
mod audit_args;
mod commands;
mod diagnose;
mod ground_args;
mod http_client;
mod job_args;
mod ledger_args;
mod money_args;
mod numbers;
mod out;
mod people_args;
mod pii_args;
mod plan_args;
mod policy_args;
mod power_args;
mod report_args;
mod secret_args;
mod twin_args;
mod up;

use clap::{CommandFactory, FromArgMatches};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The guard is Madang's own child beside each engine: no flags, no logs, no runtime of ours.
    let mut arguments = std::env::args_os();
    if arguments
        .nth(1)
        .is_some_and(|first| first == up::GUARD_SUBCOMMAND)
    {
        return madang_executor::guard::main(arguments.collect());
    }
    let command = numbers::with_negatives(args::Args::command());
    let matches = command.get_matches_from(numbers::tied(std::env::args_os()));
    let args = args::Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let color = out::color();
    match commands::run(args) {
        Ok(code) => code,
        Err(error) => {
            out::failure(&error, color);
            ExitCode::from(1)
        }
    }
}
