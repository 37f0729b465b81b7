//! The command line.

use clap::Parser;
use std::path::PathBuf;

/// Madang, nginx and the bare upstream side by side.
#[derive(Debug, Parser)]
pub struct Args {
    /// One short round: for a look, not for figures.
    #[arg(long)]
    pub quick: bool,
    /// Rounds; medians are printed.
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each measurement.
    #[arg(long)]
    seconds: Option<f64>,
    /// Only scenarios whose name has this in it; may be given several times.
    #[arg(long)]
    pub only: Vec<String>,
    /// What to measure, in this order.
    #[arg(long, value_delimiter = ',', default_value = "direct,nginx,madang")]
    pub gateways: Vec<String>,
    /// Instead of load: open this many streams that stay silent, and print the memory of each.
    #[arg(long)]
    pub streams: Option<usize>,
    /// Madang's release binary.
    #[arg(long, default_value = "target/release/madang")]
    pub madang: PathBuf,
    /// nginx's binary.
    #[arg(long, default_value = "nginx")]
    pub nginx: PathBuf,
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
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    /// Length of one measurement.
    pub fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 0.5 } else { 1.3 })
    }
}
