//! What is said of the measurements: a table for each load, ratios beside their goals, all figures as JSON. Nothing is
//! left out because it is bad: failed requests are counted in every row.

mod json;
mod ratios;
mod table;

pub use json::write as write_json;
pub use ratios::{Ratio, all as ratios};
pub use table::{loads, memory, ratios as ratio_table};

use crate::load::{Field, Sample};
use crate::scenario::{Load, Scenario};
use crate::stats::Spread;
use std::fs;

/// All measurements of one gateway in one scenario.
pub struct Row {
    /// Its name.
    pub gateway: String,
    /// One for each round.
    pub samples: Vec<Sample>,
}

impl Row {
    /// One figure over all rounds.
    pub fn spread(&self, field: Field) -> Spread {
        Spread::of(self.samples.iter().map(field))
    }

    /// One figure of each round beside another gateway's of the same round.
    pub fn beside(&self, other: &Self, field: Field, how: fn(f64, f64) -> f64) -> Spread {
        let pairs = self.samples.iter().zip(&other.samples);
        Spread::of(pairs.map(|(own, other)| how(field(own), field(other))))
    }

    /// Requests that failed or were never taken.
    pub fn bad(&self) -> u64 {
        let bad = |sample: &Sample| sample.failed + sample.unanswered;
        self.samples.iter().map(bad).sum()
    }
}

/// One scenario with all its rows.
pub struct Measured {
    /// What was asked.
    pub scenario: Scenario,
    /// In the order of the gateways.
    pub rows: Vec<Row>,
}

impl Measured {
    /// The row of that gateway.
    pub fn row(&self, gateway: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.gateway == gateway)
    }

    /// Whether it is this load, without pauses between chunks.
    pub fn is(&self, body_kb: usize, stream: bool, load: Load) -> bool {
        let Scenario {
            body_bytes,
            stream: streams,
            gap_ms,
            load: own,
            ..
        } = &self.scenario;
        *body_bytes == body_kb * 1000 && *streams == stream && *gap_ms == 0 && *own == load
    }
}

/// One gateway as a whole.
pub struct About {
    /// Its name.
    pub name: String,
    /// As it or its pins say it.
    pub version: String,
    /// Processes that count.
    pub processes: usize,
    /// Resident memory before any load, MB.
    pub ready_mb: f64,
    /// Resident memory after all load, MB.
    pub after_mb: f64,
}

/// A whole run.
pub struct Run {
    /// When and where.
    pub machine: String,
    /// What a sync costs.
    pub disk: String,
    /// Rounds of every measurement.
    pub rounds: usize,
    /// Base length of one of them, s.
    pub seconds: f64,
    /// Each gateway that has processes.
    pub about: Vec<About>,
    /// Names of those that were asked for and not measured, and why.
    pub skipped: Vec<(String, String)>,
    /// In the order of the table.
    pub measured: Vec<Measured>,
}

impl Run {
    /// Requests that failed or were never taken, of these gateways.
    pub fn bad(&self, gateways: &[&str]) -> u64 {
        let rows = self.measured.iter().flat_map(|measured| &measured.rows);
        rows.filter(|row| gateways.contains(&row.gateway.as_str()))
            .map(Row::bad)
            .sum()
    }
}

/// When and where.
///
/// # Errors
/// The kernel does not say.
pub fn machine() -> anyhow::Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([':', ' ', '\t'])
        });
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "{:.0}: {cores} cores of {model}, Linux {}, load before {}",
        jiff::Timestamp::now(),
        kernel.trim(),
        load_average()?,
    ))
}

/// How busy the machine is, as the kernel says it.
///
/// # Errors
/// The kernel does not say.
pub fn load_average() -> anyhow::Result<String> {
    Ok(fs::read_to_string("/proc/loadavg")?.trim().to_owned())
}
