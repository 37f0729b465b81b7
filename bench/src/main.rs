//! Load on Madang, on nginx as a plain proxy and on the bare upstream, side by side in one run.
//!
//! The upstream answers at once with canned bytes, so what is measured is the way there and back. Load generator,
//! upstream and gateway share the machine's cores: compare rows of one run, never two runs. Nothing here is part of
//! the product, and no product code runs in this process.

mod args;
mod client;
mod disk;
mod gateways;
mod idle;
mod load;
mod process;
mod report;
mod scenario;
mod stats;
mod upstream;

use anyhow::Context;
use args::Args;
use clap::Parser;
use gateways::{Gateway, Place};
use report::{Report, Row};
use scenario::Scenario;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // One thread each for upstream and load: what is left of the machine is the gateway's.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match args.serve_upstream {
        Some(port) => runtime.block_on(upstream::serve(port))?,
        None => runtime.block_on(compare(args))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn compare(args: Args) -> anyhow::Result<()> {
    let place = Place::new(&args)?;
    let upstream = gateways::start_upstream(&place).await?;
    let mut gateways = Vec::new();
    for name in &args.gateways {
        let gateway = gateways::start(name, &place, &upstream)
            .await
            .with_context(|| format!("{name} does not start"))?;
        gateways.push(gateway);
    }
    let measured = match args.streams {
        Some(count) => idle::measure(&gateways, count).await,
        None => scenarios(&args, &place, &gateways).await,
    };
    for gateway in gateways {
        gateway.stop().await;
    }
    upstream.stop().await;
    measured
}

/// Each round visits every gateway in turn, so that what the machine does meanwhile falls on all alike.
async fn scenarios(args: &Args, place: &Place, gateways: &[Gateway]) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{}", report::machine(place)?)?;
    writeln!(out, "{}", disk::measure(&place.folder)?)?;
    let length = Duration::from_secs_f64(args.seconds());
    let scenarios: Vec<Scenario> = scenario::all()
        .into_iter()
        .filter(|s| args.only.iter().all(|only| s.name.contains(only.as_str())))
        .collect();
    let mut report = Report::default();
    for scenario in &scenarios {
        let mut rows: Vec<Row> = gateways.iter().map(|g| Row::new(&g.name)).collect();
        for _ in 0..args.rounds() {
            for (gateway, row) in gateways.iter().zip(&mut rows) {
                let sample = load::run(gateway, scenario, length)
                    .await
                    .with_context(|| format!("{} through {}", scenario.name, gateway.name))?;
                row.samples.push(sample);
            }
        }
        report.print(&mut out, scenario, &rows)?;
    }
    report.close(&mut out, gateways)
}
