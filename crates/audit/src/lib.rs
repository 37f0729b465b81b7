//! The audit log: a tiled transparency log (C2SP `tlog-tiles`) of what policy decided, which anyone's tools can verify.
//!
//! A leaf is durable before [`AuditLog::append`] returns, and stands in the tree, under a signed checkpoint, about a second
//! later. Leaves hold no content, and no hash of it that could be tried without a key. This room decides nothing and knows
//! no other.

mod checkpoint;
mod disk;
mod error;
mod hash;
mod keyring;
pub mod leaf;
mod log;
mod note;
mod proof;
mod reader;
pub mod report;
mod serve;
#[cfg(test)]
mod tests;
mod tile;
mod tree;

pub use checkpoint::Checkpoint;
pub use error::AuditError;
pub use hash::Hash;
pub use keyring::{Keyring, Month};
pub use leaf::Leaf;
pub use log::{Appended, AuditLog, Settings, Status, verifier_key};
pub use note::{SigningKey, VerifierKey};
pub use proof::{ConsistencyProof, InclusionProof};
pub use reader::{Files, Folder, Reader};
pub use serve::{Served, serve};

/// The most bytes of a leaf: its length stands in 16 bits before it.
pub const LEAF_BYTES_MAX: usize = 65_535;
