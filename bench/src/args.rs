//! The command line.

use crate::gateways;
use clap::Parser;
use std::path::PathBuf;

/// Madang, nginx, the bare upstream and other gateways side by side.
#[derive(Debug, Parser)]
pub struct Args {
    /// One short round: for a look, not for figures.
    #[arg(long)]
    pub quick: bool,
    /// Rounds; medians and spreads are printed.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=50))]
    rounds: Option<u8>,
    /// Seconds of each measurement; half as long again in the open loop, twice as long where few are answered.
    #[arg(long)]
    seconds: Option<f64>,
    /// Only loads whose name has this in it; given several times, every one of them in it.
    #[arg(long)]
    pub only: Vec<String>,
    /// What to measure beside the peers.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "direct,nginx,madang,madang-relaxed,madang-priced"
    )]
    pub gateways: Vec<String>,
    /// Other gateways, installed into .cache/bench when first asked for: their names, `all`, `none`, or `default`.
    #[arg(long, value_delimiter = ',', default_value = "default")]
    pub peers: Vec<String>,
    /// Only what the audit log's sync costs: Madang beside itself without that wait, in the loads that show it.
    #[arg(long, conflicts_with_all = ["gateways", "peers", "streams"])]
    pub audit: bool,
    /// Only what setting aside and settling cost: Madang beside itself with prices and a grant, in the loads that show it.
    #[arg(long, conflicts_with_all = ["gateways", "peers", "streams", "audit"])]
    pub priced: bool,
    /// Have `madang-priced` keep its books in this empty PostgreSQL database: postgres://USER@HOST/DATABASE.
    #[arg(long)]
    pub store: Option<String>,
    /// Write every figure to this file too.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Instead of load: open this many streams that stay silent, and print the memory of each. Without peers. Madang runs as
    /// many as the limit on open files allows, and the rest wait in its queue.
    #[arg(long)]
    pub streams: Option<usize>,
    /// Madang's release binary.
    #[arg(long, default_value = "target/release/madang")]
    pub madang: PathBuf,
    /// nginx's binary.
    #[arg(long, default_value = "nginx")]
    pub nginx: PathBuf,
    /// The program that installs a peer by its name and prints its folder and version.
    #[arg(long, default_value = "bench/peers/install")]
    pub install: PathBuf,
    /// Where data folders are made: on the disk whose syncs are to be measured.
    #[arg(long, default_value = "target")]
    pub folder: PathBuf,
    /// Be the upstream on this port.
    #[arg(long, hide = true)]
    pub serve_upstream: Option<u16>,
}

impl Args {
    /// Rounds of every measurement.
    pub fn rounds(&self) -> usize {
        usize::from(self.rounds.unwrap_or(if self.quick { 1 } else { 3 }))
    }

    /// Base length of one measurement: from a twentieth of a second to a minute.
    pub fn seconds(&self) -> f64 {
        let seconds = self.seconds.unwrap_or(if self.quick { 0.4 } else { 0.8 });
        seconds.clamp(0.05, 60.0)
    }

    /// The gateway that is Madang but for one step, where only that step is to be measured.
    pub fn step(&self) -> Option<&'static str> {
        match (self.audit, self.priced) {
            (true, _) => Some("madang-relaxed"),
            (_, true) => Some("madang-priced"),
            (false, false) => None,
        }
    }

    /// Names of everything to measure, in the order of the tables.
    pub fn chosen(&self) -> Vec<String> {
        if let Some(step) = self.step() {
            return ["direct", "madang", step].map(str::to_owned).into();
        }
        let mut chosen = self.gateways.clone();
        if self.streams.is_some() {
            return chosen;
        }
        for peer in &self.peers {
            match peer.as_str() {
                "none" => {}
                "all" => chosen.extend(gateways::peers(|_| true)),
                "default" => chosen.extend(gateways::peers(|peer| peer.by_default)),
                name => chosen.push(name.to_owned()),
            }
        }
        chosen
    }
}
