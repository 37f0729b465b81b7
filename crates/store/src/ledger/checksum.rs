//! A sum over all that was written of an entry, kept beside it in every database: what was changed later shows, also where no
//! rule would. It tells of accidents and edits, not of whoever computes it anew.

use super::codes::{about_code, phase_code, unit_code};
use madang_ledger::{Entry, Leg, Subject};
use madang_types::{Micros, RequestId};
use std::fmt::Display;
use std::io::Write;

/// The CRC-32 of an entry in its place. What goes into it, and how, never changes.
pub(crate) fn checksum(seq: i64, entry: &Entry) -> i64 {
    let Entry {
        id,
        phase,
        at: Micros(at),
        subject,
        legs,
    } = entry;
    let mut bytes = Vec::with_capacity(512);
    bytes.extend(id.0.to_be_bytes());
    for number in [seq, phase_code(*phase), *at, about_code(subject)] {
        bytes.extend(number.to_be_bytes());
    }
    match subject {
        Subject::Budget(id) => name(&mut bytes, id),
        Subject::Allocation(id) => name(&mut bytes, id),
        Subject::Job(id) => name(&mut bytes, id),
        Subject::Energy(site) => name(&mut bytes, site),
        Subject::Request(RequestId(id)) => bytes.extend(id.to_be_bytes()),
        Subject::Lease => {}
    }
    for Leg {
        unit,
        amount,
        from,
        to,
    } in legs
    {
        for number in [unit_code(*unit), *amount] {
            bytes.extend(number.to_be_bytes());
        }
        name(&mut bytes, from);
        name(&mut bytes, to);
    }
    crc32fast::hash(&bytes).into()
}

/// A name and an end that no name has.
fn name(bytes: &mut Vec<u8>, name: &impl Display) {
    writeln!(bytes, "{name}").expect("memory takes all");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::sample::{LEASE, SITE, entry, won};
    use madang_ledger::Phase;

    #[test]
    fn its_form_never_changes() {
        let legs = vec![won(LEASE, SITE, 1_234_567).unwrap()];
        let mut entry = entry(7, Phase::Direct, legs);
        assert_eq!(checksum(1, &entry), 2_595_431_311);
        entry.subject = Subject::Request(RequestId(7));
        assert_eq!(checksum(2, &entry), 2_094_694_005);
        entry.subject = Subject::Budget("startups".parse().unwrap());
        assert_eq!(checksum(2, &entry), 2_707_880_617);
    }
}
