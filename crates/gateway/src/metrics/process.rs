//! The process itself, as other programs report it: memory, processor time, open files, start.

use crate::clock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;
use std::fs;

/// Clock ticks of `/proc/self/stat` in a second: fixed at 100 by Linux towards user space.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads `/proc/self` at each scrape. What cannot be read is left out.
#[derive(Debug)]
pub(super) struct ProcessCollector {
    started_at_seconds: f64,
}

impl ProcessCollector {
    pub(super) fn new() -> Self {
        let since_epoch_us = u64::try_from(clock::now().0).unwrap_or(0);
        Self {
            started_at_seconds: super::seconds(since_epoch_us),
        }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, unit: Option<&Unit>, help: &str, value: f64| {
            encoder
                .encode_descriptor(name, help, unit, MetricType::Gauge)?
                .encode_gauge(&value)
        };
        gauge(
            "process_start_time",
            Some(&Unit::Seconds),
            "Start, in seconds since 1970.",
            self.started_at_seconds,
        )?;
        if let Some(bytes) = memory_bytes() {
            gauge(
                "process_resident_memory",
                Some(&Unit::Bytes),
                "Memory in use.",
                bytes,
            )?;
        }
        if let Some(count) = files_open() {
            gauge(
                "process_open_fds",
                None,
                "Open files and connections.",
                count,
            )?;
        }
        if let Some(seconds) = processor_seconds() {
            let help = "Processor time used.";
            encoder
                .encode_descriptor(
                    "process_cpu",
                    help,
                    Some(&Unit::Seconds),
                    MetricType::Counter,
                )?
                .encode_counter::<NoLabelSet, f64, f64>(&seconds, None)?;
        }
        Ok(())
    }
}

fn memory_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

fn files_open() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count).ok().map(f64::from)
}

fn processor_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name, in brackets, may hold spaces; user and system time are the 12th and 13th word behind it.
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut words = behind_name.split_ascii_whitespace().skip(11);
    let user: f64 = words.next()?.parse().ok()?;
    let system: f64 = words.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
