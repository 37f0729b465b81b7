//! The repository as the checks see it: names and texts.

use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Longer files are data, not text that someone wrote, bytes.
const TEXT_BYTES_MAX: u64 = 1024 * 1024;

/// Files by path relative to the root.
#[derive(Debug, Default)]
pub struct Repo {
    /// Texts; `None` for what is not UTF-8 or too long to have been written by hand.
    files: BTreeMap<String, Option<String>>,
    /// `cargo metadata` for the platform that we serve; absent in fixtures without dependencies.
    pub metadata: Option<serde_json::Value>,
}

impl Repo {
    /// Reads what git tracks, and what it would if added.
    pub fn read(root: &Path) -> anyhow::Result<Self> {
        let list = output(
            root,
            "git",
            &[
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
                "--",
                // The fuzzer's own package stands outside the workspace.
                ":!fuzz/Cargo.toml",
                ":!fuzz/fuzz_targets",
            ],
        )?;
        let mut files = BTreeMap::new();
        for path in list.split('\0').filter(|path| !path.is_empty()) {
            let full = root.join(path);
            // listed and removed: git does not know yet
            let Ok(about) = full.metadata() else { continue };
            let short = about.is_file() && about.len() <= TEXT_BYTES_MAX;
            let text = if short {
                std::fs::read_to_string(&full).ok()
            } else {
                None
            };
            files.insert(path.to_owned(), text);
        }
        let platform = "x86_64-unknown-linux-gnu";
        let metadata = output(
            root,
            "cargo",
            &[
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--filter-platform",
                platform,
            ],
        )?;
        Ok(Self {
            files,
            metadata: Some(serde_json::from_str(&metadata)?),
        })
    }

    /// A fixture.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), Some((*text).to_owned())));
        Self {
            files: files.collect(),
            metadata: None,
        }
    }

    /// Texts with their paths, in the order of the paths.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }

    /// Texts whose path ends so.
    pub fn texts_ending(&self, end: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(move |(path, _)| path.ends_with(end))
    }

    /// One text.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether a file, or a folder with a file in it, is there.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty()
            || self
                .files
                .keys()
                .any(|file| file == path || file.starts_with(&folder))
    }

    /// `crates/NAME` and `xtask`: folders with a manifest below the root.
    pub fn crates(&self) -> Vec<&str> {
        self.files
            .keys()
            .filter_map(|path| path.strip_suffix("/Cargo.toml"))
            .collect()
    }
}

fn output(root: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!("{program} {}: {words}", arguments.join(" "));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Lines with their numbers, from 1.
pub fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

/// Whether the word stands in the line by itself: no letter, digit or `_` on either side of a side that is one itself.
pub fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part);
        let after = line[at + word.len()..].chars().next().is_some_and(part);
        let starts = word.chars().next().is_some_and(part);
        let ends = word.chars().next_back().is_some_and(part);
        // a path such as /var/work/ is not /work/
        !(before && (starts || word.starts_with('/'))) && !(after && ends)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_by_themselves() {
        for (line, word, expected) in [
            ("a session ends", "session", true),
            ("sessions", "session", false),
            ("see /work/x", "/work/", true),
            ("see /var/work/x", "/work/", false),
            ("https://host.org/x", "host.org", true),
        ] {
            assert_eq!(has_word(line, word), expected, "{line}");
        }
    }
}
