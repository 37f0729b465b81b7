//! 서울특별시 강남구 가상로 12-3, 101동 202호: a province or district that there is, a road, neighbourhood or village, a
//! number, and what says where in the building.

use super::districts;
use crate::cluster::{self, Group};
use crate::rules::plate;
use crate::text::{Symbol, Text, Words};
use std::ops::Range;

/// Bytes before the number that may be of its address.
const BEFORE_MAX: usize = 144;
/// Bytes of a name that are looked at.
const NAME_MAX: usize = 45;
/// Names before the road's: province, city, district, town.
const NAMES_MAX: usize = 5;
/// What roads, neighbourhoods, villages and towns end with.
const PLACES: Words<7> = Words::new(["로", "길", "동", "리", "가", "읍", "면"]);
/// What follows digits that belong to a road's name: 7길, 12번길, 3로, 2가, and towns: 3동.
const IN_NAMES: Words<5> = Words::new(["번길", "길", "로", "가", "대로"]);

/// What may be written behind a building's number.
const BEHIND: Words<2> = Words::new(["번지", "호"]);

/// The address around `number`, not before `floor`, and how sure it is.
pub fn address(text: &Text<'_>, number: &Group, floor: usize) -> Option<(Range<usize>, u8)> {
    let mut at = number.start;
    if text.before(at).0 == Symbol::Space {
        at = text.before(at).1;
    }
    // The cheap question first: most digits stand behind no place.
    if !text.bytes().get(..at).is_some_and(ends_place) {
        return None;
    }
    if is_part_of_name(text, number.end) {
        return None;
    }
    let low = floor.max(number.start.saturating_sub(BEFORE_MAX));
    let (start, known) = names(text, at, low)?;
    let (end, detailed) = building(text, number);
    if !detailed && (plate::is_counted(text, end) || is_other_count(text, end)) {
        return None;
    }
    let confidence = match (known, detailed) {
        (2.., _) => 93,
        (_, true) => 85,
        _ => 72,
    };
    Some((start..end, confidence))
}

/// Whether a road's name goes on and a building's number follows; 로 and 가 are also particles: "… 7로 보내 주세요".
fn is_part_of_name(text: &Text<'_>, at: usize) -> bool {
    let Some(name) = text.one_of(at, &IN_NAMES) else {
        return false;
    };
    let (symbol, _, next) = text.visible(at + name.len());
    let digit = |symbol| matches!(symbol, Symbol::Digit(_));
    digit(symbol) || (symbol == Symbol::Space && digit(text.visible(next).0))
}

fn ends_place(name: &[u8]) -> bool {
    name.last_chunk::<3>()
        .is_some_and(|end| PLACES.begin_with(end))
}

/// Walks back over the names before the number. Where they begin, and how many of them there are in the country.
fn names(text: &Text<'_>, end: usize, low: usize) -> Option<(usize, usize)> {
    let bytes = text.bytes();
    let mut at = end;
    let (mut start, mut known) = (None, 0);
    for place in 0..=NAMES_MAX {
        let word = word_before(text, at, low)?;
        let name = std::str::from_utf8(bytes.get(word.clone())?).ok()?;
        if place > 0 {
            match districts::known(name) {
                0 if ends_place(name.as_bytes()) && name.chars().count() > 1 => {}
                0 => break,
                count => {
                    known += count;
                    start = Some(word.start);
                }
            }
        } else if name.is_empty() {
            break;
        }
        let (symbol, before) = text.before(word.start);
        if symbol != Symbol::Space || before < low {
            break;
        }
        at = before;
    }
    start.map(|start| (start, known))
}

/// The Hangul and digits that end at `at`; none where they are longer than a name.
fn word_before(text: &Text<'_>, at: usize, low: usize) -> Option<Range<usize>> {
    let mut start = at;
    while start > low && at - start < NAME_MAX {
        let (symbol, before) = text.before(start);
        let part = match symbol {
            Symbol::Digit(_) | Symbol::Spoken(_) => true,
            Symbol::Other => is_hangul(text.bytes(), before),
            _ => false,
        };
        if !part || before < low {
            return Some(start..at);
        }
        start = before;
    }
    (at - start < NAME_MAX).then_some(start..at)
}

/// Whether the character at `at` is a Hangul syllable (U+AC00–U+D7A3).
fn is_hangul(bytes: &[u8], at: usize) -> bool {
    match bytes.get(at..).unwrap_or_default() {
        [0xEA, second, ..] => *second >= 0xB0,
        [0xEB..=0xEC, ..] => true,
        [0xED, second, ..] => *second <= 0x9E,
        _ => false,
    }
}

/// Where the building's number and what follows it ends, and whether anything says where in the building.
fn building(text: &Text<'_>, number: &Group) -> (usize, bool) {
    let mut end = number.end;
    if let Some((separator, next)) = cluster::separator(text, end)
        && separator.gap == cluster::Gap::Dash
        && let Some(second) = cluster::group(text, next, |_| ())
        && second.length <= super::NUMBER_MAX
    {
        end = second.end;
    }
    let mut detailed = false;
    if let Some(word) = text.one_of(end, &BEHIND) {
        end += word.len();
        detailed = true;
    }
    // 101동 202호, 3층, (가상동), 지하 1층
    for _ in 0..4 {
        let Some(next) = detail(text, end) else { break };
        end = next;
        detailed = true;
    }
    (end, detailed)
}

/// Where one detail ends that begins at `at`.
fn detail(text: &Text<'_>, at: usize) -> Option<usize> {
    const UNITS: Words<4> = Words::new(["동", "호", "층", "번지"]);
    let mut next = at;
    for _ in 0..2 {
        let (symbol, _, after) = text.visible(next);
        match symbol {
            Symbol::Space | Symbol::Ascii(b',') => next = after,
            _ => break,
        }
    }
    if text.starts_with(next, "지하") {
        next += "지하".len();
        if text.visible(next).0 == Symbol::Space {
            next = text.visible(next).2;
        }
    }
    if text.byte(next) == Some(b'(') {
        let inside = text.ahead(next, 64);
        let close = inside.iter().position(|byte| *byte == b')')?;
        let hangul = inside
            .get(1..close)?
            .iter()
            .all(|byte| *byte >= 0x80 || b" ,".contains(byte));
        return hangul.then_some(next + close + 1);
    }
    let group = cluster::group(text, next, |_| ())?;
    if group.length > super::NUMBER_MAX {
        return None;
    }
    let unit = text.one_of(group.end, &UNITS)?;
    Some(group.end + unit.len())
}

/// Counting words that may follow a number behind a road: 3번 출구, 2차 공사, 5분 거리.
fn is_other_count(text: &Text<'_>, at: usize) -> bool {
    const COUNTS: Words<16> = Words::new([
        "번",
        "분",
        "시",
        "일",
        "차",
        "가지",
        "단계",
        "대",
        "살",
        "세",
        "배",
        "점",
        "퍼센트",
        "곳",
        "층짜리",
        "주",
    ]);
    text.byte(at) == Some(b'%') || text.one_of(at, &COUNTS).is_some()
}
