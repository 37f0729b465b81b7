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
        "run, won",
        "power, won",
        "data, won",
        "wait, won",
        "all, won",
    ];
    let mut table = Table::new(&heads, &[3, 4, 5, 6, 7, 8, 9]);
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
            won(row, "run_micro_won"),
            won(row, "energy_micro_won"),
            won(row, "data_micro_won"),
            won(row, "wait_micro_won"),
            won(row, "total_micro_won"),
        ]);
    }
    format!("  where {of} could be\n{}", table.text())
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
                "foretold_ms": lacks.map(|_| 90_500), "energy_micro_won": 70_000_000, "data_micro_won": 400_000, "wait_micro_won": 600_000, "total_micro_won": 5_671_000_000_u64,
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
                "MACHINES SITE LACKS WAIT SITE SAYS RUN, WON POWER, WON DATA, WON WAIT, WON ALL, WON",
                "a pohang - 0 s - 5600 70 0 1 5671",
                "b pohang room - 90 s 5600 70 0 1 5671",
            ]
        );
        assert_eq!(text("7-1", &json!([])), "");
    }
}
