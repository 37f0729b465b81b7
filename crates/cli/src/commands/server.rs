//! What the commands that ask a server share: tables, fields, and what is printed of an answer.

use crate::http_client::Answer;
use crate::out;
use serde_json::Value;
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr;

/// Millionths in a won.
const MICRO_WON: i64 = 1_000_000;

/// A table for people: columns as wide as their widest cell, two spaces between. Korean letters take two columns.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Columns whose cells are numbers.
    right: &'static [usize],
}

impl Table {
    /// A table with its line of names; the columns in `right` are aligned to the right.
    pub fn new(names: &[&str], right: &'static [usize]) -> Self {
        let names = names.iter().map(|name| name.to_uppercase()).collect();
        Self {
            rows: vec![names],
            right,
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows
            .push(cells.iter().map(|cell| printable(cell)).collect());
    }

    /// The table as text, each line ended.
    pub fn text(&self) -> String {
        let lines = self.lines().into_iter();
        lines.map(|line| line + "\n").collect()
    }

    /// The line of names, and one line for each row.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let wide = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(wide).collect();
        let mut lines = Vec::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let space = " ".repeat(width - cell.width());
                let parts = if self.right.contains(&column) {
                    [&space, cell]
                } else {
                    [cell, &space]
                };
                line.push_str(parts[0]);
                line.push_str(parts[1]);
                line.push_str("  ");
            }
            lines.push(line.trim_end().to_owned());
        }
        lines
    }
}

/// Text without what would command the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control() || *c == '\t')
        .collect()
}

/// A field as a cell: text as it is, lists with commas, `-` where there is nothing.
pub fn cell(row: &Value, field: &str) -> String {
    match &row[field] {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".into(),
        Value::Array(items) => {
            let words = items.iter().map(|item| item.as_str().unwrap_or_default());
            words.collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// Whether a pool's member takes requests, in a word.
pub fn serves(member: &Value) -> &'static str {
    let is = |field: &str| member[field] == true;
    if is("leaving") {
        "leaving"
    } else if is("ejected") {
        "resting"
    } else if is("available") {
        "yes"
    } else {
        "no"
    }
}

/// An instant to the second, as a cell.
pub fn instant_cell(row: &Value, field: &str) -> String {
    let text = cell(row, field);
    match text.split_once('.') {
        Some((seconds, _)) if text.ends_with('Z') => format!("{seconds}Z"),
        _ => text,
    }
}

/// Whole won that may be spent.
pub fn limit_cell(row: &Value) -> String {
    let limit = row["limit_micro_won"].as_i64();
    limit.map_or("-".into(), |micro| (micro / MICRO_WON).to_string())
}

/// Won as the server counts them.
pub fn micro_won(won: i64) -> i64 {
    won.saturating_mul(MICRO_WON)
}

/// The rows of a list.
pub fn rows(list: &Value) -> &[Value] {
    list["data"].as_array().map_or(&[], Vec::as_slice)
}

/// Prints the answer itself for `--json`, else what `shown` makes of it.
pub fn print(
    answer: &Answer,
    json: bool,
    shown: impl FnOnce(&Value) -> String,
) -> anyhow::Result<ExitCode> {
    let value = answer.json()?;
    if json {
        out::line(answer.text.trim_end());
    } else {
        out::result(&shown(&value));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tables_are_aligned_and_command_no_terminal() {
        let mut table = Table::new(&["id", "count"], &[1]);
        table.row(vec!["포항".into(), "7".into()]);
        table.row(vec!["long\u{1b}[31m-name".into(), "1234".into()]);
        assert_eq!(
            table.text(),
            "ID             COUNT\n포항               7\nlong[31m-name   1234\n"
        );
    }

    #[test]
    fn a_member_serves_or_why_not() {
        let check = |leaving, ejected, available, shown: &str| {
            let member = json!({"leaving": leaving, "ejected": ejected, "available": available});
            assert_eq!(serves(&member), shown, "{member}");
        };
        check(false, false, true, "yes");
        check(false, false, false, "no");
        check(false, true, false, "resting");
        check(true, true, false, "leaving");
    }

    #[test]
    fn cells_show_what_is_there() {
        let row = json!({"a": "x", "b": null, "c": 7, "d": "", "e": "2026-11-21T01:02:03.456789Z"});
        let check = |field: &str, shown: &str| assert_eq!(cell(&row, field), shown);
        check("a", "x");
        check("b", "-");
        check("c", "7");
        check("d", "-");
        check("missing", "-");
        assert_eq!(instant_cell(&row, "e"), "2026-11-21T01:02:03Z");
        assert_eq!(instant_cell(&row, "b"), "-");
    }
}
