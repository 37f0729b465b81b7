//! What a member may do while power is short at its site.

use crate::power::governor::PowerTerms;
use crate::power::model::WHOLE_MILLI;
use madang_types::{Micros, Priority};

/// The terms of its site, with its own part of the slots, and what ran when they became narrower: parts are parts of that, as a batch is
/// seldom full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Power {
    terms: PowerTerms,
    ran: Option<u32>,
    ran_rest: Option<u32>,
}

impl Power {
    /// Other terms from now on, where so many run, of which some take what is left.
    pub fn apply(&mut self, terms: PowerTerms, (running, rest): (u32, u32)) {
        let kept = |milli: u32, before: Option<u32>, now: u32| {
            (milli < WHOLE_MILLI).then(|| before.unwrap_or(now.max(1)))
        };
        self.ran = kept(terms.slots_milli, self.ran, running);
        self.ran_rest = kept(terms.batch_milli, self.ran_rest, rest);
        self.terms = terms;
    }

    /// Sequences that it may have at once, of so many that it could.
    pub fn slots(&self, slots: u32) -> u32 {
        if self.rests() {
            return 0;
        }
        let part = self.ran.map(|ran| part(ran, self.terms.slots_milli).max(1));
        part.map_or(slots, |part| part.min(slots))
    }

    /// Others serve in its place.
    pub fn rests(&self) -> bool {
        self.terms.slots_milli == 0
    }

    /// How many of those that take what is left it may have; `None` as many as ever.
    pub fn rest_max(&self) -> Option<u32> {
        self.ran_rest.map(|ran| part(ran, self.terms.batch_milli))
    }

    /// Requests are better served elsewhere.
    pub fn diverts(&self) -> bool {
        self.terms.divert
    }

    /// When power is short there no more, where that is known.
    pub fn until(&self) -> Option<Micros> {
        self.terms.until
    }

    /// It takes no new request of that urgency.
    pub fn sheds(&self, priority: Priority) -> bool {
        self.terms.shed.is_some_and(|least| priority >= least)
    }
}

/// What each of so many members that serve the same has of its slots, in thousandths, where all together have `slots_milli`: the last
/// ones rest. An engine draws nearly as much for a few sequences as for many, so that few full ones save and many thin ones do not.
pub(crate) fn slots_milli(members: usize, slots_milli: u32) -> impl Iterator<Item = u32> {
    let whole = u64::from(WHOLE_MILLI);
    let mut left = members as u64 * u64::from(slots_milli.min(WHOLE_MILLI));
    std::iter::repeat_with(move || {
        let part = left.min(whole);
        left -= part;
        u32::try_from(part).unwrap_or(WHOLE_MILLI)
    })
    .take(members)
}

fn part(of: u32, milli: u32) -> u32 {
    let part = u64::from(of) * u64::from(milli) / u64::from(WHOLE_MILLI);
    u32::try_from(part).unwrap_or(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_rest_and_one_is_thin() {
        let parts = |members, milli| slots_milli(members, milli).collect::<Vec<u32>>();
        assert_eq!(parts(1, 250), [250]);
        assert_eq!(parts(2, 750), [1_000, 500]);
        assert_eq!(parts(3, 250), [750, 0, 0]);
        assert_eq!(parts(4, 500), [1_000, 1_000, 0, 0]);
        assert_eq!(parts(2, 1_000), [1_000, 1_000]);
    }

    #[test]
    fn parts_are_of_what_ran_when_power_became_short() {
        let mut power = Power::default();
        assert_eq!((power.slots(64), power.rest_max()), (64, None));
        let terms = |slots_milli, batch_milli| PowerTerms {
            slots_milli,
            batch_milli,
            ..PowerTerms::default()
        };
        power.apply(terms(750, 1_000), (40, 10));
        assert_eq!(
            (power.slots(64), power.slots(8), power.rest_max()),
            (30, 8, None)
        );
        power.apply(terms(250, 500), (30, 10));
        assert_eq!((power.slots(64), power.rest_max()), (10, Some(5)));
        power.apply(terms(250, 0), (10, 5));
        assert_eq!(power.rest_max(), Some(0));
        power.apply(terms(1_000, 1_000), (10, 0));
        assert_eq!((power.slots(64), power.rest_max()), (64, None));
        // One is always served.
        power.apply(terms(250, 1_000), (0, 0));
        assert_eq!(power.slots(64), 1);
    }
}
