use super::*;
use crate::TenantShare;
use proptest::prelude::*;
use proptest::sample::subsequence;

const SECOND_US: f64 = 1e6;

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("the name is well formed")
}

fn programme(name: &str) -> ProgrammeId {
    ProgrammeId::new(name).expect("the name is well formed")
}

/// Tenants with weights, no programmes.
fn flat(weights: &[(&str, u32)]) -> Shares {
    let share = |(name, weight): &(&str, u32)| TenantShare {
        tenant: tenant(name),
        programme: None,
        weight: *weight,
    };
    Shares {
        programmes: vec![],
        tenants: weights.iter().map(share).collect(),
        ..Shares::default()
    }
}

fn used(served: &[(&str, f64)]) -> Vec<(TenantId, Used)> {
    let used = |(name, seconds): &(&str, f64)| {
        let served_us = seconds * SECOND_US;
        let asked_us = served_us;
        (
            tenant(name),
            Used {
                served_us,
                asked_us,
            },
        )
    };
    served.iter().map(used).collect()
}

fn pool(accelerators: u32, contended: bool, served: &[(&str, f64)]) -> PoolInterval {
    PoolInterval {
        accelerators,
        contended,
        used: used(served),
    }
}

/// One interval of 100 s, and the balances after it in seconds.
#[track_caller]
fn check(shares: &Shares, pools: &[PoolInterval], expected: &[(&str, f64)]) {
    let mut credits = Credits::new(CreditTerms::default());
    credits.shares_apply(shares);
    credits.settle(Micros(0), &[]);
    credits.settle(Micros(100_000_000), pools);
    for (name, seconds) in expected {
        let got = credits.tenants.accounts[&tenant(name)].balance_us / SECOND_US;
        assert!((got - seconds).abs() < 1e-6, "{name}: {got}, not {seconds}");
    }
}

#[test]
fn what_is_left_is_lent_in_proportion_and_owed_by_whoever_took_it() {
    let two = flat(&[("a", 1), ("b", 1)]);
    let busy = |served: &[(&str, f64)]| vec![pool(1, false, served)];
    // Nobody took what was left.
    check(&two, &busy(&[("a", 40.0)]), &[("a", 0.0), ("b", 0.0)]);
    check(
        &two,
        &busy(&[("a", 50.0), ("b", 50.0)]),
        &[("a", 0.0), ("b", 0.0)],
    );
    // Thirty were taken, of fifty that were left.
    check(&two, &busy(&[("a", 80.0)]), &[("a", -30.0), ("b", 30.0)]);
    let three = flat(&[("a", 2), ("b", 1), ("c", 1)]);
    let expected = [("a", -20.0), ("b", 12.5), ("c", 7.5)];
    check(&three, &busy(&[("a", 70.0), ("c", 10.0)]), &expected);
    // Where requests wait, what was served is all that there was.
    let waited = [pool(1, true, &[("a", 40.0), ("b", 20.0)])];
    check(&two, &waited, &[("a", -10.0), ("b", 10.0)]);
    // Who uses all of one pool and leaves the other as large owes nothing.
    let pools = [
        pool(1, false, &[("a", 100.0)]),
        pool(1, false, &[("b", 100.0)]),
    ];
    check(&two, &pools, &[("a", 0.0), ("b", 0.0)]);
    // Of tenants without a share nothing is counted.
    check(
        &two,
        &busy(&[("a", 30.0), ("x", 70.0)]),
        &[("a", 0.0), ("b", 0.0)],
    );
}

#[test]
fn parts_are_the_programmes_and_then_the_tenants() {
    let share = |name: &str, above: Option<&str>, weight| TenantShare {
        tenant: tenant(name),
        programme: above.map(programme),
        weight,
    };
    let shares = Shares {
        programmes: vec![(programme("p"), 2), (programme("empty"), 100)],
        tenants: vec![
            share("a", Some("p"), 3),
            share("b", Some("p"), 1),
            share("c", None, 2),
        ],
        ..Shares::default()
    };
    let got: Vec<f64> = parts(&shares).map(|(_, part)| part).collect();
    assert_eq!(got, [0.375, 0.125, 0.5]);
}

#[test]
fn a_balance_halves_in_its_half_life_and_stands_at_the_cap() {
    let day = |n: i64| Micros(n * 86_400_000_000);
    let mut credits = Credits::new(CreditTerms::default());
    credits.shares_apply(&flat(&[("a", 1), ("b", 1)]));
    credits.settle(day(0), &[pool(1, false, &[])]);
    // One accelerator, all of it used by one: the cap of 7 days of half of it is reached in a week.
    for n in 1..=10 {
        credits.settle(day(n), &[pool(1, false, &[("a", 86_400.0)])]);
    }
    let week_s = 3.5 * 86_400.0;
    let balance_s =
        |credits: &Credits, name| credits.tenants.accounts[&tenant(name)].balance_us / SECOND_US;
    assert!((balance_s(&credits, "a") + week_s).abs() < 1e-6);
    assert!((balance_s(&credits, "b") - week_s).abs() < 1e-6);
    assert!((credits.reach(&tenant("b")).factor - 4.0).abs() < 1e-12);
    assert!((credits.reach(&tenant("a")).factor - 0.25).abs() < 1e-12);
    assert!((credits.reach(&tenant("nobody")).factor - 1.0).abs() < 1e-12);
    credits.settle(day(40), &[pool(1, false, &[])]);
    assert!((balance_s(&credits, "b") / week_s - 0.5).abs() < 1e-3);
    // Back to where it was, as a restart would have it.
    let rows = credits.rows();
    let mut again = Credits::new(CreditTerms::default());
    again.shares_apply(&flat(&[("a", 1), ("b", 1)]));
    again.restore(rows.clone());
    assert_eq!(again.rows(), rows);
    // Without a cap above nothing, nothing is kept.
    credits.terms_apply(CreditTerms {
        cap_days: 0,
        ..CreditTerms::default()
    });
    assert!(credits.rows().iter().all(|row| row.balance_us == 0));
}

#[test]
fn months_are_civil_ones_of_their_offset() {
    let at = |seconds: i64| Micros(seconds * 1_000_000);
    assert_eq!(month_number(at(0), 0), 1970 * 12);
    assert_eq!(month_number(at(-1), 0), 1969 * 12 + 11);
    // 2026-11-30T15:00Z is December in Seoul, and 2028 has its leap day.
    assert_eq!(month_number(at(1_796_050_800), 32_400), 2026 * 12 + 11);
    assert_eq!(month_number(at(1_796_050_799), 32_400), 2026 * 12 + 10);
    assert_eq!(month_number(at(1_835_395_200), 0), 2028 * 12 + 1);
    let mut credits = Credits::new(CreditTerms::default());
    credits.shares_apply(&flat(&[("a", 1), ("b", 3)]));
    credits.settle(at(0), &[]);
    credits.settle(at(100), &[pool(1, false, &[("a", 20.0)])]);
    let month = credits.tenants.accounts[&tenant("a")].month;
    let second = 1_000_000;
    assert_eq!(
        (month.delivered_us, month.entitled_us),
        (20 * second, 25 * second)
    );
    assert_eq!(month.delivered_permille(), Some(1000));
    credits.settle(at(40 * 86_400), &[]);
    let month = credits.tenants.accounts[&tenant("a")].month;
    assert_eq!((month.number, month.delivered_us), (1970 * 12 + 1, 0));
    assert_eq!(month.delivered_permille(), None);
}

/// Each one's part, reach, and what it asks for.
#[track_caller]
fn check_leans(claimants: &[(f64, f64, f64)], expected: Option<&[f64]>) {
    let claimant = |(part, factor, asks): &(f64, f64, f64)| claimant(*part, (*factor, 1.0), *asks);
    let claimants: Vec<Claimant> = claimants.iter().map(claimant).collect();
    check_leaned(&claimants, expected);
}

/// What its share may become, and how much of that goes before others' gains, stand together.
fn claimant(part: f64, (factor, first): (f64, f64), asks: f64) -> Claimant {
    let reach = Reach { factor, first };
    Claimant { part, reach, asks }
}

#[track_caller]
fn check_leaned(claimants: &[Claimant], expected: Option<&[f64]>) {
    let got = leans(claimants);
    let near = |(one, other): (&f64, &f64)| (one - other).abs() < 1e-12;
    let same = match (&got, expected) {
        (Some(got), Some(expected)) => {
            got.len() == expected.len() && got.iter().zip(expected).all(near)
        }
        (None, None) => true,
        _ => false,
    };
    assert!(same, "{got:?}, not {expected:?}");
}

#[test]
fn credit_is_spent_out_of_the_debtors_parts() {
    check_leans(&[(0.5, 1.0, 9.0), (0.5, 1.0, 9.0)], None);
    // A debtor keeps a quarter of its own, and who has credit gets four times its own at most.
    let much = [(0.25, 4.0, 9.0), (0.75, 0.25, 9.0)];
    check_leans(&much, Some(&[0.8125, 0.1875]));
    check_leans(&[(0.1, 4.0, 9.0), (0.9, 0.25, 9.0)], Some(&[0.4, 0.6]));
    // Nobody gets more than it asks for, nobody pays but who owes.
    check_leans(&[(0.1, 4.0, 0.25), (0.9, 0.25, 9.0)], Some(&[0.25, 0.75]));
    check_leans(&[(0.5, 4.0, 9.0), (0.5, 1.0, 9.0)], None);
    check_leans(&[(0.5, 4.0, 0.5), (0.5, 0.25, 9.0)], None);
    let three = [(0.2, 4.0, 9.0), (0.4, 0.25, 9.0), (0.4, 1.0, 9.0)];
    check_leans(&three, Some(&[0.5, 0.1, 0.4]));
}

#[test]
fn those_with_a_programme_in_credit_come_first() {
    let gives = claimant(0.4, (0.25, 0.0), 9.0);
    let check = |firsts: [f64; 2], asks: [f64; 2], expected: [f64; 3]| {
        let [one, other] = [0, 1].map(|n| claimant(0.3, (4.0, firsts[n]), asks[n]));
        check_leaned(&[gives, one, other], Some(&expected));
    };
    // Neither is before the other.
    check([1.0, 1.0], [9.0, 9.0], [0.1, 0.45, 0.45]);
    check([0.0, 0.0], [9.0, 9.0], [0.1, 0.45, 0.45]);
    // One is, and leaves what it does not ask for.
    check([1.0, 0.0], [9.0, 9.0], [0.1, 0.6, 0.3]);
    check([1.0, 0.0], [0.4, 9.0], [0.1, 0.4, 0.5]);
    // With half of what it gains.
    check(
        [0.5, 0.0],
        [0.5, 0.5],
        [0.1, 0.45 + 0.05 / 3.0, 0.45 - 0.05 / 3.0],
    );
}

#[test]
fn programmes_lend_and_borrow_as_a_whole() {
    let share = |name: &str, above: Option<&str>| TenantShare {
        tenant: tenant(name),
        programme: above.map(programme),
        weight: 1,
    };
    let shares = Shares {
        programmes: vec![(programme("p"), 2), (programme("q"), 1)],
        tenants: vec![
            share("a", Some("p")),
            share("b", Some("p")),
            share("c", Some("q")),
            share("d", None),
        ],
        ..Shares::default()
    };
    let mut credits = Credits::new(CreditTerms::default());
    credits.shares_apply(&shares);
    credits.settle(Micros(0), &[]);
    // Each has a quarter; p has half of all, a takes a part of what its own programme leaves and no more, then more than that.
    let hour = |credits: &mut Credits, at: i64, served: &[(&str, f64)]| {
        credits.settle(Micros(at * 3_600_000_000), &[pool(1, false, served)]);
    };
    let balance_s = |credits: &Credits, name: &str| {
        let account = &credits.programmes.accounts[&Holder::Programme(programme(name))];
        account.balance_us / SECOND_US
    };
    hour(&mut credits, 1, &[("a", 1_800.0), ("c", 900.0)]);
    assert!(balance_s(&credits, "p").abs() < 1e-6);
    assert!(credits.account(&tenant("b")).unwrap().balance_us > 0.0);
    assert!(credits.reach(&tenant("b")).first.abs() < 1e-9);
    hour(&mut credits, 2, &[("a", 2_400.0), ("c", 450.0)]);
    // 600 of them, of the 450 that q leaves and the 900 that d does.
    assert!((balance_s(&credits, "p") + 600.0).abs() < 1e-6);
    assert!((balance_s(&credits, "q") - 200.0).abs() < 1e-6);
    let first = |credits: &Credits, name| credits.reach(&tenant(name)).first;
    assert!(first(&credits, "b").abs() < 1e-9);
    // A quarter of an hour of all is q's full hour.
    assert!((first(&credits, "c") - 200.0 / 900.0).abs() < 1e-9);
    assert!((first(&credits, "d") - 1.0).abs() < 1e-9);
    let rows = credits.rows();
    let mut again = Credits::new(CreditTerms::default());
    again.shares_apply(&shares);
    again.restore(rows.clone());
    assert_eq!(again.rows(), rows);
}

/// Some seconds of service of each of five tenants in one or two pools, and whether the pools were contended.
fn any_interval() -> impl Strategy<Value = (u64, Vec<PoolInterval>)> {
    let names = ["a", "b", "c", "d", "e"];
    let served = subsequence(names.to_vec(), 0..=5)
        .prop_flat_map(|names| {
            let each = prop::collection::vec(0.0..400.0, names.len());
            (Just(names), each)
        })
        .prop_map(|(names, each)| names.into_iter().zip(each).collect::<Vec<_>>());
    let one = (served, any::<bool>()).prop_map(|(served, contended)| pool(2, contended, &served));
    let pools = prop::collection::vec(one, 1..3);
    (10u64..500_000, pools)
}

fn five() -> impl Strategy<Value = Shares> {
    (
        prop::collection::vec(1u32..9, 5),
        prop::collection::vec(prop::option::of(0u8..2), 5),
    )
        .prop_map(|(weights, programmes)| Shares {
            programmes: vec![(programme("p0"), 3), (programme("p1"), 1)],
            tenants: ["a", "b", "c", "d", "e"]
                .into_iter()
                .zip(weights.into_iter().zip(programmes))
                .map(|(name, (weight, above))| TenantShare {
                    tenant: tenant(name),
                    programme: above.map(|n| programme(&format!("p{n}"))),
                    weight,
                })
                .collect(),
            ..Shares::default()
        })
}

proptest! {
    /// Credit is neither made nor lost but by fading and by the cap, which holds; what is earned is what was lent; the order in
    /// which tenants are named makes no difference.
    #[test]
    fn credit_is_owed(shares in five(), intervals in prop::collection::vec(any_interval(), 1..30), cap_days in 0u32..8) {
        let terms = CreditTerms { cap_days, ..CreditTerms::default() };
        let mut backwards = shares.clone();
        backwards.tenants.reverse();
        let (mut credits, mut other) = (Credits::new(terms), Credits::new(terms));
        credits.shares_apply(&shares);
        other.shares_apply(&backwards);
        let mut now = Micros(0);
        credits.settle(now, &[]);
        other.settle(now, &[]);
        for (seconds, pools) in intervals {
            now = Micros(now.0 + i64::try_from(seconds * 1_000_000).expect("it fits"));
            let before: Vec<f64> = credits.accounts().map(|(_, account)| account.balance_us).collect();
            let kept = half(whole(seconds) * SECOND_US / (30.0 * DAY_US));
            let lent = credits.settle(now, &pools);
            let mut reversed = pools.clone();
            for pool in &mut reversed {
                pool.used.reverse();
            }
            other.settle(now, &reversed);
            let cap_us = f64::from(cap_days) * DAY_US * credits.accelerators;
            let (mut earned, mut change, mut capped) = (0.0, 0.0, false);
            for ((name, account), before) in credits.tenants.accounts.iter().zip(before) {
                let limit = cap_us * account.part;
                prop_assert!(account.balance_us.abs() <= limit, "{name} has {account:?}");
                capped |= account.balance_us.abs() >= limit * (1.0 - 1e-12);
                // Debt that a cap cuts off, as where there are fewer replicas than before, was not earned.
                if account.balance_us > -limit {
                    earned += (account.balance_us - before * kept).max(0.0);
                }
                change += account.balance_us - before * kept;
                let apart = other.tenants.accounts[name].balance_us - account.balance_us;
                prop_assert!(apart.abs() < 1.0, "{name} by order: {apart}");
            }
            for (holder, account) in &credits.programmes.accounts {
                prop_assert!(account.balance_us.abs() <= cap_us * account.part, "{holder:?} has {account:?}");
                let apart = other.programmes.accounts[holder].balance_us - account.balance_us;
                prop_assert!(apart.abs() < 1.0, "{holder:?} by order: {apart}");
            }
            prop_assert!(earned <= lent + 1.0, "{earned} earned of {lent}");
            if !capped {
                prop_assert!(change.abs() < 1.0, "{change} from nowhere");
            }
            if !capped && pools.len() == 1 {
                prop_assert!((earned - lent).abs() < 1.0, "{earned} earned of {lent}");
            }
        }
    }

    /// Whatever credit moves, the parts are the same in sum, and none goes beyond what it may become or what it asks for.
    #[test]
    fn leaning_moves_and_makes_nothing(claimants in prop::collection::vec((0.01..1.0, (0.25..4.0, 0.0..=1.0), 0.0..2.0), 1..9)) {
        let claimants: Vec<Claimant> = claimants.into_iter()
            .map(|(part, reach, asks)| claimant(part, reach, asks)).collect();
        if let Some(parts) = leans(&claimants) {
            let sum: f64 = claimants.iter().map(|c| c.part).sum();
            prop_assert!((parts.iter().sum::<f64>() - sum).abs() < 1e-9);
            for (claimant, part) in claimants.iter().zip(parts) {
                let (own, reached) = (claimant.part, claimant.part * claimant.reach.factor);
                let most = reached.min(claimant.asks).max(own);
                prop_assert!(part >= own.min(reached) - 1e-12 && part <= most + 1e-12);
            }
        }
    }
}
