//! `madang pii scan`: the scanner on a file, to judge it or to look before sending.

use crate::out;
use crate::pii_args::{PiiCommand, PiiScanArgs};
use anyhow::{Context, anyhow};
use madang_pii::Finding;
use madang_types::PiiKind;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use unicode_width::UnicodeWidthStr;

/// Runs the command.
pub fn run(command: PiiCommand) -> anyhow::Result<ExitCode> {
    let PiiCommand::Scan(PiiScanArgs { file, jsonl }) = command;
    let text = read(&file)?;
    let answer = if jsonl {
        answers(&text).with_context(|| format!("{} is not rows of JSON", file.display()))?
    } else {
        table(&text)
    };
    out::result(&answer);
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        io::stdin()
            .read_to_end(&mut bytes)
            .context("standard input cannot be read")?;
    } else {
        bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    }
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))
}

/// A row of a test set; its other members are not looked at.
#[derive(Deserialize)]
struct Row {
    id: serde_json::Value,
    text: String,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a serde_json::Value,
    spans: Vec<Span>,
}

#[derive(Serialize)]
struct Span {
    start: usize,
    end: usize,
    label: PiiKind,
}

/// A line of findings for each row.
fn answers(rows: &str) -> anyhow::Result<String> {
    let mut lines = String::new();
    for (number, line) in rows.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let row: Row = serde_json::from_str(line).map_err(|error| {
            anyhow!(
                "line {}: {error}: a row is {{\"id\": …, \"text\": \"…\"}}",
                number + 1
            )
        })?;
        let answer = Answer {
            id: &row.id,
            spans: spans(&row.text),
        };
        lines.push_str(&serde_json::to_string(&answer)?);
        lines.push('\n');
    }
    Ok(lines)
}

/// The findings in code points. Test sets have no label for internet addresses, so there are none here.
fn spans(text: &str) -> Vec<Span> {
    let (mut bytes, mut points) = (0, 0);
    let mut point = |at: usize| {
        points += text
            .get(bytes..at)
            .map_or(0, |between| between.chars().count());
        bytes = at;
        points
    };
    let findings = madang_pii::scan(text.as_bytes());
    findings
        .into_iter()
        .filter(|finding| finding.kind != PiiKind::Ip)
        .map(|finding| Span {
            start: point(finding.span.start),
            end: point(finding.span.end),
            label: finding.kind,
        })
        .collect()
}

/// Findings for a reader: where, what, how sure, and what its first and last characters are.
fn table(text: &str) -> String {
    let findings = madang_pii::scan(text.as_bytes());
    if findings.is_empty() {
        return "no personal data found\n".to_owned();
    }
    let mut lines = String::new();
    for finding in &findings {
        let (line, column) = place(text, finding.span.start);
        let place = format!("{line}:{column}");
        let value = masked(text, finding);
        let (kind, confidence) = (finding.kind.as_str(), finding.confidence);
        // Writing to a string cannot fail.
        writeln!(lines, "{place:<9} {kind:<15} {confidence:>3}  {value}").unwrap_or_default();
    }
    lines
}

/// Line and column from 1; columns as a terminal shows them.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.width() + 1)
}

/// The value with stars for all but its first two characters and what separates.
fn masked(text: &str, finding: &Finding) -> String {
    let value = text.get(finding.span.clone()).unwrap_or_default();
    let star = |(place, letter): (usize, char)| {
        if place < 2 || !letter.is_alphanumeric() {
            letter
        } else {
            '*'
        }
    };
    value.chars().take(40).enumerate().map(star).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_answered_in_code_points() {
        let rows = "{\"id\":\"a\",\"lang\":\"ko\",\"text\":\"연락처 010-0842-5316, kim@example.com\"}\n\n{\"id\":7,\"text\":\"없음\"}\n";
        let expected = "{\"id\":\"a\",\"spans\":[{\"start\":4,\"end\":17,\"label\":\"PHONE\"},{\"start\":19,\"end\":34,\"label\":\"EMAIL\"}]}\n{\"id\":7,\"spans\":[]}\n";
        assert_eq!(answers(rows).ok().as_deref(), Some(expected));
    }

    #[test]
    fn a_bad_row_is_named() {
        for bad in ["{\"id\":1}", "[]", "{"] {
            let rows = format!("{{\"id\":1,\"text\":\"\"}}\n{bad}\n");
            let said = answers(&rows).err().map(|error| error.to_string());
            assert!(
                said.is_some_and(|said| said.starts_with("line 2: ")),
                "{bad}"
            );
        }
    }

    #[test]
    fn values_are_shown_masked() {
        let expected = "2:8       PHONE            95  01*-****-****\n";
        assert_eq!(table("안녕\n연락처 010-0842-5316"), expected);
        assert_eq!(table("hi"), "no personal data found\n");
    }
}
