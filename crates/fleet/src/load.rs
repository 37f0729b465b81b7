//! A fleet file from the disk.

use crate::{Fleet, Parsed, Problem, parse, parse_policy};
use madang_types::text::hex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The greatest size of a fleet file, in bytes.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A fleet file that was read and has no error.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The fleet.
    pub fleet: Fleet,
    /// What an operator should still be told: of this file, then of the policy's own. A file without warnings is not here.
    pub warnings: Vec<FileProblems>,
    /// Where the policy stands. What it says is in the fleet.
    pub policy: PolicyText,
    /// The SHA-256 of the fleet file's text, in hexadecimal digits.
    pub sha256: String,
}

/// What there is to say of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileProblems {
    /// The path as asked, or what a text without a file is called.
    pub path: PathBuf,
    /// The text, for rendering.
    pub source: String,
    /// Its problems, by position.
    pub problems: Vec<Problem>,
}

/// The text that a policy stands in: the fleet file, or a file of its own.
#[derive(Clone, Debug)]
pub struct PolicyText {
    /// Where it is, or what a text without a file is called.
    pub path: PathBuf,
    /// The text.
    pub source: String,
    /// Bytes of the ids of the policy's rules and statements.
    pub spans: BTreeMap<String, Range<usize>>,
}

/// Why a fleet file gave no fleet.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing is there.
    #[error("there is no file {path}")]
    Missing {
        /// The path as asked.
        path: PathBuf,
    },
    /// A folder, a pipe or a device.
    #[error("{path} is not a file")]
    NotFile {
        /// The path as asked.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// The path as asked.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// More than [`FILE_BYTES_MAX`].
    #[error("{path} has more than {FILE_BYTES_MAX} bytes, too many for a fleet file")]
    TooLarge {
        /// The path as asked.
        path: PathBuf,
    },
    /// The bytes are no text.
    #[error("{path} is not UTF-8 text: byte {offset} (line {line}) belongs to no character")]
    NotText {
        /// The path as asked.
        path: PathBuf,
        /// Offset of the first wrong byte.
        offset: usize,
        /// Its line, from 1.
        line: usize,
    },
    /// The text has errors.
    #[error("{} has {} error(s)", .0.path.display(), errors(&.0.problems))]
    Invalid(FileProblems),
}

impl LoadError {
    /// One line that says how to mend it, where there is something to say.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Missing { .. } => Some("name an existing file, or copy one from examples/"),
            Self::NotFile { .. } => Some("name the fleet file itself, such as fleet.toml"),
            Self::Unreadable { .. } => Some("make it readable for the user that runs madang"),
            Self::TooLarge { .. } => Some("is this really a fleet file?"),
            Self::NotText { .. } => Some("save the file as UTF-8"),
            Self::Invalid(_) => None,
        }
    }
}

fn errors(problems: &[Problem]) -> usize {
    problems
        .iter()
        .filter(|p| p.severity == crate::Severity::Error)
        .count()
}

/// Reads and parses a fleet file, and the policy file that it names; relative paths in it are resolved against its folder.
///
/// # Errors
/// Says why there is no fleet; [`LoadError::Invalid`] holds every problem of the text.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let base_dir = path.parent().unwrap_or_else(|| Path::new(""));
    load_text(path, read(path)?, base_dir)
}

/// The same for a text that stands in no file: problems call it `name`, and relative paths count from `base_dir`.
///
/// # Errors
/// As [`load`].
pub fn load_text(name: &Path, source: String, base_dir: &Path) -> Result<Loaded, LoadError> {
    let Parsed {
        mut fleet,
        warnings: problems,
        policy_spans: spans,
    } = match parse(&source, base_dir) {
        Ok(parsed) => parsed,
        Err(problems) => return Err(invalid(name, source, problems)),
    };
    let sha256 = hex(&Sha256::digest(source.as_bytes()));
    let mut warnings = vec![FileProblems {
        path: name.into(),
        source: source.clone(),
        problems,
    }];
    let policy = match fleet.policy_file.clone() {
        None => PolicyText {
            path: name.into(),
            source,
            spans,
        },
        Some(path) => {
            let (policy, problems) = load_policy(path, &mut fleet)?;
            warnings.push(FileProblems {
                path: policy.path.clone(),
                source: policy.source.clone(),
                problems,
            });
            policy
        }
    };
    warnings.retain(|file| !file.problems.is_empty());
    Ok(Loaded {
        fleet,
        warnings,
        policy,
        sha256,
    })
}

/// Reads the fleet's policy file into the fleet. Gives its text and its warnings.
fn load_policy(path: PathBuf, fleet: &mut Fleet) -> Result<(PolicyText, Vec<Problem>), LoadError> {
    let source = read(&path)?;
    match parse_policy(&source, fleet) {
        Ok(parsed) => {
            fleet.policy = parsed.policy;
            let text = PolicyText {
                path,
                source,
                spans: parsed.spans,
            };
            Ok((text, parsed.warnings))
        }
        Err(problems) => Err(invalid(&path, source, problems)),
    }
}

fn invalid(path: &Path, source: String, problems: Vec<Problem>) -> LoadError {
    LoadError::Invalid(FileProblems {
        path: path.into(),
        source,
        problems,
    })
}

fn read(path: &Path) -> Result<String, LoadError> {
    let unreadable = |cause: std::io::Error| {
        let path = path.into();
        if cause.kind() == std::io::ErrorKind::NotFound {
            LoadError::Missing { path }
        } else {
            LoadError::Unreadable { path, cause }
        }
    };
    // Asked before opening: opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(LoadError::NotFile { path: path.into() });
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(LoadError::TooLarge { path: path.into() });
    }
    String::from_utf8(bytes).map_err(|e| {
        let offset = e.utf8_error().valid_up_to();
        let before = &e.as_bytes()[..offset];
        LoadError::NotText {
            path: path.into(),
            offset,
            line: before.iter().filter(|b| **b == b'\n').count() + 1,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: Option<&[u8]>, expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fleet.toml");
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let text = match load(&path) {
            Ok(_) => "ok".into(),
            Err(e) => e.to_string(),
        };
        assert_eq!(text.replace(&path.display().to_string(), "PATH"), expected);
    }

    #[test]
    fn each_way_of_having_no_fleet_is_named() {
        check(None, "there is no file PATH");
        check(
            Some(b"# \xed\x8c\x90\nx = \"\xff\""),
            "PATH is not UTF-8 text: byte 11 (line 2) belongs to no character",
        );
        check(Some(b"sitee = 1\n"), "PATH has 1 error(s)");
        check(Some(b""), "ok");
        let large = vec![b'#'; 4 * 1024 * 1024 + 1];
        check(
            Some(&large),
            "PATH has more than 4194304 bytes, too many for a fleet file",
        );
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(load(dir.path()), Err(LoadError::NotFile { .. })));
    }
}
