//! What may be spent: by requests at one gateway, and by several gateways that crash and lose sight of the bank.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot set itself up must fail"
)]

mod bank;
mod classes;
mod desk;
mod node;
mod stories;
mod tally;
mod world;

/// `SEED=1 SEEDS=100000 cargo test -p madang-core --test budget nothing_is_overspent` runs so many worlds from that seed on.
#[test]
fn nothing_is_overspent_lost_or_doubled_whatever_fails() {
    let number = |name: &str, default: u64| {
        let text = std::env::var_os(name).map(|text| text.into_string().unwrap());
        text.map_or(default, |text| text.parse().unwrap())
    };
    let (first, count) = (number("SEED", 1), number("SEEDS", 1_000));
    let mut tally = tally::Tally::default();
    for seed in first..first + count {
        let world = std::panic::catch_unwind(|| world::run(seed));
        let again = "cargo test -p madang-core --test budget nothing_is_overspent";
        assert!(world.is_ok(), "SEED={seed} SEEDS=1 {again}");
        tally.add(&world.unwrap_or_default());
    }
    println!("{count} worlds: {tally:?}");
    assert!(count < 300 || tally.is_complete(), "{tally:?}");
}
