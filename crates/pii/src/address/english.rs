//! 12-3 Gasang-ro, Gangnam-gu, Seoul and 742 Sample Street, Springfield, IL 62704.

use crate::cluster::{Gap, Group, Separator};
use crate::context::{Nearby, Stance};
use crate::text::{Symbol, Text};
use crate::words::Topic;
use std::ops::Range;

/// Words after the number that may be of its address.
const WORDS_MAX: usize = 12;
/// Bytes of one word.
const WORD_MAX: usize = 24;

const ROADS: [&str; 24] = [
    "street",
    "st",
    "avenue",
    "ave",
    "road",
    "rd",
    "boulevard",
    "blvd",
    "lane",
    "ln",
    "drive",
    "dr",
    "court",
    "ct",
    "way",
    "place",
    "pl",
    "terrace",
    "parkway",
    "pkwy",
    "highway",
    "hwy",
    "circle",
    "square",
];
const CITIES: [&str; 20] = [
    "seoul",
    "busan",
    "daegu",
    "incheon",
    "gwangju",
    "daejeon",
    "ulsan",
    "sejong",
    "korea",
    "jeju",
    "gyeonggi",
    "gangwon",
    "chungbuk",
    "chungnam",
    "jeonbuk",
    "jeonnam",
    "gyeongbuk",
    "gyeongnam",
    "suwon",
    "seongnam",
];
/// The second letters of the states' codes, a bit for each, by the first: AL AK AZ AR, none with B, CA CO CT …
const STATES: [u32; 26] = {
    let mut rest: &[u8] = b"ALAKAZARCACOCTDEFLGAHIIDILINIAKSKYLAMEMDMAMIMNMSMOMTNENVNHNJNMNYNCNDOHOKORPARISCSDTNTXUTVTVA\
WAWVWIWYDC";
    let mut seconds = [0; 26];
    while let [first, second, others @ ..] = rest {
        seconds[(*first - b'A') as usize] |= 1 << (*second - b'A');
        rest = others;
    }
    seconds
};

fn is_state(name: &[u8]) -> bool {
    let [first @ b'A'..=b'Z', second @ b'A'..=b'Z'] = name else {
        return false;
    };
    let seconds = STATES.get(usize::from(first - b'A'));
    seconds.is_some_and(|seconds| seconds >> (second - b'A') & 1 == 1)
}

/// What the words after a number say.
pub struct Form {
    pub span: Range<usize>,
    /// A Korean road and a Korean district or city.
    korean: bool,
    /// A state, with or without a postal code.
    state: bool,
}

impl Form {
    pub fn confidence(&self, near: &mut Nearby<'_, '_>) -> u8 {
        match (self.korean, self.state, near.stance(Topic::Address)) {
            (true, _, _) => 88,
            (_, true, _) => 86,
            (_, _, Stance::For(_) | Stance::Perhaps) => 75,
            _ => 0,
        }
    }
}

/// The address whose number `groups` begin with.
pub fn address(text: &Text<'_>, groups: &[Group]) -> Option<Form> {
    let (number, last) = match groups {
        [first, second, ..] if first.after.is_some_and(is_plain_dash) => (first, second),
        [first, ..] => (first, first),
        [] => return None,
    };
    let end = last.end;
    // The cheap questions first: most numbers are not followed by a capital.
    let capital = |at: usize| text.bytes().get(at).is_some_and(u8::is_ascii_uppercase);
    if last.after.is_some()
        || !word_start(text, end).is_some_and(capital)
        || glued(text, number.start)
    {
        return None;
    }
    let first = word(text, end)?;
    let name = text.bytes().get(first.clone())?;
    if is_korean_road(name) {
        korean(text, number.start, first)
    } else {
        american(text, number.start, first)
    }
}

fn is_plain_dash(separator: Separator) -> bool {
    separator.gap == Gap::Dash && !separator.spaced
}

fn glued(text: &Text<'_>, at: usize) -> bool {
    let (symbol, start) = text.before(at);
    match symbol {
        Symbol::Dot | Symbol::Dash | Symbol::Ascii(b'$' | b'/') => true,
        Symbol::Ascii(b',') => text.before(start).0.is_alphanumeric(),
        other => other.is_alphanumeric(),
    }
}

fn korean(text: &Text<'_>, start: usize, first: Range<usize>) -> Option<Form> {
    let (mut end, mut found) = (first.end, false);
    let mut next = first;
    for _ in 0..WORDS_MAX {
        let Some(range) = word(text, next.end) else {
            break;
        };
        let name = text.bytes().get(range.clone())?;
        let lower = name.to_ascii_lowercase();
        let district = ["-gu", "-si", "-gun", "-do"]
            .iter()
            .any(|ending| lower.ends_with(ending.as_bytes()));
        let city = CITIES.iter().any(|city| city.as_bytes() == lower);
        if district || city || is_korean_road(name) {
            end = range.end;
            found |= district || city;
        } else if !name.iter().all(u8::is_ascii_digit)
            && !matches!(lower.as_slice(), b"south" | b"republic" | b"of")
        {
            break;
        } else if name.len() == 5 {
            end = range.end;
        }
        next = range;
    }
    found.then_some(Form {
        span: start..end,
        korean: true,
        state: false,
    })
}

fn is_korean_road(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    ["-ro", "-gil", "-daero", "-dong", "-eup", "-myeon", "-ri"]
        .iter()
        .any(|ending| lower.ends_with(ending.as_bytes()))
}

fn american(text: &Text<'_>, start: usize, first: Range<usize>) -> Option<Form> {
    let (mut road, mut state) = (None, None);
    let mut range = first;
    for place in 0..WORDS_MAX {
        let name = text.bytes().get(range.clone())?;
        let capital = name.first().is_some_and(u8::is_ascii_uppercase);
        let digits = name.iter().all(u8::is_ascii_digit);
        if road.is_none() {
            // "12 Great Way": at least one name before the kind of road, and no more than four.
            if place > 0
                && capital
                && ROADS
                    .iter()
                    .any(|road| name.eq_ignore_ascii_case(road.as_bytes()))
            {
                road = Some(range.end);
            } else if place > 3 || !(capital || name.ends_with(b"th") || name.ends_with(b"nd")) {
                break;
            }
        } else if is_state(name) {
            state = Some(range.end);
        } else if let (Some(_), true, 5) = (state, digits, name.len()) {
            state = Some(range.end);
            break;
        } else if !capital && !name.first().is_some_and(u8::is_ascii_digit) {
            break;
        }
        let Some(following) = word(text, range.end) else {
            break;
        };
        range = following;
    }
    Some(Form {
        span: start..state.or(road)?,
        korean: false,
        state: state.is_some(),
    })
}

/// Where the next word begins, at most a comma, a dot and a space away.
fn word_start(text: &Text<'_>, at: usize) -> Option<usize> {
    let mut start = at;
    for _ in 0..3 {
        match text.byte(start) {
            Some(b' ' | b',' | b'.' | b'#') => start += 1,
            _ => break,
        }
    }
    (start > at).then_some(start)
}

/// The next word.
fn word(text: &Text<'_>, at: usize) -> Option<Range<usize>> {
    let start = word_start(text, at)?;
    let seen = text.ahead(start, WORD_MAX);
    let length = seen
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-')
        .unwrap_or(seen.len());
    (length > 0).then_some(start..start + length)
}
