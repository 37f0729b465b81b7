//! Driving licences: province 11–28, year of issue, six digits, two check digits whose rule is secret. Permits of all
//! sorts have the same shape, so a word must say so.

use crate::cluster::Number;
use crate::context::{Nearby, Stance};
use crate::words::Topic;

/// Twelve digits: 11-23-123456-12.
pub fn confidence(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    let shape = matches!(
        number.shape,
        [12] | [2, 2, 6, 2] | [2, 10] | [2, 2, 8] | [4, 6, 2]
    );
    if !shape || number.edges.plus || !(11..=28).contains(&number.value(0..2)) {
        return 0;
    }
    match near.stance(Topic::License) {
        Stance::For(_) => 92,
        Stance::Perhaps => 70,
        _ => 0,
    }
}

/// Ten digits, as on older cards, which have the province's name in place of its number: 23-123456-12. A word must say so
/// here too; the name alone does not.
pub fn without_province(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    if number.shape != [2, 6, 2] {
        return 0;
    }
    match near.stance(Topic::License) {
        Stance::For(_) => 80,
        _ => 0,
    }
}
