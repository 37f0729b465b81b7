//! Tables in Markdown, padded so that a terminal shows them as well. Medians over rounds; in brackets the least and the
//! greatest round.

use super::ratios::{Goal, Unit};
use super::{About, Measured, Ratio, Row};
use crate::load::{Field, Sample};
use crate::stats::Spread;
use std::io::{self, Write};

/// A figure of a row, and how it is shown.
type Column = (&'static str, fn(&Row, &Measured) -> String);

const COLUMNS: &[Column] = &[
    ("gateway", |row, _| row.gateway.clone()),
    ("requests/s", |row, _| spread(row.spread(|s| s.per_s))),
    ("per core", |row, _| {
        whole(row.spread(|s| 1e6 / s.cpu_us).median)
    }),
    ("CPU µs", |row, _| spread(row.spread(|s| s.cpu_us))),
    ("p50", |row, _| whole(row.spread(|s| s.p50_us).median)),
    ("p99", |row, _| whole(row.spread(|s| s.p99_us).median)),
    ("added p50", |row, m| added(row, m, |s| s.p50_us)),
    ("added p99", |row, m| added(row, m, |s| s.p99_us)),
    ("first byte p50", |row, _| {
        spread(row.spread(|s| s.first_p50_us))
    }),
    ("p99", |row, _| spread(row.spread(|s| s.first_p99_us))),
    ("gap p50", |row, m| gap(row, m, |s| s.gap_p50_us)),
    ("p99", |row, m| gap(row, m, |s| s.gap_p99_us)),
    ("MB", |row, _| whole(row.spread(|s| s.resident_mb).median)),
    ("failed", |row, _| failed(row)),
];

/// The table of one load.
///
/// # Errors
/// It cannot be written.
pub fn loads(out: &mut impl Write, measured: &Measured) -> io::Result<()> {
    writeln!(out, "\n**{}**\n", measured.scenario.name)?;
    let head = COLUMNS.iter().map(|(name, _)| (*name).to_owned());
    let rows = measured.rows.iter().map(|row| {
        let cells = COLUMNS.iter().map(|(_, show)| show(row, measured));
        cells.collect()
    });
    print(out, head.collect(), rows.collect())?;
    out.flush()
}

/// The ratios beside their goals.
///
/// # Errors
/// It cannot be written.
pub fn ratios(out: &mut impl Write, lines: &[Ratio]) -> io::Result<()> {
    writeln!(out, "\n**Ratios and goals**\n")?;
    let head = ["what", "measured", "goal", ""].map(str::to_owned);
    let rows = lines.iter().map(|line| {
        let goal = line.goal.map_or(String::new(), |goal| match goal {
            Goal::AtMost(value) => format!("≤ {}", figure(value, line.unit)),
            Goal::AtLeast(value) => format!("≥ {}", figure(value, line.unit)),
            Goal::Above(value) => format!("> {}", figure(value, line.unit)),
        });
        let measured = bracketed(line.measured, |value| figure(value, line.unit));
        vec![line.what.clone(), measured, goal, line.verdict()]
    });
    print(out, head.to_vec(), rows.collect())
}

/// Memory, processes and versions.
///
/// # Errors
/// It cannot be written.
pub fn memory(out: &mut impl Write, about: &[About]) -> io::Result<()> {
    writeln!(out, "\n**Memory**\n")?;
    let head = [
        "gateway",
        "version",
        "processes",
        "MB when ready",
        "MB after all load",
    ];
    let rows = about.iter().map(|about| {
        vec![
            about.name.clone(),
            about.version.clone(),
            about.processes.to_string(),
            whole(about.ready_mb),
            whole(about.after_mb),
        ]
    });
    print(out, head.map(str::to_owned).to_vec(), rows.collect())
}

fn print(out: &mut impl Write, head: Vec<String>, rows: Vec<Vec<String>>) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let rule = widths.iter().map(|width| "-".repeat(*width)).collect();
    for row in [&head, &rule].into_iter().chain(&rows) {
        write!(out, "|")?;
        for (cell, width) in row.iter().zip(&widths) {
            write!(out, " {cell:<width$} |")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn added(row: &Row, measured: &Measured, field: Field) -> String {
    let base = measured
        .row("direct")
        .filter(|base| base.gateway != row.gateway);
    base.map_or("–".into(), |base| {
        spread(row.beside(base, field, |own, base| own - base))
    })
}

fn gap(row: &Row, measured: &Measured, field: Field) -> String {
    if measured.scenario.gap_ms > 0 {
        spread(row.spread(field))
    } else {
        "–".into()
    }
}

fn failed(row: &Row) -> String {
    let sum = |count: fn(&Sample) -> u64| row.samples.iter().map(count).sum::<u64>();
    match (sum(|s| s.failed), sum(|s| s.unanswered)) {
        (failed, 0) => failed.to_string(),
        (failed, unanswered) => format!("{failed}, {unanswered} never taken"),
    }
}

fn spread(spread: Spread) -> String {
    bracketed(spread, whole)
}

fn bracketed(spread: Spread, show: impl Fn(f64) -> String) -> String {
    let [median, min, max] = [spread.median, spread.min, spread.max].map(show);
    if min == max {
        median
    } else {
        format!("{median} ({min}–{max})")
    }
}

fn figure(value: f64, unit: Unit) -> String {
    match unit {
        _ if value.is_nan() => "–".into(),
        Unit::Times if value >= 100.0 => format!("×{}", whole(value)),
        Unit::Times => format!(
            "×{}",
            format!("{value:.2}")
                .trim_end_matches('0')
                .trim_end_matches('.')
        ),
        Unit::Micros => format!("{} µs", whole(value)),
    }
}

/// Without decimals, in groups of three digits.
fn whole(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let sign = if value < 0.0 && digits != "0" {
        "−"
    } else {
        ""
    };
    format!("{sign}{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let cases = [
            (0.0, "0"),
            (-0.2, "0"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
            (-1234.0, "−1,234"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ];
        for (value, expected) in cases {
            assert_eq!(whole(value), expected);
        }
    }

    #[test]
    fn figures_have_their_unit() {
        let cases = [
            (1.5, Unit::Times, "×1.5"),
            (20.0, Unit::Times, "×20"),
            (1.254, Unit::Times, "×1.25"),
            (164.2, Unit::Times, "×164"),
            (150.4, Unit::Micros, "150 µs"),
            (f64::NAN, Unit::Micros, "–"),
        ];
        for (value, unit, expected) in cases {
            assert_eq!(figure(value, unit), expected);
        }
    }

    #[test]
    fn spreads_show_their_ends_where_these_differ() {
        assert_eq!(spread(Spread::of([1.0, 2.0, 3000.0])), "2 (1–3,000)");
        assert_eq!(spread(Spread::of([2.0])), "2");
        assert_eq!(spread(Spread::of([])), "–");
    }
}
