//! Proofs as files: of a leaf (C2SP `tlog-proof`), and of growth (the request that C2SP `tlog-witness` sends to a witness).
//! Each holds a signed checkpoint and is checked with the log's verifier key alone.

use crate::checkpoint::decimal;
use crate::tree::{check_consistency, check_inclusion};
use crate::{AuditError, Checkpoint, Files, Hash, Reader, VerifierKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// The first line of a proof of a leaf.
const INCLUSION: &str = "c2sp.org/tlog-proof@v1";
/// Hashes of the longest proof that is read: more than a tree of any size needs.
const HASHES_MAX: usize = 64;

/// That a leaf stands in the log. Carries the leaf itself, so that the file needs nothing beside it but the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The leaf's place in the log.
    pub index: u64,
    /// The leaf.
    pub leaf: Vec<u8>,
    hashes: Vec<Hash>,
    note: String,
}

/// That the log of a checkpoint continues the one of an earlier checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// Leaves of the earlier log.
    pub old_size: u64,
    hashes: Vec<Hash>,
    note: String,
}

fn malformed(what: &str) -> AuditError {
    AuditError::Invalid(format!("this is no proof of a log: {what}"))
}

/// The lines of hashes before the empty line, and the note behind it.
fn hashes_and_note(rest: &str) -> Result<(Vec<Hash>, String), AuditError> {
    let (lines, note) = match rest.strip_prefix('\n') {
        Some(note) => ("", note),
        None => rest
            .split_once("\n\n")
            .ok_or_else(|| malformed("no empty line comes before its checkpoint"))?,
    };
    let hashes: Vec<Hash> = lines.lines().map(str::parse).collect::<Result<_, _>>()?;
    match hashes.len() > HASHES_MAX {
        true => Err(malformed("it has too many hashes")),
        false => Ok((hashes, note.to_owned())),
    }
}

impl InclusionProof {
    /// The proof of leaf `index` of the log that `reader` reads.
    ///
    /// # Errors
    /// As [`Reader::prove`].
    pub fn make(reader: &Reader<impl Files>, index: u64) -> Result<Self, AuditError> {
        let (leaf, hashes) = reader.prove(index)?;
        Ok(Self {
            index,
            leaf,
            hashes,
            note: reader.note().to_owned(),
        })
    }

    /// Reads a file; checks nothing but its form.
    ///
    /// # Errors
    /// [`AuditError::Invalid`]: it is no such proof, or has no leaf with it.
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        let rest = text
            .strip_prefix(INCLUSION)
            .and_then(|rest| rest.strip_prefix('\n'));
        let rest = rest.ok_or_else(|| malformed(&format!("its first line is not {INCLUSION}")))?;
        let (extra, rest) = rest
            .split_once('\n')
            .ok_or_else(|| malformed("it breaks off"))?;
        let leaf = extra
            .strip_prefix("extra ")
            .and_then(|leaf| STANDARD.decode(leaf).ok());
        let leaf = leaf.ok_or_else(|| malformed("its line 'extra' with the leaf is missing"))?;
        let (index, rest) = rest
            .split_once('\n')
            .ok_or_else(|| malformed("it breaks off"))?;
        let index = index.strip_prefix("index ").and_then(decimal);
        let index = index.ok_or_else(|| malformed("its line 'index' is missing"))?;
        let (hashes, note) = hashes_and_note(rest)?;
        Ok(Self {
            index,
            leaf,
            hashes,
            note,
        })
    }

    /// Checks signature and proof; gives the checkpoint under which the leaf stands.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] where either does not hold.
    pub fn check(&self, key: &VerifierKey) -> Result<Checkpoint, AuditError> {
        let checkpoint = Checkpoint::open(&self.note, key)?;
        let leaf = Hash::of_leaf(&self.leaf);
        match check_inclusion(
            leaf,
            self.index,
            checkpoint.size,
            checkpoint.root,
            &self.hashes,
        ) {
            true => Ok(checkpoint),
            false => Err(AuditError::Invalid(format!(
                "the proof does not hold: this is not leaf {} of the log that was signed",
                self.index
            ))),
        }
    }
}

impl fmt::Display for InclusionProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{INCLUSION}\nextra {}\nindex {}",
            STANDARD.encode(&self.leaf),
            self.index
        )?;
        self.hashes
            .iter()
            .try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.note)
    }
}

impl ConsistencyProof {
    /// The proof that the log that `reader` reads continues that of `old`.
    ///
    /// # Errors
    /// As [`Reader::prove_consistency`].
    pub fn make(reader: &Reader<impl Files>, old: &Checkpoint) -> Result<Self, AuditError> {
        let hashes = reader.prove_consistency(old)?;
        Ok(Self {
            old_size: old.size,
            hashes,
            note: reader.note().to_owned(),
        })
    }

    /// Reads a file; checks nothing but its form.
    ///
    /// # Errors
    /// [`AuditError::Invalid`].
    pub fn parse(text: &str) -> Result<Self, AuditError> {
        let (old, rest) = text
            .split_once('\n')
            .ok_or_else(|| malformed("it breaks off"))?;
        let old_size = old.strip_prefix("old ").and_then(decimal);
        let old_size = old_size.ok_or_else(|| {
            malformed(&format!(
                "its first line is neither {INCLUSION} nor 'old' and a size"
            ))
        })?;
        let (hashes, note) = hashes_and_note(rest)?;
        Ok(Self {
            old_size,
            hashes,
            note,
        })
    }

    /// Checks that the signed log continues that of `old`; gives its checkpoint.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] where it does not.
    pub fn check(&self, old: &Checkpoint, key: &VerifierKey) -> Result<Checkpoint, AuditError> {
        let new = Checkpoint::open(&self.note, key)?;
        let holds = old.size == self.old_size
            && check_consistency(old.size, old.root, new.size, new.root, &self.hashes);
        match holds {
            true => Ok(new),
            false => Err(AuditError::Invalid(format!(
                "the proof does not hold: the log of {} leaves does not continue the earlier one of {}",
                new.size, old.size
            ))),
        }
    }
}

impl fmt::Display for ConsistencyProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old_size)?;
        self.hashes
            .iter()
            .try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.note)
    }
}
