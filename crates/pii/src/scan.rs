//! The walk over a text: from one place that the sweep names to the next, each rule taking what it finds.

use crate::context::{Context, Nearby};
use crate::finding::{CONFIDENCE_MIN, Finding};
use crate::number::Row;
use crate::spoken::Run;
use crate::sweep::{BLOCK, sweep};
use crate::text::Text;
use crate::{mail, number, secret, spoken};
use madang_types::PiiKind;
use std::ops::Range;

/// One walk.
pub struct Scan<'a> {
    pub text: Text<'a>,
    pub floor: usize,
    /// Where digits spelled in Hangul that begin before are known to be nothing.
    pub spoken_until: usize,
    context: Context,
    found: Vec<Finding>,
}

/// Room that is used again for each number.
#[derive(Default)]
pub struct Rooms {
    /// For a row of numbers.
    pub row: Row,
    /// For digits of which some are spelled.
    pub run: Run,
}

impl<'a> Scan<'a> {
    /// What the words around `span` say.
    pub fn near(&mut self, span: Range<usize>) -> Nearby<'_, 'a> {
        Nearby::new(&self.text, &mut self.context, span)
    }

    /// Reports a finding, if it is sure enough. Returns where to look on.
    pub fn report(&mut self, kind: PiiKind, span: Range<usize>, confidence: u8) -> Option<usize> {
        let fits =
            confidence >= CONFIDENCE_MIN && span.start >= self.floor && span.start < span.end;
        if !fits {
            return None;
        }
        let end = span.end;
        self.floor = end;
        self.found.push(Finding {
            kind,
            span,
            confidence,
        });
        Some(end)
    }

    #[inline]
    fn look(&mut self, rooms: &mut Rooms, at: usize) -> usize {
        match self.text.bytes().get(at) {
            Some(b'@') => mail::look(self, at, at + 1),
            Some(b'=' | b':' | b'-' | b'_' | b'G'..=b'J') => secret::look(self, at),
            // Most syllables that are read as a digit are words.
            Some(0x80..0xEF) if at < self.spoken_until || !spoken::may_begin(&self.text, at) => {
                at + 1
            }
            _ => number::look(self, rooms, at),
        }
    }

    /// Looks at all places that the sweep names.
    fn run(&mut self) {
        let mut rooms = Rooms::default();
        let mut block = 0;
        while block < self.text.bytes().len() {
            let mut left = sweep(self.text.bytes(), block);
            let mut next = block + BLOCK;
            while left != 0 {
                let place = block + left.trailing_zeros() as usize;
                let after = self.look(&mut rooms, place).max(place + 1);
                // What a rule took may reach beyond the block.
                if after >= block + BLOCK {
                    next = after;
                    break;
                }
                left &= u64::MAX << (after - block);
            }
            block = next;
        }
    }
}

/// Walks over `bytes`. Returns what it finds, and the number of bytes looked at beside the sweep.
pub fn walk(bytes: &[u8]) -> (Vec<Finding>, u64) {
    let mut scan = Scan {
        text: Text::new(bytes),
        floor: 0,
        spoken_until: 0,
        context: Context::default(),
        found: Vec::new(),
    };
    scan.run();
    (scan.found, scan.text.steps())
}

#[cfg(test)]
#[path = "../benches/bars/floods.rs"]
mod floods;

#[cfg(test)]
mod tests {
    use super::floods::FLOODS;
    use super::*;

    fn steps(flood: &str, length: usize) -> u64 {
        let text: Vec<u8> = flood.bytes().cycle().take(length).collect();
        walk(&text).1
    }

    #[test]
    fn invariant_11_work_is_linear() {
        const LENGTH: usize = 20_000;
        for (_, flood) in FLOODS {
            let (once, twice) = (steps(flood, LENGTH), steps(flood, 2 * LENGTH));
            assert!(
                twice <= 2 * once + 8_192,
                "{flood}: {once} steps, then {twice}"
            );
            assert!(
                once <= 48 * LENGTH as u64,
                "{flood}: {once} steps for {LENGTH} bytes"
            );
        }
    }
}
