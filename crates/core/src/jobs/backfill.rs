//! Who may go before a job that has to wait: whoever does not make it wait longer (Lifka 1995).

use super::ask::{JobKey, Need, NodesKey};
use madang_types::Micros;

/// When accelerators become free: who ends, where, and how many, in thousandths.
pub(super) type End = (Micros, JobKey, NodesKey, u64);

/// When the first job that waits will start, and what is left beside it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shadow {
    nodes: NodesKey,
    at: Micros,
    beside_milli: u64,
}

impl Shadow {
    /// That of a job, where `left_milli` is free by [`NodesKey`] and `ends` will be. `None` where it never fits: nobody need wait for it.
    pub(super) fn of(need: &Need, left_milli: &[u64], ends: &mut [End]) -> Option<Self> {
        ends.sort_unstable();
        let at = |(nodes, left): (u8, &u64)| {
            let nodes = NodesKey(nodes);
            let mut free = *left;
            let here = ends.iter().filter(|end| end.2 == nodes);
            for (at, _, _, milli) in here {
                free = free.saturating_add(*milli);
                if free >= need.milli() {
                    return Some(Self {
                        nodes,
                        at: *at,
                        beside_milli: free - need.milli(),
                    });
                }
            }
            None
        };
        (0u8..)
            .zip(left_milli)
            .filter(|(nodes, _)| need.ground.has(NodesKey(*nodes)))
            .filter_map(at)
            .min_by_key(|shadow| (shadow.at, shadow.nodes))
    }

    /// Whether a job of `milli` on `nodes` that ends at `ends_at` may start now; if so it has started.
    pub(super) fn lets(&mut self, nodes: NodesKey, milli: u64, ends_at: Micros) -> bool {
        if nodes != self.nodes || ends_at <= self.at {
            return true;
        }
        let fits = milli <= self.beside_milli;
        if fits {
            self.beside_milli -= milli;
        }
        fits
    }
}
