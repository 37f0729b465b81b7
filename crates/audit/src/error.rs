//! What can go wrong with the log, and what to do about it.

use std::path::PathBuf;

/// Why the log did not do what was asked. The texts hold no content and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// The disk takes nothing. What was handed over is not logged.
    #[error(
        "the audit log cannot be written: {0}; free space or mend the disk under the data folder, then it goes on by itself"
    )]
    Unavailable(String),
    /// More waits than the queue holds.
    #[error(
        "the audit log's queue is full: leaves come faster than the disk takes them; try again in a moment"
    )]
    Busy,
    /// The log is being closed.
    #[error("the audit log is closed")]
    Closed,
    /// A leaf is longer than its length prefix can say.
    #[error("a leaf of the audit log has at most {max} bytes, this one has {0}", max = crate::LEAF_BYTES_MAX)]
    LeafTooLong(usize),
    /// Another process appends to it.
    #[error("another process has the audit log at {0}: stop it first, or ask it to do this")]
    InUse(PathBuf),
    /// What stands on disk is not what was signed.
    #[error(
        "{at}: {what}; keep the folder as it is for the auditor, and restore the log from a copy"
    )]
    Damaged {
        /// The file, or the part of the log.
        at: String,
        /// What is wrong with it.
        what: String,
    },
    /// A key, a note, a proof or a name that was given is not well formed, or does not hold.
    #[error("{0}")]
    Invalid(String),
    /// The log has no such leaf, file or key.
    #[error("{0}")]
    NotFound(String),
}

impl AuditError {
    pub(crate) fn damaged(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged {
            at: at.into(),
            what: what.into(),
        }
    }
}
