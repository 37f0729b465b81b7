//! Bank accounts: every bank has shapes of its own and none has a check digit, so a word must say so.

use crate::check;
use crate::cluster::{Edges, Gap, Group, Number};
use crate::context::{Nearby, Stance};
use crate::words::Topic;

/// Whether a number of these groups may be an account's, as far as the first of them says.
pub fn may_be(groups: &[Group], edges: Edges) -> bool {
    groups.first().is_some_and(|first| {
        let space = first.after.is_some_and(|after| after.gap == Gap::Space);
        first.length >= 2 && !(edges.plus || edges.buried && space)
    })
}

pub fn confidence(number: &Number<'_>, near: &mut Nearby<'_, '_>) -> u8 {
    let plausible = match number.shape {
        [length] => *length <= 14,
        [first, middle @ .., _] => {
            number.shape.len() <= 5
                && *first >= 2
                && middle.iter().all(|length| *length >= 2)
                && number.gap != Some(Gap::Stroke)
        }
        [] => false,
    };
    let one_of_many = number.edges.buried && number.gap == Some(Gap::Space);
    if !plausible || one_of_many || number.mixed || number.edges.plus || is_moment(number) {
        return 0;
    }
    let confidence = match near.stance(Topic::Bank) {
        Stance::For(distance) if distance <= 40 => 86,
        Stance::For(_) => 70,
        Stance::Perhaps => 60,
        _ => return 0,
    };
    if number.edges.crowded && number.gap == Some(Gap::Space) {
        return confidence - 30;
    }
    confidence
}

/// A day and what follows it.
fn is_moment(number: &Number<'_>) -> bool {
    matches!(number.shape, [4, 2, 2, ..] | [8, 2 | 4 | 6] | [14])
        && matches!(number.value(0..4), 1900..=2099)
        && check::is_day(number.value(4..6), number.value(6..8))
}
