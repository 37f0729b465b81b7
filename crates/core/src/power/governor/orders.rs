//! What is to be done at a site: the whole of it, so that a driver that missed one has missed nothing.

use super::Act;
use crate::power::model::WHOLE_MILLI;
use madang_types::{Micros, Priority, RunId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orders {
    /// Runs that stand still.
    pub paused: BTreeSet<RunId>,
    /// Runs that stand still for their turn, as they may be slowed.
    pub slowed: BTreeSet<RunId>,
    /// The level of clocks of all that can be slowed, in thousandths; the whole without a limit.
    pub level_milli: u32,
    /// What requests meet.
    pub terms: PowerTerms,
}

/// What requests meet at a site where power is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerTerms {
    /// What those of the batch class have of what they would have, in thousandths.
    pub batch_milli: u32,
    /// They go elsewhere where they can.
    pub divert: bool,
    /// What engines have of their slots, in thousandths.
    pub slots_milli: u32,
    /// Those of this class, and of less urgent ones, are refused.
    pub shed: Option<Priority>,
    /// When what makes it short ends, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Micros>,
}

impl Default for PowerTerms {
    /// Power is not short.
    fn default() -> Self {
        Self {
            batch_milli: WHOLE_MILLI,
            divert: false,
            slots_milli: WHOLE_MILLI,
            shed: None,
            until: None,
        }
    }
}

impl Default for Orders {
    /// Nothing.
    fn default() -> Self {
        Self {
            paused: BTreeSet::new(),
            slowed: BTreeSet::new(),
            level_milli: WHOLE_MILLI,
            terms: PowerTerms::default(),
        }
    }
}

impl Orders {
    /// What acts come to together.
    pub(super) fn of<'a>(acts: impl Iterator<Item = &'a Act>) -> Self {
        let mut orders = Self::default();
        let terms = &mut orders.terms;
        for act in acts {
            match act {
                Act::Pause(run) => {
                    orders.paused.insert(*run);
                }
                Act::Slow(run) => {
                    orders.slowed.insert(*run);
                }
                Act::Clock(level) => orders.level_milli = orders.level_milli.min(*level),
                Act::Batch(milli) => terms.batch_milli = terms.batch_milli.min(*milli),
                Act::Divert => terms.divert = true,
                Act::Slots(milli) => terms.slots_milli = terms.slots_milli.min(*milli),
                Act::Shed(priority) => {
                    // Whoever refuses the more urgent ones refuses the others too.
                    terms.shed = terms.shed.into_iter().chain([*priority]).min();
                }
            }
        }
        orders
    }
}
