//! Numbers as they are written: groups of digits, and what stands between them.

use crate::text::{Symbol, Text};
use std::ops::Range;

/// Groups that one number may have.
pub const GROUPS_MAX: usize = 6;
/// Digits that one number may have.
pub const DIGITS_MAX: usize = 24;

/// What stands between two groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    Space,
    Dash,
    Dot,
    /// A closing bracket: (02) 123-4567.
    Bracket,
    /// `/` or `_`.
    Stroke,
}

/// A gap, and whether there is space around what stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separator {
    pub gap: Gap,
    pub spaced: bool,
}

impl Separator {
    /// Whether what it separates may be two numbers as well as one.
    pub fn is_loose(self) -> bool {
        self.spaced || matches!(self.gap, Gap::Space | Gap::Bracket | Gap::Stroke)
    }
}

/// Digits without anything between them but what has no width.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub start: usize,
    pub end: usize,
    /// How many; no more than [`DIGITS_MAX`] + 1 are counted, and then the group is no number of ours.
    pub length: usize,
    /// What separates it from the next group; none where there is none.
    pub after: Option<Separator>,
}

/// Reads the group that begins at `at`, and tells `each` its digits; none where there is no digit.
#[inline]
pub fn group(text: &Text<'_>, at: usize, mut each: impl FnMut(u8)) -> Option<Group> {
    let (mut end, mut length) = (at, 0);
    while length <= DIGITS_MAX {
        let digit = match text.bytes().get(end) {
            Some(byte @ b'0'..=b'9') => {
                text.count(1);
                end += 1;
                byte - b'0'
            }
            Some(..0x80) => break,
            _ => {
                let (Symbol::Digit(digit), _, after) = text.visible(end) else {
                    break;
                };
                end = after;
                digit
            }
        };
        each(digit);
        length += 1;
    }
    (length > 0).then_some(Group {
        start: at,
        end,
        length,
        after: None,
    })
}

/// One character that separates the group that ended at `at` from a group of one digit, and that digit, if nothing but ASCII
/// stands there.
#[inline(always)]
pub fn single(text: &Text<'_>, at: usize) -> Option<(Separator, u8)> {
    let [mark, digit @ b'0'..=b'9', after, ..] = text.bytes().get(at..)? else {
        return None;
    };
    let gap = gap(*mark)?;
    if after.is_ascii_digit() || !after.is_ascii() {
        return None;
    }
    text.count(3);
    Some((Separator { gap, spaced: false }, digit - b'0'))
}

/// The gap of one character that most separators are.
#[inline(always)]
fn gap(mark: u8) -> Option<Gap> {
    match mark {
        b' ' => Some(Gap::Space),
        b'-' => Some(Gap::Dash),
        b'.' => Some(Gap::Dot),
        _ => None,
    }
}

/// What separates the group that ended at `at` from a next one, and where that begins.
#[inline(always)]
pub fn separator(text: &Text<'_>, at: usize) -> Option<(Separator, usize)> {
    // Most separators are one character.
    if let Some([mark, b'0'..=b'9', ..]) = text.bytes().get(at..)
        && let Some(gap) = gap(*mark)
    {
        text.count(2);
        return Some((Separator { gap, spaced: false }, at + 1));
    }
    any_separator(text, at)
}

#[inline(never)]
fn any_separator(text: &Text<'_>, at: usize) -> Option<(Separator, usize)> {
    // Most of what is asked about is the end of a number.
    if text.bytes().get(at).is_some_and(u8::is_ascii_alphabetic) {
        return None;
    }
    let (mut gap, mut spaces, mut marks) = (None, 0, 0);
    let mut next = at;
    for _ in 0..4 {
        let (symbol, start, after) = text.visible(next);
        match symbol {
            Symbol::Digit(_) => {
                let gap = gap.or((spaces > 0).then_some(Gap::Space))?;
                let spaced = spaces > 0 && gap != Gap::Space;
                return Some((Separator { gap, spaced }, start));
            }
            Symbol::Space => spaces += 1,
            Symbol::Dash => mark(&mut gap, &mut marks, Gap::Dash),
            Symbol::Dot => mark(&mut gap, &mut marks, Gap::Dot),
            Symbol::Ascii(b')') => mark(&mut gap, &mut marks, Gap::Bracket),
            Symbol::Ascii(b'(') if spaces + marks == 0 => {}
            Symbol::Ascii(b'/' | b'_') => mark(&mut gap, &mut marks, Gap::Stroke),
            _ => return None,
        }
        if marks > 2 || spaces > 2 || (marks == 2 && gap != Some(Gap::Bracket)) {
            return None;
        }
        next = after;
    }
    None
}

/// The first mark names the gap; a bracket may be followed by a dash: (02)-123.
fn mark(gap: &mut Option<Gap>, marks: &mut usize, mark: Gap) {
    gap.get_or_insert(mark);
    *marks += 1;
}

/// What stands right beside a number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edges {
    /// `+` before it.
    pub plus: bool,
    /// Hangul before it, as of a name.
    pub hangul: bool,
    /// More digits beside it, with space between.
    pub crowded: bool,
    /// More digits on both sides, with space between: one of many in a row.
    pub buried: bool,
    /// Joined to a word: `AB-12`, `12-AB`, `/v1/12`.
    pub joined: bool,
    /// It is an amount: a unit after it, or a currency before it.
    pub amount: bool,
}

/// Some groups in a row, looked at as one number.
pub struct Number<'a> {
    pub digits: &'a [u8],
    /// Lengths of the groups.
    pub shape: &'a [u8],
    /// What separates the groups, where it is the same everywhere; none where there is one group.
    pub gap: Option<Gap>,
    /// The gaps are not all of one kind.
    pub mixed: bool,
    pub edges: Edges,
    pub span: Range<usize>,
}

impl Number<'_> {
    /// Written without anything between the digits.
    pub fn is_solid(&self) -> bool {
        self.shape.len() == 1
    }

    /// The number that the digits in `range` make.
    pub fn value(&self, range: Range<usize>) -> u64 {
        let digits = self.digits.get(range).unwrap_or_default();
        digits
            .iter()
            .fold(0, |value, digit| value * 10 + u64::from(*digit))
    }

    pub fn digit(&self, at: usize) -> u8 {
        self.digits.get(at).copied().unwrap_or_default()
    }

    pub fn starts_with(&self, digits: &[u8]) -> bool {
        self.digits.starts_with(digits)
    }
}
