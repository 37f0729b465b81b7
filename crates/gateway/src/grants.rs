//! What programmes grant says how their tenants share: a grant is a promise, and promises are kept in proportion.

use madang_core::Shares;
use madang_types::{Allocation, Micros, ProgrammeId, TenantId};
use std::collections::{BTreeMap, BTreeSet};

/// Weight of the tenant that is granted most.
const WEIGHT_MAX: u32 = 1_000_000;
/// A rate is counted in so small parts of its unit a second.
const PARTS: i128 = 1_000_000_000_000_000_000;

/// Puts what is granted at `now` in the place of weights. A tenant weighs what its programme's allocations in force give it for
/// each second of their time, beside what they give the others; one with nothing in force weighs least. Where a programme has
/// no allocation in force, or grants in what cannot be compared (won and tokens, tokens for models of two classes), weights stay as they were declared.
pub(crate) fn weigh(shares: &mut Shares, allocations: &[Allocation], now: Micros) {
    let programmes: BTreeMap<&TenantId, Option<&ProgrammeId>> = shares
        .tenants
        .iter()
        .map(|share| (&share.tenant, share.programme.as_ref()))
        .collect();
    let in_force = allocations.iter().filter(|allocation| {
        let of = programmes.get(&allocation.tenant).copied().flatten();
        of == Some(&allocation.programme) && allocation.from <= now && now < allocation.ends_at()
    });
    let mut rates: BTreeMap<ProgrammeId, BTreeMap<TenantId, i128>> = BTreeMap::new();
    let mut units = BTreeMap::new();
    let mut mixed: BTreeSet<ProgrammeId> = BTreeSet::new();
    for allocation in in_force {
        let counted = (allocation.unit, &allocation.class);
        let of = units.entry(&allocation.programme).or_insert(counted);
        if *of != counted {
            mixed.insert(allocation.programme.clone());
        }
        let of = rates.entry(allocation.programme.clone()).or_default();
        let rate = of.entry(allocation.tenant.clone()).or_default();
        *rate = rate.saturating_add(rate_of(allocation));
    }
    for share in &mut shares.tenants {
        let granted = share.programme.as_ref().and_then(|programme| {
            let compared = !mixed.contains(programme);
            rates.get(programme).filter(|_| compared)
        });
        if let Some(granted) = granted {
            let most = granted.values().copied().max().unwrap_or(0).max(1);
            let own = granted.get(&share.tenant).copied().unwrap_or(0);
            share.weight = weight(own, most);
        }
    }
}

/// What an allocation gives in a second.
fn rate_of(allocation: &Allocation) -> i128 {
    let length_us = i128::from(allocation.until.0) - i128::from(allocation.from.0);
    i128::from(allocation.amount.max(0)) * PARTS / length_us.max(1)
}

fn weight(own: i128, most: i128) -> u32 {
    // Of numbers as large as these the last digits do not count.
    let (own, most) = if most > i128::MAX >> 24 {
        (own >> 24, most >> 24)
    } else {
        (own, most)
    };
    let weight = own * i128::from(WEIGHT_MAX) / most;
    u32::try_from(weight)
        .unwrap_or(WEIGHT_MAX)
        .clamp(1, WEIGHT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_core::TenantShare;
    use madang_types::Unit;

    /// Days from one to another, of an amount.
    fn grant(programme: &str, tenant: &str, amount: i64, days: (i64, i64)) -> Allocation {
        Allocation {
            id: format!("{tenant}-{}", days.0).parse().unwrap(),
            programme: programme.parse().unwrap(),
            tenant: tenant.parse().unwrap(),
            unit: Unit::MicroWon,
            class: None,
            amount,
            hard: false,
            from: Micros(days.0 * 86_400_000_000),
            tranches: Vec::new(),
            until: Micros(days.1 * 86_400_000_000),
            created_at: Micros(0),
            recalled_at: None,
        }
    }

    /// Weights on day ten of tenants a and b of programme p, c of q, and d of none, declared as 3, 5, 7 and 9.
    #[track_caller]
    fn check(allocations: &[Allocation], expected: [u32; 4]) {
        let share = |(tenant, programme, weight): (&str, Option<&str>, u32)| TenantShare {
            tenant: tenant.parse().unwrap(),
            programme: programme.map(|id| id.parse().unwrap()),
            weight,
        };
        let tenants = [
            ("a", Some("p"), 3),
            ("b", Some("p"), 5),
            ("c", Some("q"), 7),
            ("d", None, 9),
        ];
        let mut shares = Shares {
            programmes: Vec::new(),
            tenants: tenants.map(share).to_vec(),
            ..Shares::default()
        };
        weigh(&mut shares, allocations, Micros(10 * 86_400_000_000));
        let weights: Vec<u32> = shares.tenants.iter().map(|share| share.weight).collect();
        assert_eq!(weights, expected);
    }

    #[test]
    fn a_tenant_weighs_what_it_is_granted_for_each_second() {
        check(&[], [3, 5, 7, 9]);
        let month = |tenant, amount| grant("p", tenant, amount, (0, 30));
        check(
            &[month("a", 300), month("b", 100)],
            [1_000_000, 333_333, 7, 9],
        );
        // The same for a year is less than a month's.
        let year = grant("p", "a", 300, (0, 365));
        check(&[year, month("b", 100)], [246_575, 1_000_000, 7, 9]);
        // Tranches under way add up; who was granted nothing weighs least.
        check(
            &[month("a", 100), grant("p", "a", 50, (5, 20))],
            [1_000_000, 1, 7, 9],
        );
        // What is over, not begun, recalled, or another programme's does not count.
        let mut recalled = month("a", 900);
        recalled.recalled_at = Some(Micros(1));
        let idle = [
            grant("p", "a", 900, (0, 10)),
            grant("p", "a", 900, (11, 30)),
            grant("q", "a", 900, (0, 30)),
            recalled,
        ];
        check(&idle, [3, 5, 7, 9]);
        // Won and tokens are not compared.
        let mut tokens = month("b", 100);
        tokens.unit = Unit::Tokens;
        check(&[month("a", 300), tokens.clone()], [3, 5, 7, 9]);
        // Nor are tokens for models of two classes, or of one and of any.
        let mut large = tokens.clone();
        large.tenant = "a".parse().unwrap();
        large.class = Some("large".parse().unwrap());
        check(&[large.clone(), tokens.clone()], [3, 5, 7, 9]);
        tokens.class.clone_from(&large.class);
        check(&[large, tokens], [1_000_000, 1_000_000, 7, 9]);
        // Nothing overflows, and nothing is shared by zero.
        let instant = grant("p", "b", i64::MAX, (10, 11));
        check(
            &[grant("p", "a", i64::MAX, (0, 365)), instant],
            [2_739, 1_000_000, 7, 9],
        );
        check(&[month("a", 0)], [1, 1, 7, 9]);
    }
}
