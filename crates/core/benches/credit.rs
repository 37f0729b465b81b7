//! An interval of credit, which happens every ten seconds, with so many tenants: `cargo bench -p madang-core --bench credit`.

use divan::Bencher;
use madang_core::credit::{Credits, PoolInterval, Used};
use madang_core::{CreditTerms, Shares, TenantShare};
use madang_types::{Micros, TenantId};

fn main() {
    divan::main();
}

/// In ten pools, a hundred tenants served in each.
#[divan::bench(args = [100, 10_000])]
fn settle_ten_pools(bencher: Bencher<'_, '_>, tenants_count: usize) {
    let tenants: Vec<TenantId> = (0..tenants_count)
        .map(|n| TenantId::new(&format!("t{n:08}")).expect("a name"))
        .collect();
    let share = |tenant: &TenantId| TenantShare {
        tenant: tenant.clone(),
        programme: None,
        weight: 1,
    };
    let mut credits = Credits::new(CreditTerms::default());
    credits.shares_apply(&Shares {
        programmes: Vec::new(),
        tenants: tenants.iter().map(share).collect(),
        ..Shares::default()
    });
    let all = Used {
        served_us: 500_000.0,
        asked_us: 500_000.0,
    };
    let pool = PoolInterval {
        accelerators: 4,
        contended: true,
        used: tenants
            .iter()
            .take(100)
            .map(|tenant| (tenant.clone(), all))
            .collect(),
    };
    let pools = vec![pool; 10];
    let mut now = Micros(0);
    bencher.bench_local(|| {
        now = Micros(now.0 + 10_000_000);
        credits.settle(now, &pools)
    });
}
