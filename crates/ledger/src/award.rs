//! What is left of awards, in minutes of accelerators: what a cluster's own limits are set by.

use crate::accelerator::paid_by;
use crate::unreleased;
use madang_types::{Allocation, Class, MicroWon, Micros, Unit};
use std::collections::BTreeMap;

/// Milliseconds in a minute.
const MINUTE_MS: u64 = 60_000;
/// The finest parts of accelerator time in a minute of a whole accelerator: microseconds of a thousandth of it.
const MINUTE_PARTS: i128 = 60_000_000 * 1_000;

/// Minutes that jobs may still take of accelerators of some kinds; `None` where nothing bounds them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinutesLeft {
    /// Of all these kinds together.
    pub all: Option<u64>,
    /// Of each.
    pub of: BTreeMap<Class, Option<u64>>,
}

/// What these allocations, of which so much is available, pay for at `at` of accelerators of the kinds in `hours`, an hour of each of
/// which has that price. An allocation that could pay for several kinds counts for each of them, and once for all together.
pub fn minutes_left(
    grants: &[(Allocation, i64)],
    hours: &BTreeMap<Class, MicroWon>,
    at: Micros,
) -> MinutesLeft {
    let open = grants
        .iter()
        .filter(|(grant, _)| grant.from <= at && at < grant.ends_at());
    let (mut any, mut won) = (0_u64, None::<i64>);
    let mut own: BTreeMap<&Class, u64> = BTreeMap::new();
    for (grant, available) in open {
        let left = available.saturating_sub(unreleased(grant, at)).max(0);
        let ms = u64::try_from(left).unwrap_or(0);
        match (grant.unit, &grant.class) {
            (Unit::MicroWon, _) => won = Some(won.unwrap_or(0).saturating_add(left)),
            (Unit::AcceleratorMs, None) => any = any.saturating_add(ms),
            (Unit::AcceleratorMs, Some(kind)) if hours.contains_key(kind) => {
                let sum = own.entry(kind).or_default();
                *sum = sum.saturating_add(ms);
            }
            _ => {}
        }
    }
    // Where an hour costs nothing, won pay for as many as there are.
    let by_won = |hour: MicroWon| match won {
        None => Some(0),
        Some(_) if hour.0 <= 0 => None,
        Some(won) => u64::try_from(paid_by(hour, MicroWon(won)) / MINUTE_PARTS + 1).ok(),
    };
    let of = hours.iter().map(|(kind, hour)| {
        let ms = any.saturating_add(own.get(kind).copied().unwrap_or(0));
        let minutes = by_won(*hour).map(|more| ms.div_ceil(MINUTE_MS).saturating_add(more));
        (kind.clone(), minutes)
    });
    let cheapest = hours.values().min().copied();
    let most = cheapest.map_or(Some(0), by_won);
    let ms = own.values().fold(any, |sum, ms| sum.saturating_add(*ms));
    MinutesLeft {
        all: most.map(|more| ms.div_ceil(MINUTE_MS).saturating_add(more)),
        of: of.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::{AllocationId, ProgrammeId, TenantId, Tranche};

    const HOUR_MS: i64 = 3_600_000;
    const WON: i64 = 1_000_000;

    fn class(name: &str) -> Class {
        name.parse().unwrap()
    }

    /// In force from 10 to 20.
    fn grant(unit: Unit, kind: Option<&str>, amount: i64) -> (Allocation, i64) {
        let allocation = Allocation {
            id: AllocationId::new("a").unwrap(),
            programme: ProgrammeId::new("p").unwrap(),
            tenant: TenantId::new("t").unwrap(),
            unit,
            class: kind.map(class),
            amount,
            hard: true,
            from: Micros(10),
            tranches: Vec::new(),
            until: Micros(20),
            created_at: Micros(0),
            recalled_at: None,
        };
        (allocation, amount)
    }

    #[track_caller]
    fn check(grants: &[(Allocation, i64)], hours: [i64; 2], at: i64, expected: [Option<u64>; 3]) {
        let [h200, b200] = hours.map(|won| MicroWon(won * WON));
        let hours = BTreeMap::from([(class("h200"), h200), (class("b200"), b200)]);
        let left = minutes_left(grants, &hours, Micros(at));
        let found = [left.all, left.of[&class("h200")], left.of[&class("b200")]];
        assert_eq!(found, expected);
    }

    #[test]
    fn each_kind_has_what_pays_for_it() {
        let any = grant(Unit::AcceleratorMs, None, 10 * HOUR_MS);
        let own = grant(Unit::AcceleratorMs, Some("h200"), HOUR_MS + 1);
        let other = grant(Unit::AcceleratorMs, Some("atom"), 5 * HOUR_MS);
        let won = grant(Unit::MicroWon, None, 900 * WON);
        check(&[], [0, 0], 15, [Some(0), Some(0), Some(0)]);
        check(
            &[any.clone(), own.clone(), other],
            [0, 0],
            15,
            [Some(661), Some(661), Some(600)],
        );
        let granted = [any.clone(), own.clone(), won.clone()];
        // 900 won: an hour of the one, three of the other, and no minute less.
        check(
            &granted,
            [900, 300],
            15,
            [Some(661 + 181), Some(661 + 61), Some(600 + 181)],
        );
        check(&granted, [900, 0], 15, [None, Some(661 + 61), None]);
        // Not begun, over, recalled.
        check(&granted, [900, 300], 9, [Some(0); 3]);
        check(&granted, [900, 300], 20, [Some(0); 3]);
        let mut recalled = any;
        recalled.0.recalled_at = Some(Micros(12));
        check(&[recalled], [0, 0], 15, [Some(0); 3]);
    }

    #[test]
    fn what_has_not_come_is_not_left() {
        let (mut allocation, amount) = grant(Unit::AcceleratorMs, None, 3 * HOUR_MS);
        let tranche = |from, hours| Tranche {
            from: Micros(from),
            amount: hours * HOUR_MS,
        };
        allocation.tranches = vec![tranche(10, 1), tranche(15, 2)];
        let grants = [(allocation, amount)];
        check(&grants, [0, 0], 14, [Some(60); 3]);
        check(&grants, [0, 0], 15, [Some(180); 3]);
    }
}
