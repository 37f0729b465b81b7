//! Every room says at its door what it is for and what it must not do.

use super::Finding;
use super::repo::Repo;

/// A head shorter than this says nothing, characters.
const HEAD_CHARS_MIN: usize = 60;
/// One of these shows that the head draws a border.
const BORDER_WORDS: &[&str] = &["not", "never", "nothing", "no", "nor", "only"];

pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in repo.crates() {
        let doors = ["lib.rs", "main.rs"].map(|name| format!("{folder}/src/{name}"));
        let Some(door) = doors.iter().find(|path| repo.text(path).is_some()) else {
            let text = "no src/lib.rs or src/main.rs: a room has a door";
            findings.push(Finding::new(&format!("{folder}/Cargo.toml"), 0, text));
            continue;
        };
        let head = head(repo.text(door).unwrap_or_default());
        let words = || head.split(|c: char| !c.is_alphabetic());
        if head.chars().count() < HEAD_CHARS_MIN {
            findings.push(Finding::new(
                door,
                1,
                "begin with `//!`: what this room is for, in a sentence or two",
            ));
        } else if !words().any(|word| BORDER_WORDS.contains(&word.to_lowercase().as_str())) {
            findings.push(Finding::new(
                door,
                1,
                "say in the head what this room must not do",
            ));
        }
    }
    findings
}

fn head(text: &str) -> String {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    lines.map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_without_a_border_are_found() {
        let good = "//! The books: usage records, people and keys, behind one trait. It decides nothing.\n";
        let borderless =
            "//! The books: usage records, people and keys, behind one trait, kept well.\n";
        let repo = Repo::of(&[
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", good),
            ("crates/b/Cargo.toml", ""),
            ("crates/b/src/lib.rs", borderless),
            ("crates/c/Cargo.toml", ""),
            ("crates/c/src/main.rs", "//! cellar\n"),
            ("crates/d/Cargo.toml", ""),
        ]);
        let found: Vec<String> = check(&repo)
            .into_iter()
            .map(|finding| finding.path)
            .collect();
        assert_eq!(
            found,
            [
                "crates/b/src/lib.rs",
                "crates/c/src/main.rs",
                "crates/d/Cargo.toml"
            ]
        );
    }
}
