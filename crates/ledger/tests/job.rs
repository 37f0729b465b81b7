//! The entries of jobs' runs against books in memory: nothing is overspent, nothing stays set aside, nothing counts twice.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use madang_ledger::{
    Account, Applied, Book, Entry, EntryId, JobPurses, JobRun, JobShort, JobUse, Leg, Phase, Purse,
    Subject, accelerator_cost, budget_entry, grant_entry,
};
use madang_types::{
    Allocation, CeilingId, MicroWon, Micros, MilliJoules, ProgrammeBudget, RunId, Tranche, Unit,
};
use proptest::prelude::*;

const HOUR_US: u64 = 3_600_000_000;
const HOUR_MS: i64 = 3_600_000;
/// 1,000 won in µ₩.
const KILO: i64 = 1_000_000_000;
const NOW: Micros = Micros(1_000);

fn grant(id: &str, unit: Unit, kind: Option<&str>, amount: i64) -> Allocation {
    Allocation {
        id: id.parse().unwrap(),
        programme: "startups".parse().unwrap(),
        tenant: "hanbit".parse().unwrap(),
        unit,
        class: kind.map(|kind| kind.parse().unwrap()),
        amount,
        hard: true,
        from: Micros(100),
        tranches: Vec::new(),
        until: Micros(10_000),
        created_at: Micros(10),
        recalled_at: None,
    }
}

fn hours(id: &str, kind: Option<&str>, hours: i64) -> Allocation {
    grant(id, Unit::AcceleratorMs, kind, hours * HOUR_MS)
}

fn won(id: &str, kilo: i64) -> Allocation {
    grant(id, Unit::MicroWon, None, kilo * KILO)
}

/// A run of eight accelerators at 1,000 won an hour of each.
fn run(id: &str) -> JobRun {
    JobRun {
        run: id.parse::<RunId>().unwrap(),
        tenant: "hanbit".parse().unwrap(),
        project: None,
        site: "pohang".parse().unwrap(),
        kind: "h200".parse().unwrap(),
        accelerator_milli: 8_000,
        hour: MicroWon(KILO),
    }
}

fn used(hours: u64) -> Option<JobUse> {
    Some(JobUse {
        span_us: hours * HOUR_US,
        energy: None,
        charged: true,
    })
}

/// Who gives how much.
fn gives(entry: Option<&Entry>) -> Vec<(String, Unit, i64)> {
    let legs = entry.map_or(&[][..], |entry| &entry.legs);
    let leg = |leg: &Leg| (leg.from.to_string(), leg.unit, leg.amount);
    legs.iter().map(leg).collect()
}

/// Grants with all that they were granted available.
fn full(grants: &[Allocation]) -> Vec<(Allocation, i64)> {
    grants
        .iter()
        .map(|grant| (grant.clone(), grant.amount))
        .collect()
}

/// What an hour of the run sets aside of these grants.
#[track_caller]
fn check(grants: &[Allocation], expected: Result<&[(&str, Unit, i64)], &str>) {
    let grants = full(grants);
    let purses = JobPurses {
        grants: Some(&grants),
        ceilings: &[],
    };
    let found = run("7-1").reserve(HOUR_US, purses, NOW);
    match (found, expected) {
        (Ok(entry), Ok(expected)) => {
            let expected = expected
                .iter()
                .map(|(id, unit, amount)| (format!("allocation:{id}"), *unit, *amount));
            assert_eq!(gives(entry.as_ref()), expected.collect::<Vec<_>>());
        }
        (Err(short), Err(expected)) => assert_eq!(short.to_string(), expected),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn what_ends_first_pays_first_and_of_what_ends_together_what_is_for_the_kind() {
    let ms = Unit::AcceleratorMs;
    let eight = 8 * HOUR_MS;
    let any = hours("any", None, 100);
    let kind = hours("h200", Some("h200"), 100);
    let money = won("money", 100);
    check(std::slice::from_ref(&any), Ok(&[("any", ms, eight)]));
    check(&[any.clone(), kind.clone()], Ok(&[("h200", ms, eight)]));
    check(&[money.clone(), kind.clone()], Ok(&[("h200", ms, eight)]));
    let sooner = |mut grant: Allocation| {
        grant.until = Micros(9_000);
        grant
    };
    check(
        &[sooner(any.clone()), kind.clone()],
        Ok(&[("any", ms, eight)]),
    );
    let paid = [("money", Unit::MicroWon, 8 * KILO)];
    check(&[sooner(money.clone()), kind], Ok(&paid));
    // Nothing for another kind, for tokens, of the past or the future.
    let mut over = any.clone();
    over.recalled_at = Some(NOW);
    let mut early = any;
    early.from = Micros(1_001);
    let others = [
        hours("b200", Some("b200"), 100),
        grant("tokens", Unit::Tokens, None, 9),
        over,
        early,
    ];
    check(
        &others,
        Err("'hanbit' has no allocation that pays now for accelerators 'h200'"),
    );
    check(
        &[],
        Err("'hanbit' has no allocation that pays now for accelerators 'h200'"),
    );
}

#[test]
fn what_one_cannot_pay_the_next_does() {
    let ms = Unit::AcceleratorMs;
    let kind = hours("h200", Some("h200"), 3);
    let any = hours("any", None, 1);
    let three = ("h200", ms, 3 * HOUR_MS);
    let one = ("any", ms, HOUR_MS);
    let check_with = |money: Allocation, expected: Result<&[(&str, Unit, i64)], &str>| {
        check(&[money, any.clone(), kind.clone()], expected);
    };
    let rest = ("money", Unit::MicroWon, 4 * KILO);
    check_with(won("money", 4), Ok(&[three, one, rest]));
    let short =
        "allocation:money has 3000000000 micro_won left, 1000000000 less than the run may need";
    check_with(won("money", 3), Err(short));
    // Of what comes in parts, those that have come.
    let mut parts = won("money", 9);
    let part = |from, kilo| Tranche {
        from: Micros(from),
        amount: kilo * KILO,
    };
    parts.tranches = vec![part(100, 4), part(2_000, 5)];
    check_with(parts.clone(), Ok(&[three, one, rest]));
    parts.tranches = vec![part(100, 3), part(2_000, 6)];
    check_with(parts.clone(), Err(short));
    let grants = full(&[parts]);
    let purses = JobPurses {
        grants: Some(&grants),
        ceilings: &[],
    };
    let JobShort::Exhausted { renews_at, .. } =
        run("7-1").reserve(HOUR_US, purses, NOW).unwrap_err()
    else {
        unreachable!("it is short of money");
    };
    assert_eq!(renews_at, Some(Micros(2_000)));
}

#[test]
fn without_a_price_won_are_not_needed_and_come_last() {
    let mut free = run("7-1");
    free.hour = MicroWon(0);
    let mut money = won("money", 1);
    money.until = Micros(9_000);
    let grants = full(&[money, hours("any", None, 8)]);
    let purses = |count| JobPurses {
        grants: Some(&grants[..count]),
        ceilings: &[],
    };
    let entry = free.reserve(HOUR_US, purses(2), NOW).unwrap();
    let expected = [("allocation:any".into(), Unit::AcceleratorMs, 8 * HOUR_MS)];
    assert_eq!(gives(entry.as_ref()), expected);
    assert_eq!(free.reserve(HOUR_US, purses(1), NOW), Ok(None));
    // A job of processors alone uses nothing of it.
    let mut idle = run("7-1");
    idle.accelerator_milli = 0;
    assert_eq!(idle.reserve(HOUR_US, purses(0), NOW), Ok(None));
    assert_eq!(idle.settle(None, used(1), NOW), None);
}

#[test]
fn who_spends_freely_owes_it_and_a_ceiling_counts_whoever_pays() {
    let ceiling: CeilingId = "project:hanbit:web".parse().unwrap();
    let mut run = run("7-1");
    run.project = Some("web".parse().unwrap());
    let grants = full(&[hours("any", None, 100)]);
    for (grants, payer) in [
        (None, ("tenant:hanbit", Unit::MicroWon, 8 * KILO)),
        (
            Some(&grants[..]),
            ("allocation:any", Unit::AcceleratorMs, 8 * HOUR_MS),
        ),
    ] {
        let with = |available| {
            let ceilings = [(ceiling.clone(), available)];
            run.reserve(
                HOUR_US,
                JobPurses {
                    grants,
                    ceilings: &ceilings,
                },
                NOW,
            )
        };
        let entry = with(8 * KILO).unwrap().unwrap();
        let counted = ("ceiling:project:hanbit:web", Unit::MicroWon, 8 * KILO);
        let expected = [payer, counted].map(|(who, unit, amount)| (who.to_owned(), unit, amount));
        assert_eq!(gives(Some(&entry)), expected);
        let short = with(8 * KILO - 1).unwrap_err().to_string();
        assert!(
            short.starts_with("ceiling:project:hanbit:web has"),
            "{short}"
        );
        // Half of it was used; twice as much is owed, and no grant or ceiling gives more than it set aside.
        let half = run.settle(
            Some(&entry),
            Some(JobUse {
                span_us: HOUR_US / 2,
                energy: Some(MilliJoules(5)),
                charged: true,
            }),
            NOW,
        );
        let half = gives(half.as_ref());
        assert_eq!((half[0].2, half[1].2), (payer.2 / 2, 4 * KILO));
        let delivered = [
            ("site:pohang".to_owned(), Unit::AcceleratorMs, 4 * HOUR_MS),
            ("site:pohang".to_owned(), Unit::MilliJoules, 5),
        ];
        assert_eq!(half[2..], delivered);
        let twice = gives(run.settle(Some(&entry), used(2), NOW).as_ref());
        let owes = if grants.is_none() { 2 } else { 1 };
        assert_eq!((twice[0].2, twice[1].2), (payer.2 * owes, 8 * KILO));
    }
}

#[test]
fn what_never_ran_is_voided_and_what_is_not_charged_is_delivered_all_the_same() {
    let grants = full(&[hours("any", None, 100)]);
    let purses = JobPurses {
        grants: Some(&grants),
        ceilings: &[],
    };
    let run = run("7.3-2");
    let entry = run.reserve(HOUR_US, purses, NOW).unwrap().unwrap();
    for of in [None, used(0)] {
        let void = run.settle(Some(&entry), of, Micros(5)).unwrap();
        assert_eq!(
            (void.phase, void.legs.len(), void.id),
            (Phase::Void, 0, entry.id)
        );
        assert_eq!(run.settle(None, of, Micros(5)), None);
    }
    let lost = Some(JobUse {
        charged: false,
        ..used(1).unwrap()
    });
    let post = run.settle(Some(&entry), lost, Micros(5)).unwrap();
    assert_eq!(post.phase, Phase::Post);
    assert_eq!(
        gives(Some(&post)),
        [("site:pohang".into(), Unit::AcceleratorMs, 8 * HOUR_MS)]
    );
    let direct = run.settle(None, used(1), Micros(5)).unwrap();
    assert_eq!((direct.phase, direct.legs), (Phase::Direct, post.legs));
}

/// Books with these grants in them.
fn books(grants: &[Allocation]) -> Book {
    let mut book = Book::default();
    for grant in grants {
        let before = book.balance(
            &Account::Programme(grant.programme.clone(), grant.class.clone()),
            grant.unit,
        );
        let budget = ProgrammeBudget {
            programme: grant.programme.clone(),
            unit: grant.unit,
            class: grant.class.clone(),
            amount: before.total_in + grant.amount,
            concentration_permille_max: 1_000,
        };
        let at = Micros(i64::try_from(book.ids().count()).unwrap());
        book.enter(budget_entry(before.total_in, &budget, at).unwrap())
            .unwrap();
        book.enter(grant_entry(grant)).unwrap();
    }
    book
}

/// What a ceiling may give.
fn ceiling_raise(id: &CeilingId, amount: i64) -> Entry {
    Entry {
        id: EntryId::named("raise"),
        phase: Phase::Direct,
        at: NOW,
        subject: Subject::Lease,
        legs: vec![Leg {
            unit: Unit::MicroWon,
            amount,
            from: Account::World,
            to: Account::Purse(Purse::Ceiling(id.clone())),
        }],
    }
}

fn purse(grant: &Allocation) -> Account {
    Account::Purse(Purse::Allocation(grant.id.clone()))
}

fn some_grant() -> impl Strategy<Value = (usize, i64, i64)> {
    (0..4_usize, 1..200_000_i64, 2_000..2_005_i64)
}

/// Accelerators, the longest time, the time that it took, an hour's price.
fn some_run() -> impl Strategy<Value = (u64, u64, u64, bool, bool)> {
    (
        1..20_000_u64,
        0..100_000_000_u64,
        0..120_000_000_u64,
        any::<bool>(),
        any::<bool>(),
    )
}

proptest! {
    #[test]
    fn nothing_is_overspent_nothing_stays_set_aside_nothing_counts_twice(
        grants in prop::collection::vec(some_grant(), 0..20),
        runs in prop::collection::vec(some_run(), 1..8),
        hour in 0..2_000_000_i64,
    ) {
        let kinds = [(Unit::MicroWon, None), (Unit::AcceleratorMs, None), (Unit::AcceleratorMs, Some("h200")), (Unit::AcceleratorMs, Some("b200"))];
        let grants: Vec<Allocation> = grants.iter().zip(0..).map(|((which, amount, until), number)| {
            let (unit, kind) = kinds[*which];
            Allocation { until: Micros(*until), ..grant(&format!("g{number}"), unit, kind, *amount) }
        }).collect();
        let mut book = books(&grants);
        let mut ends = Vec::new();
        for ((milli, span_us_max, span_us, charged, ran), number) in runs.into_iter().zip(1..) {
            let run = JobRun { accelerator_milli: milli, hour: MicroWon(hour), ..run(&format!("{number}-1")) };
            let left: Vec<_> = grants.iter().map(|grant| {
                (grant.clone(), book.balance(&purse(grant), grant.unit).available())
            }).collect();
            let purses = JobPurses { grants: Some(&left), ceilings: &[] };
            let Ok(reserved) = run.reserve(span_us_max, purses, NOW) else { continue };
            if let Some(reserve) = &reserved {
                prop_assert!(matches!(book.enter(reserve.clone()), Ok(Applied::New(_))), "{:?}", reserve);
                prop_assert_eq!(book.enter(reserve.clone()), Ok(Applied::Repeated));
            }
            let of = ran.then_some(JobUse { span_us, energy: None, charged });
            ends.push((run, reserved, of));
        }
        for (run, reserved, of) in ends {
            let Some(end) = run.settle(reserved.as_ref(), of, Micros(2_000)) else { continue };
            prop_assert!(matches!(book.enter(end.clone()), Ok(Applied::New(_))), "{:?}", end);
            prop_assert_eq!(book.enter(end.clone()), Ok(Applied::Repeated));
            // What is charged in won is what the whole run costs at most, and a µ₩ for each who pays.
            let paid: i64 = end.legs.iter().filter(|leg| leg.unit == Unit::MicroWon).map(|leg| leg.amount).sum();
            let cost = accelerator_cost(run.hour, run.accelerator_milli, of.map_or(0, |of| of.span_us));
            prop_assert!(paid <= cost.0 + 16, "{paid} {cost:?}");
        }
        for (account, unit, balance) in book.balances() {
            prop_assert_eq!(balance.reserved_out, 0, "{} {}", account, unit);
            prop_assert!(!account.is_limited() || balance.available() >= 0, "{} {}", account, unit);
        }
    }

    #[test]
    fn what_is_told_late_comes_to_what_it_would_have_been_at_once_and_counts_once(
        grants in prop::collection::vec(some_grant(), 0..6),
        (milli, span_us_max, span_us, charged, ran) in some_run(),
        (seen_us, was_seen, ceiling, others_permille) in (0..120_000_000_u64, any::<bool>(), any::<bool>(), 0..=1_000_i64),
        hour in 0..2_000_000_i64,
    ) {
        let kinds = [(Unit::MicroWon, None), (Unit::AcceleratorMs, None), (Unit::AcceleratorMs, Some("h200")), (Unit::AcceleratorMs, Some("b200"))];
        let grants: Vec<Allocation> = grants.iter().zip(0..).map(|((which, amount, until), number)| {
            let (unit, kind) = kinds[*which];
            Allocation { until: Micros(*until), ..grant(&format!("g{number}"), unit, kind, *amount) }
        }).collect();
        let run = JobRun { accelerator_milli: milli, hour: MicroWon(hour), ..run("1-1") };
        let mut book = books(&grants);
        let left: Vec<_> = grants.iter().map(|grant| (grant.clone(), grant.amount)).collect();
        let id: CeilingId = "project:hanbit:web".parse().unwrap();
        book.enter(ceiling_raise(&id, i64::MAX / 4)).unwrap();
        let ceilings = [(id, i64::MAX / 4)];
        let purses = JobPurses { grants: Some(&left), ceilings: &ceilings[..usize::from(ceiling)] };
        let Ok(reserved) = run.reserve(span_us_max, purses, NOW) else { return Ok(()) };
        if let Some(entry) = &reserved {
            book.enter(entry.clone()).unwrap();
        }
        let all = JobUse { span_us, energy: None, charged };
        let mut at_once = book.clone();
        if let Some(entry) = run.settle(reserved.as_ref(), ran.then_some(all), NOW) {
            at_once.enter(entry).unwrap();
        }
        // It was given up, and paid until it was last seen.
        let seen = was_seen.then_some(JobUse { span_us: seen_us, energy: None, charged: true });
        if let Some(entry) = run.settle(reserved.as_ref(), seen, NOW) {
            book.enter(entry).unwrap();
        }
        let late = |book: &Book| {
            let known = book.entry(run.entry_id()).to_vec();
            let unit = |account: &Account| match account {
                Account::Purse(Purse::Allocation(id)) => grants.iter().find(|grant| grant.id == *id).map_or(Unit::MicroWon, |grant| grant.unit),
                _ => Unit::MicroWon,
            };
            let left = |account: &Account| book.balance(account, unit(account)).available();
            run.settle_late((&known, all), left, NOW)
        };
        if ran {
            let mut told = book.clone();
            if let Some(entry) = late(&book) {
                prop_assert!(matches!(told.enter(entry.clone()), Ok(Applied::New(_))), "{:?}", entry);
                prop_assert_eq!(told.enter(entry.clone()), Ok(Applied::Repeated));
            }
            for (account, unit, balance) in at_once.balances() {
                let found = told.balance(account, unit);
                prop_assert_eq!(found.available(), balance.available(), "{} {}", account, unit);
                prop_assert_eq!(found.reserved_out, 0);
            }
            // Others have spent some of what was free again: nobody falls below zero.
            for grant in &grants {
                let free = book.balance(&purse(grant), grant.unit).available();
                let legs: Vec<Leg> = [free * others_permille / 1_000].into_iter().filter(|amount| *amount > 0).map(|amount| Leg {
                    unit: grant.unit, amount, from: purse(grant), to: Account::Site("pohang".parse().unwrap()),
                }).collect();
                if !legs.is_empty() {
                    let spent = Entry { id: EntryId::named(grant.id.as_str()), phase: Phase::Direct, at: NOW, subject: Subject::Lease, legs };
                    book.enter(spent).unwrap();
                }
            }
            if let Some(entry) = late(&book) {
                prop_assert!(matches!(book.enter(entry.clone()), Ok(Applied::New(_))), "{:?}", entry);
            }
        }
    }
}
