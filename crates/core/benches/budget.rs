//! What a request costs at the budgets: set aside and settled, beside an even look-up in as large a map.
//! `cargo bench -p madang-core --bench budget`

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot set itself up must fail"
)]

use divan::Bencher;
use madang_core::budget::{Bound, BudgetView, Budgets, PurseView, Spender};
use madang_ledger::{OrderKind, Purse, TokenRates};
use madang_types::{KeyId, MicroWon, Micros, RequestId, TenantId, TokenUse, Tokens, Unit};
use std::collections::BTreeMap;

const RATES: TokenRates = TokenRates {
    uncached: MicroWon(350_000_000),
    cached: MicroWon(90_000_000),
    output: MicroWon(1_400_000_000),
};

fn main() {
    divan::main();
}

fn spender(number: usize, tenants: usize) -> Spender {
    Spender {
        tenant: format!("tenant-{}", number % tenants).parse().unwrap(),
        project: None,
        key: format!("key-{number}").parse().unwrap(),
    }
}

/// So many tenants with a grant each, and ten keys for each with a ceiling of its own; all have been served.
fn budgets(tenants: usize) -> Budgets {
    let view = |text: String| PurseView {
        purse: text.parse().unwrap(),
        unit: Unit::MicroWon,
        model_class: None,
        hard: true,
        from: Micros(0),
        until: None,
        renews_at: Vec::new(),
    };
    let grants: Vec<PurseView> = (0..tenants)
        .map(|n| view(format!("allocation:a{n}")))
        .collect();
    let ceilings: Vec<PurseView> = (0..tenants * 10)
        .map(|n| view(format!("ceiling:key.k{n}")))
        .collect();
    let of = |view: &PurseView| vec![view.purse.clone()];
    let tenant = |n: usize| -> TenantId { format!("tenant-{n}").parse().unwrap() };
    let key = |n: usize| -> KeyId { format!("key-{n}").parse().unwrap() };
    let mut budgets = Budgets::new();
    budgets.contact(Micros(0), Micros(i64::MAX));
    budgets.apply(BudgetView {
        tenants: grants
            .iter()
            .enumerate()
            .map(|(n, view)| (tenant(n), of(view)))
            .collect(),
        keys: ceilings
            .iter()
            .enumerate()
            .map(|(n, view)| (key(n), of(view)))
            .collect(),
        purses: grants.into_iter().chain(ceilings).collect(),
        ..BudgetView::default()
    });
    for number in 0..tenants * 10 {
        let mut orders = Vec::new();
        let about = (&spender(number, tenants), &bound());
        while budgets
            .reserve(Micros(1), RequestId(1), about, &mut orders)
            .is_err()
        {
            for order in orders.drain(..) {
                if matches!(order.kind, OrderKind::Take { .. }) {
                    budgets.answer(Micros(1), &order, (1_000_000_000_000, 0));
                }
            }
        }
        budgets.void(RequestId(1));
    }
    budgets
}

fn bound() -> Bound {
    Bound {
        model_class: None,
        prompt_tokens_max: 2_500,
        prompt_tokens: 1_200,
        output_tokens_max: 1_024,
        output_tokens_min: 1_024,
        rates: RATES,
    }
}

const USED: TokenUse = TokenUse {
    uncached: Tokens(1_155),
    cached: Tokens(0),
    output: Tokens(211),
    estimated: false,
};

#[divan::bench(args = [1, 1_000, 10_000])]
fn reserve_and_settle(bencher: Bencher<'_, '_>, tenants: usize) {
    let mut budgets = budgets(tenants);
    let spenders: Vec<Spender> = (0..tenants * 10).map(|n| spender(n, tenants)).collect();
    let (bound, mut number, mut orders) = (bound(), 0, Vec::new());
    bencher.bench_local(|| {
        number += 7_919;
        let request = RequestId(number as u128);
        let spender = &spenders[number % spenders.len()];
        let now = Micros(number as i64);
        let reserved = budgets.reserve(now, request, (spender, &bound), &mut orders);
        divan::black_box(&reserved);
        budgets.settle(now, request, (&USED, &RATES))
    });
}

#[divan::bench(args = [1, 1_000, 10_000])]
fn look_up_a_purse(bencher: Bencher<'_, '_>, tenants: usize) {
    let purses: Vec<Purse> = (0..tenants * 11)
        .map(|n| format!("ceiling:key.k{n}").parse().unwrap())
        .collect();
    let map: BTreeMap<&Purse, i64> = purses.iter().map(|purse| (purse, 1)).collect();
    let mut number = 0;
    bencher.bench_local(|| {
        number += 7_919;
        map.get(&purses[number % purses.len()]).copied()
    });
}
