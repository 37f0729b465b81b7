//! When a programme grants: within its own period.

use madang_types::{Allocation, Micros, Period};

/// Whether an allocation lies within its programme's period.
///
/// # Errors
/// On which side it does not.
pub fn check_within(allocation: &Allocation, period: Period) -> Result<(), String> {
    let Allocation {
        programme,
        from,
        until,
        ..
    } = allocation;
    if period.from.is_some_and(|begins| *from < begins) {
        return Err(format!(
            "it begins before its programme '{programme}' does: let it begin later"
        ));
    }
    if period.until.is_some_and(|ends: Micros| ends < *until) {
        return Err(format!(
            "it ends after its programme '{programme}' does: let it end by then"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::Unit;

    fn period(from: Option<i64>, until: Option<i64>) -> Period {
        Period {
            from: from.map(Micros),
            until: until.map(Micros),
        }
    }

    fn expect(found: Result<(), String>, expected: Result<(), &str>) {
        match (found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_grant_lies_within_its_programme() {
        let check = |from, until, expected| {
            let allocation = Allocation {
                id: "hanbit-2026".parse().unwrap(),
                programme: "startups".parse().unwrap(),
                tenant: "hanbit".parse().unwrap(),
                unit: Unit::MicroWon,
                class: None,
                amount: 1,
                hard: true,
                from: Micros(200),
                tranches: Vec::new(),
                until: Micros(300),
                created_at: Micros(0),
                recalled_at: None,
            };
            expect(check_within(&allocation, period(from, until)), expected);
        };
        check(None, None, Ok(()));
        check(Some(200), Some(300), Ok(()));
        check(Some(201), Some(300), Err("begins before"));
        check(Some(200), Some(299), Err("ends after"));
        check(None, Some(100), Err("ends after"));
    }
}
