//! Vehicle plates: two or three digits, a Hangul syllable of the register, four digits.

use crate::cluster::Group;
use crate::context::{Nearby, Stance};
use crate::text::{Symbol, Text, Words};
use crate::words::Topic;
use std::ops::Range;

/// The syllables that plates have.
const SYLLABLES: &str =
    "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주바사아자배하허호";
/// Of these, those that also count things: 12주, 30도, 12호, 10조.
const COUNTERS: &str = "주도구자가조호나서고도수사배";

/// A plate's shape.
pub struct Shape {
    pub span: Range<usize>,
    /// The syllable has no other use after digits, or nothing but the plate's own digits touches it.
    sure: bool,
    /// Something stands between the syllable and the last digits.
    apart: bool,
}

/// The plate that begins with `group`.
pub fn shape(text: &Text<'_>, group: &Group) -> Option<Shape> {
    if !matches!(group.length, 2 | 3) {
        return None;
    }
    // The cheap question first: most stand before no Hangul.
    let after = text.bytes().get(group.end);
    if after.is_none_or(|byte| byte.is_ascii() && !matches!(byte, b' ' | b'\t')) {
        return None;
    }
    let (symbol, mut at, mut next) = text.visible(group.end);
    if symbol == Symbol::Space {
        (_, at, next) = text.visible(next);
    }
    if next - at != 3 {
        return None;
    }
    let syllable = text.bytes().get(at..next)?;
    let (symbol, _, after) = text.visible(next);
    let apart = matches!(symbol, Symbol::Space | Symbol::Dash);
    let (_, digits_at, _) = text.visible(if apart { after } else { next });
    let last = crate::cluster::group(text, digits_at, |_| ())?;
    if last.length != 4
        || !is_one_of(SYLLABLES, syllable)
        || glued_before(text, group.start)
        || glued_after(text, last.end)
    {
        return None;
    }
    Some(Shape {
        span: group.start..last.end,
        sure: !is_one_of(COUNTERS, syllable),
        apart,
    })
}

fn is_one_of(syllables: &str, syllable: &[u8]) -> bool {
    let (syllables, _) = syllables.as_bytes().as_chunks::<3>();
    syllables.iter().any(|other| other == syllable)
}

/// How sure it is.
pub fn confidence(shape: &Shape, near: &mut Nearby<'_, '_>) -> u8 {
    match (near.stance(Topic::Plate), shape.apart) {
        (Stance::For(_), _) => 94,
        (Stance::Perhaps, _) => 80,
        (Stance::Silent, false) => {
            if shape.sure {
                80
            } else {
                66
            }
        }
        (Stance::Silent, true) => {
            if shape.sure {
                72
            } else {
                45
            }
        }
        (Stance::Against(_), _) => 0,
    }
}

fn glued_before(text: &Text<'_>, at: usize) -> bool {
    let (symbol, start) = text.before(at);
    match symbol {
        Symbol::Dash | Symbol::Dot | Symbol::Ascii(b',') => text.before(start).0.is_alphanumeric(),
        other => other.is_alphanumeric(),
    }
}

/// A unit or more digits after the last four: 12호 3456원, 30도 1000.5.
fn glued_after(text: &Text<'_>, at: usize) -> bool {
    let (symbol, _, next) = text.visible(at);
    match symbol {
        Symbol::Dash | Symbol::Dot => text.visible(next).0.is_alphanumeric(),
        // Thousands; other digits after a comma are the next thing in a list.
        Symbol::Ascii(b',') => {
            crate::cluster::group(text, next, |_| ()).is_some_and(|group| group.length == 3)
        }
        Symbol::Ascii(b'%') => true,
        Symbol::Other | Symbol::Spoken(_) => is_counted(text, at),
        other => other.is_alphanumeric(),
    }
}

/// Whether a counting word follows at once.
pub fn is_counted(text: &Text<'_>, at: usize) -> bool {
    const UNITS: Words<21> = Words::new([
        "원", "년", "명", "개", "월", "달러", "엔", "만", "억", "천", "킬로", "미터", "건", "회",
        "장", "권", "마리", "톤", "위", "번째", "시간",
    ]);
    text.one_of(at, &UNITS).is_some()
}
