//! The log as an outsider reads it: with nothing but the files and the log's verifier key. No hash from a tile is taken
//! for true before it has led to the root that the checkpoint signs.

use crate::hash::hashes;
use crate::note::{NOTE_BYTES_MAX, VerifierKey};
use crate::tile::{self, Edge, HEIGHT, Kind, Row, Tile, WIDTH};
use crate::tree::{self, Subtrees, range_root};
use crate::{AuditError, Checkpoint, Hash, disk};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The path of the checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// Tiles of level 0 that are looked at when the log is opened for appending; those of the levels above are looked at all.
const RECENT_TILES: u64 = 4096;

/// The files of a log, by their paths below its prefix.
pub trait Files {
    /// A file's bytes; `None` where there is no such file.
    ///
    /// # Errors
    /// The medium's; a file of more than `bytes_max` bytes.
    fn read(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, AuditError>;

    /// Whether there is such a file.
    ///
    /// # Errors
    /// As [`Files::read`].
    fn has(&self, path: &str, bytes_max: u64) -> Result<bool, AuditError> {
        Ok(self.read(path, bytes_max)?.is_some())
    }
}

/// A log in a folder.
pub struct Folder(PathBuf);

impl Folder {
    /// The log below `path`.
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Files for Folder {
    fn read(&self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, AuditError> {
        disk::read(&self.0.join(path), bytes_max)
            .map_err(|e| AuditError::damaged(path, e.to_string()))
    }

    fn has(&self, path: &str, bytes_max: u64) -> Result<bool, AuditError> {
        disk::has(&self.0.join(path), bytes_max)
            .map_err(|e| AuditError::damaged(path, e.to_string()))
    }
}

/// A log in memory, such as one that was fetched.
impl Files for BTreeMap<String, Vec<u8>> {
    fn read(&self, path: &str, _bytes_max: u64) -> Result<Option<Vec<u8>>, AuditError> {
        Ok(self.get(path).cloned())
    }
}

/// A log and its signed checkpoint.
pub struct Reader<F> {
    files: F,
    note: String,
    checkpoint: Checkpoint,
}

impl<F: Files> Reader<F> {
    /// Reads the checkpoint, which `key` must have signed.
    ///
    /// # Errors
    /// [`AuditError::NotFound`] without a checkpoint; [`AuditError::Damaged`] where it does not hold.
    pub fn open(files: F, key: VerifierKey) -> Result<Self, AuditError> {
        let note = files.read(CHECKPOINT, NOTE_BYTES_MAX)?;
        let note = note.ok_or_else(|| {
            AuditError::NotFound("there is no audit log here: it has no checkpoint".into())
        })?;
        let damaged = |what: String| AuditError::damaged(CHECKPOINT, what);
        let note = String::from_utf8(note).map_err(|_| damaged("it is not UTF-8".into()))?;
        let checkpoint =
            Checkpoint::open(&note, &key).map_err(|error| damaged(error.to_string()))?;
        Ok(Self {
            files,
            note,
            checkpoint,
        })
    }

    /// What the log has signed last.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signed note of [`Reader::checkpoint`].
    pub fn note(&self) -> &str {
        &self.note
    }

    /// Derives every tile anew from the leaves and compares; gives each leaf, which is authentic once this has returned
    /// without an error, to `each` with its index.
    ///
    /// # Errors
    /// [`AuditError::Damaged`] says what is changed or missing, and where.
    pub fn verify(&self, mut each: impl FnMut(u64, &[u8])) -> Result<(), AuditError> {
        let size = self.checkpoint.size;
        let mut edge = Edge::default();
        let mut compare = |tile: Tile, bytes: &[u8]| match self.tile(tile)? == bytes {
            true => Ok(()),
            false => Err(AuditError::damaged(
                tile.to_string(),
                "it does not follow from the leaves",
            )),
        };
        for index in 0..size.div_ceil(256) {
            let bundle = self.bundle(index)?;
            for leaf in self.leaves(&bundle, index)? {
                each(edge.size, leaf);
                edge.push(leaf, &mut compare)?;
            }
        }
        edge.partials(&mut compare)?;
        self.check_root(edge.root()?)
    }

    /// A leaf, proven to be in the log, and its proof.
    ///
    /// # Errors
    /// [`AuditError::NotFound`] beyond the log's end; [`AuditError::Damaged`].
    pub fn prove(&self, index: u64) -> Result<(Vec<u8>, Vec<Hash>), AuditError> {
        let Checkpoint { size, root, .. } = self.checkpoint;
        if index >= size {
            return Err(AuditError::NotFound(format!(
                "the log has {size} leaves: there is none with the index {index}"
            )));
        }
        let bundle = self.bundle(index / 256)?;
        let leaves = self.leaves(&bundle, index / 256)?;
        let leaf = leaves[usize::try_from(index % 256).unwrap_or_default()].to_vec();
        let proof = tree::inclusion(self, index, size)?;
        if !tree::check_inclusion(Hash::of_leaf(&leaf), index, size, root, &proof) {
            let what = format!(
                "leaf {index} and the tiles above it do not lead to the root of the checkpoint"
            );
            return Err(AuditError::damaged("tile", what));
        }
        Ok((leaf, proof))
    }

    /// The proof that this log continues the one of an earlier checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Damaged`] where it does not.
    pub fn prove_consistency(&self, old: &Checkpoint) -> Result<Vec<Hash>, AuditError> {
        let Checkpoint { size, root, .. } = self.checkpoint;
        if old.size > size {
            let what = format!(
                "it covers {size} leaves, and the earlier one {}: leaves were cut off",
                old.size
            );
            return Err(AuditError::damaged(CHECKPOINT, what));
        }
        let proof = tree::consistency(self, old.size, size)?;
        if !tree::check_consistency(old.size, old.root, size, root, &proof) {
            let what = format!(
                "it does not continue the earlier one of {} leaves: history was rewritten",
                old.size
            );
            return Err(AuditError::damaged(CHECKPOINT, what));
        }
        Ok(proof)
    }

    /// The edge of the tree, its root checked.
    pub(crate) fn edge(&self) -> Result<Edge, AuditError> {
        let size = self.checkpoint.size;
        let (mut bundle, mut levels) = (Vec::new(), Vec::new());
        let mut level = 0_u8;
        while size >> (u32::from(level) * HEIGHT) > 0 {
            levels.push(Vec::new());
            level += 1;
        }
        for tile in Tile::partials(size) {
            match tile.kind {
                Kind::Entries => bundle = self.tile(tile)?,
                Kind::Hashes(level) => levels[usize::from(level)] = self.hashes(tile)?,
            }
        }
        let leaves = tile::leaves(&bundle, usize::try_from(size % 256).unwrap_or_default());
        let leaf_hashes: Option<Vec<Hash>> =
            leaves.map(|leaves| leaves.into_iter().map(Hash::of_leaf).collect());
        if leaf_hashes.as_deref() != Some(levels.first().map_or(&[][..], Vec::as_slice)) {
            return Err(AuditError::damaged(
                "tile/entries",
                "its last leaves are not those of the tree",
            ));
        }
        let edge = Edge::new(size, bundle, levels);
        self.check_root(edge.root()?)?;
        Ok(edge)
    }

    /// Checks the hashes of full tiles against the levels above them, without the leaves, and that the leaves are there.
    pub(crate) fn check_tiles(&self) -> Result<(), AuditError> {
        let size = self.checkpoint.size;
        for level in 0_u8.. {
            let tiles = size >> (u32::from(level + 1) * HEIGHT);
            let from = if level == 0 {
                tiles.saturating_sub(RECENT_TILES)
            } else {
                0
            };
            let mut above = Vec::new();
            for index in from..tiles {
                let tile = Tile {
                    kind: Kind::Hashes(level),
                    index,
                    width: WIDTH,
                };
                if index == from || index.is_multiple_of(256) {
                    above = self.hashes(self.at(Kind::Hashes(level + 1), index / 256))?;
                }
                let hash = Row(&above).subtree(0, index % 256)?;
                if range_root(&Row(&self.hashes(tile)?), 0, 256)? != hash {
                    return Err(AuditError::damaged(
                        tile.to_string(),
                        "it does not lead to the tile above it",
                    ));
                }
                let bundle = Tile {
                    kind: Kind::Entries,
                    ..tile
                };
                if level == 0
                    && !self
                        .files
                        .has(&bundle.to_string(), tile::bytes_max(bundle.kind))?
                {
                    return Err(missing(bundle));
                }
            }
            if tiles == 0 {
                break;
            }
        }
        Ok(())
    }

    fn check_root(&self, root: Hash) -> Result<(), AuditError> {
        if root == self.checkpoint.root {
            return Ok(());
        }
        let what = format!(
            "it signs the root {}, and the tiles have the root {root}",
            self.checkpoint.root
        );
        Err(AuditError::damaged(CHECKPOINT, what))
    }

    /// A tile with the width that it has in a tree of the checkpoint's size.
    fn at(&self, kind: Kind, index: u64) -> Tile {
        let level = match kind {
            Kind::Entries => 0,
            Kind::Hashes(level) => u32::from(level),
        };
        let count = self.checkpoint.size >> (level * HEIGHT);
        let width = usize::try_from(count - index * 256).map_or(WIDTH, |left| left.min(WIDTH));
        Tile { kind, index, width }
    }

    /// A tile's bytes. Where a partial tile is gone, those of the full one begin with its own.
    fn tile(&self, tile: Tile) -> Result<Vec<u8>, AuditError> {
        let read = |tile: Tile| {
            self.files
                .read(&tile.to_string(), tile::bytes_max(tile.kind))
        };
        if let Some(bytes) = read(tile)? {
            return Ok(bytes);
        }
        let mut bytes = read(tile.full())?
            .filter(|_| tile.width < WIDTH)
            .ok_or_else(|| missing(tile))?;
        let end = match tile.kind {
            Kind::Hashes(_) => Some(tile.width * crate::hash::HASH_BYTES),
            Kind::Entries => tile::leaves(&bytes, WIDTH).map(|leaves| {
                leaves
                    .iter()
                    .take(tile.width)
                    .map(|leaf| leaf.len() + 2)
                    .sum()
            }),
        };
        let whole = end.filter(|end| *end <= bytes.len());
        bytes.truncate(
            whole.ok_or_else(|| AuditError::damaged(tile.full().to_string(), "it is cut short"))?,
        );
        Ok(bytes)
    }

    fn hashes(&self, tile: Tile) -> Result<Vec<Hash>, AuditError> {
        let bytes = self.tile(tile)?;
        if bytes.len() == tile.width * crate::hash::HASH_BYTES {
            return Ok(hashes(&bytes));
        }
        Err(AuditError::damaged(
            tile.to_string(),
            format!("it has {} bytes", bytes.len()),
        ))
    }

    fn bundle(&self, index: u64) -> Result<Vec<u8>, AuditError> {
        self.tile(self.at(Kind::Entries, index))
    }

    fn leaves<'a>(&self, bundle: &'a [u8], index: u64) -> Result<Vec<&'a [u8]>, AuditError> {
        let tile = self.at(Kind::Entries, index);
        tile::leaves(bundle, tile.width).ok_or_else(|| {
            let what = format!("it is not made of {} leaves", tile.width);
            AuditError::damaged(tile.to_string(), what)
        })
    }
}

fn missing(tile: Tile) -> AuditError {
    AuditError::damaged(tile.to_string(), "it is missing")
}

/// Hashes from tiles, which prove nothing by themselves.
impl<F: Files> Subtrees for Reader<F> {
    fn subtree(&self, height: u32, index: u64) -> Result<Hash, AuditError> {
        // The tile whose hashes are just below or at this height.
        let level = u8::try_from(height / HEIGHT).unwrap_or(u8::MAX);
        let below = height % HEIGHT;
        let first = index << below;
        let hashes = self.hashes(self.at(Kind::Hashes(level), first / 256))?;
        Row(&hashes).subtree(below, index % (256 >> below))
    }
}
