//! When machines have room for a job's pieces. Accelerators that are free here and there are none for a piece that wants them on one
//! machine: counted together they would promise a start that does not come.

use super::Jobs;
use super::ask::{Need, NodesKey, Piece, WHOLE_MILLI};
use super::nodes::{Free, MachineKey, Placement};
use super::queue::{Job, State};
use madang_types::Micros;
use std::collections::BTreeMap;

/// Needs of which it is worked out when machines have room for their pieces, of all that stand before a job: it takes a look at each
/// machine. Those of further needs are counted by accelerators.
const NEEDS_MAX: usize = 32;

/// What is known of [`Jobs::fits_at`] at one time: jobs of one need have room at the same time.
pub(super) struct FitsKnown {
    now: Micros,
    known: BTreeMap<(Need, NodesKey), Option<Micros>>,
}

impl FitsKnown {
    pub(super) fn new(now: Micros) -> Self {
        Self {
            now,
            known: BTreeMap::new(),
        }
    }

    /// See [`Jobs::fits_at`].
    pub(super) fn at(&mut self, jobs: &Jobs, job: &Job, nodes: NodesKey) -> Option<Micros> {
        let need = job.ask.need;
        // Room for these is wherever an accelerator is free.
        let Piece {
            accelerators,
            share_milli,
            cpu_milli,
            memory_mib,
        } = need.piece;
        let is_anywhere = accelerators == 1 && share_milli == WHOLE_MILLI;
        if is_anywhere && cpu_milli == 0 && memory_mib == 0 {
            return Some(self.now);
        }
        if let Some(known) = self.known.get(&(need, nodes)) {
            return *known;
        }
        if self.known.len() >= NEEDS_MAX {
            return Some(self.now);
        }
        let at = jobs.fits_at(self.now, job, nodes);
        self.known.insert((need, nodes), at);
        at
    }
}

/// Machines of one `[[nodes]]`, as others end.
struct Fits {
    piece: Piece,
    machines: BTreeMap<MachineKey, (Free, u64)>,
    /// How many pieces have room together.
    pieces: u64,
}

impl Jobs {
    /// When there is room for all pieces of a job on `nodes`, if nobody else begins there and all that runs ends as is thought; `None`
    /// where not even empty machines have it.
    pub(super) fn fits_at(&self, now: Micros, job: &Job, nodes: NodesKey) -> Option<Micros> {
        let need = &job.ask.need;
        let mut fits = Fits {
            piece: need.piece,
            machines: BTreeMap::new(),
            pieces: 0,
        };
        let machines = (0u32..).zip(&self.floor.machines);
        for (key, free) in machines.filter(|(_, free)| free.nodes == nodes) {
            fits.set(MachineKey(key), free.clone());
        }
        let running = self.running.iter().filter_map(|key| self.jobs.get(key));
        let mut ends: Vec<(Micros, &[Placement])> = running
            .filter_map(|job| match &job.state {
                State::Running { placements, .. } => {
                    Some((self.ends_at(now, job), placements.as_slice()))
                }
                State::Waiting { .. } => None,
            })
            .filter(|(_, placements)| self.floor.nodes_of(placements) == Some(nodes))
            .collect();
        ends.sort_by_key(|(at, _)| *at);
        let wanted = u64::from(need.pieces);
        let mut at = now;
        let mut ends = ends.into_iter();
        while fits.pieces < wanted {
            let (ends_at, placements) = ends.next()?;
            at = at.max(ends_at);
            placements.iter().for_each(|placement| fits.end(placement));
        }
        Some(at)
    }
}

impl Fits {
    fn set(&mut self, key: MachineKey, free: Free) {
        let count = count(&free, &self.piece);
        self.pieces += count;
        if let Some((_, before)) = self.machines.insert(key, (free, count)) {
            self.pieces -= before;
        }
    }

    /// What is there is not any more.
    fn end(&mut self, placement: &Placement) {
        if let Some((free, _)) = self.machines.get(&placement.machine) {
            let mut free = free.clone();
            free.give(placement);
            self.set(placement.machine, free);
        }
    }
}

/// How many pieces have room on a machine. One that takes no accelerator and nothing else has room without end.
fn count(free: &Free, piece: &Piece) -> u64 {
    let most = |has: u64, takes: u64| has.checked_div(takes).unwrap_or(u64::from(u32::MAX));
    let share = u64::from(piece.share_milli);
    let each = free.share_milli.iter();
    let parts: u64 = each.map(|free| most(u64::from(*free), share)).sum();
    let accelerators = most(parts, u64::from(piece.accelerators));
    let accelerators = match piece.accelerators {
        // Of one accelerator a piece takes one part: several parts are of several.
        2.. if share > 0 => (1..=accelerators).rev().find(|pieces| {
            let of = |free: &u16| most(u64::from(*free), share).min(*pieces);
            free.share_milli.iter().map(of).sum::<u64>() >= pieces * u64::from(piece.accelerators)
        }),
        _ => Some(accelerators),
    };
    accelerators
        .unwrap_or(0)
        .min(most(free.cpu_milli, piece.cpu_milli))
        .min(most(free.memory_mib, piece.memory_mib))
}
