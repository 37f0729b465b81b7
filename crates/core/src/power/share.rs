//! Whose energy it was: what a meter counted is shared by those for whom the work was done, to the last thousandth of a joule.
//!
//! What a piece of work takes is foretold when it ends ([`Work::millijoules`]): what its phases add, and its part of what an engine draws
//! that does nothing. At the end of a span the claims of all are made to fit what was measured ([`settle`]): the model need only be right
//! about who takes how much beside others.

use super::model::{PowerProfile, millijoules};
use std::collections::BTreeMap;

/// One request's work on an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Time in which the engine computed its prompt, in microseconds.
    pub prefill_us: u64,
    /// Time in which the engine made its tokens, beside others, in microseconds.
    pub decode_us: u64,
    /// Sequences that shared the engine in that time, itself included; at least 1.
    pub sequences: u32,
}

impl Work {
    /// What it takes: the whole engine while its prompt is computed; then its part of what the batch draws.
    pub fn millijoules(&self, profile: &PowerProfile) -> u64 {
        let sequences = self.sequences.max(1);
        let decoding = profile.watts(profile.decode_milli(sequences));
        let batch = millijoules(decoding, self.decode_us);
        millijoules(profile.full_watts, self.prefill_us)
            .saturating_add(batch.div_ceil(u64::from(sequences)))
    }
}

/// What each must be given or taken so that all together have had `measured`, in the order of who claims. Whoever claims nothing gets
/// nothing; where nobody does, nobody can be named, and what was measured stands over until somebody can.
pub fn settle<K: Ord + Clone>(measured: u64, claims: &BTreeMap<K, u64>) -> BTreeMap<K, i64> {
    let all: u128 = claims.values().map(|claim| u128::from(*claim)).sum();
    if all == 0 {
        return BTreeMap::new();
    }
    let mut given = 0_u64;
    let mut parts: Vec<(&K, u64, u64, u128)> = Vec::with_capacity(claims.len());
    for (who, claim) in claims {
        let exact = u128::from(measured) * u128::from(*claim);
        let part = u64::try_from(exact / all).unwrap_or(u64::MAX);
        given = given.saturating_add(part);
        parts.push((who, *claim, part, exact % all));
    }
    // The largest remainders get what division left; of equal ones the first by name.
    parts.sort_by_key(|(who, _, _, rest)| (std::cmp::Reverse(*rest), (*who).clone()));
    let mut left = measured.saturating_sub(given);
    let mut told = BTreeMap::new();
    for (who, claim, part, _) in parts {
        let extra = left.min(1);
        left -= extra;
        told.insert(
            who.clone(),
            signed(part + extra).saturating_sub(signed(claim)),
        );
    }
    told
}

fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_prompt_takes_the_engine_and_a_token_its_part_of_the_batch() {
        let profile = PowerProfile::new(200, 1_000);
        let check = |prefill_us, decode_us, sequences, expected| {
            let work = Work {
                prefill_us,
                decode_us,
                sequences,
            };
            assert_eq!(work.millijoules(&profile), expected, "{work:?}");
        };
        check(1_000_000, 0, 1, 1_000_000);
        // Alone: 200 + 800 × (680 + 320 / 65) / 1000.
        check(0, 1_000_000, 1, 747_000);
        // 64 share 200 + 800 × 840 / 1000.
        check(0, 64_000_000, 64, 872_000);
        check(0, 1_000_000, 0, 747_000);
    }

    #[test]
    fn where_nobody_claims_nobody_is_named() {
        assert!(settle::<u8>(7, &BTreeMap::new()).is_empty());
        assert!(settle(7, &BTreeMap::from([(1, 0)])).is_empty());
    }

    proptest! {
        #[test]
        fn all_together_have_had_what_was_measured(
            measured in 0_u64..1 << 50,
            claims in prop::collection::btree_map(0_u8..50, 0_u64..1 << 50, 1..40),
        ) {
            prop_assume!(claims.values().any(|claim| *claim > 0));
            let told = settle(measured, &claims);
            let sum: i128 = claims
                .iter()
                .map(|(who, claim)| i128::from(*claim) + i128::from(told[who]))
                .sum();
            prop_assert_eq!(sum, i128::from(measured));
            for (who, claim) in &claims {
                prop_assert!(signed(*claim) + told[who] >= 0, "{} has had less than nothing", who);
            }
        }
    }
}
