//! Masking: values leave the text for placeholders such as `[PHONE_1]`, and come back in the answer. The values live in
//! memory, for one request, and are never printed.

mod placeholder;
mod unmask;

use crate::finding::Finding;
use crate::parts::PartsFinding;
use madang_types::PiiKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

pub use unmask::Unmasker;

/// Replaces values by placeholders. The same value of the same kind has the same placeholder in all texts of a request.
pub struct Masker {
    /// Placeholders that the texts have already: they mean nothing of ours.
    reserved: BTreeSet<(PiiKind, u32)>,
    ordinals: BTreeMap<(PiiKind, String), u32>,
    last: BTreeMap<PiiKind, u32>,
}

impl Masker {
    /// For a request that has these texts: all of them, so that no placeholder is one that stands in any.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        // One after the other: a placeholder may lie across a border, too.
        let texts: String = texts.into_iter().collect();
        Self {
            reserved: placeholder::all(&texts).collect(),
            ordinals: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    /// `text` with placeholders for `findings`, which a scan of it gave.
    pub fn mask(&mut self, text: &str, findings: &[Finding]) -> String {
        let mut replaced = Vec::with_capacity(findings.len());
        for finding in findings {
            let piece = (0, finding.span.clone());
            replaced.extend(self.replacements(&[text], finding.kind, std::iter::once(piece)));
        }
        replace(text, &mut replaced.into_iter().peekable(), 0)
    }

    /// `parts` with placeholders for `findings`, which a scan of them gave. A value that lies across a border is replaced
    /// in its first part and taken out of the others.
    pub fn mask_parts(&mut self, parts: &[&str], findings: &[PartsFinding]) -> Vec<String> {
        let mut replaced = Vec::new();
        for finding in findings {
            replaced.extend(self.replacements(parts, finding.kind, finding.pieces.iter().cloned()));
        }
        let mut replaced = replaced.into_iter().peekable();
        let parts = parts.iter().enumerate();
        parts
            .map(|(index, part)| replace(part, &mut replaced, index))
            .collect()
    }

    /// What puts the values back.
    pub fn unmasker(&self) -> Unmasker {
        Unmasker::new(
            self.ordinals
                .iter()
                .map(|((kind, value), ordinal)| ((*kind, *ordinal), value.clone()))
                .collect(),
        )
    }

    /// How many values have a placeholder, by kind.
    pub fn counts(&self) -> BTreeMap<PiiKind, usize> {
        let mut counts = BTreeMap::new();
        for (kind, _) in self.ordinals.keys() {
            *counts.entry(*kind).or_default() += 1;
        }
        counts
    }

    /// What stands in for each piece of one value: its placeholder for the first, nothing for the others. Pieces that
    /// are none of the text are left alone.
    fn replacements(
        &mut self,
        parts: &[&str],
        kind: PiiKind,
        pieces: impl Iterator<Item = Piece>,
    ) -> Vec<(Piece, String)> {
        let within = |(part, span): &Piece| parts.get(*part)?.get(span.clone());
        let pieces: Vec<Piece> = pieces.filter(|piece| within(piece).is_some()).collect();
        let value: String = pieces.iter().filter_map(within).collect();
        let mut placeholder = self.placeholder(kind, value);
        pieces
            .into_iter()
            .map(|piece| (piece, std::mem::take(&mut placeholder)))
            .collect()
    }

    fn placeholder(&mut self, kind: PiiKind, value: String) -> String {
        let (reserved, last) = (&self.reserved, self.last.entry(kind).or_default());
        let ordinal = self.ordinals.entry((kind, value)).or_insert_with(|| {
            *last += 1;
            while reserved.contains(&(kind, *last)) {
                *last += 1;
            }
            *last
        });
        placeholder::write(kind, *ordinal)
    }
}

/// A part, and the bytes in it.
type Piece = (usize, Range<usize>);

/// `part`, the one at `index`, with what stands in for its pieces.
fn replace(
    part: &str,
    replaced: &mut std::iter::Peekable<std::vec::IntoIter<(Piece, String)>>,
    index: usize,
) -> String {
    let mut text = String::with_capacity(part.len());
    let mut at = 0;
    while let Some(((_, span), placeholder)) = replaced.next_if(|((part, _), _)| *part == index) {
        // One that overlaps the one before is left alone.
        if let Some(between) = part.get(at..span.start) {
            text.push_str(between);
            text.push_str(&placeholder);
            at = span.end;
        }
    }
    text.push_str(part.get(at..).unwrap_or_default());
    text
}

impl fmt::Debug for Masker {
    /// Never a value.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Masker")
            .field("values", &self.counts())
            .finish_non_exhaustive()
    }
}
