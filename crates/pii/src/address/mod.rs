//! Street addresses, from the building's number outwards: Korean in Hangul, Korean in Latin letters, American.

mod districts;
mod english;
mod korean;

use crate::cluster::{Edges, Gap, Group, Separator};
use crate::scan::Scan;
use madang_types::PiiKind;

/// Digits of a building's number.
const NUMBER_MAX: usize = 5;

/// Reports the address whose building's number `groups` begin with. Returns where it ends.
pub fn look(scan: &mut Scan<'_>, groups: &[Group], left: Edges) -> Option<usize> {
    let group = groups.first()?;
    // Between two groups stands none, unless it is a number of two with a dash: 12-3.
    let dash = |separator: Separator| separator.gap == Gap::Dash;
    if group.length > NUMBER_MAX || left.crowded && !group.after.is_none_or(dash) {
        return None;
    }
    // Behind a name of a place stands Hangul, and behind another group none.
    if left.hangul
        && let Some((span, confidence)) = korean::address(&scan.text, group, scan.floor)
    {
        return scan.report(PiiKind::Address, span, confidence);
    }
    let form = english::address(&scan.text, groups)?;
    let confidence = form.confidence(&mut scan.near(form.span.clone()));
    scan.report(PiiKind::Address, form.span, confidence)
}
