//! Allocations that come in parts. The whole is promised, and stands in the allocation's account, from its making on; what may be moved
//! from there to gateways is what the instant has released. So nothing need be done when a tranche comes, and none is ever late.

use madang_types::{Allocation, Micros, Tranche};

/// The most tranches of one allocation: two years by the month.
pub const TRANCHES_COUNT_MAX: usize = 24;

/// Whether the tranches of an allocation are its amount, in order, within its period.
///
/// # Errors
/// What is wrong with them.
pub fn check_tranches(allocation: &Allocation) -> Result<(), String> {
    let tranches = allocation.tranches.as_slice();
    let Some(first) = tranches.first() else {
        return Ok(());
    };
    if tranches.len() > TRANCHES_COUNT_MAX {
        return Err(format!(
            "there are {} tranches, and an allocation has {TRANCHES_COUNT_MAX} at most",
            tranches.len()
        ));
    }
    if first.from != allocation.from {
        return Err(
            "the first tranche comes when the allocation begins, and at no other time".into(),
        );
    }
    for (tranche, number) in tranches.iter().zip(1..) {
        if tranche.amount < 1 {
            return Err(format!(
                "tranche {number} is {}, and each is at least 1",
                tranche.amount
            ));
        }
        if tranche.from >= allocation.until {
            return Err(format!(
                "tranche {number} comes when the allocation has ended"
            ));
        }
    }
    if !tranches.is_sorted_by(|one, next| one.from < next.from) {
        return Err("each tranche comes after the one before it: put them in order".into());
    }
    let sum = tranches.iter().map(|tranche| i128::from(tranche.amount));
    let sum: i128 = sum.sum();
    if sum != i128::from(allocation.amount) {
        return Err(format!(
            "the tranches are {sum} in all, and the allocation {}",
            allocation.amount
        ));
    }
    Ok(())
}

/// What of an allocation has not come yet: nobody may have it, wherever it stands.
pub fn unreleased(allocation: &Allocation, now: Micros) -> i64 {
    coming(allocation, now).fold(0, |sum, tranche| sum.saturating_add(tranche.amount))
}

/// When the next part of it comes.
pub fn next_tranche(allocation: &Allocation, now: Micros) -> Option<Micros> {
    coming(allocation, now).next().map(|tranche| tranche.from)
}

fn coming(allocation: &Allocation, now: Micros) -> impl Iterator<Item = &Tranche> {
    let tranches = allocation.tranches.iter();
    tranches.filter(move |tranche| now < tranche.from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::Unit;

    /// 600 from 200 until 500.
    fn allocation(tranches: &[(i64, i64)]) -> Allocation {
        let tranches = tranches.iter().map(|(from, amount)| Tranche {
            from: Micros(*from),
            amount: *amount,
        });
        Allocation {
            id: "hanbit-2026".parse().unwrap(),
            programme: "startups".parse().unwrap(),
            tenant: "hanbit".parse().unwrap(),
            unit: Unit::MicroWon,
            class: None,
            amount: 600,
            hard: true,
            from: Micros(200),
            tranches: tranches.collect(),
            until: Micros(500),
            created_at: Micros(100),
            recalled_at: None,
        }
    }

    #[test]
    fn tranches_are_the_whole_in_order_and_in_time() {
        let check = |tranches: &[(i64, i64)], expected: Result<(), &str>| {
            let found = check_tranches(&allocation(tranches));
            match (found, expected) {
                (Ok(()), Ok(())) => {}
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                other => unreachable!("{tranches:?}: {other:?}"),
            }
        };
        check(&[], Ok(()));
        check(&[(200, 600)], Ok(()));
        check(&[(200, 100), (300, 200), (499, 300)], Ok(()));
        check(&[(200, 100), (500, 500)], Err("tranche 2 comes when"));
        check(&[(199, 600)], Err("the first tranche comes when"));
        check(&[(201, 600)], Err("the first tranche comes when"));
        check(
            &[(200, 100), (400, 200), (300, 300)],
            Err("put them in order"),
        );
        check(&[(200, 100), (200, 500)], Err("put them in order"));
        check(&[(200, 600), (300, 0)], Err("tranche 2 is 0"));
        check(&[(200, 700), (300, -100)], Err("tranche 2 is -100"));
        check(&[(200, 100), (300, 499)], Err("are 599 in all"));
        check(&[(200, 100), (300, 501)], Err("are 601 in all"));
        let most = i64::MAX;
        check(&[(200, most), (300, most), (400, 602)], Err("in all"));
        let many: Vec<(i64, i64)> = (0..25).map(|at| (200 + at, 24)).collect();
        check(&many, Err("there are 25 tranches"));
        check(&many[..24], Err("are 576 in all"));
    }

    #[test]
    fn a_tranche_comes_at_its_instant_and_what_came_stays() {
        let allocation = allocation(&[(200, 100), (300, 200), (400, 300)]);
        for (now, waits, next) in [
            (0, 600, Some(200)),
            (199, 600, Some(200)),
            (200, 500, Some(300)),
            (299, 500, Some(300)),
            (300, 300, Some(400)),
            (400, 0, None),
            (9_999, 0, None),
        ] {
            assert_eq!(unreleased(&allocation, Micros(now)), waits, "{now}");
            assert_eq!(next_tranche(&allocation, Micros(now)), next.map(Micros));
        }
    }
}
