//! How many sequences share a batch: fewer where tokens come too slowly or first tokens come late, more where there is room.

use crate::learn::{rounded, whole};
use madang_types::Micros;

/// The limit is never taken below this part of the slots.
const FLOOR_DIVISOR: u32 = 8;
/// Least time between two decreases: the batch needs it to show what the last one did.
const DECREASE_EVERY_MS: u64 = 2_000;

/// The limit, as a whole and a fraction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotLimit {
    limit: f64,
    decreased_at: Option<Micros>,
}

impl SlotLimit {
    pub fn new(slots: u32) -> Self {
        Self {
            limit: f64::from(slots),
            decreased_at: None,
        }
    }

    /// Sequences that may share the batch.
    pub fn slots(&self, slots: u32) -> u32 {
        let limit = u32::try_from(rounded(self.limit)).unwrap_or(u32::MAX);
        limit.clamp((slots / FLOOR_DIVISOR).max(1), slots.max(1))
    }

    /// An answer came at that pace, with that many in the batch; `own_us` of it is what a batch of that size takes for itself.
    /// The rest is other requests' prompts, which fewer sequences would not shorten.
    pub fn observe(
        &mut self,
        now: Micros,
        (tpot_us, own_us, target_us): (u64, u64, u64),
        (running, slots): (u32, u32),
    ) {
        let slots_f = f64::from(slots);
        let rested = self
            .decreased_at
            .is_none_or(|at| now.since_us(at) >= DECREASE_EVERY_MS * 1000);
        if target_us > 0 && tpot_us > target_us && own_us > tpot_us / 2 {
            if rested {
                // By what is over, a tenth at most at once.
                let ratio = (whole(target_us) / whole(tpot_us)).max(0.9);
                let floor = f64::from((slots / FLOOR_DIVISOR).max(1));
                self.limit = (self.limit.min(f64::from(running.max(1))) * ratio).max(floor);
                self.decreased_at = Some(now);
            }
        } else if f64::from(running) + 1.0 >= self.limit * 0.9 {
            self.limit = (self.limit + 0.25).min(slots_f);
        }
    }

    /// First tokens came much later than predicted: a tenth fewer.
    pub fn decrease(&mut self, now: Micros, slots: u32) {
        let floor = f64::from((slots / FLOOR_DIVISOR).max(1));
        self.limit = (self.limit * 0.9).max(floor);
        self.decreased_at = Some(now);
    }

    /// The fleet file names another number of slots.
    pub fn slots_apply(&mut self, before: u32, now: u32) {
        if before != now {
            *self = Self::new(now);
        }
    }
}
