//! One fixture per kind of problem: `problems/NAME.toml` gives `problems/NAME.txt`.
//! `MADANG_UPDATE=1 cargo test -p madang-fleet` writes the expected texts anew; read the difference before keeping it.
#![cfg(test)]

use madang_fleet::{CODES, Problem, Severity, parse};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

fn problems(source: &str) -> Vec<Problem> {
    match parse(source, Path::new("")) {
        Ok(parsed) => parsed.warnings,
        Err(problems) => problems,
    }
}

fn place(source: &str, span: &Range<usize>) -> String {
    let before = &source[..span.start];
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    let text = source[span.clone()].lines().next().unwrap_or_default();
    format!("{line}:{column} `{text}`")
}

fn plain(source: &str) -> String {
    let mut out = String::new();
    for p in problems(source) {
        let severity = match p.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(out, "{severity} {} at {}", p.code, place(source, &p.span)).unwrap();
        writeln!(out, "    {}", p.message).unwrap();
        for (span, why) in &p.related {
            writeln!(out, "    {why}: {}", place(source, span)).unwrap();
        }
        writeln!(out, "    help: {}", p.remedy.as_deref().unwrap_or("-")).unwrap();
    }
    out
}

fn fixtures() -> Vec<(PathBuf, String)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/problems");
    let mut found: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn each_fixture_reports_what_is_written_beside_it() {
    let mut wrong = String::new();
    for (path, source) in fixtures() {
        let found = plain(&source);
        let expected_path = path.with_extension("txt");
        if std::env::var_os("MADANG_UPDATE").is_some() {
            std::fs::write(&expected_path, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&expected_path).unwrap_or_default();
        if found != expected {
            let name = path.display();
            writeln!(wrong, "── {name}\nexpected:\n{expected}\nfound:\n{found}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn each_code_has_a_fixture_that_shows_it() {
    let shown: BTreeSet<&str> = fixtures()
        .iter()
        .flat_map(|(_, source)| problems(source))
        .map(|p| p.code)
        .collect();
    for code in CODES {
        // A bounded report is shown by a test of its own.
        assert!(
            shown.contains(code) || *code == "too_many_problems",
            "{code}"
        );
    }
    for (path, source) in fixtures() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let found = problems(&source);
        if CODES.contains(&name) {
            assert!(found.iter().any(|p| p.code == name), "{name}");
        }
        assert!(
            found
                .iter()
                .all(|p| p.remedy.is_some() || p.code == "syntax"),
            "{name}"
        );
    }
}

#[test]
fn problems_come_in_the_order_of_the_text() {
    for (path, source) in fixtures() {
        let starts: Vec<usize> = problems(&source).iter().map(|p| p.span.start).collect();
        assert!(starts.is_sorted(), "{}", path.display());
    }
}

#[test]
fn a_text_with_endless_problems_gives_a_bounded_report() {
    let source = "[[site]]\n".repeat(5_000);
    let found = problems(&source);
    assert_eq!(found.len(), madang_fleet::PROBLEMS_MAX + 1);
    assert_eq!(found.last().unwrap().code, "too_many_problems");
}
