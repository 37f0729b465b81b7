//! Social security numbers of the United States: 3-2-4, no area 000, 666 or above 899, no group 00, no serial 0000.

use crate::cluster::{Gap, Number};
use crate::context::{Nearby, Stance};
use crate::words::Topic;

pub fn confidence(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    if !matches!(number.shape, [9] | [3, 2, 4]) || number.mixed || number.edges.plus {
        return 0;
    }
    let area = number.value(0..3);
    let issued =
        matches!(area, 1..=665 | 667..=899) && number.value(3..5) > 0 && number.value(5..9) > 0;
    if !issued {
        return 0;
    }
    match near.stance(Topic::Ssn) {
        Stance::For(_) => 94,
        Stance::Perhaps => 80,
        Stance::Silent if number.gap == Some(Gap::Dash) => 70,
        _ => 0,
    }
}
