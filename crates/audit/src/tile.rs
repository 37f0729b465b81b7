//! Tiles (C2SP `tlog-tiles`): the files in which leaves and hashes stand, and the edge of the tree, which makes them.

use crate::hash::{HASH_BYTES, tile_bytes};
use crate::tree::{Subtrees, range_root};
use crate::{AuditError, Hash, checkpoint};
use std::fmt;

/// Hashes, or leaves, of a full tile.
pub(crate) const WIDTH: usize = 256;
/// Levels of the tree that one level of tiles holds.
pub(crate) const HEIGHT: u32 = 8;
/// The greatest level of the largest log that is read.
const LEVEL_MAX: u8 = 6;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Leaves, each with its length before it.
    Entries,
    /// Hashes of that level; level 0 has the hashes of leaves.
    Hashes(u8),
}

/// A tile's place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tile {
    pub(crate) kind: Kind,
    /// Its number in its level.
    pub(crate) index: u64,
    /// From 1 to [`WIDTH`].
    pub(crate) width: usize,
}

impl Tile {
    /// The same tile once it is full.
    pub(crate) fn full(self) -> Self {
        Self {
            width: WIDTH,
            ..self
        }
    }

    /// The folder of its partial forms.
    pub(crate) fn partial_folder(self) -> String {
        format!("{}.p", self.full())
    }

    /// The tile of a path below the log's prefix, such as `tile/0/x001/234.p/17`; `None` where there can be none.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let (index, width) = match rest.split_once(".p/") {
            Some((index, width)) => (
                index,
                checkpoint::decimal(width).filter(|w| (1..256).contains(w))?,
            ),
            None => (rest, 256),
        };
        let kind = match kind {
            "entries" => Kind::Entries,
            level => Kind::Hashes(u8::try_from(checkpoint::decimal(level)?).ok()?),
        };
        if matches!(kind, Kind::Hashes(level) if level > LEVEL_MAX) {
            return None;
        }
        let digits: String = index
            .split('/')
            .map(|part| part.strip_prefix('x').unwrap_or(part))
            .collect();
        let tile = Self {
            kind,
            index: digits.parse().ok()?,
            width: usize::try_from(width).ok()?,
        };
        // One spelling of each.
        (tile.to_string() == path).then_some(tile)
    }

    /// The tiles that a tree of `size` leaves needs at its right edge: partial ones only.
    pub(crate) fn partials(size: u64) -> impl Iterator<Item = Self> {
        let levels = (0..=LEVEL_MAX)
            .map(move |level| (Kind::Hashes(level), size >> (u32::from(level) * HEIGHT)));
        let tiles = std::iter::once((Kind::Entries, size)).chain(levels);
        tiles.filter_map(|(kind, count)| {
            let width = usize::try_from(count % 256)
                .ok()
                .filter(|width| *width > 0)?;
            Some(Self {
                kind,
                index: count / 256,
                width,
            })
        })
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Entries => f.write_str("tile/entries/")?,
            Kind::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let digits = self.index.to_string();
        let digits = format!("{digits:0>width$}", width = digits.len().div_ceil(3) * 3);
        let parts = digits.len() / 3;
        for part in 0..parts {
            let x = if part + 1 < parts { "x" } else { "" };
            let slash = if part == 0 { "" } else { "/" };
            write!(f, "{slash}{x}{}", &digits[part * 3..part * 3 + 3])?;
        }
        if self.width < WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// Where the edge puts a tile, or compares it.
pub(crate) type Sink<'a> = dyn FnMut(Tile, &[u8]) -> Result<(), AuditError> + 'a;

/// The right edge of the tree: what is in no full tile yet. All files of a log follow from its leaves by this.
#[derive(Clone, Default)]
pub(crate) struct Edge {
    pub(crate) size: u64,
    /// The bundle of leaves that is not full.
    bundle: Vec<u8>,
    /// The tile of each level that is not full, level 0 first.
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The edge of a log of `size` leaves: its last bundle and the hashes of its partial tiles, level 0 first.
    pub(crate) fn new(size: u64, bundle: Vec<u8>, levels: Vec<Vec<Hash>>) -> Self {
        Self {
            size,
            bundle,
            levels,
        }
    }

    /// Adds a leaf; each tile that it fills goes to `sink`.
    pub(crate) fn push(&mut self, leaf: &[u8], sink: &mut Sink<'_>) -> Result<(), AuditError> {
        let length = u16::try_from(leaf.len()).map_err(|_| AuditError::LeafTooLong(leaf.len()))?;
        self.bundle.extend(length.to_be_bytes());
        self.bundle.extend_from_slice(leaf);
        self.size += 1;
        let (mut hash, mut count, mut level) = (Hash::of_leaf(leaf), self.size, 0);
        if count.is_multiple_of(256) {
            let index = count / 256 - 1;
            sink(
                Tile {
                    kind: Kind::Entries,
                    index,
                    width: WIDTH,
                },
                &self.bundle,
            )?;
            self.bundle.clear();
        }
        loop {
            let at = usize::from(level);
            if self.levels.len() == at {
                self.levels.push(Vec::with_capacity(WIDTH));
            }
            self.levels[at].push(hash);
            if !count.is_multiple_of(256) {
                return Ok(());
            }
            let index = count / 256 - 1;
            sink(
                Tile {
                    kind: Kind::Hashes(level),
                    index,
                    width: WIDTH,
                },
                &tile_bytes(&self.levels[at]),
            )?;
            hash = range_root(&Row(&self.levels[at]), 0, 256)?;
            self.levels[at].clear();
            (count, level) = (count / 256, level + 1);
        }
    }

    /// Hands the partial tiles of the tree as it is to `sink`.
    pub(crate) fn partials(&self, sink: &mut Sink<'_>) -> Result<(), AuditError> {
        for tile in Tile::partials(self.size) {
            match tile.kind {
                Kind::Entries => sink(tile, &self.bundle)?,
                Kind::Hashes(level) => sink(tile, &tile_bytes(&self.levels[usize::from(level)]))?,
            }
        }
        Ok(())
    }

    /// The root of the tree.
    pub(crate) fn root(&self) -> Result<Hash, AuditError> {
        let mut root = None;
        for level in &self.levels {
            let mut end = level.len();
            while end > 0 {
                // The complete subtrees of a tile are as the bits of its width; the last is the smallest.
                let start = end & (end - 1);
                let hash = range_root(&Row(&level[start..end]), 0, as_u64(end - start))?;
                root = Some(root.map_or(hash, |right| Hash::of_node(&hash, &right)));
                end = start;
            }
        }
        Ok(root.unwrap_or_else(Hash::of_nothing))
    }
}

fn as_u64(n: usize) -> u64 {
    n as u64
}

/// Hashes in a row, as a source of the subtrees over them.
pub(crate) struct Row<'a>(pub(crate) &'a [Hash]);

impl Subtrees for Row<'_> {
    fn subtree(&self, height: u32, index: u64) -> Result<Hash, AuditError> {
        let lost = || AuditError::damaged("a tile", "it has too few hashes");
        if height == 0 {
            let at = usize::try_from(index).ok();
            return at.and_then(|at| self.0.get(at)).copied().ok_or_else(lost);
        }
        let left = self.subtree(height - 1, index * 2)?;
        Ok(Hash::of_node(
            &left,
            &self.subtree(height - 1, index * 2 + 1)?,
        ))
    }
}

/// The leaves of a bundle; `None` where it is not made of exactly `width` of them.
pub(crate) fn leaves(bundle: &[u8], width: usize) -> Option<Vec<&[u8]>> {
    let (mut rest, mut leaves) = (bundle, Vec::with_capacity(width));
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (leaf, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        leaves.push(leaf);
        rest = after;
    }
    (rest.is_empty() && leaves.len() == width).then_some(leaves)
}

/// The most bytes that a tile of this kind can have.
pub(crate) fn bytes_max(kind: Kind) -> u64 {
    match kind {
        Kind::Entries => as_u64(WIDTH * (2 + crate::LEAF_BYTES_MAX)),
        Kind::Hashes(_) => as_u64(WIDTH * HASH_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, kind: Kind, index: u64, width: usize) {
        let tile = Tile { kind, index, width };
        assert_eq!(tile.to_string(), path);
        assert_eq!(Tile::parse(path), Some(tile), "{path}");
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        check("tile/0/000", Kind::Hashes(0), 0, 256);
        check("tile/0/x001/x234/067", Kind::Hashes(0), 1_234_067, 256);
        check("tile/2/999.p/1", Kind::Hashes(2), 999, 1);
        check("tile/entries/x001/000.p/255", Kind::Entries, 1000, 255);
        for bad in [
            "tile/0/0",
            "tile/0/x000/000",
            "tile/00/000",
            "tile/7/000",
            "tile/-1/000",
            "tile/0/000.p/0",
            "tile/0/000.p/256",
            "tile/0/000.p/01",
            "tile/0/../000",
            "tile/0//000",
            "tile/0/000/",
            "/tile/0/000",
            "tile/0/x001/x000",
            "tile/0/+00",
            "tile/0/001/000",
            "tile/entries/",
            "tile/data/000",
            "tile",
            "",
            "tile/0/x999/x999/x999/x999/x999/x999/999",
        ] {
            assert_eq!(Tile::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_tree_of_70000_has_the_tiles_that_the_specification_counts() {
        let partials: Vec<String> = Tile::partials(70_000)
            .map(|tile| tile.to_string())
            .collect();
        let expected = [
            "tile/entries/273.p/112",
            "tile/0/273.p/112",
            "tile/1/001.p/17",
            "tile/2/000.p/1",
        ];
        assert_eq!(partials, expected);
        assert_eq!(
            Tile::partials(256)
                .map(|tile| tile.to_string())
                .collect::<Vec<_>>(),
            ["tile/1/000.p/1"]
        );
    }

    #[test]
    fn bundles_read_back_and_nothing_else_does() {
        let mut edge = Edge::default();
        for leaf in ["", "a", "bc"] {
            edge.push(leaf.as_bytes(), &mut |_, _| Ok(())).unwrap();
        }
        let bundle = edge.bundle;
        assert_eq!(leaves(&bundle, 3), Some(vec![&b""[..], b"a", b"bc"]));
        assert_eq!(leaves(&bundle, 2), None);
        for cut in 1..bundle.len() {
            assert_eq!(leaves(&bundle[..cut], 3), None);
        }
    }
}
