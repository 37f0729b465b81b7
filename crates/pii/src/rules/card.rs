//! Payment cards: the issuer's first digits, the length that goes with them, Luhn's check.

use crate::check;
use crate::cluster::Number;
use crate::context::{Nearby, Stance};
use crate::words::Topic;

pub fn confidence(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    let solid = number.is_solid();
    let grouped = matches!(
        number.shape,
        [4, 4, 4, 4]
            | [4, 6, 5]
            | [4, 6, 4]
            | [4, 4, 4, 1..=3]
            | [4, 4, 4, 4, 1..=3]
            | [4, 12]
            | [8, 8]
    );
    if !(solid || grouped) || number.edges.plus || !may_be(number.digits) {
        return 0;
    }
    match near.stance(Topic::Card) {
        Stance::For(_) => 97,
        Stance::Perhaps => {
            if solid {
                75
            } else {
                90
            }
        }
        Stance::Silent => {
            if solid {
                70
            } else {
                88
            }
        }
        Stance::Against(distance) if grouped && distance > 20 => 60,
        Stance::Against(_) => 0,
    }
}

/// Whether a card may have these digits.
pub fn may_be(digits: &[u8]) -> bool {
    is_issued(digits) && check::luhn(digits)
}

/// Whether an issuer's number begins so and is that long (ISO/IEC 7812-1 and the schemes' published ranges).
fn is_issued(digits: &[u8]) -> bool {
    // The cheap question first.
    let Some(first @ [2..=6 | 8 | 9, ..]) = digits.first_chunk::<4>() else {
        return false;
    };
    let first = first
        .iter()
        .fold(0, |value, digit| value * 10 + u32::from(*digit));
    match digits.len() {
        13 => first / 1000 == 4,
        14 => matches!(first / 10, 300..=305 | 309) || matches!(first / 100, 36 | 38 | 39),
        15 => matches!(first / 100, 34 | 37),
        16 => {
            first / 1000 == 4
                || matches!(first, 5100..=5599 | 2221..=2720 | 3528..=3589 | 6011 | 6440..=6599)
                || matches!(first / 100, 62 | 81)
                // local cards of Korea
                || matches!(first, 9400..=9499 | 9100..=9199 | 3560..=3569)
        }
        17..=19 => first / 1000 == 4 || first / 100 == 62 || matches!(first, 6011 | 6440..=6599),
        _ => false,
    }
}
