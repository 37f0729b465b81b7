//! Marks of unfinished work belong in an issue.

use super::Finding;
use super::repo::{Repo, has_word, numbered};

const MARKS: &[&str] = &["FIXME", "TODO", "XXX", "HACK"];
const ENDINGS: &[&str] = &[
    ".rs", ".toml", ".sh", ".py", ".js", ".mjs", ".ts", ".sql", ".yml", ".yaml", ".css", "Makefile",
];
/// This file names them.
const OWN: &str = "xtask/src/tidy/words.rs";

pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sources = repo
        .texts()
        .filter(|(path, _)| *path != OWN && ENDINGS.iter().any(|end| path.ends_with(end)));
    for (path, text) in sources {
        for (number, line) in numbered(text) {
            if let Some(mark) = MARKS.iter().find(|mark| has_word(line, mark)) {
                let text =
                    format!("{mark}: finish it, or open an issue and say here what holds today");
                findings.push(Finding::new(path, number, text));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found() {
        let repo = Repo::of(&[
            ("a.rs", "fn a() {}\n// TODO: b\n"),
            ("b.sh", "# mktemp /tmp/x.XXXXXX\n# HACK\n"),
            ("c.md", "TODO\n"),
            (OWN, "TODO"),
        ]);
        let found: Vec<String> = check(&repo).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs:2: TODO") && found[1].starts_with("b.sh:2: HACK"));
    }
}
