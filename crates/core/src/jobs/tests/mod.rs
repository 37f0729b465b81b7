//! Jobs as stories, and random worlds.

mod live;
mod plan;
mod reserve;
mod stories;
mod worlds;

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

fn at(seconds: u64) -> Micros {
    Micros(i64::try_from(seconds * SECOND_US).unwrap())
}
