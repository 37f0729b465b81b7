//! Where in a job's file something is wrong: its line, and a mark below it.

use madang_types::JobSpecError;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// What a job's fields are called in a file, where that is another name than the API's.
const NAMES: [(&str, &str); 13] = [
    ("time_limit_ms", "time_limit"),
    ("retries_max", "retries"),
    ("inputs", "input"),
    ("outputs", "output"),
    ("share_milli", "share"),
    ("accelerator_memory_mib_min", "accelerator_memory"),
    ("cpu_milli", "cpus"),
    ("memory_mib", "memory"),
    ("at_once_max", "at_once"),
    ("grace_ms", "grace"),
    ("slow_milli", "slow"),
    ("shift_ms", "shift"),
    ("pause_ms", "pause"),
];

/// What a job cannot be, with the line of `text` that says so; without a line where the file says nothing of it.
pub(super) fn shown(text: &str, error: &JobSpecError) -> String {
    let path = error.field.split('.');
    let path: Vec<(String, Option<usize>)> = path.map(step).collect();
    let key = path.iter().map(|(name, at)| match at {
        Some(at) => format!("{name}[{at}]"),
        None => name.clone(),
    });
    let key: Vec<String> = key.collect();
    let message = format!("{}: {}", key.join("."), error.what);
    match span(text, &path) {
        Some(span) => marked(text, span, &message),
        None => message,
    }
}

/// A name of a path, as files have it, and which of several.
fn step(part: &str) -> (String, Option<usize>) {
    let (name, at) = match part.split_once('[') {
        Some((name, at)) => (name, at.trim_end_matches(']').parse().ok()),
        None => (part, None),
    };
    let own = NAMES.iter().find(|(api, _)| *api == name);
    (own.map_or(name, |(_, own)| own).to_owned(), at)
}

/// Where the value stands to which the path leads, or the last on the way there that the file has.
fn span(text: &str, path: &[(String, Option<usize>)]) -> Option<Range<usize>> {
    let mut here = DeValue::Table(DeTable::parse(text).ok()?.into_inner());
    let mut found = None;
    for (name, at) in path {
        let mut next = here.get(name.as_str()).cloned();
        if let (Some(at), Some(list)) = (at, &next) {
            next = list.get_ref().get(*at).cloned();
        }
        let Some(value) = next else { break };
        found = Some(value.span());
        here = value.into_inner();
    }
    found
}

/// A message with the line that it is about, and a mark below what is wrong there, as the reader of TOML shows its own.
fn marked(text: &str, span: Range<usize>, message: &str) -> String {
    let (before, rest) = text.split_at_checked(span.start).unwrap_or(("", text));
    let begin = before.rfind('\n').map_or(0, |at| at + 1);
    let number = before.matches('\n').count() + 1;
    let lead = &before[begin..];
    let column = lead.chars().count() + 1;
    let line = format!("{lead}{}", rest.lines().next().unwrap_or_default());
    let gap = " ".repeat(number.to_string().len());
    let blank = " ".repeat(column - 1);
    let wrong = text.get(span).unwrap_or_default();
    let wrong = wrong.lines().next().unwrap_or_default().chars().count();
    let mark = "^".repeat(wrong.max(1));
    format!(
        "TOML parse error at line {number}, column {column}\n{gap} |\n{number} | {line}\n{gap} | {blank}{mark}\n{message}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_marked_as_far_as_the_file_says_it() {
        let text = "time_limit = \"0s\"\n[resources]\ncount = 3\nper_node = 2\n[[input]]\nfrom = \"한글\"\nto = \"../x\"\n[env]\n\"1X\" = \"y\"\n";
        let check = |field: &str, expected: &[&str]| {
            let error = JobSpecError {
                field: field.to_owned(),
                what: "no".to_owned(),
            };
            let shown = shown(text, &error);
            for part in expected {
                assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
            }
        };
        check(
            "time_limit_ms",
            &["line 1, column 14\n", "|              ^^^^\ntime_limit: no"],
        );
        check(
            "resources.per_node",
            &["line 4, column 12\n", "resources.per_node: no"],
        );
        check(
            "inputs[0].sha256",
            &["line 5, column 1\n", "\ninput[0].sha256: no"],
        );
        check("env.1X", &["line 9, column 8\n", "\nenv.1X: no"]);
        check("checkpoint.grace_ms", &["checkpoint.grace: no"]);
    }
}
