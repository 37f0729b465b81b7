//! What a scan reports.

use madang_types::PiiKind;
use std::ops::Range;

/// Personal data, or what must be kept as close, at a place of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: PiiKind,
    /// Where, in bytes, half open.
    pub span: Range<usize>,
    /// How sure: 0–100. Findings below [`CONFIDENCE_MIN`] are not reported.
    pub confidence: u8,
}

/// What is less sure than this is not reported.
pub const CONFIDENCE_MIN: u8 = 50;
