//! One stretch of a task on machines.

use super::RunId;
use crate::class::words;
use crate::{MicroWon, Micros, MilliJoules, NodesId, SiteId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What of one machine a run has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPiece {
    /// Which machine of its `[[nodes]]`, from 0.
    pub node: u32,
    /// Which of its accelerators, from 0.
    pub accelerators: Vec<u16>,
    /// How much of each, in thousandths.
    pub share_milli: u32,
    /// Processor time, in thousandths of a core.
    pub cpu_milli: u64,
    /// Memory, in MiB.
    pub memory_mib: u64,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It has machines, and its executor was told or is about to be.
    Starting,
    /// It runs.
    Running,
    /// It was told to stop.
    Stopping,
    /// It is over.
    Ended,
}

words!(RunState, RunStateError, "a run's state is one of starting, running, stopping, ended",
    "starting" => RunState::Starting, "running" => RunState::Running, "stopping" => RunState::Stopping,
    "ended" => RunState::Ended);

/// Why a run was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWhy {
    /// Its owner withdrew the job.
    Withdrawn,
    /// Its owner wants it to begin anew.
    Requeued,
    /// Others are to run.
    Room,
    /// Nothing pays for it any more, and its programme has such runs stopped.
    Budget,
    /// An operator stopped its site.
    Switch,
    /// Power is short at its site.
    Power,
    /// Electricity is dear at its site, and its end may be put off until it is not.
    Price,
}

words!(StopWhy, StopWhyError, "a run is stopped for one of withdrawn, requeued, room, budget, switch, power, price",
    "withdrawn" => StopWhy::Withdrawn, "requeued" => StopWhy::Requeued, "room" => StopWhy::Room,
    "budget" => StopWhy::Budget, "switch" => StopWhy::Switch, "power" => StopWhy::Power, "price" => StopWhy::Price);

/// That a run was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStop {
    /// Why.
    pub why: StopWhy,
    /// When.
    pub at: Micros,
}

/// What the price of a run depends on beside its length: it is kept with the run, as machines leave the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunPlace {
    /// Where its machines stand.
    pub site: SiteId,
    /// Their kind of accelerator.
    pub accelerator: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Its program ended with 0.
    Completed,
    /// Its program ended otherwise: with that exit code, or 128 and the signal that ended it.
    Failed {
        /// Which.
        exit_code: i32,
    },
    /// It was stopped at its time limit.
    TimedOut,
    /// It was stopped, not by its owner's withdrawal, and its task waits again. One that writes checkpoints had time for one.
    Stopped,
    /// It was stopped because it was withdrawn.
    Cancelled,
    /// It could not be started: an input that is missing, an image that cannot be had.
    NotStarted {
        /// Why, in words for its owner.
        why: String,
    },
    /// Its program ended with 0, but what was to be kept of it was not.
    NotKept {
        /// Why, in words for its owner.
        why: String,
    },
    /// It was not begun: its budget was against it. It is tried again, and that costs none of its tries.
    Refused {
        /// Why, in words for its owner.
        why: String,
    },
    /// Nobody knows: its machine or its executor went away.
    Lost {
        /// What is known.
        why: String,
    },
}

/// The end of a run, as its executor tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// How.
    pub outcome: RunOutcome,
    /// When its program began; `None` where it never did.
    pub started_at: Option<Micros>,
    /// When the last of its processes was gone.
    pub ended_at: Micros,
    /// Energy at its site's meter, where somebody says what its machines draw.
    pub energy: Option<MilliJoules>,
}

/// A run as the books have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Which.
    pub run: RunId,
    /// Where.
    pub nodes: NodesId,
    /// What its price depends on; `None` of a run from before that was kept, until somebody who knows its machines adds it.
    #[serde(default)]
    pub place: Option<RunPlace>,
    /// On which machines; empty where the site's own scheduler chooses.
    pub pieces: Vec<RunPiece>,
    /// Accelerators in all, in thousandths.
    pub accelerator_milli: u64,
    /// How it stands.
    pub state: RunState,
    /// That it was told to stop, and why.
    #[serde(default)]
    pub stop: Option<RunStop>,
    /// When it was given its machines.
    pub created_at: Micros,
    /// When its program began.
    pub started_at: Option<Micros>,
    /// Since when nobody could be asked how it stands, once that has been so for a while; it stays where the run is given up for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_since: Option<Micros>,
    /// Of one that was given up: when it was told after all how it ended, and what it used until then was booked, or when nobody asks any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen_until: Option<Micros>,
    /// Its end.
    pub end: Option<RunEnd>,
    /// What it cost, once it is over.
    pub charge: Option<MicroWon>,
    /// Machines on which it could have been and what that would have cost, its own first; none where it had no choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<RunCandidate>,
}

/// Machines on which a run may be, and what that would cost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCandidate {
    /// Which.
    pub nodes: NodesId,
    /// Where they stand.
    pub site: SiteId,
    /// What they lack for a run that begins at once.
    #[serde(default)]
    pub lacks: Option<RunLack>,
    /// How long it would wait there for its turn, in milliseconds; `None` where nobody asked, as they cost more all the same.
    #[serde(default)]
    pub wait_ms: Option<u64>,
    /// How long it would wait there as the site's own scheduler says, in milliseconds; `None` where there is none or it was not asked.
    #[serde(default)]
    pub foretold_ms: Option<u64>,
    /// What its accelerators cost there, for as long as its like runs.
    pub run: MicroWon,
    /// The electricity of that, at the prices of the hours in which it would run.
    #[serde(default)]
    pub energy: MicroWon,
    /// What it costs to move its data, and what that time is worth.
    pub data: MicroWon,
    /// What the time is worth until it begins.
    pub wait: MicroWon,
    /// What others save there who get dearer machines instead, while more is wanted than there is.
    #[serde(default)]
    pub congestion: MicroWon,
    /// For how long its data is moved, in milliseconds.
    #[serde(default)]
    pub data_ms: u64,
    /// How long until it begins, as it counts: with what others wait in the site's own queue, in milliseconds.
    #[serde(default)]
    pub starts_ms: u64,
    /// What it draws there beside what its accelerators draw idle, and what may be drawn besides, in watts at the site's meter; `None` where
    /// nobody says.
    #[serde(default)]
    pub watts: Option<[u64; 2]>,
}

impl RunCandidate {
    /// All that it would cost.
    pub fn total(&self) -> MicroWon {
        let Self {
            run,
            energy,
            data,
            wait,
            congestion,
            ..
        } = self;
        let parts = [run, energy, data, wait, congestion];
        parts.into_iter().fold(MicroWon(0), |sum, part| {
            MicroWon(sum.0.saturating_add(part.0))
        })
    }
}

/// What machines lack for a run that begins at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunLack {
    /// Accelerators that are free.
    Room,
    /// Power at their site.
    Power,
}

words!(RunLack, RunLackError, "machines lack room or power",
    "room" => RunLack::Room, "power" => RunLack::Power);

impl RunOutcome {
    /// Its name in lists.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
            Self::TimedOut => "timed_out",
            Self::Stopped => "stopped",
            Self::Cancelled => "cancelled",
            Self::NotStarted { .. } => "not_started",
            Self::NotKept { .. } => "not_kept",
            Self::Refused { .. } => "refused",
            Self::Lost { .. } => "lost",
        }
    }

    /// The exit code of a program that failed.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Failed { exit_code } => Some(*exit_code),
            _ => None,
        }
    }

    /// What else is known.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::NotStarted { why }
            | Self::NotKept { why }
            | Self::Refused { why }
            | Self::Lost { why } => Some(why),
            _ => None,
        }
    }
}

impl RunRecord {
    /// What it had of accelerators, in milliseconds of a whole one; `None` before its end.
    pub fn accelerator_ms(&self) -> Option<u64> {
        let end = self.end.as_ref()?;
        let us = end.started_at.map_or(0, |at| end.ended_at.since_us(at));
        Some(super::accelerator_ms(self.accelerator_milli, us))
    }

    /// Whether it was given up, and nobody has told yet how it ended.
    pub fn is_untold(&self) -> bool {
        self.end.is_some() && self.unseen_since.is_some() && self.unseen_until.is_none()
    }
}
