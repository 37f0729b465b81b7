//! What a job needs of machines.

use serde::{Deserialize, Serialize};

/// A whole one, in thousandths.
pub const MILLI: u32 = 1000;
/// The kind of machines whose accelerators are processors.
pub const PROCESSORS: &str = "cpu";
/// As many times in which machines are kept as are told apart.
pub const RESERVATIONS_MAX: usize = 64;

/// What a job, or each task of an array, needs, all at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobResources {
    /// Kinds of accelerator that will do, such as `h200`; any where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accelerator: Vec<String>,
    /// Accelerators in all; 0 for a job of processors alone.
    #[serde(default = "one")]
    pub count: u32,
    /// How many of them are on one machine; `None` where they may be anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_node: Option<u32>,
    /// How much of each, in thousandths: less than 1000 is a part of one that others share.
    #[serde(default = "whole")]
    pub share_milli: u32,
    /// Each has at least so much memory of its own, in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator_memory_mib_min: Option<u64>,
    /// Processor time on each machine that holds a piece, for each piece, in thousandths of a core.
    #[serde(default)]
    pub cpu_milli: u64,
    /// The same of the machine's memory, in MiB.
    #[serde(default)]
    pub memory_mib: u64,
}

fn one() -> u32 {
    1
}

fn whole() -> u32 {
    MILLI
}

impl JobResources {
    /// The pieces that have to be on one machine each, and the accelerators in one of them.
    pub fn pieces(&self) -> (u32, u32) {
        if self.count == 0 {
            return (1, 0);
        }
        let on_one = self.per_node.unwrap_or(1).max(1);
        (self.count.div_ceil(on_one), on_one)
    }

    /// Accelerators in all, in thousandths.
    pub fn accelerator_milli(&self) -> u64 {
        let (pieces, on_one) = self.pieces();
        u64::from(pieces) * u64::from(on_one) * u64::from(self.share_milli)
    }
}
