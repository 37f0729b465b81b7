//! What can go wrong while fetching, each with the way to mend it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why something could not be provided. `Display` gives the whole message, remedies included.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// Every source failed; all of them are listed.
    #[error("{what} could not be had from any of its sources:{}", Listed(tried))]
    NoSource {
        /// What was wanted.
        what: String,
        /// One entry per source, in the order in which they were tried.
        tried: Vec<SourceFailure>,
    },
    /// The description itself is wrong, before anything was tried.
    #[error("{what}: {problem}")]
    Malformed {
        /// What was wanted.
        what: String,
        /// What is wrong with its description.
        problem: String,
    },
    /// This machine lacks something.
    #[error("{found}\n  remedy: {remedy}")]
    Host {
        /// What was found.
        found: String,
        /// Command or setting that mends it.
        remedy: String,
    },
    /// A file given as a model is not one.
    #[error("{} is not a model file that can be served: {found}\n  remedy: {remedy}", path.display())]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
        /// What to do about it.
        remedy: String,
    },
    /// The cache folder cannot be used.
    #[error("cannot use the cache at {}: {source}\n  remedy: free space or permissions there, or name another folder in MADANG_CACHE", path.display())]
    Cache {
        /// File or folder.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// Another process holds the lock for too long.
    #[error(
        "another process has been fetching {what} for {waited_s} s\n  remedy: wait for it, or end it and start again"
    )]
    Busy {
        /// What was wanted.
        what: String,
        /// Seconds waited.
        waited_s: u64,
    },
}

impl ProvisionError {
    pub(crate) fn cache(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Cache { path, source }
    }

    pub(crate) fn host(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::Host {
            found: found.into(),
            remedy: remedy.into(),
        }
    }
}

/// One source that did not give what was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_name}: {kind}: {detail}")]
pub struct SourceFailure {
    /// The source: a path, a URL or a package requirement.
    pub source_name: String,
    /// What kind of failure.
    pub kind: FailureKind,
    /// The particulars: sizes, digests, the program's own last lines.
    pub detail: String,
}

/// Kinds of failure of a source; each has a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// The source cannot be reached.
    Offline,
    /// The source answers that it has no such thing.
    NotFound,
    /// The source refuses.
    Refused,
    /// Redirects without end, or to something that is not followed.
    Redirected,
    /// No byte within the idle limit.
    Stalled,
    /// The transfer ended early.
    Cut,
    /// The bytes are not the wanted ones.
    WrongDigest,
    /// More or fewer bytes than wanted.
    WrongSize,
    /// No room on disk.
    DiskFull,
    /// The file system refuses.
    Unreadable,
    /// Python is missing or too old.
    NoPython,
    /// Python has no pip.
    NoPip,
    /// A package does not hold what it should.
    BadPackage,
    /// What was fetched does not run on this machine.
    DoesNotRun,
    /// Anything else.
    Other,
}

impl FailureKind {
    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Offline => {
                "connect this machine, or set proxy and index for pip (pip config, PIP_INDEX_URL, HTTPS_PROXY), \
                 or add a source that can be reached: your own mirror (url) or a local copy (file)"
            }
            Self::NotFound => {
                "check the name and version of this source, or add another: your own mirror (url) or a local copy (file)"
            }
            Self::Refused => "check that this source may be read from here, or add another source",
            Self::Redirected => "name the final address of the file",
            Self::Stalled | Self::Cut => {
                "start again: what has arrived is kept and resumed; or add a nearer source"
            }
            Self::WrongDigest | Self::WrongSize => {
                "this source holds another file: correct the source, or the sha256 if a new version is meant"
            }
            Self::DiskFull => "free space, or name a folder on a larger disk in MADANG_CACHE",
            Self::Unreadable => "check path and permissions",
            Self::NoPython => {
                "apt-get install python3 (3.10 or newer), or name one in MADANG_PYTHON"
            }
            Self::NoPip => "apt-get install python3-pip, or python3 -m ensurepip",
            Self::BadPackage => "correct the member's path in the source",
            Self::DoesNotRun => {
                "apt-get install libgomp1 if that library is missing; on other processors build llama-server and name it in MADANG_LLAMA_SERVER"
            }
            Self::Other => "see the detail; madang doctor checks what this machine needs",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offline => "cannot be reached",
            Self::NotFound => "not found",
            Self::Refused => "refused",
            Self::Redirected => "redirected",
            Self::Stalled => "stalled",
            Self::Cut => "ended early",
            Self::WrongDigest => "wrong digest",
            Self::WrongSize => "wrong size",
            Self::DiskFull => "disk full",
            Self::Unreadable => "file system",
            Self::NoPython => "no python",
            Self::NoPip => "no pip",
            Self::BadPackage => "wrong content",
            Self::DoesNotRun => "does not run here",
            Self::Other => "failed",
        })
    }
}

impl SourceFailure {
    pub(crate) fn new(
        source_name: impl Into<String>,
        kind: FailureKind,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            source_name: source_name.into(),
            kind,
            detail: detail.into(),
        }
    }

    pub(crate) fn io(source_name: impl Into<String>, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                FailureKind::DiskFull
            }
            std::io::ErrorKind::NotFound => FailureKind::NotFound,
            _ => FailureKind::Unreadable,
        };
        Self::new(source_name, kind, error.to_string())
    }
}

struct Listed<'a>(&'a [SourceFailure]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return write!(
                f,
                "\n  no source is named\n  remedy: add one to the model's sources"
            );
        }
        for (place, failure) in self.0.iter().enumerate() {
            write!(
                f,
                "\n  {}. {failure}\n     remedy: {}",
                place + 1,
                failure.kind.remedy()
            )?;
        }
        Ok(())
    }
}
