//! Telephone numbers of people: Korean mobile, land line, internet and safe numbers, those of North America, and any
//! with `+`. Service numbers such as 1588-0000 and 112 are of no person.

use crate::cluster::{Gap, Number};
use crate::context::{Nearby, Stance};
use crate::words::{Topic, Topics};

const WORDS: Topics = Topics::of([Topic::Phone]);

/// Whether telephone numbers begin so that have neither a plus nor the shape of North America's.
pub fn may_begin(digits: &[u8]) -> bool {
    matches!(digits, [0, 1..=7, ..] | [0, 0, 8, 2, ..] | [8, 2, ..])
}

/// Whether telephone numbers may be written so, without a plus or anything between the digits; those of North America or with
/// Korea's code need a word.
pub fn may_be_solid(digits: &[u8], near: &mut Nearby<'_, '_>) -> bool {
    let length = digits.len();
    match *digits {
        [0, 1, ..] => matches!(length, 10 | 11),
        [0, 2, ..] => matches!(length, 9 | 10),
        [0, 3..=6, 1..=5, ..] => matches!(length, 10 | 11),
        [0, 5, 0, ..] => matches!(length, 11 | 12),
        [0, 7, 0, ..] => length == 11,
        [0, 0, 8, 2, ..] | [8, 2, ..] => near.speaks_of(WORDS),
        _ => length == 10 && is_american(digits) && near.speaks_of(WORDS),
    }
}

/// Whether the digits begin as those of a telephone number that can do without a word.
pub fn is_wordless(digits: &[u8]) -> bool {
    digits.first() == Some(&0) && may_begin(digits)
}

pub fn confidence(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    let may_be = number.edges.plus || may_begin(number.digits) || american_shape(number).is_some();
    if !may_be {
        return 0;
    }
    let stance = near.stance(Topic::Phone);
    if let Some(national) = without_country(number) {
        return abroad(number, national, stance);
    }
    if number.edges.plus {
        return international(number, stance);
    }
    if number.digit(0) == 0 {
        return korean(number, stance);
    }
    american(number, stance)
}

/// Digits of the national number, without its leading zero, of a number with Korea's country code.
fn without_country<'a>(number: &Number<'a>) -> Option<&'a [u8]> {
    let codes: &[&[u8]] = &[&[0, 0, 8, 2], &[8, 2]];
    let code = codes.iter().find(|code| number.starts_with(code))?;
    let rest = number.digits.get(code.len()..)?;
    Some(rest.strip_prefix(&[0]).unwrap_or(rest))
}

/// +82 10-1234-5678, 82-10-1234-5678, 0082 2 123 4567.
fn abroad(number: &Number<'_>, national: &[u8], stance: Stance) -> u8 {
    let known = match national {
        [1, 0 | 1 | 6..=9, ..] => (9..=10).contains(&national.len()),
        [2, ..] => (8..=9).contains(&national.len()),
        [3..=6, _, ..] => (9..=10).contains(&national.len()),
        [7, 0, ..] => national.len() == 10,
        _ => false,
    };
    match (known, number.edges.plus, stance) {
        (false, true, _) => international(number, stance),
        (false, false, _) => 0,
        (true, true, _) => 92,
        (true, false, Stance::For(_)) => 85,
        (true, false, Stance::Silent | Stance::Perhaps) if ends_in_four(number) => 65,
        _ => 0,
    }
}

/// Written in three or four groups, the last of four digits.
fn ends_in_four(number: &Number<'_>) -> bool {
    matches!(number.shape, [.., 3 | 4, 4] if number.shape.len() > 2)
}

/// + and a country code.
fn international(number: &Number<'_>, stance: Stance) -> u8 {
    let grouped = number.shape.len() > 2 || number.gap != Some(Gap::Dot);
    match stance {
        _ if number.digit(0) == 0 || number.digits.len() > 15 || !grouped => 0,
        Stance::Against(_) => 0,
        Stance::For(_) => 92,
        _ => 72,
    }
}

fn korean(number: &Number<'_>, stance: Stance) -> u8 {
    let length = number.digits.len();
    let first = number.shape.first().copied().unwrap_or_default();
    match (number.digit(1), number.digit(2)) {
        (1, 0) if length == 11 => mobile(number, stance),
        (1, 1 | 6..=9) if length == 10 || length == 11 => mobile(number, stance),
        (7, 0) if length == 11 => mobile(number, stance),
        // 0502 … 0508 lead to another number; eleven or twelve digits
        (5, 0) if length == 11 || length == 12 => {
            let (usual, silent) = match number.is_solid() {
                true => (length == 12 && number.edges.hangul, 55),
                false => (first == 4, 75),
            };
            weigh(stance, (usual, silent), 88)
        }
        (2, _) if length == 9 || length == 10 => {
            land_line(number, stance, length == 10, &[2, 4, 4])
        }
        (3..=6, 1..=5) if length == 10 || length == 11 => {
            land_line(number, stance, true, &[3, 4, 4])
        }
        _ => 0,
    }
}

/// Begins with 01x or 070, which few other numbers do.
fn mobile(number: &Number<'_>, stance: Stance) -> u8 {
    let usual = matches!(
        number.shape,
        [3, 3 | 4, 4] | [3, 8] | [7, 4] | [11] | [3, 7]
    );
    match stance {
        Stance::For(_) => 95,
        Stance::Perhaps if usual => 82,
        Stance::Silent if number.is_solid() => 72,
        Stance::Silent if usual => 88,
        Stance::Silent | Stance::Perhaps => 60,
        // A version or part written like a number has dots or nothing between its groups.
        Stance::Against(_) if usual && !number.is_solid() && number.gap != Some(Gap::Dot) => 60,
        Stance::Against(_) => 0,
    }
}

/// 02 and 031–064. `long`: so many digits that few other numbers behind a
/// Korean word begin with a zero and have as many.
fn land_line(number: &Number<'_>, stance: Stance, long: bool, shape: &[u8]) -> u8 {
    let usual = number.shape == shape
        || matches!((number.shape, shape), ([area, 3, 4], [same, ..]) if area == same);
    let silent = if number.is_solid() { 52 } else { 75 };
    let named = number.is_solid() && long && number.edges.hangul;
    weigh(stance, (usual || named, silent), 88)
}

/// With a word for it always; without any word only in the usual shape.
fn weigh(stance: Stance, (usual, silent): (bool, u8), with_word: u8) -> u8 {
    match stance {
        Stance::For(_) => with_word,
        Stance::Perhaps | Stance::Silent if usual => silent,
        Stance::Perhaps => 55,
        _ => 0,
    }
}

/// The groups of a number of North America without the country's code: ten digits, area and exchange from 200 on.
fn american_shape<'a>(number: &Number<'a>) -> Option<&'a [u8]> {
    let (national, shape) = match (number.digits, number.shape) {
        ([1, national @ ..], [1, shape @ ..]) if national.len() == 10 => (national, shape),
        (national, shape) if national.len() == 10 => (national, shape),
        _ => return None,
    };
    (is_american(national) && matches!(shape, [3, 3, 4] | [3, 7] | [10])).then_some(shape)
}

fn is_american(national: &[u8]) -> bool {
    matches!(national, [2..=9, _, _, 2..=9, ..])
}

/// (202) 555-0164, 202-555-0164, 1-202-555-0164, +1 202 555 0164.
fn american(number: &Number<'_>, stance: Stance) -> u8 {
    match (stance, american_shape(number)) {
        (Stance::For(_), Some([3, 3, 4] | [3, 7])) => 90,
        (Stance::For(_), Some([10])) => 70,
        (Stance::Silent | Stance::Perhaps, Some([3, 3, 4])) => match number.gap {
            Some(Gap::Dash) => 66,
            Some(Gap::Dot) => 60,
            _ if number.mixed => 75,
            _ => 0,
        },
        _ => 0,
    }
}
