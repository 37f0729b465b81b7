//! Numbers whose digits are spelled in Hangul, all or some: 공일공 일이삼사 오육칠팔, 공1공-1234-5678.

use crate::cluster::{self, Edges, Group, Number};
use crate::rules;
use crate::scan::Scan;
use crate::text::{Symbol, Text, is_spoken_digit};

/// Digits that are looked at together.
const RUN_MAX: usize = 40;
/// Digits of the longest number looked for; a run that gave nothing need not be read again before its last so many.
const LONGEST: usize = 16;

/// Bytes from the first digit to the second, and from that to the third, that the sweep sees.
const SPREADS: [usize; 2] = [6, 11];

/// Words that are said between groups.
const SAID: [&str; 3] = ["에", "다시", "의"];

#[derive(Clone, Copy, Default)]
struct Digit {
    /// From the beginning of the run.
    start: u16,
    end: u16,
    spelled: bool,
    /// Something stands between it and the digit before.
    apart: bool,
}

struct Run {
    /// Where it begins.
    at: usize,
    digits: [u8; RUN_MAX],
    places: [Digit; RUN_MAX],
    length: usize,
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
pub fn look(scan: &mut Scan<'_, '_>, at: usize, next: usize) -> usize {
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

/// Looks at plain groups that digits spelled in Hangul follow.
pub fn go_on(scan: &mut Scan<'_, '_>, groups: &[Group]) -> Option<usize> {
    let (first, last) = (groups.first()?, groups.last()?);
    if groups.len() > cluster::GROUPS_MAX || last.length > 8 {
        return None;
    }
    let next = after_separator(&scan.text, last.end);
    matches!(scan.text.visible(next).0, Symbol::Spoken(_)).then_some(())?;
    take(scan, first.start)
}

fn take(scan: &mut Scan<'_, '_>, at: usize) -> Option<usize> {
    if at < scan.spoken_until {
        return None;
    }
    let run = Run::read(&scan.text, at);
    if run.length < rules::DIGITS_MIN {
        // Neither is what begins later in it.
        scan.spoken_until = run.last();
        return None;
    }
    for first in 0..=run.length - rules::DIGITS_MIN {
        if first > 0 && !run.places.get(first).is_some_and(|digit| digit.apart) {
            continue;
        }
        let rest = run.length - first;
        // All of it, all but a particle, or a telephone or resident number in front of more.
        let digit = |at: usize| run.digits.get(first + at).copied().unwrap_or_default();
        let counts = [
            rest,
            rest - 1,
            if digit(0) == 0 { 11 } else { 0 },
            if digit(2) < 2 { 13 } else { 0 },
        ];
        for count in counts {
            if let Some(end) = window(scan, &run, first, count) {
                return Some(end);
            }
        }
    }
    let covered = run.length.saturating_sub(LONGEST).max(1);
    scan.spoken_until = run
        .places
        .get(covered)
        .map_or(at, |digit| run.at + usize::from(digit.start));
    None
}

/// Reports the `count` digits from `first` if they are a number of one of the kinds.
fn window(scan: &mut Scan<'_, '_>, run: &Run, first: usize, count: usize) -> Option<usize> {
    if first + count > run.length || !rules::may_match(count) {
        return None;
    }
    let digits = run.digits.get(first..first + count)?;
    let places = run.places.get(first..first + count)?;
    let (start, end) = (places.first()?, places.last()?);
    // The syllable after a plain number is its particle: 5678이.
    let spelled = places
        .iter()
        .take(count - 1)
        .filter(|digit| digit.spelled)
        .count();
    let next = scan.text.visible(run.at + usize::from(end.end)).0;
    if spelled == 0 || (!end.spelled && next.is_alphanumeric()) {
        return None;
    }
    let shape = [u8::try_from(count).ok()?];
    let number = Number {
        digits,
        shape: &shape,
        gap: None,
        mixed: false,
        edges: Edges::default(),
        span: run.at + usize::from(start.start)..run.at + usize::from(end.end),
    };
    let judged = rules::judge(&number, &mut scan.near(number.span.clone()));
    let (kind, confidence) = judged?;
    scan.report(kind, number.span, confidence)
}

impl Run {
    /// Where its last digit begins, and a byte more.
    fn last(&self) -> usize {
        let last = self.places.get(self.length.saturating_sub(1));
        self.at + last.map_or(0, |digit| usize::from(digit.start)) + 1
    }

    fn read(text: &Text<'_>, at: usize) -> Self {
        let mut run = Self {
            at,
            digits: [0; RUN_MAX],
            places: [Digit::default(); RUN_MAX],
            length: 0,
        };
        // A run is some hundred bytes.
        let offset = |place: usize| u16::try_from(place - at).unwrap_or(u16::MAX);
        let mut next = at;
        let mut apart = false;
        while run.length < RUN_MAX {
            let (symbol, start, end) = text.visible(next);
            let (digit, spelled) = match symbol {
                Symbol::Digit(digit) => (digit, false),
                Symbol::Spoken(digit) => (digit, true),
                _ => {
                    let after = after_separator(text, next);
                    if apart || after == next {
                        break;
                    }
                    apart = true;
                    next = after;
                    continue;
                }
            };
            if let (Some(value), Some(place)) = (
                run.digits.get_mut(run.length),
                run.places.get_mut(run.length),
            ) {
                *value = digit;
                *place = Digit {
                    start: offset(start),
                    end: offset(end),
                    spelled,
                    apart,
                };
            }
            run.length += 1;
            (next, apart) = (end, false);
        }
        run
    }
}

/// Where what separates two groups ends: a space, a dash, a dot, a comma, a word that is said, with space around.
fn after_separator(text: &Text<'_>, at: usize) -> usize {
    let mut next = at;
    for _ in 0..3 {
        let (symbol, start, end) = text.visible(next);
        next = match symbol {
            Symbol::Space | Symbol::Dash | Symbol::Dot | Symbol::Ascii(b',') => end,
            Symbol::Other => match SAID.iter().find(|word| text.starts_with(start, word)) {
                Some(word) => start + word.len(),
                None => break,
            },
            _ => break,
        };
    }
    next
}
