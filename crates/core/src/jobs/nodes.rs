//! Machines: what of each is free.

use super::ask::{Ground, NodesKey, Piece, WHOLE_MILLI};
use super::reserve::{Kept, Reservation};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Which `[[nodes]]` it is one of.
    pub nodes: NodesKey,
    /// How many accelerators it has.
    pub accelerators: u16,
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Memory, in MiB.
    pub memory_mib: u64,
}

/// A machine's number: its place in the list that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MachineKey(pub u32);

/// Where a piece is: a machine, and which of its accelerators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The machine.
    pub machine: MachineKey,
    /// Its accelerators.
    pub accelerators: SmallVec<[u16; 8]>,
    /// What it takes of them and of the machine.
    pub piece: Piece,
}

/// What is free on one machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Free {
    pub(super) nodes: NodesKey,
    /// Of each accelerator, in thousandths.
    pub(super) share_milli: SmallVec<[u16; 8]>,
    /// How many of them are free as a whole.
    pub(super) whole: u16,
    pub(super) cpu_milli: u64,
    pub(super) memory_mib: u64,
}

/// What is free everywhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Floor {
    pub(super) machines: Vec<Free>,
    /// Of accelerators, in thousandths, by [`NodesKey`].
    free_milli: Vec<u64>,
    /// The same of all, free or not.
    all_milli: Vec<u64>,
    /// Which reservations keep each machine; empty where there are none.
    kept: Vec<Kept>,
}

impl Floor {
    pub(super) fn new(machines: &[Machine]) -> Self {
        let mut floor = Self::default();
        for machine in machines {
            let free = Free {
                nodes: machine.nodes,
                share_milli: SmallVec::from_elem(WHOLE_MILLI, usize::from(machine.accelerators)),
                whole: machine.accelerators,
                cpu_milli: machine.cpu_milli,
                memory_mib: machine.memory_mib,
            };
            let group = usize::from(machine.nodes.0);
            if floor.free_milli.len() <= group {
                floor.free_milli.resize(group + 1, 0);
            }
            floor.free_milli[group] += free.milli();
            floor.machines.push(free);
        }
        floor.all_milli = floor.free_milli.clone();
        floor
    }

    /// Those of `ground` that there are.
    pub(super) fn nodes_in(&self, ground: Ground) -> impl Iterator<Item = NodesKey> + '_ {
        let all = (0u8..).zip(&self.free_milli);
        let all = all.map(|(nodes, _)| NodesKey(nodes));
        all.filter(move |nodes| ground.has(*nodes))
    }

    /// Free accelerators by [`NodesKey`], in thousandths.
    pub(super) fn free_milli(&self) -> &[u64] {
        &self.free_milli
    }

    /// Accelerators by [`NodesKey`], free or not, in thousandths.
    pub(super) fn all_milli(&self) -> &[u64] {
        &self.all_milli
    }

    /// Machines that are kept from now on.
    pub(super) fn keep(&mut self, reservations: &[Reservation]) {
        self.kept = Vec::new();
        for (at, reservation) in reservations.iter().enumerate() {
            self.kept.resize(self.machines.len(), 0);
            for machine in &reservation.machines {
                if let Some(kept) = self.kept.get_mut(index(*machine)) {
                    *kept |= 1 << at;
                }
            }
        }
    }

    /// Which reservations keep a machine.
    pub(super) fn kept(&self, machine: MachineKey) -> Kept {
        self.kept.get(index(machine)).copied().unwrap_or(0)
    }

    /// Accelerators of `nodes` that those keep, free or not, in thousandths.
    pub(super) fn kept_milli(&self, nodes: NodesKey, keepers: Kept) -> u64 {
        let kept = self.kept_machines();
        let of = kept.filter(|(kept, free)| kept & keepers != 0 && free.nodes == nodes);
        of.map(|(_, free)| free.share_milli.len() as u64 * u64::from(WHOLE_MILLI))
            .sum()
    }

    /// Machines that are kept.
    pub(super) fn kept_machines(&self) -> impl Iterator<Item = (Kept, &Free)> {
        let each = self.kept.iter().copied().zip(&self.machines);
        each.filter(|(kept, _)| *kept != 0)
    }

    pub(super) fn take(&mut self, placements: &[Placement]) {
        for placement in placements {
            self.change(placement, Free::take);
        }
    }

    pub(super) fn give(&mut self, placements: &[Placement]) {
        for placement in placements {
            self.change(placement, Free::give);
        }
    }

    /// Of which `[[nodes]]` the machines of a job are.
    pub(super) fn nodes_of(&self, placements: &[Placement]) -> Option<NodesKey> {
        let first = placements.first()?;
        Some(self.machines.get(index(first.machine))?.nodes)
    }

    fn change(&mut self, placement: &Placement, change: fn(&mut Free, &Placement)) {
        let Some(free) = self.machines.get_mut(index(placement.machine)) else {
            return;
        };
        let before = free.milli();
        change(free, placement);
        let total = &mut self.free_milli[usize::from(free.nodes.0)];
        *total = total.saturating_add(free.milli()).saturating_sub(before);
    }
}

impl Free {
    /// Of all its accelerators, in thousandths.
    pub(super) fn milli(&self) -> u64 {
        self.share_milli.iter().copied().map(u64::from).sum()
    }

    /// Which accelerators `piece` would take: whole ones in order, a part of one where least is left beside it.
    pub(super) fn room_for(&self, piece: &Piece) -> Option<SmallVec<[u16; 8]>> {
        let wanted = usize::from(piece.accelerators);
        if self.cpu_milli < piece.cpu_milli || self.memory_mib < piece.memory_mib {
            return None;
        }
        let shares = (0..).zip(self.share_milli.iter().copied());
        if piece.share_milli >= WHOLE_MILLI {
            let whole = shares.filter(|(_, free)| *free >= WHOLE_MILLI);
            let enough = usize::from(self.whole) >= wanted;
            return enough.then(|| whole.take(wanted).map(|(at, _)| at).collect());
        }
        let mut fitting: SmallVec<[(u16, u16); 8]> = shares
            .filter(|(_, free)| *free >= piece.share_milli)
            .map(|(at, free)| (free, at))
            .collect();
        fitting.sort_unstable();
        let enough = fitting.len() >= wanted;
        enough.then(|| fitting.iter().take(wanted).map(|(_, at)| *at).collect())
    }

    pub(super) fn take(&mut self, placement: &Placement) {
        self.cpu_milli = self.cpu_milli.saturating_sub(placement.piece.cpu_milli);
        self.memory_mib = self.memory_mib.saturating_sub(placement.piece.memory_mib);
        for at in &placement.accelerators {
            if let Some(free) = self.share_milli.get_mut(usize::from(*at)) {
                self.whole -= u16::from(*free == WHOLE_MILLI && placement.piece.share_milli > 0);
                *free = free.saturating_sub(placement.piece.share_milli);
            }
        }
    }

    pub(super) fn give(&mut self, placement: &Placement) {
        self.cpu_milli += placement.piece.cpu_milli;
        self.memory_mib += placement.piece.memory_mib;
        for at in &placement.accelerators {
            if let Some(free) = self.share_milli.get_mut(usize::from(*at)) {
                let more = free.saturating_add(placement.piece.share_milli);
                *free = more.min(WHOLE_MILLI);
                self.whole += u16::from(*free == WHOLE_MILLI && placement.piece.share_milli > 0);
            }
        }
    }
}

pub(super) fn index(machine: MachineKey) -> usize {
    usize::try_from(machine.0).unwrap_or(usize::MAX)
}
