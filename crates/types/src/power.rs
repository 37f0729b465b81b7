//! What people say of a site's power: caps, and events in which a grid wants less.

use crate::{KeyId, Micros, SiteId};
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// What a site may draw for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerEvent {
    /// Its number, given by the books; later ones have greater ones.
    pub id: u64,
    /// Where.
    pub site: SiteId,
    /// What is left.
    pub kind: PowerEventKind,
    /// From when on.
    pub from: Micros,
    /// Until when; `None` until it is taken back.
    pub until: Option<Micros>,
    /// Why, for people; one line.
    pub reason: String,
    /// The key that set it; of a grid's order, the name of the VTN that has it.
    pub set_by: KeyId,
    /// Since when it is known.
    pub set_at: Micros,
    /// Which order of a grid it is: `VTN/EVENT/…`, the same for as long as the order stays the same. `None` of one that people set.
    pub order: Option<String>,
}

/// How long an event may last that has an end, in milliseconds: thirty days at most.
pub const POWER_EVENT_MS: RangeInclusive<u64> = 1_000..=30 * 86_400_000;

/// So long before its beginning an event counts, so that it is met by then, in microseconds.
pub const POWER_LEAD_US: i64 = 30_000_000;

/// What an event leaves of a site's power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerEventKind {
    /// So much at its meter.
    Cap {
        /// In watts.
        watts: u64,
    },
    /// A part less than it drew when the event began.
    Cut {
        /// The part that is cut, in thousandths.
        milli: u32,
        /// What it drew then, in watts; `None` before it has begun.
        baseline_watts: Option<u64>,
    },
}

impl PowerEventKind {
    /// What is left, in watts, where that is said.
    pub fn cap_watts(self) -> Option<u64> {
        match self {
            Self::Cap { watts } => Some(watts),
            Self::Cut { .. } => None,
        }
    }

    /// What is left, in watts: of a cut as a part of `drawn_watts` until it is noted of what it is one; `None` where nobody knows that.
    pub fn left_watts(self, drawn_watts: Option<u64>) -> Option<u64> {
        match self {
            Self::Cap { watts } => Some(watts),
            Self::Cut {
                milli,
                baseline_watts,
            } => {
                let of = baseline_watts.or(drawn_watts)?;
                Some(of.saturating_mul(u64::from(1_000_u32.saturating_sub(milli))) / 1_000)
            }
        }
    }

    /// The part that is cut, in thousandths, where that is said.
    pub fn cut_milli(self) -> Option<u32> {
        match self {
            Self::Cap { .. } => None,
            Self::Cut { milli, .. } => Some(milli),
        }
    }
}

impl PowerEvent {
    /// Whether it holds at that instant.
    pub fn is_in_force(&self, at: Micros) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }

    /// From when on it counts: what is drawn then is what a cut is a part of.
    pub fn counts_from(&self) -> Micros {
        Micros(self.from.0.saturating_sub(POWER_LEAD_US)).max(self.set_at)
    }

    /// Whether it will never hold again.
    pub fn is_over(&self, at: Micros) -> bool {
        self.until.is_some_and(|until| until <= at)
    }
}
