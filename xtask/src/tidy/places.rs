//! Places that exist on one machine only, and hosts that a site may not reach, have no place in the repository.

use super::Finding;
use super::repo::{Repo, has_word, numbered};

/// What is looked for, and what to do instead.
const PLACES: &[(&str, &str)] = &[
    (
        "/work/",
        "a folder of one machine: use a relative path or a temp folder",
    ),
    (
        "../shared",
        "a folder outside the repository: say it here in full",
    ),
    (
        "pypi.org",
        "a registry's host: leave it to pip's own settings, so that a mirror works",
    ),
    (
        "files.pythonhosted.org",
        "a registry's host: leave it to pip's own settings, so that a mirror works",
    ),
    (
        "index.crates.io",
        "a registry's host: leave it to cargo's own settings, so that a mirror works",
    ),
    (
        "static.crates.io",
        "a registry's host: leave it to cargo's own settings, so that a mirror works",
    ),
    (
        "registry.npmjs.org",
        "a registry's host: leave it to npm's own settings, so that a mirror works",
    ),
    (
        "deb.debian.org",
        "a registry's host: leave it to apt's own settings, so that a mirror works",
    ),
    (
        "session",
        "say connection, request or run: the word has too many meanings here",
    ),
    (
        "sessions",
        "say connections, requests or runs: the word has too many meanings here",
    ),
];

/// Where one of them is right: start of the path, the word, why.
const RIGHT: &[(&str, &str, &str)] = &[
    ("xtask/src/tidy/places.rs", "", "this file names them"),
    (
        "xtask/src/tidy/repo.rs",
        "",
        "fixtures of the search for words",
    ),
    (
        "crates/executor/",
        "session",
        "POSIX's word for what setsid makes",
    ),
    (
        "crates/core/",
        "session",
        "the routers' word for the requests of one conversation",
    ),
    (
        "crates/core/",
        "sessions",
        "the same, of many conversations",
    ),
    ("crates/gateway/", "session", "the same, and its header"),
    (
        "crates/twin/",
        "session",
        "the same, as the core's input has it",
    ),
    ("docs/", "session", "the header's name"),
    ("Cargo.lock", "", "written by cargo"),
];

pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in repo.texts() {
        for (word, remedy) in PLACES {
            if RIGHT.iter().any(|(start, right, _)| {
                path.starts_with(start) && (right.is_empty() || right == word)
            }) {
                continue;
            }
            let lines = numbered(text).filter(|(_, line)| has_word(line, word));
            findings.extend(
                lines.map(|(number, _)| Finding::new(path, number, format!("{word}: {remedy}"))),
            );
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found() {
        let repo = Repo::of(&[
            ("a.md", "see\n/work/main and /var/work/x\n"),
            ("b.toml", "url = \"https://pypi.org/simple\"\n"),
            ("c.rs", "// one session\nlet obsession = 1;\n"),
            (
                "crates/executor/a.c",
                "// a new session
",
            ),
            ("Cargo.lock", "https://index.crates.io/\n"),
        ]);
        let found: Vec<(String, usize)> =
            check(&repo).into_iter().map(|f| (f.path, f.line)).collect();
        assert_eq!(
            found,
            [
                ("a.md".to_owned(), 2),
                ("b.toml".to_owned(), 1),
                ("c.rs".to_owned(), 1)
            ]
        );
    }
}
