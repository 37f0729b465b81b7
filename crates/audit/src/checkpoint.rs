//! Checkpoints (C2SP `tlog-checkpoint`): what a log had at one time, signed.

use crate::note::{SigningKey, VerifierKey};
use crate::{AuditError, Hash};

/// Leaves of the largest log that is read: its tree has seven levels of tiles.
const SIZE_MAX: u64 = (1 << 56) - 1;

/// A log's name, its size and the root of its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, which is its key's.
    pub origin: String,
    /// Leaves in the log.
    pub size: u64,
    /// The root over all of them.
    pub root: Hash,
}

/// A decimal number without leading zeros, as the formats of transparency logs write them.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

impl Checkpoint {
    /// The checkpoint in a note that `key` has signed.
    ///
    /// # Errors
    /// [`AuditError::Invalid`]: the signature does not hold, or the text is none of a checkpoint of this log.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, AuditError> {
        let text = key.open(note)?;
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let checkpoint = (|| {
            Some(Self {
                origin: origin?.to_owned(),
                size: decimal(size?).filter(|size| *size <= SIZE_MAX)?,
                root: root?.parse().ok()?,
            })
        })();
        let empty_line =
            |checkpoint: &Self| text.lines().any(str::is_empty) || checkpoint.origin != key.name();
        match checkpoint {
            Some(checkpoint) if !empty_line(&checkpoint) => Ok(checkpoint),
            _ => Err(AuditError::Invalid(format!(
                "the signed note is no checkpoint of {}: it has three lines, the origin, the size and the root",
                key.name()
            ))),
        }
    }

    /// The signed note.
    pub(crate) fn sign(&self, key: &SigningKey) -> String {
        key.sign(&format!("{}\n{}\n{}\n", self.origin, self.size, self.root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_reads_back_and_nothing_else_is_one() {
        let key = SigningKey::generate("madang.example/site").unwrap();
        let checkpoint = Checkpoint {
            origin: "madang.example/site".into(),
            size: 7,
            root: Hash([3; 32]),
        };
        let note = checkpoint.sign(&key);
        assert_eq!(Checkpoint::open(&note, key.verifier()), Ok(checkpoint));
        let root = Hash([3; 32]);
        for text in [
            "madang.example/site\n7\n".to_owned(),
            format!("madang.example/site\n07\n{root}\n"),
            format!("madang.example/site\n+7\n{root}\n"),
            format!("madang.example/other\n7\n{root}\n"),
            format!("madang.example/site\n7\n{root}\n\nx\n"),
            "madang.example/site\n7\nAAAA\n".to_owned(),
        ] {
            assert!(
                Checkpoint::open(&key.sign(&text), key.verifier()).is_err(),
                "{text}"
            );
        }
    }
}
