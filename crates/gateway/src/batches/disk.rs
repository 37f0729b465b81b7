//! Files and folders that are there as a whole or not at all, and stay when the machine dies.

use crate::refused::Refused;
use madang_types::ErrorCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The ending of what is being made.
const PART: &str = "part";

/// Makes a folder and those above it, for nobody else to read.
pub(crate) fn folder_make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// An empty folder in the making at `path` with `.part` behind it.
pub(crate) fn part_make(path: &Path) -> io::Result<PathBuf> {
    let part = path.with_extension(PART);
    gone(std::fs::remove_dir_all(&part))?;
    folder_make(&part)?;
    Ok(part)
}

/// Gives a folder in the making its name, durably.
pub(crate) fn part_keep(part: &Path, path: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    std::fs::rename(part, path)?;
    parent_sync(path)
}

/// Takes a folder away: at once from its name, then from the disk.
pub(crate) fn folder_remove(path: &Path) -> io::Result<()> {
    let part = path.with_extension(PART);
    std::fs::rename(path, &part)?;
    std::fs::remove_dir_all(&part)
}

/// A file that nobody else reads, for writing at its end.
pub(crate) fn append_open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).read(true).append(true).mode(0o600);
    options.open(path)
}

/// Takes the lock that a file is; `None` where another process has it. The kernel lets go of it with the process, `kill -9` included.
pub(crate) fn lock_take(path: &Path) -> io::Result<Option<File>> {
    let lock = append_open(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Writes a value, durably, whole or not at all.
pub(crate) fn json_write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let part = path.with_extension(PART);
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o600);
    let mut file = options.open(&part)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    parent_sync(path)
}

/// Reads a value; `None` where there is none.
pub(crate) fn json_read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether it is just not there.
pub(crate) fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// What was to be taken away, and is not there: that will do.
pub(crate) fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if absent(&error) => Ok(()),
        removed => removed,
    }
}

/// The names in a folder that read as `T`; none where there is no folder.
pub(crate) fn names<T: FromStr>(folder: &Path) -> io::Result<Vec<T>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse().ok()));
    }
    Ok(found)
}

/// Takes away what was in the making when its maker died: parts whose id, before `.part`, was made before `before_s`.
pub(crate) fn parts_sweep(
    folder: &Path,
    before_s: i64,
    made_at_s: fn(&str) -> Option<i64>,
) -> io::Result<()> {
    for name in names::<String>(folder)? {
        let id = name.strip_suffix(".part");
        if id.and_then(made_at_s).is_some_and(|at| at < before_s) {
            std::fs::remove_dir_all(folder.join(&name))?;
        }
    }
    Ok(())
}

fn parent_sync(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// What a caller is told where the disk does not do its part: nothing of where that is.
pub(crate) fn unavailable(error: &io::Error) -> Refused {
    tracing::error!(%error, "the folder of files cannot be used");
    let what = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "the disk is full",
        _ => "the disk failed",
    };
    let message = format!("files cannot be kept at the moment: {what}");
    Refused::new(ErrorCode::FilesUnavailable, message).retry_after_ms(Some(5_000))
}

/// Runs what waits for the disk apart from the event loop.
///
/// # Errors
/// The refusal to send.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|error| unavailable(&error))
}
