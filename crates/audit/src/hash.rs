//! Hashes of the tree: SHA-256 with the prefixes of RFC 6962 section 2.1.

use crate::AuditError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256, digest};
use std::fmt;
use std::str::FromStr;

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

/// A hash of the tree. Written in standard base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; HASH_BYTES]);

impl Hash {
    /// The root of a tree without leaves.
    pub fn of_nothing() -> Self {
        Self::from_slice(digest(&SHA256, b"").as_ref())
    }

    /// The hash of a leaf.
    pub fn of_leaf(leaf: &[u8]) -> Self {
        Self::of_parts(&[&[0], leaf])
    }

    /// The hash of an inner node.
    pub fn of_node(left: &Self, right: &Self) -> Self {
        Self::of_parts(&[&[1], &left.0, &right.0])
    }

    fn of_parts(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        Self::from_slice(context.finish().as_ref())
    }

    fn from_slice(bytes: &[u8]) -> Self {
        let mut hash = [0; HASH_BYTES];
        hash.copy_from_slice(bytes);
        Self(hash)
    }
}

/// The hashes that stand one after another in a tile; bytes that make no whole hash are left out.
pub(crate) fn hashes(tile: &[u8]) -> Vec<Hash> {
    let (whole, _) = tile.as_chunks::<HASH_BYTES>();
    whole.iter().copied().map(Hash).collect()
}

/// The bytes of a tile.
pub(crate) fn tile_bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let bytes = STANDARD.decode(text).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| {
                AuditError::Invalid(format!(
                    "'{text}' is not a hash of {HASH_BYTES} bytes in base64"
                ))
            })
    }
}
