//! All figures of a run, for other programs. What was not measured is `null`.

use super::ratios::{Goal, Ratio, Unit};
use super::{Measured, Row, Run};
use crate::load::Sample;
use crate::scenario::Load;
use crate::stats::Spread;
use anyhow::Context;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Writes the file.
///
/// # Errors
/// It cannot be written.
pub fn write(path: &Path, run: &Run, lines: &[Ratio]) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(&document(run, lines))?;
    fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}

fn document(run: &Run, lines: &[Ratio]) -> Value {
    let about = run.about.iter().map(|about| {
        json!({
            "gateway": about.name, "version": about.version, "processes": about.processes,
            "ready_mb": about.ready_mb, "after_mb": about.after_mb,
        })
    });
    let skipped = run.skipped.iter();
    let skipped = skipped.map(|(name, why)| json!({"gateway": name, "why": why}));
    json!({
        "machine": run.machine,
        "disk": run.disk,
        "rounds": run.rounds,
        "seconds": run.seconds,
        "gateways": about.collect::<Vec<_>>(),
        "skipped": skipped.collect::<Vec<_>>(),
        "loads": run.measured.iter().map(load).collect::<Vec<_>>(),
        "ratios": lines.iter().map(ratio).collect::<Vec<_>>(),
    })
}

fn load(measured: &Measured) -> Value {
    let scenario = &measured.scenario;
    let (connections, per_s) = match scenario.load {
        Load::Closed { connections } => (Some(connections), None),
        Load::Open { per_s } => (None, Some(per_s)),
    };
    json!({
        "name": scenario.name,
        "body_bytes": scenario.body_bytes,
        "stream": scenario.stream,
        "gap_ms": scenario.gap_ms,
        "connections": connections,
        "open_loop_per_s": per_s,
        "rows": measured.rows.iter().map(row).collect::<Vec<_>>(),
    })
}

fn row(row: &Row) -> Value {
    json!({
        "gateway": row.gateway,
        "requests_per_s": spread(row.spread(|s| s.per_s)),
        "cpu_us": spread(row.spread(|s| s.cpu_us)),
        "p50_us": spread(row.spread(|s| s.p50_us)),
        "p99_us": spread(row.spread(|s| s.p99_us)),
        "rounds": row.samples.iter().map(round).collect::<Vec<_>>(),
    })
}

fn round(sample: &Sample) -> Value {
    json!({
        "requests_per_s": sample.per_s,
        "requests_timed": sample.timed,
        "p50_us": sample.p50_us,
        "p99_us": sample.p99_us,
        "first_byte_p50_us": sample.first_p50_us,
        "first_byte_p99_us": sample.first_p99_us,
        "gap_p50_us": sample.gap_p50_us,
        "gap_p99_us": sample.gap_p99_us,
        "cpu_us": sample.cpu_us,
        "resident_mb": sample.resident_mb,
        "failed": sample.failed,
        "never_taken": sample.unanswered,
        "failure": sample.failure,
    })
}

fn ratio(line: &Ratio) -> Value {
    let goal = line.goal.map(|goal| match goal {
        Goal::AtMost(value) => json!({"at_most": value}),
        Goal::AtLeast(value) => json!({"at_least": value}),
        Goal::Above(value) => json!({"above": value}),
    });
    json!({
        "what": line.what,
        "unit": match line.unit { Unit::Times => "ratio", Unit::Micros => "us" },
        "measured": spread(line.measured),
        "goal": goal,
        "verdict": line.verdict(),
    })
}

fn spread(spread: Spread) -> Value {
    json!({"median": spread.median, "min": spread.min, "max": spread.max})
}
