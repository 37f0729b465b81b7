//! The tables: absolute figures, and what each gateway adds to the bare upstream of the same run.

use crate::gateways::{Gateway, Place};
use crate::load::Sample;
use crate::process;
use crate::scenario::Scenario;
use crate::stats::median;
use std::fs;
use std::io::Write;

/// All measurements of one gateway in one scenario.
pub struct Row {
    pub gateway: String,
    pub samples: Vec<Sample>,
}

impl Row {
    pub fn new(gateway: &str) -> Self {
        Self {
            gateway: gateway.into(),
            samples: Vec::new(),
        }
    }

    fn median(&self, field: fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(field).collect())
    }
}

/// What is printed.
#[derive(Default)]
pub struct Report {
    begun: bool,
}

const HEAD: &str = "| load | gateway | requests/s | p50 µs | p99 µs | first byte p50 | p99 | gap p50 | p99 | CPU µs/request | added p50 | added p99 | CPU of nginx's |
|---|---|---|---|---|---|---|---|---|---|---|---|---|";

impl Report {
    /// One scenario's rows.
    pub fn print(
        &mut self,
        out: &mut impl Write,
        scenario: &Scenario,
        rows: &[Row],
    ) -> anyhow::Result<()> {
        if !self.begun {
            self.begun = true;
            writeln!(out, "\n{HEAD}")?;
        }
        let of = |name: &str| rows.iter().find(|row| row.gateway == name);
        for row in rows {
            let over = |field: fn(&Sample) -> f64| {
                let base = of("direct").filter(|base| base.gateway != row.gateway);
                base.map_or(f64::NAN, |base| row.median(field) - base.median(field))
            };
            let cpu_ratio = of("nginx")
                .filter(|nginx| nginx.gateway != row.gateway)
                .map_or(f64::NAN, |nginx| {
                    row.median(|s| s.cpu_us) / nginx.median(|s| s.cpu_us)
                });
            let gap = |field: fn(&Sample) -> f64| {
                if scenario.gap_ms > 0 {
                    row.median(field)
                } else {
                    f64::NAN
                }
            };
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                scenario.name,
                row.gateway,
                whole(row.median(|s| s.per_s)),
                whole(row.median(|s| s.p50_us)),
                whole(row.median(|s| s.p99_us)),
                whole(row.median(|s| s.first_p50_us)),
                whole(row.median(|s| s.first_p99_us)),
                whole(gap(|s| s.gap_p50_us)),
                whole(gap(|s| s.gap_p99_us)),
                whole(row.median(|s| s.cpu_us)),
                whole(over(|s| s.p50_us)),
                whole(over(|s| s.p99_us)),
                if cpu_ratio.is_nan() {
                    "–".into()
                } else {
                    format!("×{cpu_ratio:.1}")
                },
            )?;
        }
        out.flush()?;
        Ok(())
    }

    /// Memory after all load.
    pub fn close(&self, out: &mut impl Write, gateways: &[Gateway]) -> anyhow::Result<()> {
        writeln!(out)?;
        for gateway in gateways.iter().filter(|g| !g.pids.is_empty()) {
            let resident_kb = process::resident_kb(&gateway.pids)?;
            writeln!(
                out,
                "{}: {} MB resident after this",
                gateway.name,
                resident_kb / 1000
            )?;
        }
        let load = fs::read_to_string("/proc/loadavg")?;
        writeln!(out, "load of the machine at the end: {}", load.trim())?;
        Ok(())
    }
}

fn whole(value: f64) -> String {
    if value.is_nan() {
        "–".into()
    } else {
        format!("{value:.0}")
    }
}

/// When, where and what.
pub fn machine(place: &Place) -> anyhow::Result<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown processor", |rest| {
            rest.trim_start_matches([':', ' ', '\t'])
        });
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    Ok(format!(
        "{:.0}: {cores} cores of {model}, Linux {}, load before {}\n{}\n\
         load generator (1 thread), upstream (1 thread) and gateways share these cores; medians over rounds; p99 of \
         each round; times in µs",
        jiff::Timestamp::now(),
        kernel.trim(),
        load.trim(),
        place.versions(),
    ))
}
