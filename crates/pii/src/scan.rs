//! The walk over a text: from one place that the sweep names to the next, each rule taking what it finds.

use crate::context::{Context, Nearby};
use crate::finding::{CONFIDENCE_MIN, Finding};
use crate::number::{Beginning, Row};
use crate::spoken::Run;
use crate::sweep::{BLOCK, LOOK_AHEAD, sweep};
use crate::text::Text;
use crate::{mail, number, secret, spoken};
use madang_types::PiiKind;
use std::ops::Range;

/// Bytes before a place that a rule may look at.
pub const LOOK_BEHIND: usize = 192;

/// How far a walk has come; with it, a walk goes on in the same text when more of it has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    settled: Settled,
    context: Context,
}

/// What is decided for good.
#[derive(Clone, Copy, Debug, Default)]
struct Settled {
    /// All before this is.
    at: usize,
    /// A row of numbers goes on there.
    row: Option<Beginning>,
    floor: usize,
    spoken_until: usize,
    findings: usize,
}

impl Progress {
    /// Positions are counted from a place `dropped` bytes later from now on.
    pub fn forget(&mut self, dropped: usize) {
        let settled = &mut self.settled;
        for place in [
            &mut settled.at,
            &mut settled.floor,
            &mut settled.spoken_until,
        ] {
            *place = place.saturating_sub(dropped);
        }
        self.context.forget(dropped);
    }

    /// All before this is decided.
    pub fn at(&self) -> usize {
        self.settled.at
    }
}

/// One walk.
pub struct Scan<'a, 's> {
    pub text: Text<'a>,
    pub floor: usize,
    /// Where digits spelled in Hangul that begin before are known to be nothing.
    pub spoken_until: usize,
    /// Room for a row of numbers, used again for each.
    pub row: Row,
    /// The same for digits of which some are spelled.
    pub run: Run,
    settled: Settled,
    context: &'s mut Context,
    found: &'s mut Vec<Finding>,
}

impl<'a> Scan<'a, '_> {
    /// What the words around `span` say.
    pub fn near(&mut self, span: Range<usize>) -> Nearby<'_, 'a> {
        Nearby::new(&self.text, self.context, span)
    }

    /// Reports a finding, if it is sure enough. Returns where to look on.
    pub fn report(&mut self, kind: PiiKind, span: Range<usize>, confidence: u8) -> Option<usize> {
        let fits =
            confidence >= CONFIDENCE_MIN && span.start >= self.floor && span.start < span.end;
        if !fits || self.text.is_starved() {
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
}

impl Scan<'_, '_> {
    /// All before `at` is decided, unless it was decided on what has not come yet.
    pub fn settle(&mut self, at: usize, row: Option<Beginning>) {
        if !self.text.is_starved() {
            self.settled = Settled {
                at,
                row,
                floor: self.floor,
                spoken_until: self.spoken_until,
                findings: self.found.len(),
            };
        }
    }

    #[inline]
    fn look(&mut self, at: usize) -> usize {
        match self.text.bytes().get(at) {
            Some(b'@') => mail::look(self, at, at + 1),
            Some(b'=' | b':' | b'-' | b'_' | b'G'..=b'J') => secret::look(self, at),
            // Most syllables that are read as a digit are words.
            Some(0x80..0xEF) if !spoken::may_begin(self.text.bytes(), at) => at + 1,
            _ => number::look(self, at),
        }
    }

    /// Looks at all places that the sweep names from `at` on and before `end`.
    fn run(&mut self, mut at: usize, end: usize) {
        while at < end && !self.text.is_starved() {
            let block = at;
            let mut left = sweep(self.text.bytes(), block);
            let mut next = block;
            while left != 0 && !self.text.is_starved() {
                let place = block + left.trailing_zeros() as usize;
                if place >= end {
                    break;
                }
                self.settle(place, None);
                next = self.look(place).max(place + 1);
                if next >= block + BLOCK {
                    break;
                }
                left &= u64::MAX << (next - block);
            }
            // What a rule took may reach beyond the end.
            at = next.max((block + BLOCK).min(end));
        }
        self.settle(at, None);
    }
}

/// Walks on in `bytes` until the end, or until it must see what comes after them. `whole`: nothing comes. Returns the
/// number of bytes looked at beside the sweep.
pub fn walk(bytes: &[u8], whole: bool, progress: &mut Progress, found: &mut Vec<Finding>) -> u64 {
    let ahead = if whole { 0 } else { LOOK_AHEAD };
    let end = bytes.len().saturating_sub(ahead);
    let known = found.len();
    let mut scan = Scan {
        text: Text::new(bytes, whole),
        floor: progress.settled.floor,
        spoken_until: progress.settled.spoken_until,
        row: Row::default(),
        run: Run::default(),
        settled: Settled {
            findings: known,
            ..progress.settled
        },
        context: &mut progress.context,
        found,
    };
    let mut at = scan.settled.at;
    if let Some(row) = scan.settled.row {
        at = number::walk(&mut scan, at, row);
    }
    scan.run(at, end);
    progress.settled = scan.settled;
    let steps = scan.text.steps();
    found.truncate(progress.settled.findings);
    steps
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
        walk(&text, true, &mut Progress::default(), &mut Vec::new())
    }

    #[test]
    fn work_is_linear() {
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
