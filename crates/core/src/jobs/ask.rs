//! What a job asks for.

use madang_types::Priority;
use serde::{Deserialize, Serialize};

/// A job, numbered by its driver: who came later has the greater number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobKey(pub u64);

/// Whose work is counted together: a place in the tree of programmes, tenants and projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountKey(pub usize);

/// The fleet's `[[nodes]]`: machines of one kind at one site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodesKey(pub u8);

/// Where a job may run, as policy, its data and the kinds of accelerator that it can use leave it: a set of [`NodesKey`] below 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ground(u128);

impl Ground {
    /// Everywhere.
    pub const ALL: Self = Self(u128::MAX);

    /// These and no others.
    pub fn of(nodes: impl IntoIterator<Item = NodesKey>) -> Self {
        Self(nodes.into_iter().fold(0, |set, nodes| {
            set | 1u128.checked_shl(u32::from(nodes.0)).unwrap_or(0)
        }))
    }

    /// Whether `nodes` are among them.
    pub fn has(self, nodes: NodesKey) -> bool {
        self.0.checked_shr(u32::from(nodes.0)).unwrap_or(0) & 1 == 1
    }
}

/// One accelerator, in thousandths.
pub const WHOLE_MILLI: u16 = 1000;

/// What has to be on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Piece {
    /// How many accelerators.
    pub accelerators: u16,
    /// How much of each, in thousandths.
    pub share_milli: u16,
    /// Processor time, in thousandths of a core.
    pub cpu_milli: u64,
    /// Memory of the machine, in MiB.
    pub memory_mib: u64,
}

/// All that a job needs, all at once: so many pieces, on machines of one `[[nodes]]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Need {
    /// How many; two may share a machine.
    pub pieces: u32,
    /// Each of them.
    pub piece: Piece,
    /// Where.
    pub ground: Ground,
}

impl Need {
    /// `accelerators` whole ones, wherever they are free.
    pub fn accelerators(accelerators: u32) -> Self {
        Self {
            pieces: accelerators,
            piece: Piece {
                accelerators: 1,
                share_milli: WHOLE_MILLI,
                cpu_milli: 0,
                memory_mib: 0,
            },
            ground: Ground::ALL,
        }
    }

    /// Accelerators in all, in thousandths.
    pub fn milli(&self) -> u64 {
        u64::from(self.pieces) * self.piece.milli()
    }
}

impl Piece {
    /// Its accelerators, in thousandths.
    pub fn milli(&self) -> u64 {
        u64::from(self.accelerators) * u64::from(self.share_milli)
    }
}

/// The class of a job, as its operator defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobClass {
    /// Which.
    pub key: u8,
    /// Jobs of a higher tier go before all those of lower ones, whoever's they are; those that can be stopped make room.
    pub tier: u8,
    /// Among its account's own of one tier those of the least rank are first.
    pub rank: u8,
    /// What the account above a job's own may hold at once in jobs of this class, in thousandths of an accelerator.
    pub held_milli_max: u64,
}

impl Default for JobClass {
    fn default() -> Self {
        Self {
            key: 0,
            tier: 0,
            rank: 0,
            held_milli_max: u64::MAX,
        }
    }
}

/// A job, as it is submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Its number.
    pub job: JobKey,
    /// Who answers for what it uses.
    pub account: AccountKey,
    /// What it needs.
    pub need: Need,
    /// How long it will run at most, in microseconds: its time limit.
    pub run_us_max: u64,
    /// It can be stopped and goes on later where it was, because it writes checkpoints.
    pub preemptible: bool,
    /// How urgent it is among its account's own of its class.
    pub priority: Priority,
    /// Its class.
    pub class: JobClass,
}
