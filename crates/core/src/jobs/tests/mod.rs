//! Jobs as stories, and random worlds.

mod classes;
mod crowd;
mod live;
mod places;
mod plan;
mod reserve;
mod shares;
mod story;
mod turns;
mod worlds;
mod yardsticks;

use super::*;

const SECOND_US: u64 = 1_000_000;

/// Machines of one `[[nodes]]`, with so many accelerators each.
fn machines(accelerators: &[u16]) -> Vec<Machine> {
    let machine = |accelerators: &u16| Machine {
        nodes: NodesKey(0),
        accelerators: *accelerators,
        cpu_milli: 64_000,
        memory_mib: 1 << 20,
    };
    accelerators.iter().map(machine).collect()
}

/// From `SEED` on as many as `SEEDS` says, else so many from 1 on: the environment of the test, as the core itself reads none.
fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |name: &str, other: u64| {
        let text = std::env::var_os(name).map(|text| text.into_string().unwrap());
        text.map_or(other, |text| text.parse().unwrap())
    };
    let first = number("SEED", 1);
    first..first + number("SEEDS", count)
}

fn at(seconds: u64) -> Micros {
    Micros(i64::try_from(seconds * SECOND_US).unwrap())
}
