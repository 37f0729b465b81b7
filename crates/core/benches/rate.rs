//! A request of a key with rates, let through and settled: `cargo bench -p madang-core --bench rate`.

use divan::{Bencher, black_box};
use madang_core::rate::{RateBounds, Rates};
use madang_types::{KeyId, Micros};

fn main() {
    divan::main();
}

const BOUNDS: RateBounds = RateBounds {
    requests_per_min: Some(u32::MAX),
    tokens_per_min: Some(u32::MAX),
};

/// With so many keys that are not idle.
#[divan::bench(args = [1, 1_000, 100_000])]
fn admit_and_settle(bencher: Bencher<'_, '_>, keys_count: usize) {
    let keys: Vec<KeyId> = (0..keys_count)
        .map(|n| KeyId::new(&format!("k{n:08}")).expect("a name"))
        .collect();
    let mut rates = Rates::default();
    let mut turn = 0_usize;
    // Each request owes a little for far longer than the bench takes, so that none is forgotten.
    let now = Micros(1);
    for key in &keys {
        rates.admit(now, (key, BOUNDS), 1_000).ok();
    }
    bencher.bench_local(|| {
        turn = (turn + 7_919) % keys_count;
        let key = (&keys[turn], BOUNDS);
        let admitted = rates.admit(black_box(now), key, 500);
        rates.settle(now, key, (500, 500));
        rates.settle(now, key, (500, 0));
        admitted
    });
    assert_eq!(rates.len(), keys_count);
}
