//! How evenly tenants were treated: Jain's index of what each got of what was its own.

use super::Key;
use crate::scenario::Scenario;
use crate::scenario::tally::Cell;
use std::collections::BTreeMap;

/// Jain's index over tenants that asked: what each was served, divided by what max-min fairness by weights gives it of all that was
/// served, first among programmes and then among each programme's tenants. Accelerator time counts, of a whole run.
pub(super) fn fairness(scenario: &Scenario, cells: &BTreeMap<Key, Cell>) -> f64 {
    let mut tenants = vec![(0.0, 0.0); scenario.tenants.len()];
    for ((_, _, tenant, _), cell) in cells {
        tenants[*tenant].0 += cell.asked_us as f64;
        tenants[*tenant].1 += cell.served_us as f64;
    }
    let mut got = Vec::new();
    // Programmes, and each tenant without one, stand beside each other.
    let mut families: Vec<(f64, Vec<usize>)> = scenario
        .programme_weights
        .iter()
        .map(|weight| (f64::from(*weight), Vec::new()))
        .collect();
    for (at, tenant) in scenario.tenants.iter().enumerate() {
        match tenant.programme {
            Some(programme) => families[programme].1.push(at),
            None => families.push((f64::from(tenant.weight), vec![at])),
        }
    }
    let served: f64 = tenants.iter().map(|(_, served)| served).sum();
    let wants = |family: &(f64, Vec<usize>)| family.1.iter().map(|at| tenants[*at].0).sum::<f64>();
    let asking: Vec<(f64, f64)> = families
        .iter()
        .map(|family| (family.0, wants(family)))
        .collect();
    for (level, (_, members)) in max_min(served, &asking).into_iter().zip(&families) {
        let asking: Vec<(f64, f64)> = members
            .iter()
            .map(|at| (f64::from(scenario.tenants[*at].weight), tenants[*at].0))
            .collect();
        for (own, at) in max_min(level, &asking).into_iter().zip(members) {
            if own > 0.0 {
                got.push(tenants[*at].1 / own);
            }
        }
    }
    jain(&got)
}

/// Jain's index: 1 where all are alike, 1/n where one has everything.
fn jain(values: &[f64]) -> f64 {
    let sum: f64 = values.iter().sum();
    let squares: f64 = values.iter().map(|value| value * value).sum();
    if squares > 0.0 {
        sum * sum / (values.len() as f64 * squares)
    } else {
        1.0
    }
}

/// What each gets of an amount by max-min fairness: (weight, what it wants).
fn max_min(amount: f64, asking: &[(f64, f64)]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..asking.len()).collect();
    let per_weight = |at: &usize| asking[*at].1 / asking[*at].0.max(1e-12);
    order.sort_by(|one, other| per_weight(one).total_cmp(&per_weight(other)));
    let mut left = amount;
    let mut weight: f64 = asking.iter().map(|(weight, _)| weight).sum();
    let mut given = vec![0.0; asking.len()];
    for at in order {
        let (own, wants) = asking[at];
        given[at] = wants.min(left * own / weight.max(1e-12));
        left -= given[at];
        weight -= own;
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wants_little_gets_it_and_the_rest_share_by_weight() {
        let check = |amount, asking: &[(f64, f64)], expected: &[f64]| {
            let given = max_min(amount, asking);
            assert!(
                given
                    .iter()
                    .zip(expected)
                    .all(|(one, other)| (one - other).abs() < 1e-9),
                "{given:?}"
            );
        };
        check(
            9.0,
            &[(1.0, 1.0), (1.0, 100.0), (1.0, 100.0)],
            &[1.0, 4.0, 4.0],
        );
        check(9.0, &[(2.0, 100.0), (1.0, 100.0)], &[6.0, 3.0]);
        check(9.0, &[(1.0, 2.0), (1.0, 3.0)], &[2.0, 3.0]);
    }

    #[test]
    fn jains_index_is_one_only_where_all_are_alike() {
        assert!((jain(&[2.0, 2.0, 2.0]) - 1.0).abs() < 1e-12);
        assert!((jain(&[3.0, 0.0, 0.0]) - 1.0 / 3.0).abs() < 1e-12);
    }
}
