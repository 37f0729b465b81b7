//! How power stands, as tables.

use crate::commands::server::{Table, cell, instant_cell};
use serde_json::Value;
use std::fmt::Write as _;

/// Lines of the log that are shown.
const LINES_SHOWN_MAX: usize = 12;

/// All sites, and the meters of them that are not believed.
pub(super) fn sites(rows: &[Value]) -> String {
    let mut text = sites_table(rows);
    let names = [
        "meters that are not believed",
        "of",
        "since",
        "why",
        "taken instead",
        "taken as",
    ];
    let mut table = Table::new(&names, &[5]);
    let mut count = 0;
    for row in rows {
        for meter in list(row, "meters").iter().filter(|meter| is_doubted(meter)) {
            let of = format!("{} {}", cell(row, "site"), cell(meter, "of"));
            table.row(vec![
                cell(meter, "id"),
                of,
                instant_cell(meter, "doubted_since"),
                why_cell(meter),
                cell(meter, "instead"),
                watts_cell(meter, "watts"),
            ]);
            count += 1;
        }
    }
    section(&mut text, table, count);
    text
}

fn sites_table(rows: &[Value]) -> String {
    let names = [
        "site",
        "draws",
        "measured",
        "cap",
        "by",
        "idle",
        "most",
        "acts",
        "over now",
        "may come over",
    ];
    let mut table = Table::new(&names, &[1, 3, 5, 6, 7, 8, 9]);
    for row in rows {
        let acts = list(row, "acts").len();
        let by = match (row["cap_watts"].is_null(), row["cap_event"].as_u64()) {
            (true, _) => "-".to_owned(),
            (false, Some(event)) => format!("event {event}"),
            (false, None) => "fleet file".to_owned(),
        };
        table.row(vec![
            cell(row, "site"),
            watts_cell(row, "watts"),
            yes_cell(row, "measured"),
            watts_cell(row, "cap_watts"),
            by,
            watts_cell(row, "idle_watts"),
            watts_cell(row, "full_watts"),
            acts.to_string(),
            watts_cell(row, "over_watts"),
            watts_cell(row, "lacks_watts"),
        ]);
    }
    table.text()
}

/// One site, with what draws, what measures and what was done.
pub(super) fn one_site(row: &Value) -> String {
    let mut text = sites_table(std::slice::from_ref(row));
    let mut table = Table::new(&["done now", "since", "saves"], &[2]);
    let acts = list(row, "acts");
    for act in acts {
        let cells = [
            cell(act, "what"),
            instant_cell(act, "since"),
            watts_cell(act, "saves_watts"),
        ];
        table.row(cells.into());
    }
    section(&mut text, table, acts.len());
    let mut table = Table::new(&["what draws it", "draws", "idle", "most"], &[1, 2, 3]);
    let loads = list(row, "loads");
    for load in loads {
        let watts = ["watts", "idle_watts", "full_watts"].map(|field| watts_cell(load, field));
        table.row([vec![cell(load, "what")], watts.into()].concat());
    }
    section(&mut text, table, loads.len());
    let meters = list(row, "meters");
    section(&mut text, meters_table(meters), meters.len());
    let vtns = list(row, "vtns");
    section(&mut text, vtns_table(vtns), vtns.len());
    let log = list(row, "log");
    section(&mut text, log_table(log), log.len());
    let unknown = list(row, "unknown").iter().filter_map(Value::as_str);
    let unknown: Vec<&str> = unknown.collect();
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        writeln!(text, "\nnobody says what these draw: {unknown}").unwrap_or_default();
    }
    text
}

fn meters_table(meters: &[Value]) -> Table {
    let names = [
        "meter",
        "of",
        "said",
        "at",
        "taken as",
        "believed",
        "doubted since",
        "why",
        "taken instead",
    ];
    let mut table = Table::new(&names, &[2, 4]);
    for meter in meters {
        table.row(vec![
            cell(meter, "id"),
            cell(meter, "of"),
            watts_cell(meter, "told_watts"),
            instant_cell(meter, "told_at"),
            watts_cell(meter, "watts"),
            yes_cell(meter, "measured"),
            instant_cell(meter, "doubted_since"),
            why_cell(meter),
            cell(meter, "instead"),
        ]);
    }
    table
}

fn vtns_table(vtns: &[Value]) -> Table {
    let names = [
        "grid's server",
        "answers",
        "last at",
        "why not",
        "limits nothing here",
    ];
    let mut table = Table::new(&names, &[]);
    for vtn in vtns {
        let passed_over = list(vtn, "passed_over").iter();
        let passed_over: Vec<&str> = passed_over.filter_map(Value::as_str).collect();
        let answers = match vtn["answers"].is_null() {
            true => "-".to_owned(),
            false => yes_cell(vtn, "answers"),
        };
        table.row(vec![
            cell(vtn, "id"),
            answers,
            instant_cell(vtn, "answered_at"),
            cell(vtn, "error"),
            passed_over.join("; "),
        ]);
    }
    table
}

fn log_table(log: &[Value]) -> Table {
    let names = ["at", "what was done", "act", "watts", "drawn", "cap"];
    let mut table = Table::new(&names, &[3, 4, 5]);
    for line in log.iter().skip(log.len().saturating_sub(LINES_SHOWN_MAX)) {
        let watts = ["watts", "drawn_watts", "cap_watts"].map(|field| watts_cell(line, field));
        let head = vec![instant_cell(line, "at"), deed_cell(line), cell(line, "act")];
        table.row([head, watts.into()].concat());
    }
    table
}

/// What was done; that a cap is passed, and that it may be, are two things.
fn deed_cell(line: &Value) -> String {
    let is_over = line["drawn_watts"].as_u64() > line["cap_watts"].as_u64();
    match (line["deed"].as_str(), is_over) {
        (Some("short"), true) => "over the cap, and nothing is left that bends".to_owned(),
        (Some("short"), false) => {
            "may come over the cap, and nothing is left that bends".to_owned()
        }
        (Some("met"), _) => "enough bends again".to_owned(),
        _ => cell(line, "deed"),
    }
}

/// Caps and events, and what each leaves.
pub(super) fn events_table(rows: &[Value]) -> String {
    let names = [
        "event", "leaves", "cut", "from", "until", "state", "by", "reason",
    ];
    let mut table = Table::new(&names, &[0]);
    for row in rows {
        table.row(vec![
            cell(row, "id"),
            leaves_cell(row),
            cut_cell(row),
            instant_cell(row, "from"),
            instant_cell(row, "until"),
            cell(row, "state"),
            cell(row, "set_by"),
            cell(row, "reason"),
        ]);
    }
    table.text()
}

/// What an event leaves: of a cut that does not count yet in words, as nobody knows what will be drawn then.
pub(super) fn leaves_cell(row: &Value) -> String {
    let (Some(milli), true) = (row["cut_milli"].as_f64(), row["left_watts"].is_null()) else {
        return watts_cell(row, "left_watts");
    };
    if row["state"] == "over" {
        return "-".to_owned();
    }
    let at = instant_cell(row, "counts_from");
    format!("{} % of what is drawn at {at}", (1_000.0 - milli) / 10.0)
}

/// What a cut takes, and of what.
fn cut_cell(row: &Value) -> String {
    let Some(milli) = row["cut_milli"].as_f64() else {
        return "-".to_owned();
    };
    let of = match row["baseline_watts"].is_null() {
        true => String::new(),
        false => format!(" of {}", watts_cell(row, "baseline_watts")),
    };
    format!("{} %{of}", milli / 10.0)
}

fn list<'a>(row: &'a Value, field: &str) -> &'a [Value] {
    row[field].as_array().map_or(&[][..], Vec::as_slice)
}

fn section(text: &mut String, table: Table, rows: usize) {
    if rows > 0 {
        // Writing to a text does not fail.
        write!(text, "\n{}", table.text()).unwrap_or_default();
    }
}

fn is_doubted(meter: &Value) -> bool {
    !meter["doubt"].is_null()
}

/// Why a meter is not believed, and what its last answer was where that is no reading.
fn why_cell(meter: &Value) -> String {
    match (cell(meter, "doubt"), cell(meter, "error")) {
        (doubt, error) if error == "-" => doubt,
        (doubt, error) if doubt == "-" => error,
        (doubt, error) => format!("{doubt}: {error}"),
    }
}

fn yes_cell(row: &Value, field: &str) -> String {
    if row[field] == true { "yes" } else { "no" }.to_owned()
}

/// Watts with their unit.
pub(super) fn watts_cell(row: &Value, field: &str) -> String {
    row[field]
        .as_i64()
        .map_or("-".to_owned(), |watts| format!("{watts} W"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_an_event_leaves_is_said_before_it_is_known() {
        let row = |left: Value, baseline: Value, state: &str| {
            let row = json!({
                "cut_milli": 125, "left_watts": left, "baseline_watts": baseline, "state": state,
                "counts_from": "2026-12-01T08:59:30.000000Z",
            });
            [leaves_cell(&row), cut_cell(&row)]
        };
        let before = "87.5 % of what is drawn at 2026-12-01T08:59:30Z";
        let check = |found: [String; 2], expected: [&str; 2]| assert_eq!(found, expected);
        check(
            row(Value::Null, Value::Null, "scheduled"),
            [before, "12.5 %"],
        );
        check(
            row(437.into(), 500.into(), "running"),
            ["437 W", "12.5 % of 500 W"],
        );
        check(
            row(437.into(), 500.into(), "over"),
            ["437 W", "12.5 % of 500 W"],
        );
        check(row(Value::Null, Value::Null, "over"), ["-", "12.5 %"]);
        let cap = json!({ "cap_watts": 9, "left_watts": 9, "state": "running" });
        check([leaves_cell(&cap), cut_cell(&cap)], ["9 W", "-"]);
    }

    #[test]
    fn a_cap_that_is_passed_and_one_that_may_be_are_told_apart() {
        let said = |drawn: u64| {
            let line = json!({ "deed": "short", "drawn_watts": drawn, "cap_watts": 500 });
            deed_cell(&line)
        };
        assert!(said(500).starts_with("may come over"));
        assert!(said(501).starts_with("over"));
        let row = json!({ "cap_watts": 500, "over_watts": 0, "lacks_watts": 40 });
        let table = sites(&[row]);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[0].ends_with("OVER NOW  MAY COME OVER"), "{table}");
        assert!(lines[1].ends_with("0 W           40 W"), "{table}");
    }

    #[test]
    fn a_meter_that_is_not_believed_is_beneath_the_sites() {
        let meter = json!({
            "id": "feed", "of": "site", "watts": 900, "doubt": "the meter is silent", "error": "404",
            "doubted_since": "2026-12-01T08:59:30.5Z", "instead": "the most that it can be",
        });
        let sound = json!({ "id": "sound", "doubt": null });
        let table = sites(&[json!({ "site": "pohang", "meters": [meter, sound] })]);
        let last = table.lines().last().unwrap();
        let words: Vec<&str> = last
            .split("  ")
            .map(str::trim)
            .filter(|word| !word.is_empty())
            .collect();
        let expected = [
            "feed",
            "pohang site",
            "2026-12-01T08:59:30Z",
            "the meter is silent: 404",
            "the most that it can be",
            "900 W",
        ];
        assert_eq!(words, expected, "{table}");
        assert!(!table.contains("sound"), "{table}");
    }
}
