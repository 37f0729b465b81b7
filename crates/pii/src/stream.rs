//! The scan of a text that comes in pieces: what it finds is what a scan of the whole finds, wherever it was cut.

use crate::finding::Finding;
use crate::scan::{LOOK_BEHIND, Progress, walk};

/// Scans a text piece by piece. It keeps what a rule may still have to look at: some hundred bytes, and no more than
/// some thousand inside a long credential.
#[derive(Default)]
pub struct StreamScanner {
    kept: Vec<u8>,
    /// Bytes of the text before those kept.
    dropped: usize,
    progress: Progress,
}

impl StreamScanner {
    /// Takes the next piece; adds to `found` what is certain now, with spans counted from the beginning of the text.
    pub fn push(&mut self, piece: &[u8], found: &mut Vec<Finding>) {
        self.kept.extend_from_slice(piece);
        self.advance(false, found);
        let keep_from = self.progress.at().saturating_sub(LOOK_BEHIND);
        if keep_from > 0 {
            self.kept.drain(..keep_from);
            self.dropped += keep_from;
            self.progress.forget(keep_from);
        }
    }

    /// The text has ended; adds the rest to `found`.
    pub fn finish(mut self, found: &mut Vec<Finding>) {
        self.advance(true, found);
    }

    /// Bytes kept.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    fn advance(&mut self, whole: bool, found: &mut Vec<Finding>) {
        let known = found.len();
        walk(&self.kept, whole, &mut self.progress, found);
        for finding in found.iter_mut().skip(known) {
            finding.span.start += self.dropped;
            finding.span.end += self.dropped;
        }
    }
}

impl std::fmt::Debug for StreamScanner {
    /// Never the text.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("StreamScanner")
            .field("kept", &self.kept.len())
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}
