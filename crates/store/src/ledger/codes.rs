//! Words of the ledger as small numbers, one set for all databases. A number never gets another meaning.

use madang_ledger::{Phase, Subject};
use madang_types::Unit;

const UNITS: [Unit; 7] = [
    Unit::MicroWon,
    Unit::Tokens,
    Unit::UncachedTokens,
    Unit::CachedTokens,
    Unit::OutputTokens,
    Unit::AcceleratorMs,
    Unit::MilliJoules,
];
const PHASES: [Phase; 4] = [Phase::Direct, Phase::Reserve, Phase::Post, Phase::Void];

/// A unit's number.
pub(crate) fn unit_code(unit: Unit) -> i64 {
    match unit {
        Unit::MicroWon => 1,
        Unit::Tokens => 2,
        Unit::UncachedTokens => 3,
        Unit::CachedTokens => 4,
        Unit::OutputTokens => 5,
        Unit::AcceleratorMs => 6,
        Unit::MilliJoules => 7,
    }
}

/// The unit of a number.
pub(crate) fn unit(code: i64) -> Option<Unit> {
    UNITS.into_iter().find(|unit| unit_code(*unit) == code)
}

/// A phase's number. They sort as phases follow one another.
pub(crate) fn phase_code(phase: Phase) -> i64 {
    match phase {
        Phase::Direct => 1,
        Phase::Reserve => 2,
        Phase::Post => 3,
        Phase::Void => 4,
    }
}

/// The phase of a number.
pub(crate) fn phase(code: i64) -> Option<Phase> {
    PHASES.into_iter().find(|phase| phase_code(*phase) == code)
}

/// A programme's budget.
pub(crate) const ABOUT_BUDGET: i64 = 1;
/// An allocation.
pub(crate) const ABOUT_ALLOCATION: i64 = 2;
/// Rights that are moved.
pub(crate) const ABOUT_LEASE: i64 = 3;
/// A request.
pub(crate) const ABOUT_REQUEST: i64 = 4;
/// A job.
pub(crate) const ABOUT_JOB: i64 = 5;
/// What a site drew in a span.
pub(crate) const ABOUT_ENERGY: i64 = 6;

/// The number of what an entry is about.
pub(crate) fn about_code(subject: &Subject) -> i64 {
    match subject {
        Subject::Budget(_) => ABOUT_BUDGET,
        Subject::Allocation(_) => ABOUT_ALLOCATION,
        Subject::Lease => ABOUT_LEASE,
        Subject::Request(_) => ABOUT_REQUEST,
        Subject::Job(_) => ABOUT_JOB,
        Subject::Energy(_) => ABOUT_ENERGY,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for known in UNITS {
            assert_eq!(unit(unit_code(known)), Some(known));
        }
        for known in PHASES {
            assert_eq!(phase(phase_code(known)), Some(known));
        }
        assert_eq!(
            (unit(0), unit(8), phase(0), phase(5)),
            (None, None, None, None)
        );
    }
}
