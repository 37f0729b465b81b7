//! The report of what stood idle, for people.

use super::money::shown;
use super::server::{Table, cell, instant_cell};
use serde_json::Value;

/// Milliseconds in a tenth of an hour.
const TENTH_MS: u64 = 360_000;

/// The whole report.
pub fn text(report: &Value) -> String {
    let mut text = awards(list(&report["awards"]));
    let runs = list(&report["runs"]);
    let below = report["below_permille"].as_u64().unwrap_or(0) / 10;
    text.push_str(&match runs {
        // A line of words: a table without rows says less.
        [] => format!("\nno run that was measured was less than {below} % busy\n"),
        runs => format!(
            "\nruns that were less than {below} % busy\n{}",
            little_used(runs)
        ),
    });
    if let Some(more) = report["runs_left_out"].as_u64().filter(|more| *more > 0) {
        text.push_str(&format!("and {more} more\n"));
    }
    if report["machines"].is_array() {
        let held = machines(list(&report["machines"]));
        text.push_str(&format!("\naccelerator hours of machines\n{held}"));
    }
    text
}

fn awards(awards: &[Value]) -> String {
    let columns = [
        "allocation",
        "tenant",
        "promised",
        "used",
        "unused",
        "measured h",
        "idle h",
        "recalled",
    ];
    let mut table = Table::new(&columns, &[2, 3, 4, 5, 6]);
    for row in awards {
        table.row(vec![
            cell(row, "allocation"),
            cell(row, "tenant"),
            shown(row, "promised"),
            shown(row, "used"),
            shown(row, "unused"),
            hours(row, "measured_ms"),
            hours(row, "idle_ms"),
            instant_cell(row, "recalled_at"),
        ]);
    }
    table.text()
}

fn little_used(runs: &[Value]) -> String {
    let columns = [
        "run",
        "tenant",
        "on",
        "busy",
        "measured by",
        "idle h",
        "idle since",
        "is",
        "paid by",
    ];
    let mut table = Table::new(&columns, &[3, 5]);
    for row in runs {
        let permille = row["busy_permille"].as_u64().unwrap_or(0);
        let ended = row["ended"].as_bool() == Some(true);
        let names = list(&row["allocations"]).iter().filter_map(Value::as_str);
        table.row(vec![
            cell(row, "run"),
            cell(row, "tenant"),
            cell(row, "nodes"),
            format!("{}.{} %", permille / 10, permille % 10),
            cell(row, "measured_by"),
            hours(row, "idle_ms"),
            instant_cell(row, "idle_since"),
            if ended { "over" } else { "running" }.to_owned(),
            names.collect::<Vec<_>>().join(" "),
        ]);
    }
    table.text()
}

fn machines(machines: &[Value]) -> String {
    let mut table = Table::new(&["nodes", "there", "held", "nobody's"], &[1, 2, 3]);
    for row in machines {
        table.row(vec![
            cell(row, "nodes"),
            hours(row, "capacity_ms"),
            hours(row, "held_ms"),
            hours(row, "free_ms"),
        ]);
    }
    table.text()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn hours(row: &Value, field: &str) -> String {
    let tenths = row[field].as_u64().unwrap_or(0) / TENTH_MS;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_told_in_hours() {
        let report = json!({
            "below_permille": 200, "runs_left_out": 3,
            "awards": [{"allocation": "alpha-h200", "tenant": "alpha", "unit": "accelerator_ms", "promised": 7_200_000, "used": 3_600_000,
                "unused": 3_600_000, "measured_ms": 3_600_000, "idle_ms": 3_240_000, "recalled_at": null}],
            "runs": [{"run": "7-1", "tenant": "alpha", "nodes": "pohang-h200", "busy_permille": 105, "idle_ms": 3_240_000,
                "idle_since": "2026-11-27T11:00:00.000000Z", "ended": false, "allocations": ["alpha-h200"]}],
            "machines": [{"nodes": "pohang-h200", "capacity_ms": 36_000_000, "held_ms": 3_600_000, "free_ms": 32_400_000}],
        });
        let told = text(&report);
        for part in [
            "10.5 %",
            "running",
            "less than 20 % busy",
            "and 3 more",
            "10.0",
            "9.0",
            "0.9",
        ] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let empty = text(
            &json!({"below_permille": 50, "awards": [], "runs": [], "runs_left_out": 0, "machines": null}),
        );
        assert!(
            empty.contains("no run that was measured was less than 5 % busy"),
            "{empty}"
        );
        assert!(!empty.contains("machines"), "{empty}");
    }
}
