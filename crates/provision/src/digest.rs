//! SHA-256 over files and streams.

use madang_types::text::hex;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Read and write in pieces of this size.
pub(crate) const PIECE_BYTES: usize = 1 << 20;

/// Whether `text` is a lower-case hex SHA-256.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// SHA-256 of what `reader` gives, with its length in bytes.
pub(crate) fn of_reader(mut reader: impl Read) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let read = match reader.read(&mut piece) {
            Ok(0) => return Ok((hex(&hasher.finalize()), bytes)),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hasher.update(&piece[..read]);
        bytes += read as u64;
    }
}

/// SHA-256 of a file in lower-case hex, with its length in bytes. Blocks.
///
/// # Errors
/// The file cannot be read.
pub fn of_file(path: &Path) -> io::Result<(String, u64)> {
    of_reader(File::open(path)?)
}

/// SHA-256 of a small text.
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A file that is hashed as it is written.
pub(crate) struct HashedFile {
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl HashedFile {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::create(path)?,
            hasher: Sha256::new(),
            bytes: 0,
        })
    }

    /// Copies at most `bytes_max` bytes; more is an error of kind `FileTooLarge`.
    pub(crate) fn copy(&mut self, mut reader: impl Read, bytes_max: u64) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut left = bytes_max;
        loop {
            let read = match reader.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            left = left
                .checked_sub(read as u64)
                .ok_or(io::ErrorKind::FileTooLarge)?;
            self.file.write_all(&piece[..read])?;
            self.hasher.update(&piece[..read]);
            self.bytes += read as u64;
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Brings the file to disk; gives its digest and length.
    pub(crate) fn finish(self) -> io::Result<(String, u64)> {
        self.file.sync_all()?;
        Ok((hex(&self.hasher.finalize()), self.bytes))
    }
}
