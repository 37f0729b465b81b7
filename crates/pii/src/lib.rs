//! Personal data in text, found by rules: numbers by shape, check digit and the words near them; addresses, plates,
//! credentials by form. Names of people are not found: that takes a model.
//!
//! Pure: bytes in, findings out. The work is linear in the text, whatever the text is.

mod address;
mod check;
mod cluster;
mod context;
mod finding;
mod ip;
mod mail;
mod mask;
mod number;
mod parts;
mod rules;
mod scan;
mod secret;
mod spoken;
mod sweep;
mod text;
mod words;

pub use finding::{CONFIDENCE_MIN, Finding};
pub use mask::{Masker, Unmasker};
pub use parts::{PartsFinding, scan_parts};

/// Finds all personal data in `text`, in order, without overlaps. Any bytes will do; spans begin and end between
/// characters where `text` is UTF-8.
pub fn scan(text: &[u8]) -> Vec<Finding> {
    scan::walk(text).0
}
