//! A fleet file from the disk.

use crate::{Fleet, Problem, parse, parse_policy};
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
    /// What an operator should still be told, by position.
    pub warnings: Vec<Problem>,
    /// The text, for rendering the warnings.
    pub source: String,
    /// Bytes of the ids of the policy's rules and statements, where they stand in this text.
    pub policy_spans: BTreeMap<String, Range<usize>>,
    /// The policy's own file, where it has one.
    pub policy: Option<PolicyFile>,
}

/// A policy file that was read and has no error. What it says is in the fleet.
#[derive(Clone, Debug)]
pub struct PolicyFile {
    /// Where it is.
    pub path: PathBuf,
    /// What an operator should still be told, by position.
    pub warnings: Vec<Problem>,
    /// The text.
    pub source: String,
    /// Bytes of the ids of its rules and statements.
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
    #[error("{path} has {} error(s)", errors(.problems))]
    Invalid {
        /// The path as asked.
        path: PathBuf,
        /// The text, for rendering.
        source_text: String,
        /// Every problem, by position.
        problems: Vec<Problem>,
    },
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
            Self::Invalid { .. } => None,
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
    let source = read(path)?;
    let base_dir = path.parent().unwrap_or_else(|| Path::new(""));
    match parse(&source, base_dir) {
        Ok(parsed) => {
            let mut fleet = parsed.fleet;
            let policy = load_policy(&mut fleet)?;
            Ok(Loaded {
                fleet,
                warnings: parsed.warnings,
                source,
                policy_spans: parsed.policy_spans,
                policy,
            })
        }
        Err(problems) => Err(LoadError::Invalid {
            path: path.into(),
            source_text: source,
            problems,
        }),
    }
}

fn load_policy(fleet: &mut Fleet) -> Result<Option<PolicyFile>, LoadError> {
    let Some(path) = fleet.policy_file.clone() else {
        return Ok(None);
    };
    let source = read(&path)?;
    match parse_policy(&source, fleet) {
        Ok(parsed) => {
            fleet.policy = parsed.policy;
            Ok(Some(PolicyFile {
                path,
                warnings: parsed.warnings,
                source,
                spans: parsed.spans,
            }))
        }
        Err(problems) => Err(LoadError::Invalid {
            path,
            source_text: source,
            problems,
        }),
    }
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
