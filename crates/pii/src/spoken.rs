//! Numbers whose digits are spelled in Hangul, all or some: 공일공 일이삼사 오육칠팔, 공1공-1234-5678; and numbers with space
//! between all digits, as a scanner's eyes give them: 0 1 0 - 1 2 3 4 - 5 6 7 8.

use crate::check;
use crate::cluster::{self, Edges, Group, Number};
use crate::context::Nearby;
use crate::finding::CONFIDENCE_MIN;
use crate::rules::{self, phone, resident};
use crate::scan::Scan;
use crate::text::{Symbol, Text, Words, is_spoken_digit};
use madang_types::PiiKind;
use std::ops::Range;

/// Digits that are looked at together: a bit for each.
const RUN_MAX: usize = u64::BITS as usize;
/// Digits of the longest number looked for and of a particle; a run that may go on is looked at again from its last so many.
const LONGEST: usize = rules::DIGITS_MAX + 1;

/// Digits of the shortest number, telephone numbers apart, that can do without a word: a resident number's, a card's.
const WORDLESS_MIN: usize = 13;

/// Bytes from the first digit to the second, and from that to the third, that the sweep sees.
const SPREADS: [usize; 2] = [6, 11];

/// Characters and words that may stand between two groups.
const MARKS_MAX: usize = 3;
/// Words that are said between groups.
const SAID: Words<3> = Words::new(["에", "다시", "의"]);

/// Rules that a number is judged by.
type Rules = fn(&Number<'_>, &mut Nearby<'_, '_>) -> Option<(PiiKind, u8)>;

/// Digits in a row, spelled or plain, with what may separate them.
pub struct Run {
    digits: [u8; RUN_MAX],
    /// Where each begins.
    starts: [usize; RUN_MAX],
    /// How many there are.
    length: usize,
    /// Which are spelled, the first one's bit lowest.
    spelled: u64,
    /// Before which something stands.
    apart: u64,
    /// What was read ends there, with so many marks behind the last digit.
    end: usize,
    marks: usize,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            digits: [0; RUN_MAX],
            starts: [0; RUN_MAX],
            length: 0,
            spelled: 0,
            apart: 0,
            end: 0,
            marks: 0,
        }
    }
}

/// Whether a digit spelled in Hangul stands at `at`, and after it anything but a syllable that cannot be in a number.
#[inline]
pub fn may_begin(text: &Text<'_>, at: usize) -> bool {
    let bytes = text.bytes();
    is_spoken_digit(bytes, at)
        && match *bytes.get(at + 3..).unwrap_or_default() {
            [0xEA..=0xED, ..] => {
                is_spoken_digit(bytes, at + 3) || text.one_of(at + 3, &SAID).is_some()
            }
            [b'a'..=b'z' | b'A'..=b'Z', ..] => false,
            _ => true,
        }
}

/// Looks at what begins with a digit spelled in Hangul at `at`, after which `next` comes. Returns where to look on.
pub fn look(scan: &mut Scan<'_>, run: &mut Run, at: usize, next: usize) -> usize {
    if at < scan.spoken_until {
        return next;
    }
    // One syllable alone is a word, and so are two. The sweep names more of them at the ends of its blocks than elsewhere;
    // this does not.
    let (mut last, mut end) = (at, next);
    for spread in SPREADS {
        let (symbol, start, after) = after_separator(&scan.text, end);
        let digit = matches!(symbol, Symbol::Digit(_) | Symbol::Spoken(_));
        if !digit || start - last > spread {
            return next;
        }
        (last, end) = (start, after);
    }
    take(scan, run, at).unwrap_or(next)
}

/// Looks at plain groups that digits spelled in Hangul follow, or that are of one digit each.
pub fn go_on(scan: &mut Scan<'_>, run: &mut Run, groups: &[Group]) -> Option<usize> {
    let (first, last) = (groups.first()?, groups.last()?);
    if first.start < scan.spoken_until {
        return None;
    }
    if groups.len() > cluster::GROUPS_MAX {
        let alone =
            |group: &Group| group.length == 1 && group.after.is_none_or(|after| after.is_loose());
        return groups
            .iter()
            .all(alone)
            .then(|| take(scan, run, first.start))?;
    }
    if last.length > 8 || !is_followed(&scan.text, last.end) {
        // Nor is it for the groups behind the first, which are of the same row.
        scan.spoken_until = last.end;
        return None;
    }
    take(scan, run, first.start)
}

/// Whether a digit spelled in Hangul follows the group that ended at `at`.
fn is_followed(text: &Text<'_>, at: usize) -> bool {
    // The cheap question first: what may come between.
    let after = text.bytes().get(at);
    if after.is_some_and(|byte| !matches!(byte, b' ' | b'\t' | b'-' | b'.' | b',' | 0x80..)) {
        return false;
    }
    matches!(after_separator(text, at).0, Symbol::Spoken(_))
}

/// Reports the first number in the run that begins at `at`. Returns where it ends.
fn take(scan: &mut Scan<'_>, run: &mut Run, at: usize) -> Option<usize> {
    run.read(&scan.text, at);
    let found = number(scan, run);
    if found.is_none() {
        // Nothing begins in it, but what goes on behind its last digits.
        let covered = run.start(run.settled().saturating_sub(1));
        scan.spoken_until = covered.map_or(at, |start| start + 1);
    }
    let (kind, span, confidence) = found?;
    scan.report(kind, span, confidence)
}

/// The first number in the run that may be reported.
fn number(scan: &mut Scan<'_>, run: &Run) -> Option<(PiiKind, Range<usize>, u8)> {
    let floor = scan.floor;
    let last = run.length.checked_sub(1)?;
    let end = scan.text.symbol(run.start(last)?).1;
    let mut near = scan.near(run.start(0)?..end);
    let whole = run.tail(near.text(), last);
    // The last syllable may be a particle: 5678이.
    let stem = match run.spelled >> last & 1 {
        0 => None,
        _ => last
            .checked_sub(1)
            .and_then(|last| run.tail(near.text(), last)),
    };
    let spread = run.is_spread();
    // The digits between may be one number: some are spelled or all stand apart. The syllable after a plain number is its
    // particle: 5678이.
    let is_one = |first: usize, last: usize| spread || run.is_spelled(first, last);
    let may_be = |near: &mut Nearby<'_, '_>, first: usize, last: usize| {
        let digits = run.digits.get(first..=last).unwrap_or_default();
        let length = digits.len();
        rules::may_match(length)
            && is_one(first, last)
            && (length >= WORDLESS_MIN || phone::is_wordless(digits) || !near.is_silent())
            && rules::may_be_solid(digits, near)
    };
    let firsts = match spread {
        true => 1,
        false => run
            .settled()
            .min((last + 2).saturating_sub(rules::DIGITS_MIN)),
    };
    let mut groups = (run.apart | 1) & lowest(firsts);
    while groups != 0 {
        let first = groups.trailing_zeros() as usize;
        groups &= groups - 1;
        let rest = run.digits.get(first..run.length)?;
        // The cheap questions first: most groups neither are among the last ones nor begin what may stand in front of more.
        let (telephone, birth) = (phone::is_wordless(rest), check::is_birth(rest));
        if !telephone && !birth && rest.len() > LONGEST || run.start(first)? < floor {
            continue;
        }
        // Without a word no other number has so few digits.
        if rest.len() < WORDLESS_MIN && !telephone && near.is_silent() {
            continue;
        }
        // All of it, all but a particle, or a telephone or resident number in front of more.
        let mut judged = whole
            .filter(|tail| may_be(&mut near, first, tail.last))
            .and_then(|tail| run.judge(first, tail, &mut near, rules::judge));
        if judged.is_none()
            && let Some(tail) = stem
            && may_be(&mut near, first, tail.last)
        {
            judged = run.judge(first, tail, &mut near, rules::judge);
        }
        if judged.is_none()
            && telephone
            && is_one(first, first + 10)
            && let Some(tail) = run.tail(near.text(), first + 10)
            && may_be(&mut near, first, tail.last)
        {
            judged = run.judge(first, tail, &mut near, rules::telephone);
        }
        if judged.is_none()
            && birth
            && is_one(first, first + 12)
            && let Some(tail) = run.tail(near.text(), first + 12)
            && resident::may_be_solid(rest, &mut near)
        {
            judged = run.judge(first, tail, &mut near, rules::resident);
        }
        if judged.is_some() {
            return judged;
        }
    }
    None
}

/// So many of the lowest bits.
fn lowest(count: usize) -> u64 {
    !u64::MAX.unbounded_shl(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The last digit of what may be a number, and where that ends.
#[derive(Clone, Copy)]
struct Tail {
    last: usize,
    end: usize,
}

impl Run {
    /// So many of the digits have behind them all that may belong to a number.
    fn settled(&self) -> usize {
        match self.length {
            RUN_MAX => RUN_MAX - LONGEST,
            length => length,
        }
    }

    /// Where the digit begins that so many stand before.
    fn start(&self, before: usize) -> Option<usize> {
        let starts = self.starts.get(..self.length)?;
        starts.get(before).copied()
    }

    /// Whether something stands between all digits.
    fn is_spread(&self) -> bool {
        let all = lowest(self.length);
        (self.apart | 1) & all == all
    }

    /// What ends with the digit at `last`; none where it cannot be a number, as more digits or letters follow.
    fn tail(&self, text: &Text<'_>, last: usize) -> Option<Tail> {
        let end = text.symbol(self.start(last)?).1;
        let more = self.spelled >> last & 1 == 0 && text.visible(end).0.is_alphanumeric();
        (!more).then_some(Tail { last, end })
    }

    /// Whether any digit from `first` up to the one before `last` is spelled.
    fn is_spelled(&self, first: usize, last: usize) -> bool {
        self.spelled & lowest(last) & !lowest(first) != 0
    }

    /// The digits from `first` to `tail` as one number of `rules`.
    fn judge(
        &self,
        first: usize,
        Tail { last, end }: Tail,
        near: &mut Nearby<'_, '_>,
        rules: Rules,
    ) -> Option<(PiiKind, Range<usize>, u8)> {
        let digits = self.digits.get(first..=last)?;
        let number = Number {
            digits,
            shape: &[u8::try_from(digits.len()).ok()?],
            gap: None,
            mixed: false,
            // Digits in a row, each alone, are most often of a table.
            edges: Edges {
                joined: !self.is_spelled(first, last),
                ..Edges::default()
            },
            span: self.start(first)?..end,
        };
        let (kind, confidence) = rules(&number, near)?;
        (confidence >= CONFIDENCE_MIN).then_some((kind, number.span, confidence))
    }

    /// Goes back to the digit at `at`, where it is one of those known.
    fn begin(&mut self, at: usize) {
        let starts = self.starts.get(..self.length).unwrap_or_default();
        let done = starts.partition_point(|start| *start < at);
        if self.start(done) == Some(at) {
            self.digits.copy_within(done.., 0);
            self.starts.copy_within(done.., 0);
            self.length -= done;
            self.spelled >>= done;
            self.apart >>= done;
        } else {
            (self.length, self.spelled, self.apart) = (0, 0, 0);
            (self.end, self.marks) = (at, 0);
        }
    }

    /// Reads the run that begins at `at`; what is known of it is not read again.
    fn read(&mut self, text: &Text<'_>, at: usize) {
        self.begin(at);
        let (mut next, mut marks) = (self.end, self.marks);
        while let (Some(to), Some(starts_at)) = (
            self.digits.get_mut(self.length),
            self.starts.get_mut(self.length),
        ) {
            // Most of a run is digits and spaces.
            let (symbol, start, end) = match text.bytes().get(next) {
                Some(byte @ b'0'..=b'9') => (Symbol::Digit(byte - b'0'), next, next + 1),
                Some(b' ') => (Symbol::Space, next, next + 1),
                _ => text.visible(next),
            };
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
            text.count(1);
            self.spelled |= u64::from(spelled) << self.length;
            self.apart |= u64::from(marks > 0) << self.length;
            (*to, *starts_at) = (digit, start);
            self.length += 1;
            (next, marks) = (end, 0);
        }
        (self.end, self.marks) = (next, marks);
    }
}

/// What stands behind what separates two groups, where it begins and where it ends.
fn after_separator(text: &Text<'_>, at: usize) -> (Symbol, usize, usize) {
    let mut found = text.visible(at);
    for _ in 0..MARKS_MAX {
        let (symbol, start, end) = found;
        match mark_end(text, symbol, start, end) {
            Some(after) => found = text.visible(after),
            None => break,
        }
    }
    found
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
