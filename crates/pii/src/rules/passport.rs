//! Passports: a letter and eight characters. Part numbers look the same, so a word must say so.

use crate::cluster::Number;
use crate::context::{Nearby, Stance};
use crate::text::{Symbol, Text};
use crate::words::Topic;
use std::ops::Range;

/// A passport of nine digits, as those of the United States were.
pub fn digits_only(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    if !number.is_solid() || number.edges.plus {
        return 0;
    }
    match near.stance(Topic::Passport) {
        Stance::For(distance) if distance <= 24 => 70,
        _ => 0,
    }
}

/// Characters that a passport's number may have.
const LENGTH: Range<usize> = 7..10;

/// The token of letters and digits around a digit, where it has the shape of a passport's number. `before`: what stands
/// before the digit.
pub fn shape(text: &Text<'_>, before: (Symbol, usize)) -> Option<(Range<usize>, bool)> {
    let start = letters_before(text, before)?;
    let (mut letters, mut digits, mut end, mut next) = (0, 0, start, start);
    let mut pattern = [b' '; LENGTH.end];
    loop {
        let (symbol, _, after) = text.visible(next);
        let mark = match symbol {
            Symbol::Digit(_) => b'9',
            Symbol::Ascii(byte) if byte.is_ascii_uppercase() => b'A',
            // m12345678, as people type it.
            Symbol::Ascii(byte) if byte.is_ascii_lowercase() => b'a',
            // A dash or a space after the letter: M 12345678.
            Symbol::Space | Symbol::Dash if letters == 1 && digits == 0 => {
                next = after;
                if after - end > 4 {
                    return None;
                }
                continue;
            }
            _ => break,
        };
        *pattern.get_mut(letters + digits)? = mark;
        letters += usize::from(mark != b'9');
        digits += usize::from(mark == b'9');
        (end, next) = (after, after);
    }
    let (symbol, _, _) = text.visible(end);
    if symbol.is_alphanumeric() || !LENGTH.contains(&(letters + digits)) {
        return None;
    }
    let pattern = pattern.get(..letters + digits)?;
    let korean = matches!(
        pattern,
        b"A99999999" | b"A999A9999" | b"a99999999" | b"a999a9999"
    );
    let foreign = letters <= 2 && digits >= 6 && pattern.starts_with(b"A");
    (korean || foreign).then_some((start..end, korean))
}

/// How sure it is.
pub fn confidence(near: &mut Nearby<'_, '_>, korean: bool) -> u8 {
    match (near.stance(Topic::Passport), korean) {
        (Stance::For(_), true) => 92,
        (Stance::Perhaps, true) => 75,
        (Stance::For(_), false) => 70,
        _ => 0,
    }
}

/// Where a letter or two capitals before a digit begin, that nothing is glued to. `before`: what stands before the digit.
fn letters_before(text: &Text<'_>, before: (Symbol, usize)) -> Option<usize> {
    let (symbol, mut start) = match before {
        (Symbol::Space | Symbol::Dash, start) => text.before(start),
        other => other,
    };
    if !symbol.is_letter() {
        return None;
    }
    let (second, second_start) = text.before(start);
    if matches!(second, Symbol::Ascii(byte) if byte.is_ascii_uppercase()) {
        start = second_start;
    }
    let (outside, _) = text.before(start);
    (!outside.is_alphanumeric()).then_some(start)
}
