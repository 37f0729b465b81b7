//! Parts by weight.

use crate::learn::whole;
use std::collections::BTreeMap;

/// Each one's part: its programme's among programmes (and those without one), times its own inside. Given are each one's programme with
/// that one's weight, and its own.
pub(crate) fn parts<P: Ord + Copy>(weights: &[(Option<(P, u32)>, u32)]) -> Vec<f64> {
    let mut inside: BTreeMap<P, u64> = BTreeMap::new();
    let mut total = 0_u64;
    for (above, weight) in weights {
        let weight = u64::from(*weight);
        match above {
            None => total += weight,
            Some((programme, among)) => {
                let sum = inside.entry(*programme).or_insert_with(|| {
                    total += u64::from(*among);
                    0
                });
                *sum += weight;
            }
        }
    }
    let total = whole(total.max(1));
    let part = |(above, weight): &(Option<(P, u32)>, u32)| {
        let weight = f64::from(*weight);
        match above {
            None => weight / total,
            Some((programme, among)) => {
                let inside = inside.get(programme).copied().unwrap_or(1).max(1);
                f64::from(*among) / total * weight / whole(inside)
            }
        }
    };
    weights.iter().map(part).collect()
}
