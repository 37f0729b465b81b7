//! A request of a key with rates, let through and settled, where one gateway has all of them and where several share them; and a look
//! at what is shared: `cargo bench -p madang-core --bench rate`.

use divan::{Bencher, black_box};
use madang_core::rate::{RateBounds, Rates};
use madang_ledger::{PartAsk, PartGrant, WHOLE_PERMILLE};
use madang_types::{KeyId, Micros};

fn main() {
    divan::main();
}

const BOUNDS: RateBounds = RateBounds {
    requests_per_min: Some(u32::MAX),
    tokens_per_min: Some(u32::MAX),
};
/// Each request owes a little for far longer than the bench takes, so that none is forgotten.
const NOW: Micros = Micros(1);

fn keys(count: usize) -> Vec<KeyId> {
    let key = |n| KeyId::new(&format!("k{n:08}")).expect("a name");
    (0..count).map(key).collect()
}

/// Rates of which this gateway holds half.
fn shared(keys: &[KeyId]) -> Rates {
    let mut rates = Rates::shared();
    for key in keys {
        rates.admit(NOW, (key, BOUNDS), 1_000).ok();
    }
    let new = rates.urgent();
    for ask in rates.asks(NOW, &new) {
        rates.granted(NOW, NOW, &grant(ask));
    }
    rates
}

fn grant(ask: PartAsk) -> PartGrant {
    PartGrant {
        key: ask.key,
        number: ask.number,
        permille: WHOLE_PERMILLE / 2,
        fill: WHOLE_PERMILLE,
        target: WHOLE_PERMILLE / 2,
        comes_ms: 0,
    }
}

fn serve(bencher: Bencher<'_, '_>, mut rates: Rates, keys: &[KeyId]) {
    for key in keys {
        rates.admit(NOW, (key, BOUNDS), 1_000).expect("a first one");
    }
    let mut turn = 0_usize;
    bencher.bench_local(|| {
        turn = (turn + 7_919) % keys.len();
        let key = (&keys[turn], BOUNDS);
        let admitted = rates.admit(black_box(NOW), key, 500);
        rates.settle(NOW, key, (500, 500));
        rates.settle(NOW, key, (500, 0));
        admitted
    });
    assert_eq!(rates.len(), keys.len());
}

/// With so many keys that are not idle.
#[divan::bench(args = [1, 1_000, 100_000])]
fn admit_and_settle(bencher: Bencher<'_, '_>, keys_count: usize) {
    serve(bencher, Rates::default(), &keys(keys_count));
}

/// The same from parts.
#[divan::bench(args = [1, 1_000, 100_000])]
fn admit_and_settle_from_parts(bencher: Bencher<'_, '_>, keys_count: usize) {
    let keys = keys(keys_count);
    serve(bencher, shared(&keys), &keys);
}

/// What is asked of the books each second, and what is told.
#[divan::bench(args = [1, 1_000, 100_000])]
fn look(bencher: Bencher<'_, '_>, keys_count: usize) {
    let keys = keys(keys_count);
    let mut rates = shared(&keys);
    for key in &keys {
        rates.admit(NOW, (key, BOUNDS), 1_000).expect("a first one");
    }
    bencher.bench_local(|| {
        let keys = rates.look();
        for ask in rates.asks(black_box(NOW), &keys) {
            rates.granted(NOW, NOW, &grant(ask));
        }
    });
}
