//! What the governor tells: what it did, and why a run may not begin.

use super::Act;
use madang_types::Micros;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What the governor did, for the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerLine {
    /// When.
    pub at: Micros,
    /// What.
    pub what: PowerDeed,
    /// What the site drew then, in watts.
    pub drawn_watts: u64,
    /// What it might draw, in watts; `None` where no cap was in force.
    pub cap_watts: Option<u64>,
}

/// One deed of the governor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerDeed {
    /// An act was taken.
    Took {
        /// Which.
        act: Act,
        /// What it is thought to save, in watts.
        saves_watts: u64,
    },
    /// The meter shows an act that has had the time that it takes.
    Seen {
        /// Which.
        act: Act,
        /// Its part of how much less is drawn than before it and those beside it, by whatever cause, in watts; below zero where it is more.
        saved_watts: i64,
    },
    /// An act was taken back.
    Gave {
        /// Which.
        act: Act,
    },
    /// Nothing is left that bends.
    Short {
        /// What is missing, in watts.
        lacks_watts: u64,
    },
    /// What was missing is not any more.
    Met,
}

/// Why a run may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPower {
    /// What it needs is not there.
    Short {
        /// What is drawn or promised, at the meter.
        drawn_watts: u64,
        /// The cap.
        cap_watts: u64,
        /// What it may need there.
        needs_watts: u64,
    },
    /// Others that were held back for power come first.
    Returning,
}

impl fmt::Display for NoPower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short {
                drawn_watts,
                cap_watts,
                needs_watts,
            } => write!(
                f,
                "power is short: {drawn_watts} of {cap_watts} W are drawn or promised, and it may need {needs_watts} W"
            ),
            Self::Returning => {
                f.write_str("power was short until now: what was held back comes back step by step")
            }
        }
    }
}
