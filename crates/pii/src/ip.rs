//! Internet addresses of people: four numbers up to 255, where a word says that it is a person's and not a server's.

use crate::cluster::{Gap, Group};
use crate::context::Stance;
use crate::number::Row;
use crate::scan::Scan;
use crate::words::Topic;
use madang_types::PiiKind;

/// Reports the address that `row` begins with. Returns where it ends.
pub fn look(scan: &mut Scan<'_>, row: &Row) -> Option<usize> {
    let dotted = |group: &Group| {
        group
            .after
            .is_some_and(|after| after.gap == Gap::Dot && !after.spaced)
    };
    let four = row.groups().get(..4)?;
    let [first, second, third, last] = four else {
        return None;
    };
    if !(dotted(first) && dotted(second) && dotted(third)) || dotted(last) {
        return None;
    }
    let mut digits = row
        .digits(four.iter().map(|group| group.length).sum())
        .iter();
    let mut octet = |group: &Group| {
        let value = digits.by_ref().take(group.length);
        group.length <= 3 && value.fold(0, |value, digit| value * 10 + u32::from(*digit)) <= 255
    };
    if !four.iter().all(&mut octet) {
        return None;
    }
    let span = first.start..last.end;
    let confidence = match scan.near(span.clone()).stance(Topic::Ip) {
        Stance::For(_) => 75,
        _ => 0,
    };
    scan.report(PiiKind::Ip, span, confidence)
}
