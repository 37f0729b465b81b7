//! The hours to come at one place, as one piece of work sees them: what each weighs, and which have room for it.

use super::price::{EnergyHour, EnergyTerms, HOUR_US, after, before};
use super::shift::ShiftPlace;
use madang_types::Micros;

/// Hours from `now` on; the first one is what is left of the present one.
pub(super) struct Slots {
    now: Micros,
    first_end: Micros,
    /// What each weighs, for a microsecond.
    rates: Vec<i128>,
    /// What all before each weigh.
    sums: Vec<i128>,
    /// How many before each have no room.
    closed: Vec<u32>,
}

impl Slots {
    /// Hours until `until` at the least; `None` where nothing is known of what they cost.
    pub fn new(
        place: &ShiftPlace,
        (now, until): (Micros, Micros),
        (milli, terms): (u64, &EnergyTerms),
    ) -> Option<Self> {
        let watts = place.watts_of(milli);
        let mut slots = Self {
            now,
            first_end: place.outlook().hour_end(now),
            rates: Vec::new(),
            sums: vec![0],
            closed: vec![0],
        };
        let (mut at, mut sum, mut closed) = (now, 0i128, 0u32);
        while at < until {
            let rate = rate(place.outlook().hour(at)?, watts, terms);
            let end = slots.end(slots.rates.len());
            sum = sum.saturating_add(rate.saturating_mul(end.since_us(at).into()));
            closed += u32::from(place.room_milli(at) < milli);
            slots.rates.push(rate);
            slots.sums.push(sum);
            slots.closed.push(closed);
            at = end;
        }
        Some(slots)
    }

    pub fn count(&self) -> usize {
        self.rates.len()
    }

    pub fn rate(&self, slot: usize) -> i128 {
        self.rates.get(slot).copied().unwrap_or(0)
    }

    pub fn begin(&self, slot: usize) -> Micros {
        match slot.checked_sub(1) {
            Some(previous) => self.end(previous),
            None => self.now,
        }
    }

    pub fn end(&self, slot: usize) -> Micros {
        let hours = u64::try_from(slot).unwrap_or(u64::MAX);
        after(self.first_end, hours.saturating_mul(HOUR_US))
    }

    fn slot(&self, at: Micros) -> usize {
        if at < self.first_end {
            return 0;
        }
        let hours = at.since_us(self.first_end) / HOUR_US;
        usize::try_from(hours)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
    }

    /// It has room from beginning to end.
    pub fn is_open(&self, slot: usize) -> bool {
        self.closed.get(slot) == self.closed.get(slot + 1)
    }

    /// There is room all the time between.
    pub fn are_open(&self, from: Micros, until: Micros) -> bool {
        let last = self.slot(before(until, 1));
        self.closed.get(self.slot(from)) == self.closed.get(last + 1)
    }

    /// What the time between weighs.
    pub fn weight(&self, from: Micros, until: Micros) -> i128 {
        self.weight_until(until) - self.weight_until(from)
    }

    fn weight_until(&self, at: Micros) -> i128 {
        let slot = self.slot(at).min(self.count());
        let within_us = i128::from(at.since_us(self.begin(slot)));
        let sum = self.sums.get(slot).copied().unwrap_or(0);
        sum.saturating_add(self.rate(slot).saturating_mul(within_us))
    }
}

/// What so many watts weigh for a microsecond: price of the grid, and CO2 at its price.
fn rate(hour: &EnergyHour, watts: u64, terms: &EnergyTerms) -> i128 {
    let grid_watts = i128::from(watts.saturating_sub(hour.own_spare_watts));
    grid_watts.saturating_mul(terms.weighed_per_kwh(hour))
}
