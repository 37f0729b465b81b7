//! What awards promised in a span, what of it was used, and what of what was used stood idle, as far as somebody measured it.

use super::held;
use super::promise::{is_in_force, promised};
use super::reconcile::drawn;
use super::rows::LegSum;
use crate::Leg;
use madang_types::{Allocation, AllocationId, Micros, RunBusy, Unit};
use std::collections::BTreeMap;

/// One award. Amounts are in its unit, times are milliseconds of a whole accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwardUse {
    /// Which.
    pub allocation: Allocation,
    /// The part of it that falls into the span.
    pub promised: i64,
    /// What was spent of it in the span, by requests and by runs of jobs that are over.
    pub used: i64,
    /// `promised − used`: below zero where more was spent than the span's part.
    pub unused: i64,
    /// Of what runs held that it pays for, so much was measured; of the rest nobody knows how busy it was.
    pub measured_ms: u64,
    /// What of that stood idle.
    pub idle_ms: u64,
}

/// A run that was measured, and what its last entry in the ledger moves.
#[derive(Clone, Copy, Debug)]
pub struct MeasuredRun<'a> {
    /// How busy it was.
    pub busy: &'a RunBusy,
    /// What pays for it; empty where nobody does.
    pub legs: &'a [Leg],
}

/// The awards of won and of accelerator time that were in force in a span, or of which something was spent in it, by id.
pub fn awards(
    allocations: &[Allocation],
    span: (Micros, Micros),
    legs: &[LegSum],
    runs: &[MeasuredRun<'_>],
) -> Vec<AwardUse> {
    let mut used: BTreeMap<&AllocationId, i128> = BTreeMap::new();
    for (allocation, amount) in legs.iter().filter_map(drawn) {
        *used.entry(allocation).or_default() += amount;
    }
    let mut measured: BTreeMap<AllocationId, [u64; 2]> = BTreeMap::new();
    for run in runs {
        for (allocation, times) in parts(run) {
            let [all, idle] = measured.entry(allocation).or_default();
            *all = all.saturating_add(times[0]);
            *idle = idle.saturating_add(times[1]);
        }
    }
    let of = |allocation: &Allocation| {
        let promised = promised(allocation, span);
        let used = held(used.get(&allocation.id).copied().unwrap_or(0));
        let [measured_ms, idle_ms] = measured.get(&allocation.id).copied().unwrap_or_default();
        AwardUse {
            allocation: allocation.clone(),
            promised,
            used,
            unused: promised.saturating_sub(used),
            measured_ms,
            idle_ms,
        }
    };
    let pays_jobs = |allocation: &&Allocation| {
        let unit = matches!(allocation.unit, Unit::MicroWon | Unit::AcceleratorMs);
        let there = is_in_force(allocation, span) || used.contains_key(&allocation.id);
        unit && (there || measured.contains_key(&allocation.id))
    };
    allocations.iter().filter(pays_jobs).map(of).collect()
}

/// The allocations that pay for a run.
pub fn payers(legs: &[Leg]) -> Vec<AllocationId> {
    let drawn = legs.iter().filter_map(|leg| leg.from.allocation());
    let mut all: Vec<AllocationId> = drawn.cloned().collect();
    all.dedup();
    all
}

/// What of a run's measured and idle time each allocation pays. Where all pay in one unit, by what each pays; else in their order, as
/// they are spent one after the other: each allocation of time as much as it pays, and the first one of won the rest.
fn parts(run: &MeasuredRun<'_>) -> Vec<(AllocationId, [u64; 2])> {
    let times = [run.busy.measured_ms, run.busy.idle_ms()];
    let payers: Vec<(&AllocationId, Unit, u64)> = run
        .legs
        .iter()
        .filter_map(|leg| {
            let amount = u64::try_from(leg.amount).ok()?;
            Some((leg.from.allocation()?, leg.unit, amount))
        })
        .collect();
    let alike = payers.windows(2).all(|two| two[0].1 == two[1].1);
    let whole: u64 = match alike {
        true => payers.iter().map(|(_, _, amount)| *amount).sum(),
        false => times[0],
    };
    let mut left = whole;
    let part = |(allocation, unit, amount): &(&AllocationId, Unit, u64)| {
        let own = match alike || *unit == Unit::AcceleratorMs {
            true => (*amount).min(left),
            false => left,
        };
        left -= own;
        let of = |ms: u64| {
            let part = u128::from(ms) * u128::from(own) / u128::from(whole.max(1));
            u64::try_from(part).unwrap_or(u64::MAX)
        };
        ((*allocation).clone(), times.map(of))
    };
    payers.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Account, Purse};
    use madang_types::{JobId, ProgrammeId, RunId, TaskId, TenantId};

    /// In force from 0 to 100.
    fn grant(id: &str, unit: Unit, amount: i64) -> Allocation {
        Allocation {
            id: id.parse().unwrap(),
            programme: ProgrammeId::new("p").unwrap(),
            tenant: TenantId::new("t").unwrap(),
            unit,
            class: None,
            amount,
            hard: true,
            from: Micros(0),
            tranches: Vec::new(),
            until: Micros(100),
            created_at: Micros(0),
            recalled_at: None,
        }
    }

    fn of(id: &str) -> Account {
        Account::Purse(Purse::Allocation(id.parse().unwrap()))
    }

    fn place() -> Account {
        Account::Site("pohang".parse().unwrap())
    }

    fn leg(id: &str, unit: Unit, amount: i64) -> Leg {
        Leg {
            unit,
            amount,
            from: of(id),
            to: place(),
        }
    }

    fn busy(measured_ms: u64, busy_ms: u64) -> RunBusy {
        let task = TaskId::from(JobId(1));
        let mut busy = RunBusy::new(RunId { task, number: 1 }, Micros(0));
        (busy.measured_ms, busy.busy_ms) = (measured_ms, busy_ms);
        busy
    }

    #[track_caller]
    fn check_parts(legs: &[Leg], expected: &[(&str, [u64; 2])]) {
        let busy = busy(1_000, 200);
        let found = parts(&MeasuredRun { busy: &busy, legs });
        let found: Vec<_> = found.iter().map(|(id, ms)| (id.as_str(), *ms)).collect();
        assert_eq!(found, expected, "{legs:?}");
    }

    #[test]
    fn idle_time_is_of_whoever_pays_for_it() {
        use Unit::{AcceleratorMs as Ms, MicroWon as Won};
        check_parts(&[], &[]);
        check_parts(&[leg("a", Won, 7)], &[("a", [1_000, 800])]);
        let two = [leg("a", Won, 75), leg("b", Won, 25)];
        check_parts(&two, &[("a", [750, 600]), ("b", [250, 200])]);
        let two = [leg("a", Ms, 10), leg("b", Ms, 30)];
        check_parts(&two, &[("a", [250, 200]), ("b", [750, 600])]);
        let two = [leg("a", Ms, 600), leg("b", Won, 9)];
        check_parts(&two, &[("a", [600, 480]), ("b", [400, 320])]);
        let two = [leg("a", Won, 9), leg("b", Ms, 600)];
        check_parts(&two, &[("a", [1_000, 800]), ("b", [0, 0])]);
        let other = Leg {
            from: Account::World,
            ..leg("a", Won, 5)
        };
        check_parts(&[other], &[]);
    }

    #[test]
    fn an_award_says_what_was_promised_used_measured_and_idle() {
        let (time, won) = (Unit::AcceleratorMs, Unit::MicroWon);
        let mut over = grant("over", time, 50);
        over.until = Micros(10);
        let mut late = grant("spent", won, 50);
        late.until = Micros(10);
        let all = [
            grant("a", time, 1_000),
            over,
            late,
            grant("tokens", Unit::Tokens, 5),
            grant("untouched", won, 90),
        ];
        let sum = |leg: Leg| LegSum {
            unit: leg.unit,
            from: leg.from,
            to: leg.to,
            amount: leg.amount,
        };
        let legs = [
            leg("a", time, 300),
            leg("a", time, 320),
            leg("spent", won, 5),
        ]
        .map(sum);
        let busy = busy(400, 100);
        let paid = [leg("a", time, 300)];
        let run = MeasuredRun {
            busy: &busy,
            legs: &paid,
        };
        let found = awards(&all, (Micros(50), Micros(100)), &legs, &[run]);
        let told: Vec<_> = found
            .iter()
            .map(|row| {
                let amounts = [row.promised, row.used, row.unused];
                (
                    row.allocation.id.as_str(),
                    amounts,
                    [row.measured_ms, row.idle_ms],
                )
            })
            .collect();
        let expected = [
            ("a", [500, 620, -120], [400, 300]),
            ("spent", [0, 5, -5], [0, 0]),
            ("untouched", [45, 0, 45], [0, 0]),
        ];
        assert_eq!(told, expected);
        assert_eq!(payers(&paid), ["a".parse().unwrap()]);
    }
}
