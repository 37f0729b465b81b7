//! Registration numbers of businesses and of corporations.

use crate::check;
use crate::cluster::{Gap, Number};
use crate::context::{Nearby, Stance};
use crate::words::Topic;

/// A business registration number: 3-2-5.
pub fn confidence(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    let solid = number.is_solid();
    if !(solid || number.shape == [3, 2, 5]) || number.mixed || number.edges.plus {
        return 0;
    }
    let stance = near.stance(Topic::Brn);
    // The cheap question first, as below.
    if stance == Stance::Silent && solid {
        return 0;
    }
    match (stance, check::business(number.digits)) {
        (Stance::For(_), true) => 94,
        (Stance::For(_), false) => {
            if solid {
                55
            } else {
                72
            }
        }
        (Stance::Perhaps, true) => 80,
        (Stance::Perhaps, false) => {
            if solid {
                0
            } else {
                60
            }
        }
        (Stance::Silent, true) if number.gap == Some(Gap::Dash) => 70,
        (Stance::Silent, true) if !solid && !number.edges.crowded => 52,
        _ => 0,
    }
}

/// A corporate registration number: 6-7, of which the first four digits are the registry.
pub fn corporation(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    if !matches!(number.shape, [13] | [6, 7]) || number.edges.plus {
        return 0;
    }
    let stance = near.stance(Topic::Crn);
    // The cheap question first: most that is written without a gap has no word for it.
    if stance == Stance::Silent && number.is_solid() {
        return 0;
    }
    let valid = check::corporation(number.digits);
    let registry = (1101..=2299).contains(&number.value(0..4));
    match (stance, valid) {
        (Stance::For(_), true) => 98,
        (Stance::For(_), false) if registry => 86,
        (Stance::For(_), false) => 60,
        (Stance::Perhaps, true) if registry => 70,
        // More sure than a foreigner's number without its check digit.
        (Stance::Silent, true) if registry => 62,
        _ => 0,
    }
}
