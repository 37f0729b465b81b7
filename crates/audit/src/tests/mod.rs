//! Logs of every size from 1 to 2,000, before our own eyes and those of others.

mod aics;
mod foreign;
mod growth;
mod proofs;
mod tampering;

use crate::tile::Edge;
use crate::{Checkpoint, Reader, SigningKey};
use std::collections::BTreeMap;

const SIZE_MAX: u64 = 2_000;
const ORIGIN: &str = "madang.example/test";

type FileMap = BTreeMap<String, Vec<u8>>;

/// A log in memory that grows a leaf at a time; each partial tile goes when the next one comes.
struct Growing {
    key: SigningKey,
    edge: Edge,
    full: FileMap,
}

impl Growing {
    fn new() -> Self {
        Self {
            key: SigningKey::generate(ORIGIN).unwrap(),
            edge: Edge::default(),
            full: FileMap::new(),
        }
    }

    fn grow(&mut self) {
        self.push(&leaf(self.edge.size));
    }

    fn push(&mut self, leaf: &[u8]) {
        let full = &mut self.full;
        let mut put = |tile: crate::tile::Tile, bytes: &[u8]| {
            full.insert(tile.to_string(), bytes.to_vec());
            Ok(())
        };
        self.edge.push(leaf, &mut put).unwrap();
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            origin: ORIGIN.into(),
            size: self.edge.size,
            root: self.edge.root().unwrap(),
        }
    }

    /// All files of the log as it is.
    fn files(&self) -> FileMap {
        let mut files = self.full.clone();
        let mut put = |tile: crate::tile::Tile, bytes: &[u8]| {
            files.insert(tile.to_string(), bytes.to_vec());
            Ok(())
        };
        self.edge.partials(&mut put).unwrap();
        files.insert(
            "checkpoint".into(),
            self.checkpoint().sign(&self.key).into_bytes(),
        );
        files
    }

    fn reader(&self, files: FileMap) -> Result<Reader<FileMap>, crate::AuditError> {
        Reader::open(files, self.key.verifier().clone())
    }
}

/// Leaves of different lengths, an empty one among them.
fn leaf(index: u64) -> Vec<u8> {
    let length = usize::try_from(index * 7 % 23).unwrap();
    index
        .to_le_bytes()
        .into_iter()
        .cycle()
        .take(length)
        .collect()
}

/// A small generator whose stream is the same in every run.
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    /// Turns one bit of a file over.
    fn flip(&mut self, bytes: &mut [u8]) {
        let at = self.index(bytes.len());
        bytes[at] ^= 1 << self.below(8);
    }
}
