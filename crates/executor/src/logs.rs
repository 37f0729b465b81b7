//! What engines print, kept with bounds: `<log_dir>/<replica>.log` and, before it, `<replica>.log.1`.
//!
//! Each file holds at most half of the bytes allowed. A line is the time (UTC, microseconds) and the
//! engine's text; lines longer than [`LINE_BYTES_MAX`] are cut into several. A disk that is full or
//! hangs never holds up the engine: lines are dropped then, and counted in the log itself.

mod lines;
mod pump;
mod read;
mod write;

pub(crate) use pump::Pump;
pub use read::{Follow, tail};

use madang_types::ReplicaId;
use std::path::{Path, PathBuf};

/// Bytes of one line without its time; the rest goes to the next line.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// The newer of the two files.
pub fn current_path(log_dir: &Path, replica: &ReplicaId) -> PathBuf {
    log_dir.join(format!("{replica}.log"))
}

/// The older of the two files.
pub fn previous_path(log_dir: &Path, replica: &ReplicaId) -> PathBuf {
    log_dir.join(format!("{replica}.log.1"))
}
