//! What the readers of both databases say of rows.

use crate::StoreError;

/// An entry's place; 0, where none stands, for what is below.
pub(crate) fn place(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or(0)
}

/// What is wrong, without the words that say whose fault it is.
pub(crate) fn words(error: StoreError) -> String {
    match error {
        StoreError::Damaged(text) => text,
        other => other.to_string(),
    }
}
