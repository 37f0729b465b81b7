//! One purse as this gateway holds it.

use super::Budgets;
use super::view::PurseView;
use crate::learn::{Mean, Rate};
use madang_ledger::{Order, Purse};
use madang_types::{Micros, Unit};

/// Milliseconds over which the pace of spending is measured.
pub(super) const PACE_MS: u64 = 10_000;

/// Rights to one purse, and what of them is taken.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// `None` once it is withdrawn: nothing new is set aside.
    pub view: Option<PurseView>,
    /// In what it is counted; it never changes.
    pub unit: Unit,
    /// Moved here, less what was sent back.
    pub rights: i64,
    /// Taken by requests that have ended.
    pub spent: i64,
    /// Set aside for those under way: the most that each can cost …
    pub exposure: i64,
    /// … and what was promised to it when it was let in; less than that where the purse is not hard. Nobody else may take it.
    pub promised: i64,
    /// What the bank was asked for and has not answered.
    pub order: Option<Order>,
    /// The bank had nothing more when it was asked last: it is not asked again before then.
    pub dry_until: Micros,
    /// What it had left then.
    pub left: i64,
    /// The greatest amount that a request lacked of late.
    pub lack: i64,
    /// When a request last asked for something.
    pub used_at: Micros,
    /// Spent per second of late, and by a request.
    pub pace: Rate<PACE_MS>,
    pub each: Mean,
}

impl Held {
    pub fn new(unit: Unit) -> Self {
        Self {
            view: None,
            unit,
            rights: 0,
            spent: 0,
            exposure: 0,
            promised: 0,
            order: None,
            dry_until: Micros(i64::MIN),
            left: 0,
            lack: 0,
            used_at: Micros(i64::MIN),
            pace: Rate::default(),
            each: Mean::new(0.0),
        }
    }

    /// What nobody has a claim on.
    pub fn free(&self) -> i64 {
        self.rights
            .saturating_sub(self.spent)
            .saturating_sub(self.exposure)
    }

    /// What nobody was promised: it may be, where requests are let in at their likely cost.
    pub fn unpromised(&self) -> i64 {
        self.rights
            .saturating_sub(self.spent)
            .saturating_sub(self.promised)
    }

    /// Whether it must be remembered though it may not be spent from any more.
    pub fn is_in_use(&self) -> bool {
        self.exposure > 0 || self.rights > self.spent || self.order.is_some()
    }
}

/// A purse as it stands here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurseStatus {
    /// Which.
    pub purse: Purse,
    /// In what it is counted.
    pub unit: Unit,
    /// Rights that this gateway holds and has not spent, what is set aside included.
    pub held: i64,
    /// The most that requests under way can cost.
    pub reserved: i64,
    /// Spent since the start.
    pub spent: i64,
}

impl Budgets {
    /// Every purse that was touched here, by name.
    pub fn status(&self) -> Vec<PurseStatus> {
        let touched = self
            .purses
            .iter()
            .filter(|(_, held)| held.rights > 0 || held.exposure > 0 || held.spent > 0);
        touched
            .map(|(purse, held)| PurseStatus {
                purse: purse.clone(),
                unit: held.unit,
                held: held.rights.saturating_sub(held.spent),
                reserved: held.exposure,
                spent: held.spent,
            })
            .collect()
    }

    /// What must always hold.
    ///
    /// # Errors
    /// What does not.
    pub fn check_invariants(&self) -> Result<(), String> {
        for (purse, held) in &self.purses {
            let mut sums = (0_i64, 0_i64);
            let parts = self.requests.values().flat_map(|request| &request.parts);
            for part in parts.filter(|part| part.purse == *purse) {
                sums = (sums.0 + part.max, sums.1 + part.promised);
            }
            if sums != (held.exposure, held.promised) {
                return Err(format!(
                    "{purse}: {sums:?} is set aside, {held:?} says otherwise"
                ));
            }
            if held.rights - held.spent < held.promised {
                return Err(format!("{purse}: less is here than was promised: {held:?}"));
            }
        }
        Ok(())
    }
}
