//! The checks. Each is a function from the repository's files to findings, in a file of its own.

mod core_bans;
mod dead_files;
mod dependencies;
mod edges;
mod error_pages;
mod heads;
mod licences;
mod links;
mod places;
mod repo;
mod sizes;
mod words;

use anyhow::bail;
use repo::Repo;
use std::fmt;
use std::path::Path;

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Relative to the root.
    path: String,
    /// Counted from 1; 0 where the file as a whole is meant.
    line: usize,
    /// What is wrong, and what to do.
    text: String,
}

impl Finding {
    fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{}:{line}: {}", self.path, self.text),
        }
    }
}

type Check = fn(&Repo) -> Vec<Finding>;

const CHECKS: &[(&str, Check)] = &[
    ("sizes", sizes::check),
    ("edges", edges::check),
    ("heads", heads::check),
    ("dead-files", dead_files::check),
    ("words", words::check),
    ("places", places::check),
    ("error-pages", error_pages::check),
    ("dependencies", dependencies::check),
    ("links", links::check),
    ("core-bans", core_bans::check),
    ("licences", licences::check),
];

/// The names of the checks.
pub fn names() -> Vec<&'static str> {
    CHECKS.iter().map(|(name, _)| *name).collect()
}

/// Runs the named checks, or all, and gives every finding at once.
pub fn run(root: &Path, only: &[String]) -> anyhow::Result<Vec<Finding>> {
    if let Some(unknown) = only.iter().find(|name| !names().contains(&name.as_str())) {
        bail!(
            "no check is named {unknown}; there are {}",
            names().join(", ")
        );
    }
    let repo = Repo::read(root)?;
    let mut findings: Vec<Finding> = CHECKS
        .iter()
        .filter(|(name, _)| only.is_empty() || only.iter().any(|o| o == name))
        .flat_map(|(_, check)| check(&repo))
        .collect();
    findings.sort();
    Ok(findings)
}
