//! Resident and foreigner registration numbers: birth, sex and century, six digits of which the last was a check digit
//! for those issued before October 2020.

use crate::check;
use crate::cluster::Number;
use crate::context::{Nearby, Stance};
use crate::words::{Topic, Topics};

const WORDS: Topics = Topics::of([Topic::Rrn, Topic::Frn]);

/// A resident registration number of thirteen digits.
pub fn confidence(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    if !matches!(number.digit(6), 1..=4 | 9 | 0) || !fits(number) {
        return 0;
    }
    judge(
        number,
        near.stance(Topic::Rrn),
        check::resident(number.digits),
    )
}

/// A foreigner registration number of thirteen digits.
pub fn foreigner(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    if !matches!(number.digit(6), 5..=8) || !fits(number) {
        return 0;
    }
    judge(
        number,
        near.stance(Topic::Frn),
        check::foreigner(number.digits),
    )
}

/// A resident or foreigner registration number whose year is written in full: 19900101-1234567.
pub fn with_century(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    let birth = matches!(number.shape, [8, 7] | [4, 2, 2, 7])
        && matches!(number.value(0..4), 1900..=2099)
        && check::is_day(number.value(4..6), number.value(6..8))
        && matches!(number.digit(8), 1..=8);
    if !birth {
        return 0;
    }
    match near.stance(Topic::Rrn) {
        Stance::For(_) => 80,
        _ => 0,
    }
}

/// Whether a resident's or foreigner's number without a gap may begin so: its check digit is right, it is of those that need
/// none, or a word speaks of it.
pub fn may_be_solid(digits: &[u8], near: &mut Nearby<'_, '_>) -> bool {
    if digits.len() < 13 || !check::is_birth(digits) {
        return false;
    }
    let sure = match digits.get(6) {
        Some(1..=4) => is_recent(digits) || check::resident(digits),
        Some(5..=8) => check::foreigner(digits),
        _ => false,
    };
    sure || near.speaks_of(WORDS)
}

fn fits(number: &Number<'_>) -> bool {
    let shape = match number.shape {
        [6, 7] | [2, 2, 2, 7] | [6, 1, 6] => true,
        [13] => !number.edges.plus,
        _ => false,
    };
    shape && check::is_birth(number.digits)
}

fn judge(number: &Number<'_>, stance: Stance, valid: bool) -> u8 {
    let (solid, century) = (number.is_solid(), number.digit(6));
    // The century digit of people born before 1900.
    let old = matches!(century, 9 | 0);
    match (stance, valid) {
        (Stance::For(_), true) => 97,
        (Stance::For(_), false) if !old => 85,
        (Stance::Perhaps, true) => 88,
        (Stance::Perhaps, false) if !old => 65,
        // A barcode of a Korean article begins with 880 and looks like a birth in 1988.
        (Stance::Silent, _) if old || is_article(number) => 0,
        (Stance::Silent, true) => {
            if solid {
                75
            } else {
                90
            }
        }
        (Stance::Silent, false) if is_recent(number.digits) => {
            if solid {
                55
            } else {
                70
            }
        }
        (Stance::Silent, false) => {
            if solid {
                0
            } else {
                60
            }
        }
        // Words against it that are near mean an order, a parcel, a barcode.
        (Stance::Against(distance), true) if !solid && distance > 20 && !old => 55,
        _ => 0,
    }
}

fn is_article(number: &Number<'_>) -> bool {
    number.is_solid() && number.starts_with(&[8, 8, 0]) && check::article(number.digits)
}

/// Born since October 2020, of digits that begin with a day: the last six are random.
fn is_recent(digits: &[u8]) -> bool {
    matches!(
        digits,
        [2, 0, 1, _, _, _, 3 | 4, ..] | [2, 1..=9, _, _, _, _, 3 | 4, ..]
    )
}
