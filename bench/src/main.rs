//! Load on Madang, on nginx as a plain proxy, on other gateways and on the bare upstream, side by side in one run.
//!
//! The upstream answers at once with canned bytes, so what is measured is the way there and back. Load generator,
//! upstream and gateway share the machine's cores: compare rows of one run, never two runs. Nothing here is part of
//! the product, and no product code runs in this process.

mod args;
mod client;
mod disk;
mod gateways;
mod http;
mod idle;
mod load;
mod process;
mod report;
mod rounds;
mod scenario;
mod stats;
mod upstream;

use args::Args;
use clap::Parser;
use gateways::{Place, Started};
use std::net::SocketAddr;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // One thread each for upstream and load: what is left of the machine is the gateway's.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match args.serve_upstream {
        Some(port) => {
            runtime.block_on(upstream::serve(port))?;
            Ok(ExitCode::SUCCESS)
        }
        None => runtime.block_on(compare(args)),
    }
}

async fn compare(args: Args) -> anyhow::Result<ExitCode> {
    let place = Place::new(&args)?;
    let upstream = gateways::start_upstream(&place).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut started = Started::default();
    let done = tokio::select! {
        done = measure(&args, &place, &mut started, upstream.address) => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("told to end")),
    };
    started.stop().await;
    upstream.stop().await;
    done
}

async fn measure(
    args: &Args,
    place: &Place,
    started: &mut Started,
    upstream: SocketAddr,
) -> anyhow::Result<ExitCode> {
    gateways::start(&args.chosen(), place, upstream, started).await?;
    match args.streams {
        Some(count) => {
            idle::measure(&started.gateways, count).await?;
            Ok(ExitCode::SUCCESS)
        }
        None => rounds::run(args, place, started).await,
    }
}
