//! The log's files by their public paths. Only what the formats name is found: neither keys nor the journal, and nothing
//! outside the folder.

use crate::note::NOTE_BYTES_MAX;
use crate::reader::CHECKPOINT;
use crate::tile::{self, Tile};
use crate::{AuditError, disk};
use std::path::Path;

/// A file, as it is to be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its media type.
    pub content_type: &'static str,
    /// The header `cache-control`: a tile never changes.
    pub cache_control: &'static str,
}

/// The file at `path` below the log's prefix: `checkpoint`, `tile/…`.
///
/// # Errors
/// [`AuditError::NotFound`] for all else; [`AuditError::Unavailable`] where the disk cannot be read.
pub fn serve(folder: &Path, path: &str) -> Result<Served, AuditError> {
    let (bytes_max, content_type, cache_control) = match Tile::parse(path) {
        Some(tile) => (
            tile::bytes_max(tile.kind),
            "application/octet-stream",
            "private, max-age=31536000, immutable",
        ),
        None if path == CHECKPOINT => (NOTE_BYTES_MAX, "text/plain; charset=utf-8", "no-cache"),
        None => return Err(absent()),
    };
    let bytes = disk::read(&folder.join(path), bytes_max)
        .map_err(|e| AuditError::Unavailable(format!("{path}: {e}")))?;
    Ok(Served {
        bytes: bytes.ok_or_else(absent)?,
        content_type,
        cache_control,
    })
}

fn absent() -> AuditError {
    AuditError::NotFound(
        "the audit log has no such file: there are checkpoint, tile/<level>/<number> and tile/entries/<number>".into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AuditLog, Settings};

    #[test]
    fn the_formats_files_are_served_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(folder.path(), &Settings::new("madang.example/test")).unwrap();
        log.append_blocking(b"leaf".to_vec()).unwrap();
        drop(log);
        for path in ["checkpoint", "tile/0/000.p/1", "tile/entries/000.p/1"] {
            let served = serve(folder.path(), path).unwrap();
            assert_eq!(
                served.bytes,
                std::fs::read(folder.path().join(path)).unwrap(),
                "{path}"
            );
        }
        for path in [
            "",
            "/",
            "log.key",
            "journal",
            "keys",
            "tile",
            "tile/0",
            "tile/0/000",
            "tile/0/../../log.key",
            "../x",
            "checkpoint/",
            "/etc/passwd",
            "tile/0/000.p/2",
            "tile/0/000.p/1/x",
            "tile/0/000.p/1\0",
        ] {
            assert!(
                matches!(serve(folder.path(), path), Err(AuditError::NotFound(_))),
                "{path}"
            );
        }
    }
}
