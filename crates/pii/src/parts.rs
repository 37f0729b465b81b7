//! The scan of a text that is split over several strings, as the parts of a message are.

use crate::finding::Finding;
use crate::scan;
use madang_types::{DataFlag, PiiKind};
use std::ops::Range;

/// A finding in a text of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartsFinding {
    /// What it is.
    pub kind: PiiKind,
    /// How sure: 0–100.
    pub confidence: u8,
    /// Where: the part, and the bytes in it. More than one where the finding lies across borders of parts.
    pub pieces: Vec<(usize, Range<usize>)>,
}

/// Finds all personal data in `parts`, in each by itself and in all of them one after the other, so that neither what
/// lies across a border is missed nor what another part happens to touch.
pub fn scan_parts(parts: &[&str]) -> Vec<PartsFinding> {
    let mut found = alone(parts);
    if parts.len() > 1 {
        found.extend(scan(parts.concat().as_bytes()));
    }
    let mut pieces = Pieces::new(parts);
    without_overlaps(found)
        .into_iter()
        .map(|finding| PartsFinding {
            kind: finding.kind,
            confidence: finding.confidence,
            pieces: pieces.of(&finding.span),
        })
        .collect()
}

/// What is found in each part by itself, with spans in the whole.
fn alone(parts: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut start = 0;
    for part in parts {
        found.extend(scan(part.as_bytes()).into_iter().map(|mut finding| {
            finding.span = finding.span.start + start..finding.span.end + start;
            finding
        }));
        start += part.len();
    }
    found
}

/// In order; two that overlap are one, of all their bytes, since what the lesser one has alone may be the rest of a value.
/// Its kind is that of a unique identifier, then of the surer one, then of the longer: the rest of an identifier that is cut
/// may look like a telephone number, and must not pass for one.
fn without_overlaps(mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by_key(|finding| (finding.span.start, finding.span.end));
    let mut kept: Vec<Finding> = Vec::with_capacity(found.len());
    for finding in found {
        let rank = |finding: &Finding| {
            let unique = finding.kind.flags().has(DataFlag::UniqueId);
            (unique, finding.confidence, finding.span.len())
        };
        match kept.last_mut() {
            Some(last) if last.span.end > finding.span.start => {
                let both = last.span.start..last.span.end.max(finding.span.end);
                if rank(&finding) > rank(last) {
                    *last = finding;
                }
                last.span = both;
            }
            _ => kept.push(finding),
        }
    }
    kept
}

/// Finds the parts that spans lie in; spans come in order.
struct Pieces<'a> {
    parts: &'a [&'a str],
    part: usize,
    start: usize,
}

impl<'a> Pieces<'a> {
    fn new(parts: &'a [&'a str]) -> Self {
        Self {
            parts,
            part: 0,
            start: 0,
        }
    }

    fn of(&mut self, span: &Range<usize>) -> Vec<(usize, Range<usize>)> {
        let mut pieces = Vec::new();
        while let Some(part) = self.parts.get(self.part) {
            let end = self.start + part.len();
            let (from, to) = (span.start.max(self.start), span.end.min(end));
            if from < to {
                pieces.push((self.part, from - self.start..to - self.start));
            }
            if span.end <= end {
                break;
            }
            self.start = end;
            self.part += 1;
        }
        pieces
    }
}
