//! Leaves become tiles, and tiles a checkpoint. A checkpoint is written last, so that all that it needs is there.

use super::journal::Run;
use crate::disk::{self, Writer};
use crate::note::{NOTE_BYTES_MAX, SigningKey};
use crate::reader::{CHECKPOINT, Folder, Reader};
use crate::tile::{self, Edge, Tile, WIDTH};
use crate::{AuditError, Checkpoint, VerifierKey};
use std::io;
use std::path::Path;

/// The file of the signing key.
const KEY: &str = "log.key";
/// Where files are written before they get their names.
const NEW: &str = "new";
/// Mode of what anyone's tools may read.
const PUBLIC: u32 = 0o644;

/// The tree on disk.
pub(crate) struct Tree {
    writer: Writer,
    key: SigningKey,
    edge: Edge,
}

impl Tree {
    /// Opens the tree below `folder`, or begins one named `origin` where there is none. It is read with the eyes of an
    /// outsider: what does not follow from the checkpoint refuses to be continued.
    pub(crate) fn open(folder: &Path, origin: &str) -> Result<Self, AuditError> {
        let key = signing_key(folder, origin)?;
        let writer = Writer::new(folder, NEW);
        let note = disk::read(&folder.join(CHECKPOINT), NOTE_BYTES_MAX)
            .map_err(|e| failed(CHECKPOINT, &e))?;
        let mut tree = Self {
            writer,
            key,
            edge: Edge::default(),
        };
        if note.is_some() {
            let reader = Reader::open(Folder::new(folder), tree.key.verifier().clone())?;
            tree.edge = reader.edge()?;
            reader.check_tiles()?;
        }
        Ok(tree)
    }

    pub(crate) fn size(&self) -> u64 {
        self.edge.size
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Takes over what a journal still holds, and writes a checkpoint over all.
    pub(crate) fn take_over(&mut self, run: &Run) -> Result<(), AuditError> {
        let size = self.size();
        if !run.leaves.is_empty() && !(run.first..=run.end()).contains(&size) {
            let what = format!(
                "it covers {size} leaves, and the journal holds those from {} to {}: it is not this journal's, or is an \
                 old copy",
                run.first,
                run.end()
            );
            return Err(AuditError::damaged(CHECKPOINT, what));
        }
        let known = usize::try_from(size - run.first.min(size)).unwrap_or(usize::MAX);
        let new = run.leaves.get(known..).unwrap_or_default();
        self.check_end(size + new.len() as u64)?;
        self.extend(new)
    }

    /// Whether the folder has tiles that reach beyond all leaves that are known: a checkpoint or a journal is then lost.
    fn check_end(&self, size: u64) -> Result<(), AuditError> {
        let width = usize::try_from(size % 256).unwrap_or_default();
        let here = Tile {
            kind: tile::Kind::Hashes(0),
            index: size / 256,
            width: WIDTH,
        };
        let beyond = |tile: Tile| {
            AuditError::damaged(
                tile.to_string(),
                format!(
                    "it reaches beyond the {size} leaves that the checkpoint and the journal know of: one of these was lost"
                ),
            )
        };
        if self.writer.root().join(here.to_string()).exists() {
            return Err(beyond(here));
        }
        let partial = self.writer.root().join(here.partial_folder());
        let entries = match std::fs::read_dir(&partial) {
            Ok(entries) => entries,
            Err(error) if disk::is_absent(&error) => return Ok(()),
            Err(error) => return Err(failed(&here.partial_folder(), &error)),
        };
        for entry in entries {
            let name = entry
                .map_err(|e| failed(&here.partial_folder(), &e))?
                .file_name();
            let found = name
                .to_str()
                .and_then(|name| name.parse().ok())
                .unwrap_or(WIDTH);
            if found > width {
                return Err(beyond(Tile {
                    width: found,
                    ..here
                }));
            }
        }
        Ok(())
    }

    /// Adds leaves and signs a checkpoint over them; both are durable when it returns. After an error the tree is as it
    /// was, and the same may be tried again.
    pub(crate) fn extend(&mut self, leaves: &[Vec<u8>]) -> Result<(), AuditError> {
        // Of an attempt before that failed.
        self.writer.drop_unnamed();
        let mut edge = self.edge.clone();
        let mut full = Vec::new();
        let writer = &mut self.writer;
        let mut put = |tile: Tile, bytes: &[u8]| {
            if tile.width == WIDTH {
                full.push(tile);
            }
            let done = put(writer, tile, bytes);
            // Under load requests go first, and wait for a part of the work, not for a whole slice of processor time; where a
            // processor is free this costs nothing.
            std::thread::yield_now();
            done
        };
        for leaf in leaves {
            edge.push(leaf, &mut put)?;
        }
        edge.partials(&mut put)?;
        self.writer.sync().map_err(|e| failed("tile", &e))?;
        let checkpoint = Checkpoint {
            origin: self.key.verifier().name().to_owned(),
            size: edge.size,
            root: edge.root()?,
        };
        let note = checkpoint.sign(&self.key);
        let written = self
            .writer
            .put(CHECKPOINT, note.as_bytes(), PUBLIC)
            .and_then(|()| self.writer.sync());
        written.map_err(|e| failed(CHECKPOINT, &e))?;
        self.edge = edge;
        for tile in full {
            // What partial tiles held is in the full one; one that stays does no harm.
            if let Err(error) =
                std::fs::remove_dir_all(self.writer.root().join(tile.partial_folder()))
                && !disk::is_absent(&error)
            {
                tracing::warn!(%error, %tile, "partial tiles of the audit log cannot be removed");
            }
        }
        Ok(())
    }
}

/// Puts a tile where there is none. One that is there never changes.
fn put(writer: &mut Writer, tile: Tile, bytes: &[u8]) -> Result<(), AuditError> {
    let path = tile.to_string();
    let there = disk::read(&writer.root().join(&path), tile::bytes_max(tile.kind))
        .map_err(|e| failed(&path, &e))?;
    match there {
        Some(there) if there == bytes => {
            writer.found(&path);
            Ok(())
        }
        Some(_) => Err(AuditError::damaged(
            path,
            "it holds other leaves than the log has",
        )),
        None => writer
            .put(&path, bytes, PUBLIC)
            .map_err(|e| failed(&path, &e)),
    }
}

/// The public half of the key in the log's own folder.
///
/// # Errors
/// [`AuditError::NotFound`] where there is no log; [`AuditError::Damaged`]; [`AuditError::Unavailable`].
pub fn verifier_key(folder: &Path) -> Result<VerifierKey, AuditError> {
    let key = kept_key(folder)?.ok_or_else(|| {
        AuditError::NotFound(format!(
            "there is no audit log with its key in {}",
            folder.display()
        ))
    })?;
    Ok(key.verifier().clone())
}

fn kept_key(folder: &Path) -> Result<Option<SigningKey>, AuditError> {
    let Some(text) = disk::read(&folder.join(KEY), 4096).map_err(|e| failed(KEY, &e))? else {
        return Ok(None);
    };
    let key = SigningKey::from_secret_text(&String::from_utf8_lossy(&text));
    key.map(Some).map_err(|error| {
        AuditError::damaged(folder.join(KEY).display().to_string(), error.to_string())
    })
}

/// The log's key, made at the first start.
fn signing_key(folder: &Path, origin: &str) -> Result<SigningKey, AuditError> {
    if let Some(key) = kept_key(folder)? {
        let name = key.verifier().name();
        return match name == origin {
            true => Ok(key),
            false => Err(AuditError::Invalid(format!(
                "the audit log at {} is named {name}, not {origin}: a log keeps its name; name {name} again, or move the \
                 folder away to begin another log",
                folder.display()
            ))),
        };
    }
    if folder.join(CHECKPOINT).exists() {
        return Err(AuditError::damaged(
            folder.join(KEY).display().to_string(),
            "the key that has signed the checkpoint is lost",
        ));
    }
    let key = SigningKey::generate(origin)?;
    let mut writer = Writer::new(folder, NEW);
    let written = writer
        .put(KEY, key.to_secret_text().as_bytes(), 0o600)
        .and_then(|()| writer.sync());
    written.map_err(|e| failed(KEY, &e))?;
    Ok(key)
}

fn failed(path: &str, error: &io::Error) -> AuditError {
    AuditError::Unavailable(format!("{path}: {error}"))
}
