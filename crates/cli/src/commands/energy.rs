//! The report of whose energy it was, for people.

use super::server::{Table, cell};
use serde_json::Value;

/// The whole report, in watt-hours.
pub fn text(report: &Value) -> String {
    let list = |name: &str| report[name].as_array().map_or(&[][..], Vec::as_slice);
    let mut table = Table::new(&["tenant", "requests Wh", "jobs Wh"], &[1, 2]);
    for row in list("tenants") {
        table.row(vec![
            cell(row, "tenant"),
            watt_hours(row, "requests_millijoules"),
            watt_hours(row, "jobs_millijoules"),
        ]);
    }
    let mut text = table.text();
    if report["sites"].is_array() {
        let columns = [
            "site",
            "measured Wh",
            "modelled Wh",
            "requests Wh",
            "jobs Wh",
            "idle Wh",
            "open Wh",
        ];
        let mut table = Table::new(&columns, &[1, 2, 3, 4, 5, 6]);
        for row in list("sites") {
            let mut cells = vec![cell(row, "site")];
            let parts = ["measured", "modelled", "requests", "jobs", "idle", "open"];
            cells.extend(parts.map(|part| watt_hours(row, &format!("{part}_millijoules"))));
            table.row(cells);
        }
        text.push_str(&format!(
            "\nwhat sites drew, and where it went\n{}",
            table.text()
        ));
    }
    text
}

fn watt_hours(row: &Value, field: &str) -> String {
    let mj = row[field].as_i64().unwrap_or(0);
    // A thousandth of a watt-hour is 3,600 thousandths of a joule.
    let milli = mj.unsigned_abs() / 3_600;
    let sign = if mj <= -3_600 { "-" } else { "" };
    format!("{sign}{}.{:03}", milli / 1_000, milli % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_is_told_in_watt_hours() {
        let report = json!({
            "tenants": [{"tenant": "hanbit", "requests_millijoules": 3_600_000, "jobs_millijoules": 5_400_000}],
            "sites": [{"site": "pohang", "measured_millijoules": 36_000_000_000_i64, "modelled_millijoules": 0,
                "requests_millijoules": 3_600, "jobs_millijoules": 3_599, "idle_millijoules": 1, "open_millijoules": -7_200_000}],
        });
        let told = text(&report);
        for part in ["1.000", "1.500", "10000.000", "0.001", "-2.000"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        let own = text(&json!({"tenants": [], "sites": null}));
        assert!(!own.contains("drew"), "{own}");
    }
}
