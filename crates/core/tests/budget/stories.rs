//! One gateway: what is let in, what it costs, what comes of a purse that runs out.

use super::desk::{Desk, RATES, bound, made, purse, spender};
use madang_core::budget::{BudgetView, Budgets, Draw, Short, Spender};
use madang_ledger::{Order, OrderKind, TokenRates};
use madang_types::{MicroWon, Micros, RequestId, TenantId, TokenUse, Tokens, Unit};

const GRANT: &str = "allocation:hanbit-2026";

/// `under_way` requests of 100 tokens each are let in at a purse of `sum`; then one asks for `asks` and takes `min` at least.
fn check(
    hard: bool,
    (sum, under_way): (i64, usize),
    (asks, min): (u64, u64),
    expected: Result<u64, &str>,
) {
    let mut desk = Desk::new(vec![(purse(GRANT, hard), sum)]);
    for _ in 0..under_way {
        desk.reserve(&bound(100, 100)).unwrap();
    }
    let found = match desk.reserve(&bound(asks, min)) {
        Ok((_, reserved)) => Ok(reserved.output_tokens_max),
        Err(Short::Exhausted { left, .. }) => Err(format!("exhausted, {left} left")),
        Err(Short::Busy { .. }) => Err("busy".to_owned()),
        Err(other) => Err(format!("{other:?}")),
    };
    assert_eq!(
        found,
        expected.map_err(str::to_owned),
        "{sum} {under_way} {asks} {min}"
    );
}

#[test]
fn what_a_request_can_cost_is_set_aside() {
    check(true, (1_000, 0), (1_000, 1_000), Ok(1_000));
    check(
        true,
        (1_000, 0),
        (1_001, 1_001),
        Err("exhausted, 1000 left"),
    );
    check(true, (1_000, 9), (100, 100), Ok(100));
    check(true, (1_000, 9), (101, 101), Err("busy"));
    check(
        true,
        (1_000, 9),
        (1_001, 1_001),
        Err("exhausted, 1000 left"),
    );
    check(true, (0, 0), (1, 1), Err("exhausted, 0 left"));
}

#[test]
fn who_takes_fewer_tokens_gets_what_is_left() {
    check(true, (1_000, 0), (4_000, 16), Ok(1_000));
    check(true, (1_000, 9), (4_000, 16), Ok(100));
    check(true, (910, 9), (4_000, 16), Err("busy"));
    check(true, (10, 0), (4_000, 16), Err("exhausted, 10 left"));
}

#[test]
fn a_request_costs_what_it_used_and_the_rest_is_free_again() {
    let mut desk = Desk::new(vec![(purse(GRANT, true), 1_000)]);
    let (request, _) = desk.reserve(&bound(900, 900)).unwrap();
    let settled = desk.settle(request, 250);
    let draw = Draw {
        purse: GRANT.parse().unwrap(),
        unit: Unit::MicroWon,
        amount: 250,
    };
    assert_eq!((settled.cost, settled.draws), (MicroWon(250), vec![draw]));
    assert_eq!(desk.unspent(GRANT), 750);
    assert!(desk.reserve(&bound(751, 751)).is_err());
    assert!(desk.reserve(&bound(750, 750)).is_ok());
}

#[test]
fn an_engine_that_makes_more_than_it_was_asked_for_is_cut_and_nobody_pays() {
    let mut desk = Desk::new(vec![(purse(GRANT, true), 1_000)]);
    let (request, _) = desk.reserve(&bound(100, 100)).unwrap();
    assert!(!desk.budgets.is_over(request, 100));
    assert!(desk.budgets.is_over(request, 101));
    let settled = desk.settle(request, 5_000);
    assert_eq!(
        (settled.cost, settled.forgiven),
        (MicroWon(100), MicroWon(4_900))
    );
    assert_eq!(desk.unspent(GRANT), 900);
}

#[test]
fn a_purse_that_is_not_hard_lets_in_by_likely_cost_while_it_is_far_from_its_end() {
    let run = |hard: bool| {
        let mut desk = Desk::new(vec![(purse(GRANT, hard), 100_000)]);
        for _ in 0..50 {
            let (request, _) = desk.reserve(&bound(1_000, 1_000)).unwrap();
            desk.settle(request, 100);
        }
        let mut let_in = Vec::new();
        while let Ok((request, _)) = desk.reserve(&bound(1_000, 1_000)) {
            let_in.push(request);
        }
        let count = let_in.len();
        let owed: i64 = let_in
            .into_iter()
            .map(|request| desk.settle(request, 1_000).owed.0)
            .sum();
        (count, owed, desk.unspent(GRANT))
    };
    // 95,000 are left, and all use ten times what they are likely to: what the purse lacks the tenant owes.
    assert_eq!(run(true), (95, 0, 0));
    let (count, owed, unspent) = run(false);
    assert!(count > 95, "{count}");
    assert_eq!(unspent, 0);
    assert_eq!(owed, i64::try_from(count).unwrap() * 1_000 - 95_000);
}

#[test]
fn the_grant_that_ends_first_is_spent_first() {
    let until = |text: &str, until: i64| {
        let mut view = purse(text, true);
        view.until = Some(Micros(until));
        view
    };
    let mut desk = Desk::new(vec![
        (until("allocation:late", 90_000_000), 1_000),
        (until("allocation:soon", 50_000_000), 100),
    ]);
    let mut paid = |tokens: u64| {
        let (request, _) = desk.reserve(&bound(tokens, 1)).unwrap();
        desk.settle(request, tokens).draws[0].purse.to_string()
    };
    assert_eq!(paid(60), "allocation:soon");
    assert_eq!(paid(60), "allocation:late");
    assert_eq!(paid(40), "allocation:soon");
    desk.now = Micros(60_000_000);
    let (_, reserved) = desk.reserve(&bound(10, 1)).unwrap();
    assert_eq!(reserved.parts[0].purse.to_string(), "allocation:late");
    desk.now = Micros(90_000_000);
    assert_eq!(desk.reserve(&bound(10, 1)), Err(Short::NoAllocation));
}

#[test]
fn who_finds_a_purse_empty_hears_when_more_comes() {
    let mut view = purse(GRANT, true);
    view.renews_at = [500, 3_000_000, 90_000_000].map(Micros).to_vec();
    let mut desk = Desk::new(vec![(view, 100)]);
    let mut check = |now: i64, expected: Option<i64>| {
        desk.now = Micros(now);
        let short = desk.reserve(&bound(101, 101)).unwrap_err();
        let Short::Exhausted { renews_at, .. } = short else {
            unreachable!("{short:?}");
        };
        assert_eq!(renews_at, expected.map(Micros), "{now}");
    };
    check(1_000_000, Some(3_000_000));
    check(2_999_999, Some(3_000_000));
    check(3_000_000, Some(90_000_000));
    check(90_000_000, None);
    // It has come, and is spent a second later at the latest, without anybody's help.
    desk.bank.insert(GRANT.parse().unwrap(), 50);
    desk.now = Micros(91_000_000);
    assert!(desk.reserve(&bound(101, 101)).is_ok());
}

#[test]
fn a_ceiling_stands_over_whatever_pays() {
    let mut desk = Desk::new(vec![(purse(GRANT, true), 1_000)]);
    let ceiling = purse("ceiling:key.k1.2026-11", true);
    desk.bank.insert(ceiling.purse.clone(), 300);
    desk.budgets.apply(BudgetView {
        purses: vec![purse(GRANT, true), ceiling.clone()],
        tenants: vec![("hanbit".parse().unwrap(), vec![GRANT.parse().unwrap()])],
        keys: vec![("k1".parse().unwrap(), vec![ceiling.purse])],
        ..BudgetView::default()
    });
    assert!(matches!(
        desk.reserve(&bound(301, 301)),
        Err(Short::Exhausted { left: 300, .. })
    ));
    let (request, _) = desk.reserve(&bound(200, 200)).unwrap();
    let settled = desk.settle(request, 200);
    assert_eq!(settled.draws.len(), 2);
    assert_eq!(
        (desk.unspent(GRANT), desk.unspent("ceiling:key.k1.2026-11")),
        (800, 100)
    );
}

#[test]
fn a_projects_ceiling_stands_over_all_of_its_keys() {
    let ceiling = purse("ceiling:project:hanbit:web", true);
    let mut desk = Desk::new(vec![(purse(GRANT, true), 1_000)]);
    desk.bank.insert(ceiling.purse.clone(), 300);
    let tenant: TenantId = "hanbit".parse().unwrap();
    desk.budgets.apply(BudgetView {
        purses: vec![purse(GRANT, true), ceiling.clone()],
        tenants: vec![(tenant.clone(), vec![GRANT.parse().unwrap()])],
        projects: vec![((tenant, "web".parse().unwrap()), vec![ceiling.purse])],
        ..BudgetView::default()
    });
    let mut spent = |key: &str, project: Option<&str>, tokens: u64| {
        let spender = Spender {
            key: key.parse().unwrap(),
            project: project.map(|project| project.parse().unwrap()),
            ..spender()
        };
        let about = (&spender, &bound(tokens, tokens));
        let (request, _) = desk.reserve_for(about).ok()?;
        Some(desk.settle(request, tokens).draws.len())
    };
    assert_eq!(spent("k1", Some("web"), 200), Some(2));
    assert_eq!(spent("k2", Some("web"), 101), None);
    assert_eq!(spent("k2", Some("web"), 100), Some(2));
    assert_eq!(spent("k3", Some("web"), 1), None);
    assert_eq!(spent("k3", Some("app"), 1), Some(1));
    assert_eq!(spent("k3", None, 1), Some(1));
}

#[test]
fn a_grant_of_tokens_pays_with_tokens() {
    let mut view = purse(GRANT, true);
    view.unit = Unit::Tokens;
    let mut desk = Desk::new(vec![(view, 1_000)]);
    let (request, _) = desk.reserve(&bound(500, 500)).unwrap();
    let used = TokenUse {
        uncached: Tokens(0),
        ..made(400)
    };
    let dear = TokenRates {
        output: MicroWon(7_000_000),
        ..RATES
    };
    let settled = desk.budgets.settle(desk.now, request, (&used, &dear));
    assert_eq!((settled.cost, settled.owed), (MicroWon(2_800), MicroWon(0)));
    assert_eq!(settled.draws[0].amount, 400);
}

#[test]
fn who_is_not_named_spends_freely_and_owes_it() {
    let mut budgets = Budgets::new();
    let mut orders = Vec::new();
    let about = (&spender(), &bound(100, 100));
    let reserved = budgets.reserve(Micros(0), RequestId(1), about, &mut orders);
    assert_eq!(reserved.unwrap().parts.to_vec(), []);
    let settled = budgets.settle(Micros(1), RequestId(1), (&made(80), &RATES));
    assert_eq!((settled.owed, settled.draws), (MicroWon(80), vec![]));
    assert!(orders.is_empty());
}

#[test]
fn who_is_named_with_nothing_may_spend_nothing() {
    let mut desk = Desk::new(vec![]);
    assert_eq!(desk.reserve(&bound(1, 1)), Err(Short::NoAllocation));
}

#[test]
fn rights_run_out_with_the_lease_and_come_back_with_a_word_of_the_bank() {
    let mut desk = Desk::new(vec![(purse(GRANT, true), 1_000)]);
    desk.reserve(&bound(10, 10)).unwrap();
    desk.now = desk.now.plus_ms(1_000_000_000);
    assert_eq!(desk.reserve(&bound(10, 10)), Err(Short::LeaseOver));
    desk.budgets.contact(desk.now, desk.now.plus_ms(1_000));
    assert!(desk.reserve(&bound(10, 10)).is_ok());
    // A clock that goes back gives no time.
    desk.now = desk.now.plus_ms(1_000);
    assert_eq!(desk.reserve(&bound(10, 10)), Err(Short::LeaseOver));
    desk.now = Micros(1_000_000);
    assert_eq!(desk.reserve(&bound(10, 10)), Err(Short::LeaseOver));
}

#[test]
fn an_order_is_asked_again_and_counts_once() {
    let mut desk = Desk::new(vec![(purse(GRANT, true), 1_000)]);
    let mut ask = || {
        let mut orders: Vec<Order> = Vec::new();
        let about = (&spender(), &bound(100, 100));
        let tried = desk
            .budgets
            .reserve(desk.now, RequestId(7), about, &mut orders);
        (tried, orders)
    };
    let (tried, orders) = ask();
    assert_eq!(tried, Err(Short::Asked(GRANT.parse().unwrap())));
    let [order] = &orders[..] else {
        panic!("{orders:?}")
    };
    // While it is out no other one is.
    assert_eq!(ask().1, []);
    let mut again = Vec::new();
    desk.budgets.tick(desk.now.plus_ms(1_000), &mut again);
    assert_eq!(again.first(), Some(order));
    desk.budgets.answer(desk.now, order, (150, 0));
    desk.budgets.answer(desk.now, order, (150, 0));
    assert_eq!(desk.budgets.status()[0].held, 150);
}

#[test]
fn rights_that_nobody_needs_go_back() {
    let mut desk = Desk::new(vec![(purse(GRANT, true), 1_000_000)]);
    for _ in 0..100 {
        let (request, _) = desk.reserve(&bound(1_000, 1_000)).unwrap();
        desk.settle(request, 100);
        desk.tick();
    }
    assert_eq!(desk.unspent(GRANT), 990_000);
    let held = desk.budgets.status()[0].held;
    assert!((900..10_000).contains(&held), "{held}");
    for _ in 0..40 {
        desk.tick();
    }
    assert_eq!(desk.budgets.status()[0].held, 0);
    assert_eq!(desk.unspent(GRANT), 990_000);
}

#[test]
fn what_is_withdrawn_goes_back_when_the_last_request_has_ended() {
    let mut desk = Desk::new(vec![(purse(GRANT, true), 1_000)]);
    let (request, _) = desk.reserve(&bound(100, 100)).unwrap();
    desk.budgets.apply(BudgetView {
        tenants: vec![("hanbit".parse().unwrap(), vec![])],
        ..BudgetView::default()
    });
    assert_eq!(desk.reserve(&bound(1, 1)), Err(Short::NoAllocation));
    desk.tick();
    desk.settle(request, 60);
    desk.tick();
    assert_eq!(desk.bank[&GRANT.parse().unwrap()], 940);
    desk.tick();
    assert_eq!(desk.budgets.status().len(), 0);
}

#[test]
fn an_order_that_sends_back_is_asked_until_it_is_answered() {
    let mut desk = Desk::new(vec![(purse(GRANT, true), 1_000)]);
    let (request, _) = desk.reserve(&bound(1_000, 1_000)).unwrap();
    desk.budgets.void(request);
    let mut orders = Vec::new();
    desk.budgets.drain(desk.now, &mut orders);
    let [order] = &orders[..] else {
        panic!("{orders:?}")
    };
    assert_eq!(order.kind, OrderKind::Return { amount: 1_000 });
    let mut again = Vec::new();
    desk.budgets.tick(desk.now.plus_ms(5_000), &mut again);
    assert_eq!(again, orders);
    desk.budgets.answer(desk.now, order, (0, 1_000));
    again.clear();
    desk.budgets.tick(desk.now.plus_ms(6_000), &mut again);
    assert_eq!(again, []);
}
