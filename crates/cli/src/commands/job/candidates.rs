//! Where a run could be, and what that would cost.

use super::{Table, cell};
use serde_json::Value;

/// A million millionths.
const MICRO: f64 = 1e6;

/// A table of machines, in whole won; nothing where there was no choice.
pub(super) fn text(of: &str, candidates: &Value) -> String {
    let candidates = candidates.as_array().map_or(&[][..], Vec::as_slice);
    if candidates.is_empty() {
        return String::new();
    }
    let won = |row: &Value, field: &str| {
        let micro_won = row[field].as_f64().unwrap_or(0.0);
        format!("{:.0}", micro_won / MICRO)
    };
    let heads = [
        "machines",
        "site",
        "lacks",
        "wait",
        "site says",
        "starts in",
        "data",
        "watts",
        "of",
        "run, won",
        "power, won",
        "data, won",
        "wait, won",
        "congestion, won",
        "all, won",
    ];
    let mut table = Table::new(&heads, &[3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    for row in candidates {
        let wait = |field: &str| {
            let ms = row[field].as_u64();
            ms.map_or("-".to_owned(), |ms| format!("{} s", ms / 1_000))
        };
        table.row(vec![
            cell(row, "nodes"),
            cell(row, "site"),
            cell(row, "lacks"),
            wait("wait_ms"),
            wait("foretold_ms"),
            wait("starts_ms"),
            wait("data_ms"),
            cell(row, "draws_watts"),
            cell(row, "headroom_watts"),
            won(row, "run_micro_won"),
            won(row, "energy_micro_won"),
            won(row, "data_micro_won"),
            won(row, "wait_micro_won"),
            won(row, "congestion_micro_won"),
            won(row, "total_micro_won"),
        ]);
    }
    format!("  where {of} could be\n{}", table.text())
}

/// A line for each of the machines on which a job may not be; nothing where there are none.
pub(super) fn closed(closed: &Value) -> String {
    let closed = closed.as_array().map_or(&[][..], Vec::as_slice);
    let line = |row: &Value| {
        let (nodes, site, why) = (cell(row, "nodes"), cell(row, "site"), cell(row, "why"));
        format!("  not on {nodes} at {site}: {why}\n")
    };
    closed.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_term_is_shown_in_whole_won() {
        let row = |nodes: &str, lacks: Option<&str>, wait_ms: Option<u64>| {
            json!({
                "nodes": nodes, "site": "pohang", "lacks": lacks, "wait_ms": wait_ms, "run_micro_won": 5_600_000_000_u64,
                "foretold_ms": lacks.map(|_| 90_500), "energy_micro_won": 70_000_000, "data_micro_won": 400_000, "wait_micro_won": 600_000, "total_micro_won": 5_701_000_000_u64,
                "starts_ms": 90_500, "data_ms": 2_000, "draws_watts": lacks.map(|_| 700), "headroom_watts": lacks.map(|_| 2_800),
                "congestion_micro_won": 30_000_000,
            })
        };
        let rows = json!([row("a", None, Some(0)), row("b", Some("room"), None)]);
        let shown = text("7-1", &rows);
        let lines: Vec<String> = shown
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            lines,
            [
                "where 7-1 could be",
                "MACHINES SITE LACKS WAIT SITE SAYS STARTS IN DATA WATTS OF RUN, WON POWER, WON DATA, WON WAIT, WON CONGESTION, WON ALL, WON",
                "a pohang - 0 s - 90 s 2 s - - 5600 70 0 1 30 5701",
                "b pohang room - 90 s 90 s 2 s 700 2800 5600 70 0 1 30 5701",
            ]
        );
        assert_eq!(text("7-1", &json!([])), "");
        let away = json!([{ "nodes": "b", "site": "busan", "why": "policy keeps its data away" }]);
        assert_eq!(
            closed(&away),
            "  not on b at busan: policy keeps its data away\n"
        );
        assert_eq!(closed(&json!(null)), "");
    }
}
