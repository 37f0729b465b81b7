//! Which machines would do for a job, and what the others lack.

use crate::jobs::{Need, NodesKey, Piece};
use madang_types::{JobResources, NodesId, SiteId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Machines whose lacks are told at once.
const LACKS_SHOWN_MAX: usize = 8;

/// Machines of one `[[nodes]]` that take jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeskNodes {
    /// Which.
    pub id: NodesId,
    /// Where they stand.
    pub site: SiteId,
    /// Their kind of accelerator.
    pub accelerator: String,
    /// Machines.
    pub count: u32,
    /// Accelerators in each.
    pub per_node: u16,
    /// What an hour of one counts in shares, in thousandths of an hour.
    pub worth_milli: u32,
    /// Memory of each accelerator, in MiB; `None` where nobody said.
    pub accelerator_memory_mib: Option<u64>,
    /// Processor time of each machine, in thousandths of a core; `None` where it is not counted.
    pub cpu_milli: Option<u64>,
    /// Memory of each machine, in MiB; `None` where it is not counted.
    pub memory_mib: Option<u64>,
    /// Its site has a queue of its own, in which others wait too.
    pub has_queue: bool,
    /// How long a run there is waited for of which nobody can be asked how it stands, in milliseconds.
    pub unseen_ms_max: u64,
}

/// Why machines would not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Which.
    pub nodes: NodesId,
    /// Where.
    pub site: SiteId,
    /// What they lack, and what they have.
    pub what: String,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}: {}", self.nodes, self.site, self.what)
    }
}

/// Why none of the machines that take jobs would do; `lacks` has each of them.
pub fn nowhere(lacks: impl IntoIterator<Item = Lack>) -> String {
    let shown = lacks.into_iter().take(LACKS_SHOWN_MAX);
    let shown: Vec<String> = shown.map(|lack| lack.to_string()).collect();
    match shown.as_slice() {
        [] => "no machines of this fleet take jobs".to_owned(),
        lacks => format!("no machines would do: {}", lacks.join("; ")),
    }
}

impl DeskNodes {
    /// Whether all of them, empty, would do.
    ///
    /// # Errors
    /// What they lack.
    pub fn fits(&self, wanted: &JobResources) -> Result<(), Lack> {
        self.lacks(wanted)
            .map_or(Ok(()), |what| Err(self.lack(what)))
    }

    /// They would not do, as they lack `what`.
    pub fn lack(&self, what: impl Into<String>) -> Lack {
        Lack {
            nodes: self.id.clone(),
            site: self.site.clone(),
            what: what.into(),
        }
    }

    fn lacks(&self, wanted: &JobResources) -> Option<String> {
        let kinds = &wanted.accelerator;
        if !kinds.is_empty() && !kinds.contains(&self.accelerator) {
            return Some(format!("its accelerators are {}", self.accelerator));
        }
        let (pieces, on_one) = wanted.pieces();
        if on_one > u32::from(self.per_node) {
            return Some(format!("{} accelerators in one machine", self.per_node));
        }
        if let Some(least) = wanted.accelerator_memory_mib_min
            && self.accelerator_memory_mib.is_none_or(|has| has < least)
        {
            let has = self.accelerator_memory_mib.map_or_else(
                || "nobody said how much memory its accelerators have".to_owned(),
                |has| format!("{has} MiB of memory in each accelerator"),
            );
            return Some(has);
        }
        let times = |per_piece: u64, has: Option<u64>| match has {
            Some(has) if per_piece > 0 => has / per_piece,
            _ => u64::MAX,
        };
        let parts = u64::from(1000 / wanted.share_milli.clamp(1, 1000));
        let by_accelerators = match on_one {
            0 => u64::MAX,
            some => u64::from(self.per_node) * parts / u64::from(some),
        };
        let by_cpu = times(wanted.cpu_milli, self.cpu_milli);
        let by_memory = times(wanted.memory_mib, self.memory_mib);
        let on_each = by_accelerators.min(by_cpu).min(by_memory);
        if on_each.saturating_mul(u64::from(self.count)) >= u64::from(pieces) {
            return None;
        }
        let with = |what: &str, has: Option<u64>| {
            has.map_or_else(String::new, |has| format!(", {has} {what}"))
        };
        Some(format!(
            "{} machines, each with {} accelerators{}{}",
            self.count,
            self.per_node,
            with("thousandths of a core", self.cpu_milli),
            with("MiB of memory", self.memory_mib),
        ))
    }
}

/// What a job needs, of those `nodes` among which it may be.
pub(super) fn need(wanted: &JobResources, nodes: &BTreeSet<NodesKey>) -> Need {
    let (pieces, on_one) = wanted.pieces();
    Need {
        pieces,
        piece: Piece {
            accelerators: u16::try_from(on_one).unwrap_or(u16::MAX),
            share_milli: u16::try_from(wanted.share_milli).unwrap_or(u16::MAX),
            cpu_milli: wanted.cpu_milli,
            memory_mib: wanted.memory_mib,
        },
        ground: crate::jobs::Ground::of(nodes.iter().copied()),
    }
}
