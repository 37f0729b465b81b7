//! What draws power, how it bends, and what can be done to it.

use super::orders::Orders;
use crate::power::model::{PowerProfile, WHOLE_MILLI};
use madang_types::{ReplicaId, RunId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What draws power.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadId {
    /// An engine.
    Replica(ReplicaId),
    /// A batch job's run.
    Run(RunId),
    /// All else that somebody counts: machines that nobody uses, a hall.
    Rest,
}

impl LoadId {
    /// The run that it is.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Self::Run(run) => Some(*run),
            Self::Replica(_) | Self::Rest => None,
        }
    }
}

impl fmt::Display for LoadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(id) => write!(f, "replica:{id}"),
            Self::Run(run) => write!(f, "run:{run}"),
            Self::Rest => f.write_str("rest"),
        }
    }
}

/// Something that draws power at a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// What it is.
    pub id: LoadId,
    /// What its machines draw for it now, in watts.
    pub watts: u64,
    /// Between what and what.
    pub profile: PowerProfile,
    /// How it bends.
    pub bend: Bend,
}

/// How a load bends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bend {
    /// Not at all.
    Rigid,
    /// A batch job's run.
    Run {
        /// It can stand still.
        pause: Option<Pause>,
        /// It may be slowed: of any stretch of time it stands still for so many thousandths at most, a turn at a time.
        slow_milli: u32,
    },
    /// An engine.
    Engine {
        /// Its accelerators can be slowed.
        slows: bool,
        /// Part of what it does that is for requests of the batch class, in thousandths.
        batch_milli: u32,
        /// It has done what it had, and takes no request, as others serve in its place while power is short.
        rests: bool,
    },
}

/// How a run stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How.
    pub how: PauseHow,
    /// What it draws then, in watts.
    pub left_watts: u64,
}

/// What makes a run stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseHow {
    /// Its processes are stopped, and go on later. It may stand so long in all, in microseconds.
    Freeze {
        /// In all.
        us_max: u64,
    },
    /// It writes a checkpoint, ends within that time, in microseconds, and waits for its turn again.
    Checkpoint {
        /// Its grace.
        takes_us: u64,
        /// How long its owner said that it may stand still, in microseconds: who said nothing is asked last.
        us_max: u64,
    },
}

/// From the order until frozen processes stand still, in microseconds.
pub const FREEZES_US: u64 = 1_000_000;

impl Pause {
    /// How long it takes until it stands, in microseconds.
    pub fn takes_us(&self) -> u64 {
        match self.how {
            PauseHow::Freeze { .. } => FREEZES_US,
            PauseHow::Checkpoint { takes_us, .. } => takes_us,
        }
    }

    /// How long its owner said that it may stand, in microseconds.
    pub fn us_max(&self) -> u64 {
        match self.how {
            PauseHow::Freeze { us_max } | PauseHow::Checkpoint { us_max, .. } => us_max,
        }
    }

    /// Whether it has stood as long as it may. One that wrote a checkpoint holds no machines while it waits.
    pub fn is_over(&self, stood_us: u64) -> bool {
        matches!(self.how, PauseHow::Freeze { us_max } if stood_us >= us_max)
    }
}

impl Load {
    /// How it can stand still.
    pub fn pause(&self) -> Option<Pause> {
        match self.bend {
            Bend::Run { pause, .. } => pause,
            Bend::Rigid | Bend::Engine { .. } => None,
        }
    }

    /// For how much of the time it may stand still in turns, in thousandths.
    pub fn slow_milli(&self) -> u32 {
        match self.bend {
            Bend::Run { slow_milli, .. } => slow_milli,
            Bend::Rigid | Bend::Engine { .. } => 0,
        }
    }

    /// The limit that its accelerators have at a level of clocks, in watts; `None` without a limit, and for what cannot be slowed.
    pub fn limit_watts(&self, level_milli: u32) -> Option<u64> {
        let slows = matches!(self.bend, Bend::Engine { slows: true, .. });
        (slows && level_milli < WHOLE_MILLI).then(|| self.profile.limit_watts(level_milli))
    }

    /// Whether it is an engine that rests while others serve in its place.
    pub(super) fn rests(&self) -> bool {
        matches!(self.bend, Bend::Engine { rests: true, .. })
    }

    /// By how much more it can draw under these orders than it does, in watts.
    pub(super) fn rises_watts(&self, orders: &Orders) -> u64 {
        let paused = |run| self.pause().is_some() && orders.paused.contains(&run);
        let stands = |run| paused(run) || orders.slowed.contains(&run);
        match self.rests() || self.id.run().is_some_and(stands) {
            true => 0,
            false => self.rises_awake_watts(orders),
        }
    }

    /// The same of one that neither rests nor stands.
    pub(super) fn rises_awake_watts(&self, orders: &Orders) -> u64 {
        let most = self.limit_watts(orders.level_milli);
        let most = most.unwrap_or(self.profile.full_watts);
        most.saturating_sub(self.watts)
    }
}
