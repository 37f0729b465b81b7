//! How much of something a few tenants have.

use madang_types::TenantId;
use std::collections::BTreeMap;

/// Parts in which shares are counted here.
const MILLION: i128 = 1_000_000;

/// How an amount is spread over tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concentration {
    /// Tenants that have any of it.
    pub tenants: usize,
    /// The one that has the most; of equals the first by name.
    pub largest: TenantId,
    /// Its share, in thousandths, cut off.
    pub largest_permille: u32,
    /// The share of the three that have the most, likewise.
    pub largest_three_permille: u32,
    /// The Herfindahl-Hirschman index: the sum of the squares of all shares in percent, cut off. 10,000 where one has all, 10,000/n where
    /// n have the same.
    pub herfindahl: u32,
}

impl Concentration {
    /// Of these amounts; `None` where nobody has any.
    pub fn of(amounts: &BTreeMap<&TenantId, i128>) -> Option<Self> {
        let mut shares: Vec<(i128, &TenantId)> = amounts
            .iter()
            .filter(|(_, amount)| **amount > 0)
            .map(|(tenant, amount)| (*amount, *tenant))
            .collect();
        shares.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        let total: i128 = shares.iter().map(|(amount, _)| amount).sum();
        let (most, largest) = shares.first()?;
        let three: i128 = shares.iter().take(3).map(|(amount, _)| amount).sum();
        let squares = shares.iter().map(|(amount, _)| {
            let share = amount * MILLION / total;
            share * share
        });
        // A share of 1 is 100 percent: its square of millionths is 10¹², and 10⁴ is meant.
        let herfindahl = squares.sum::<i128>() / 100_000_000;
        Some(Self {
            tenants: shares.len(),
            largest: (*largest).clone(),
            largest_permille: small(most * 1000 / total),
            largest_three_permille: small(three * 1000 / total),
            herfindahl: small(herfindahl),
        })
    }
}

fn small(number: i128) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_the_largest() {
        let check = |amounts: &[i128], expected: Option<(usize, u32, u32, u32)>| {
            let names: Vec<TenantId> = (0..amounts.len())
                .map(|place| format!("t{place}").parse().unwrap())
                .collect();
            let amounts = names.iter().zip(amounts.iter().copied()).collect();
            let found = Concentration::of(&amounts).map(|c| {
                (
                    c.tenants,
                    c.largest_permille,
                    c.largest_three_permille,
                    c.herfindahl,
                )
            });
            assert_eq!(found, expected, "{amounts:?}");
        };
        check(&[], None);
        check(&[0, 0], None);
        check(&[7], Some((1, 1000, 1000, 10_000)));
        check(&[5, 5], Some((2, 500, 1000, 5000)));
        check(&[0, 1, 2, 3, 4], Some((4, 400, 900, 3000)));
        check(&[1, -5, 1], Some((2, 500, 1000, 5000)));
        let most = i128::from(i64::MAX);
        check(&[most; 10], Some((10, 100, 300, 1000)));
    }

    #[test]
    fn of_equals_the_first_by_name_is_the_largest() {
        let [b, a]: [TenantId; 2] = ["b", "a"].map(|name| name.parse().unwrap());
        let amounts = [(&b, 2), (&a, 2)].into();
        assert_eq!(Concentration::of(&amounts).unwrap().largest, a);
    }
}
