//! Where a job goes: so that what is left free is of use to the jobs that usually come (fragmentation gradient descent: Weng et al.,
//! "Beware of Fragmentation", USENIX ATC 2023). Beyond that paper, accelerators count as lost for which the machine would run out of
//! processors or memory, if jobs came as they usually do: not only once it has.

use super::ask::{Ground, Need, NodesKey, Piece, WHOLE_MILLI};
use super::nodes::{Floor, Free, MachineKey, Placement, index};
use super::reserve::Kept;
use crate::lookup::Lookup;
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Kinds of pieces that are remembered: the others are rare.
const KINDS_MAX: usize = 256;
/// What usually comes is looked at anew after so many pieces.
const REFRESH_PIECES: u64 = 1024;
/// Results that are remembered.
const MEMO_MAX: usize = 1 << 17;

/// What usually comes, and how well what is free suits it.
#[derive(Debug, Default)]
pub(super) struct Placer {
    came: BTreeMap<(Piece, Ground), u64>,
    since_refresh: u64,
    /// The most frequent of them, and how often each came.
    usual: Vec<((Piece, Ground), u64)>,
    /// All of these together.
    sum: Sum,
    memo: Lookup<(Free, Piece), Score>,
}

/// What usually comes, all together.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: i128,
    milli: i128,
    cpu_milli: i128,
    memory_mib: i128,
}

/// What a job needs, and what is closed to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) need: Need,
    /// Reservations whose machines it may not have.
    pub(super) closed: Kept,
    /// Reservations on whose machines it is to be; none where it may be on any that is not closed.
    pub(super) own: Kept,
}

/// What taking a piece does.
#[derive(Clone, Debug)]
struct Score {
    /// How much more of what is free is of no use, summed over what usually comes.
    lost: i128,
    /// Which accelerators lose least.
    accelerators: SmallVec<[u16; 8]>,
}

impl Placer {
    /// A job came that needs this.
    pub(super) fn came(&mut self, need: &Need) {
        let pieces = u64::from(need.pieces);
        *self.came.entry((need.piece, need.ground)).or_default() += pieces;
        self.since_refresh = self.since_refresh.saturating_add(pieces);
        if self.since_refresh >= REFRESH_PIECES.min(self.came.len() as u64 * 16) {
            self.refresh();
        }
    }

    fn refresh(&mut self) {
        let mut usual: Vec<_> = self
            .came
            .iter()
            .filter(|((piece, _), _)| piece.accelerators > 0)
            .map(|(kind, count)| (*kind, *count))
            .collect();
        usual.sort_by_key(|(kind, count)| (Reverse(*count), *kind));
        usual.truncate(KINDS_MAX);
        self.sum = Sum::default();
        for ((piece, _), count) in &usual {
            let count = i128::from(*count);
            self.sum.count += count;
            self.sum.milli += count * i128::from(piece.milli());
            self.sum.cpu_milli += count * i128::from(piece.cpu_milli);
            self.sum.memory_mib += count * i128::from(piece.memory_mib);
        }
        self.usual = usual;
        self.since_refresh = 0;
        self.memo.clear();
    }

    /// All pieces of a job on machines of one `[[nodes]]`, of those that cost it least where least is lost; `None` where they are not
    /// free. `costs` are by [`NodesKey`]; those that are not named cost nothing.
    pub(super) fn place(
        &mut self,
        floor: &Floor,
        place: &Wanted,
        costs: &[u128],
    ) -> Option<Vec<Placement>> {
        let need = &place.need;
        let groups = (0u8..)
            .zip(floor.free_milli())
            .filter(|(group, free)| need.ground.has(NodesKey(*group)) && **free >= need.milli());
        let mut best: Option<((u128, i128), Vec<Placement>)> = None;
        for (group, _) in groups {
            let Some((lost, placements)) = self.place_in(floor, place, NodesKey(group)) else {
                continue;
            };
            let cost = costs.get(usize::from(group)).copied().unwrap_or(0);
            let rank = (cost, lost);
            if best.as_ref().is_none_or(|(best, _)| rank < *best) {
                best = Some((rank, placements));
            }
        }
        best.map(|(_, placements)| placements)
    }

    fn place_in(
        &mut self,
        floor: &Floor,
        Wanted { need, closed, own }: &Wanted,
        group: NodesKey,
    ) -> Option<(i128, Vec<Placement>)> {
        let mut open: Vec<Open> = Vec::new();
        let mut last: Option<(&Free, Option<Score>)> = None;
        for (key, free) in (0u32..).zip(&floor.machines) {
            let kept = floor.kept(MachineKey(key));
            let is_apart = *own != 0 && kept & own == 0;
            if free.nodes != group || kept & closed != 0 || is_apart {
                continue;
            }
            // Machines beside each other are mostly alike: it is faster to see that than to look up what was remembered.
            let score = match last.take() {
                Some((other, score)) if other == free => score,
                _ => self.score(free, &need.piece),
            };
            if let Some(score) = &score {
                open.push(Open {
                    key: MachineKey(key),
                    free: None,
                    left: free.milli(),
                    score: score.clone(),
                });
            }
            last = Some((free, score));
        }
        let mut placements = Vec::new();
        let mut lost = 0;
        // A job may have hundreds of pieces, and there may be thousands of machines: each piece takes the first, none looks at all.
        let orders = open.iter().enumerate();
        let mut orders: BinaryHeap<_> = orders
            .map(|(at, open)| Reverse((open.order(), at)))
            .collect();
        for _ in 0..need.pieces {
            let Reverse((_, at)) = orders.pop()?;
            let taken = &mut open[at];
            let placement = Placement {
                machine: taken.key,
                accelerators: taken.score.accelerators.clone(),
                piece: need.piece,
            };
            lost += taken.score.lost;
            let mut free = taken.free(floor)?.clone();
            free.take(&placement);
            placements.push(placement);
            if let Some(score) = self.score(&free, &need.piece) {
                taken.score = score;
                taken.left = free.milli();
                taken.free = Some(free);
                orders.push(Reverse((taken.order(), at)));
            }
        }
        Some((lost, placements))
    }

    fn score(&mut self, free: &Free, piece: &Piece) -> Option<Score> {
        // A machine without room is told sooner than it is looked up.
        free.room_for(piece)?;
        let key = (free.clone(), *piece);
        if let Some(score) = self.memo.get(&key) {
            return Some(score.clone());
        }
        let score = self.score_anew(free, piece)?;
        if self.memo.len() >= MEMO_MAX {
            self.memo.clear();
        }
        self.memo.insert(key, score.clone());
        Some(score)
    }

    fn score_anew(&self, free: &Free, piece: &Piece) -> Option<Score> {
        let before = self.useless(free);
        let mut best: Option<Score> = None;
        for accelerators in choices(free, piece) {
            let mut left = free.clone();
            left.take(&Placement {
                machine: MachineKey(0),
                accelerators: accelerators.clone(),
                piece: *piece,
            });
            let lost = self.useless(&left) - before;
            if best.as_ref().is_none_or(|best| lost < best.lost) {
                best = Some(Score { lost, accelerators });
            }
        }
        best
    }

    /// How much of what is free cannot be used by each usual piece, weighted by how often it comes.
    fn useless(&self, free: &Free) -> i128 {
        let all = free.milli();
        let part = |((piece, ground), count): &((Piece, Ground), u64)| {
            let useless = if ground.has(free.nodes) {
                useless_to(free, piece, all)
            } else {
                all
            };
            i128::from(*count) * i128::from(useless)
        };
        let unfit: i128 = self.usual.iter().map(part).sum();
        unfit + self.sum.count * self.sum.stranded(free, i128::from(all))
    }
}

impl Sum {
    /// How much of what is free the machine's processors and memory do not suffice for.
    fn stranded(&self, free: &Free, all: i128) -> i128 {
        let lacks = |have: u64, usual: i128| {
            // A machine of which nothing else is asked lacks nothing.
            let suffices = (i128::from(have) * self.milli).checked_div(usual);
            suffices.map_or(0, |suffices| (all - suffices).max(0))
        };
        lacks(free.cpu_milli, self.cpu_milli).max(lacks(free.memory_mib, self.memory_mib))
    }
}

/// A machine that can take another piece.
struct Open {
    key: MachineKey,
    /// What is left of it, once it has taken one.
    free: Option<Free>,
    /// How much of its accelerators is free then, in thousandths.
    left: u64,
    score: Score,
}

impl Open {
    fn free<'a>(&'a self, floor: &'a Floor) -> Option<&'a Free> {
        let whole = || floor.machines.get(index(self.key));
        self.free.as_ref().or_else(whole)
    }

    /// Where least is lost; of those where least is left; of those the first.
    fn order(&self) -> (i128, u64, MachineKey) {
        (self.score.lost, self.left, self.key)
    }
}

/// All of it where the piece does not fit, else the accelerators that are too small for it.
fn useless_to(free: &Free, piece: &Piece, all: u64) -> u64 {
    let large_enough = |share: &u16| *share >= piece.share_milli;
    let count = free
        .share_milli
        .iter()
        .copied()
        .filter(|share| large_enough(share))
        .count();
    if count < usize::from(piece.accelerators)
        || free.cpu_milli < piece.cpu_milli
        || free.memory_mib < piece.memory_mib
    {
        return all;
    }
    let small = free.share_milli.iter().filter(|share| !large_enough(share));
    small.copied().map(u64::from).sum()
}

/// The accelerators that a piece can take: each one that differs where it takes a part of one, else the first.
fn choices(free: &Free, piece: &Piece) -> Vec<SmallVec<[u16; 8]>> {
    let Some(first) = free.room_for(piece) else {
        return Vec::new();
    };
    if piece.accelerators != 1 || piece.share_milli >= WHOLE_MILLI {
        return vec![first];
    }
    let mut seen = BTreeMap::new();
    for (at, share) in (0u16..).zip(&free.share_milli) {
        if *share >= piece.share_milli {
            seen.entry(*share).or_insert(at);
        }
    }
    seen.into_values()
        .map(|at| SmallVec::from_slice(&[at]))
        .collect()
}
