//! One file per command; each has `run`.

mod audit;
mod check;
mod doctor;
mod energy;
mod engine;
mod explain;
mod gateway;
mod idle;
mod job;
mod key;
mod ledger;
mod login;
mod logs;
mod money;
mod pii;
mod plan;
mod policy;
mod power;
mod programme;
mod project;
mod reload;
mod replay;
mod report;
mod request;
mod schema;
mod secret;
mod server;
mod source;
mod status;
mod stop;
mod tenant;
mod top;
mod twin;
mod usage;

use crate::args::{Args, Command};
use anyhow::anyhow;
use madang_fleet::LoadError;
use std::process::ExitCode;

/// Runs the command.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Check(args) => check::run(&args),
        Command::Policy(command) => policy::run(&command),
        Command::Schema => schema::run(),
        Command::Replay(args) => replay::run(&args),
        Command::Twin(command) => twin::run(command),
        Command::Plan(args) => plan::run(&args),
        Command::Pii(command) => pii::run(command),
        Command::Audit(command) => audit::run(command),
        other => in_runtime(run_in_runtime(other)),
    }
}

/// Does what waits for others.
fn in_runtime<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

async fn run_in_runtime(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => Box::pin(crate::up::run(args)).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Reload(args) => reload::run(args).await,
        Command::Status(args) => status::run(args).await,
        Command::Top(args) => top::run(args).await,
        Command::Logs(args) => logs::run(args).await,
        Command::Tenant(command) => tenant::run(command).await,
        Command::Programme(command) => programme::run(command).await,
        Command::Project(command) => project::run(command).await,
        Command::Key(command) => key::run(command).await,
        Command::Login(args) => login::login(args).await,
        Command::Logout(server) => login::logout(server).await,
        Command::Budget(command) => money::budget(command).await,
        Command::Allocation(command) => money::allocation(command).await,
        Command::Price(command) => money::price(command).await,
        Command::Exchange(command) => money::exchange(command).await,
        Command::Usage(args) => usage::run(args).await,
        Command::Report(command) => report::run(command).await,
        Command::Request(args) => request::run(args).await,
        Command::Engine(args) => engine::run(args).await,
        Command::Gateway(command) => gateway::run(command).await,
        Command::Ledger(command) => ledger::run(command).await,
        Command::Job(command) => job::run(command).await,
        Command::Secret(command) => secret::run(command).await,
        Command::Stop(command) => stop::run(command).await,
        Command::Power(command) => power::run(command).await,
        Command::Explain(args) => explain::run(args).await,
        Command::Check(_)
        | Command::Policy(_)
        | Command::Schema
        | Command::Replay(_)
        | Command::Twin(_)
        | Command::Plan(_)
        | Command::Audit(_)
        | Command::Pii(_) => Err(anyhow!(
            "this command needs no runtime and was handled before"
        )),
    }
}

/// A fleet file's problems as they are shown, with what to do.
pub fn load_failure(error: LoadError) -> anyhow::Error {
    match error {
        LoadError::Invalid(file) => {
            let rendered = crate::diagnose::render(&file, crate::out::color());
            anyhow!("{} cannot be used\n{rendered}", file.path.display())
        }
        other => match other.remedy() {
            Some(remedy) => anyhow!("{other}\n  help: {remedy}"),
            None => anyhow!(other),
        },
    }
}
