//! What is done at a site against power that is short, and where that stands.

use crate::{Micros, Priority, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// One thing that is done against power that is short.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerAct {
    /// A run stands still.
    Pause(RunId),
    /// A run that may be slowed stands still for its turn.
    Slow(RunId),
    /// All that can be slowed is brought to that level of clocks, in thousandths of what lies between idle and full.
    Clock(u32),
    /// Requests of the batch class have so much of what they would have of engines, in thousandths.
    Batch(u32),
    /// Requests go to other sites where policy lets them.
    Divert,
    /// Engines have so many of their slots, in thousandths.
    Slots(u32),
    /// Requests of that class, and of less urgent ones, are refused.
    Shed(Priority),
}

impl PowerAct {
    /// The run that stands still by it.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Pause(run) | Self::Slow(run) => Some(*run),
            Self::Clock(_) | Self::Batch(_) | Self::Divert | Self::Slots(_) | Self::Shed(_) => None,
        }
    }

    /// Its word in lists and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Pause(_) => "pause",
            Self::Slow(_) => "slow",
            Self::Clock(_) => "clock",
            Self::Batch(_) => "batch",
            Self::Divert => "divert",
            Self::Slots(_) => "slots",
            Self::Shed(_) => "shed",
        }
    }
}

impl fmt::Display for PowerAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |milli: &u32| milli / 10;
        match self {
            Self::Pause(run) => write!(f, "run {run} stands still"),
            Self::Slow(run) => write!(f, "run {run} is slowed: it stands still for its turn"),
            Self::Clock(level) => write!(f, "clocks at {} %", percent(level)),
            Self::Batch(0) => f.write_str("no requests of the batch class"),
            Self::Batch(milli) => {
                write!(f, "{} % of requests of the batch class", percent(milli))
            }
            Self::Divert => f.write_str("requests go to other sites"),
            Self::Slots(milli) => write!(f, "{} % of engines' slots", percent(milli)),
            Self::Shed(priority) => write!(f, "requests up to {} are refused", priority.as_str()),
        }
    }
}

/// Where a site's governor stands: whoever governs it anew goes on from there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PowerStand {
    /// The cap of the last look, in watts at the meter.
    pub cap_watts: Option<u64>,
    /// When a lower one than before came.
    pub fell_at: Option<Micros>,
    /// Acts in force, the first taken first.
    pub acts: Vec<PowerActStand>,
    /// How long runs that are there have stood still.
    pub runs: BTreeMap<RunId, RunStood>,
}

/// An act in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerActStand {
    /// Which.
    pub act: PowerAct,
    /// Since when.
    pub at: Micros,
    /// What it is thought to save, in watts at the meter.
    pub saves_watts: u64,
    /// What it bounds of what might rise, in watts at the meter.
    pub bounds_watts: u64,
    /// How long it took, or takes, until it holds, in microseconds.
    pub takes_us: u64,
}

/// How long a run stood still for want of power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunStood {
    /// In pauses that are over, in microseconds.
    pub paused_us: u64,
    /// In turns, in microseconds.
    pub turns_us: u64,
    /// How long it may stand yet in its turn, in microseconds; `None` of one that stood in none.
    pub turn_left_us: Option<u64>,
}
