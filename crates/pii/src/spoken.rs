//! Numbers whose digits are spelled in Hangul, all or some: 공일공 일이삼사 오육칠팔, 공1공-1234-5678; and numbers with space
//! between all digits, as a scanner's eyes give them: 0 1 0 - 1 2 3 4 - 5 6 7 8.

use crate::check;
use crate::cluster::{self, Edges, Group, Number};
use crate::finding::CONFIDENCE_MIN;
use crate::rules;
use crate::scan::Scan;
use crate::text::{Symbol, Text, is_spoken_digit};
use madang_types::PiiKind;
use std::ops::Range;

/// Digits that are looked at together.
const RUN_MAX: usize = 64;
/// Digits of the longest number looked for; a run that may go on is read again from its last so many.
const LONGEST: usize = 16;

/// Bytes from the first digit to the second, and from that to the third, that the sweep sees.
const SPREADS: [usize; 2] = [6, 11];

/// Characters and words that may stand between two groups.
const MARKS_MAX: usize = 3;
/// Words that are said between groups.
const SAID: [&str; 3] = ["에", "다시", "의"];

/// Digits in a row, spelled or plain, with what may separate them.
#[derive(Default)]
pub struct Run {
    digits: Vec<u8>,
    places: Vec<Digit>,
}

#[derive(Clone, Copy)]
struct Digit {
    start: usize,
    end: usize,
    spelled: bool,
    /// Something stands between it and the digit before.
    apart: bool,
}

/// Whether a digit spelled in Hangul stands at `at`, and after it anything but a syllable that cannot be in a number.
#[inline]
pub fn may_begin(bytes: &[u8], at: usize) -> bool {
    is_spoken_digit(bytes, at)
        && match *bytes.get(at + 3..).unwrap_or_default() {
            [0xEA..=0xED, ..] => {
                is_spoken_digit(bytes, at + 3)
                    || SAID.iter().any(|word| {
                        bytes
                            .get(at + 3..)
                            .is_some_and(|rest| rest.starts_with(word.as_bytes()))
                    })
            }
            [b'a'..=b'z' | b'A'..=b'Z', ..] => false,
            _ => true,
        }
}

/// Looks at what begins with a digit spelled in Hangul at `at`, after which `next` comes. Returns where to look on.
pub fn look(scan: &mut Scan<'_>, at: usize, next: usize) -> usize {
    if at < scan.spoken_until {
        return next;
    }
    // One syllable alone is a word, and so are two. The sweep names more of them at the ends of its blocks than elsewhere;
    // this does not.
    let (mut last, mut end) = (at, next);
    for spread in SPREADS {
        let (symbol, start, after) = scan.text.visible(after_separator(&scan.text, end));
        let digit = matches!(symbol, Symbol::Digit(_) | Symbol::Spoken(_));
        if !digit || start - last > spread {
            return next;
        }
        (last, end) = (start, after);
    }
    take(scan, at).unwrap_or(next)
}

/// Looks at plain groups that digits spelled in Hangul follow, or that are of one digit each.
pub fn go_on(scan: &mut Scan<'_>, groups: &[Group]) -> Option<usize> {
    let (first, last) = (groups.first()?, groups.last()?);
    if first.start < scan.spoken_until {
        return None;
    }
    if groups.len() > cluster::GROUPS_MAX {
        let alone =
            |group: &Group| group.length == 1 && group.after.is_none_or(|after| after.is_loose());
        return groups.iter().all(alone).then(|| take(scan, first.start))?;
    }
    if last.length > 8 || !is_followed(&scan.text, last.end) {
        // Nor is it for the groups behind the first, which are of the same row.
        scan.spoken_until = last.end;
        return None;
    }
    take(scan, first.start)
}

/// Whether a digit spelled in Hangul follows the group that ended at `at`.
fn is_followed(text: &Text<'_>, at: usize) -> bool {
    // The cheap question first: what may come between.
    let after = text.bytes().get(at);
    if after.is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'-' | b'.' | b',' | 0x80..)) {
        return false;
    }
    let next = after_separator(text, at);
    matches!(text.visible(next).0, Symbol::Spoken(_))
}

/// Reports the first number in the run that begins at `at`. Returns where it ends.
fn take(scan: &mut Scan<'_>, at: usize) -> Option<usize> {
    let mut run = std::mem::take(&mut scan.run);
    run.read(&scan.text, at);
    let found = number(scan, &run);
    if found.is_none() {
        // Nothing begins in it, but what goes on behind its last digits.
        let left = if run.digits.len() < RUN_MAX {
            1
        } else {
            LONGEST
        };
        let covered = run.places.iter().nth_back(left - 1);
        scan.spoken_until = covered.map_or(at, |digit| digit.start + 1);
    }
    scan.run = run;
    let (kind, span, confidence) = found?;
    scan.report(kind, span, confidence)
}

/// The first number in the run that may be reported.
fn number(scan: &mut Scan<'_>, run: &Run) -> Option<(PiiKind, Range<usize>, u8)> {
    let (from, floor) = (run.places.first()?.start, scan.floor);
    let Digit {
        end: until,
        spelled: particle,
        ..
    } = *run.places.last()?;
    let mut near = scan.near(from..until);
    let text = near.text();
    let firsts = match run.is_spread() {
        true => 1,
        false => (run.digits.len() + 1).saturating_sub(rules::DIGITS_MIN),
    };
    for first in 0..firsts {
        let rest = run.digits.get(first..)?;
        // The cheap question first: most digits neither begin a telephone number or a birth nor are the last ones.
        let begins = matches!(rest, [0, ..] | [_, _, 0 | 1, _, 0..=3, ..]);
        if !begins && rest.len() > rules::DIGITS_MAX + 1 {
            continue;
        }
        let place = run.places.get(first)?;
        if place.start < floor || (first > 0 && !place.apart) {
            continue;
        }
        // All of it, all but a particle, or a telephone or resident number in front of more.
        let counts = [
            rest.len(),
            if particle { rest.len() - 1 } else { 0 },
            if rest.starts_with(&[0]) { 11 } else { 0 },
            if is_birth(rest) { 13 } else { 0 },
        ];
        for count in counts.into_iter().filter(|count| rules::may_match(*count)) {
            let judged = run.window(text, first, count).and_then(|number| {
                let (kind, confidence) = rules::judge(&number, &mut near)?;
                (confidence >= CONFIDENCE_MIN).then_some((kind, number.span, confidence))
            });
            if judged.is_some() {
                return judged;
            }
        }
    }
    None
}

/// Whether the digits begin with a day.
fn is_birth(digits: &[u8]) -> bool {
    let pair = |at: usize| match digits.get(at..at + 2) {
        Some(&[tens, ones]) => u64::from(tens * 10 + ones),
        _ => 0,
    };
    check::is_day(pair(2), pair(4))
}

impl Run {
    fn read(&mut self, text: &Text<'_>, at: usize) {
        self.digits.clear();
        self.places.clear();
        let (mut next, mut marks) = (at, 0);
        while self.digits.len() < RUN_MAX {
            // Most of a run is this.
            match text.bytes().get(next) {
                Some(byte @ b'0'..=b'9') => {
                    text.count(1);
                    self.push(byte - b'0', next..next + 1, false, marks > 0);
                    (next, marks) = (next + 1, 0);
                    continue;
                }
                Some(b' ' | b'-') if marks < MARKS_MAX => {
                    text.count(1);
                    (next, marks) = (next + 1, marks + 1);
                    continue;
                }
                _ => {}
            }
            let (symbol, start, end) = text.visible(next);
            let (digit, spelled) = match symbol {
                Symbol::Digit(digit) => (digit, false),
                Symbol::Spoken(digit) => (digit, true),
                _ if marks == MARKS_MAX => break,
                _ => {
                    let Some(after) = mark_end(text, symbol, start, end) else {
                        break;
                    };
                    (next, marks) = (after, marks + 1);
                    continue;
                }
            };
            self.push(digit, start..end, spelled, marks > 0);
            (next, marks) = (end, 0);
        }
    }

    fn push(&mut self, digit: u8, span: Range<usize>, spelled: bool, apart: bool) {
        self.digits.push(digit);
        self.places.push(Digit {
            start: span.start,
            end: span.end,
            spelled,
            apart,
        });
    }

    /// Whether something stands between all digits.
    fn is_spread(&self) -> bool {
        self.places.iter().skip(1).all(|digit| digit.apart)
    }

    /// The `count` digits from `first`, where they may be a number: some are spelled or all stand apart, and no more follow.
    fn window(&self, text: &Text<'_>, first: usize, count: usize) -> Option<Number<'_>> {
        let digits = self.digits.get(first..first + count)?;
        let [start, .., end] = self.places.get(first..first + count)? else {
            return None;
        };
        // The syllable after a plain number is its particle: 5678이.
        let spelled = self.places.get(first..first + count - 1)?;
        let spelled = spelled.iter().any(|digit| digit.spelled);
        let more = !end.spelled && text.visible(end.end).0.is_alphanumeric();
        if more || !(spelled || self.is_spread()) {
            return None;
        }
        // Digits in a row, each alone, are most often of a table.
        let edges = Edges {
            joined: !spelled,
            ..Edges::default()
        };
        Some(Number {
            digits,
            shape: SOLID.get(count..=count)?,
            gap: None,
            mixed: false,
            edges,
            span: start.start..end.end,
        })
    }
}

/// Shapes of one group, by its length.
const SOLID: [u8; rules::DIGITS_MAX + 1] = {
    let mut shapes = [0; rules::DIGITS_MAX + 1];
    let mut length = 0;
    while length < shapes.len() {
        shapes[length] = length as u8;
        length += 1;
    }
    shapes
};

/// Where what separates two groups ends.
fn after_separator(text: &Text<'_>, at: usize) -> usize {
    let mut next = at;
    for _ in 0..MARKS_MAX {
        let (symbol, start, end) = text.visible(next);
        match mark_end(text, symbol, start, end) {
            Some(after) => next = after,
            None => break,
        }
    }
    next
}

/// Where the character or word ends that `symbol` begins, if it may separate two groups: a space, a dash, a dot, a comma, a
/// word that is said.
fn mark_end(text: &Text<'_>, symbol: Symbol, start: usize, end: usize) -> Option<usize> {
    match symbol {
        Symbol::Space | Symbol::Dash | Symbol::Dot | Symbol::Ascii(b',') => Some(end),
        Symbol::Other => text.one_of(start, &SAID).map(|word| start + word.len()),
        _ => None,
    }
}
