//! When work starts that may be put off, and where: as early as is worth it, where and when its electricity weighs least.
//!
//! What a run weighs is a line between the hours at whose ends its price changes, by when it starts; so it is least where its beginning
//! or its end lies on one of these, or at the first or last moment that there is. Each of them is looked at. Whoever is put is kept room
//! for, and what it takes of the site's own power is no longer there for the next.

use super::price::{EnergyCost, EnergyOutlook, EnergyTerms, HOUR_US, after, before};
use super::slots::Slots;
use madang_types::Micros;

/// So far ahead is looked, and so much of a run counts, in microseconds: a week.
pub const AHEAD_US_MAX: u64 = 7 * 24 * HOUR_US;
/// What an hour of waiting weighs, in thousandths of what the work weighs at once: nobody waits for a night to save a trifle.
const WAIT_PERMILLE_PER_H: i128 = 2;
/// What it weighs to stop and go on again, likewise.
const STOP_PERMILLE: i128 = 10;
const MILLI: u64 = 1_000;

/// Where work may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShiftPlace {
    outlook: EnergyOutlook,
    /// One accelerator at full power, in watts at the meter.
    watts_each: u64,
    /// What may be had in each hour of the outlook, in thousandths of an accelerator; after the last as in that.
    room_milli: Vec<u64>,
}

impl ShiftPlace {
    /// A place where each accelerator draws so many watts at the meter, and so many of them, in thousandths, may be had in each hour of
    /// the outlook.
    pub fn new(outlook: EnergyOutlook, watts_each: u64, room_milli: Vec<u64>) -> Self {
        Self {
            outlook,
            watts_each,
            room_milli,
        }
    }

    /// What electricity costs there.
    pub fn outlook(&self) -> &EnergyOutlook {
        &self.outlook
    }

    /// What so many thousandths of an accelerator draw.
    pub(super) fn watts_of(&self, milli: u64) -> u64 {
        self.watts_each.saturating_mul(milli) / MILLI
    }

    /// What may be had in the hour in which `at` lies.
    pub fn room_milli(&self, at: Micros) -> u64 {
        let hours = at.since_us(self.outlook.from()) / HOUR_US;
        let index = usize::try_from(hours).unwrap_or(usize::MAX);
        let last = self.room_milli.last().copied().unwrap_or(0);
        self.room_milli.get(index).copied().unwrap_or(last)
    }

    /// So much is taken of the room and of the site's own power in each hour that the time between touches.
    fn take(&mut self, milli: u64, watts: u64, (from, until): (Micros, Micros)) {
        let mut at = from;
        while at < until {
            let hours = at.since_us(self.outlook.from()) / HOUR_US;
            let Ok(index) = usize::try_from(hours) else {
                return;
            };
            if let Some(room) = self.room_milli.get_mut(index) {
                *room = room.saturating_sub(milli);
            }
            self.outlook.take(index, watts);
            at = self.outlook.hour_end(at);
        }
    }
}

/// Work that may be put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Accelerators that it needs, all at once, in thousandths.
    pub accelerator_milli: u64,
    /// How long it will run yet, as far as is known, in microseconds.
    pub left_us: u64,
    /// When it has to start at the latest; what is stopped between has been put off by no more than that in all.
    pub latest_start: Micros,
    /// It may be stopped, and go on later.
    pub parts: bool,
    /// It runs now: not to go on is a stop.
    pub runs: bool,
}

/// When work is to start, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// Which of the places.
    pub place: usize,
    /// When it starts.
    pub from: Micros,
    /// The stretches in which it runs, were it to run as long as is known; between them it is stopped until it is cheap again.
    pub stretches: Vec<(Micros, Micros)>,
    /// What electricity costs it then.
    pub cost: EnergyCost,
    /// What it would cost as soon as there is room.
    pub at_once: EnergyCost,
}

impl Shift {
    /// By how many thousandths it is better than at once.
    pub fn saves_permille(&self) -> u64 {
        let (own, once) = (self.cost.weighed.0, self.at_once.weighed.0);
        let saved = i128::from(once) - i128::from(own);
        u64::try_from(saved * 1_000 / i128::from(once).abs().max(1)).unwrap_or(0)
    }
}

/// Stretches in which work runs, in their order.
type Stretches = Vec<(Micros, Micros)>;

/// A way to do some work.
#[derive(Clone, Debug)]
struct Way {
    place: usize,
    stretches: Stretches,
    weight: i128,
}

impl Way {
    fn from(&self) -> Micros {
        self.stretches.first().map_or(Micros(i64::MAX), |of| of.0)
    }
}

/// Work that is put into the hours to come, one piece after another.
#[derive(Clone, Debug)]
pub struct Shifts {
    now: Micros,
    terms: EnergyTerms,
    places: Vec<ShiftPlace>,
}

impl Shifts {
    /// Nothing is put yet.
    pub fn new(now: Micros, terms: EnergyTerms, places: Vec<ShiftPlace>) -> Self {
        Self { now, terms, places }
    }

    /// Time has gone on.
    pub fn advance(&mut self, now: Micros) {
        self.now = self.now.max(now);
    }

    /// Work that runs, or is to run, whatever it weighs: room is kept for it.
    pub fn take(&mut self, place: usize, milli: u64, span: (Micros, Micros)) {
        if let Some(place) = self.places.get_mut(place) {
            place.take(milli, place.watts_of(milli), span);
        }
    }

    /// What others take of a site's own power, which this place has too.
    pub fn take_own(&mut self, place: usize, watts: u64, span: (Micros, Micros)) {
        if let Some(place) = self.places.get_mut(place) {
            place.take(0, watts, span);
        }
    }

    /// When and at which of these places a piece of work is to start; room is kept for it. `None` where there is no room for it in time, or
    /// nothing is known of what electricity costs: then nothing speaks for waiting.
    pub fn put(&mut self, work: &Work, at: &[usize]) -> Option<Shift> {
        let ways: Vec<Way> = at
            .iter()
            .flat_map(|place| self.ways(*place, work))
            .collect();
        let is_cut = |way: &Way| way.stretches.len() > 1;
        let once = ways
            .iter()
            .min_by_key(|way| (is_cut(way), way.from(), way.weight, way.place))?;
        let score = |way: &Way| self.score(work, way, once.weight);
        let best = ways
            .iter()
            .min_by_key(|way| (score(way), way.from(), way.place))?;
        let (from, _) = *best.stretches.first()?;
        let shift = Shift {
            place: best.place,
            from,
            stretches: best.stretches.clone(),
            cost: self.cost(work, best)?,
            at_once: self.cost(work, once)?,
        };
        for span in &shift.stretches {
            self.take(shift.place, work.accelerator_milli, *span);
        }
        Some(shift)
    }

    /// What a way weighs with its waiting and stopping, beside what the work weighs at once.
    fn score(&self, work: &Work, way: &Way, once: i128) -> i128 {
        let wait_us = i128::from(way.from().since_us(self.now));
        let stops = way.stretches.len().saturating_sub(1);
        let stops =
            i128::try_from(stops).unwrap_or(i128::MAX) + i128::from(work.runs && wait_us > 0);
        let hour_us = i128::from(HOUR_US);
        let permille_us = (WAIT_PERMILLE_PER_H * wait_us)
            .saturating_add(STOP_PERMILLE.saturating_mul(stops).saturating_mul(hour_us));
        let more = (once.abs() / hour_us).saturating_mul(permille_us) / 1_000;
        way.weight.saturating_add(more)
    }

    /// All ways at a place that may be the best.
    fn ways(&self, place: usize, work: &Work) -> Vec<Way> {
        let left_us = work.left_us.clamp(1, AHEAD_US_MAX);
        let horizon = after(self.now, AHEAD_US_MAX);
        let latest = work.latest_start.clamp(self.now, horizon);
        let end = after(latest, left_us);
        let need = (work.accelerator_milli, &self.terms);
        let slots = self
            .places
            .get(place)
            .and_then(|at| Slots::new(at, (self.now, end), need));
        let Some(slots) = slots else {
            return Vec::new();
        };
        let mut starts = vec![self.now, latest];
        for slot in 0..slots.count() {
            let boundary = slots.end(slot);
            let ends_there = before(boundary, left_us);
            starts.extend([boundary, ends_there]);
        }
        let whole = starts
            .into_iter()
            .filter(|from| (self.now..=latest).contains(from))
            .map(|from| (from, after(from, left_us)))
            .filter(|(from, until)| slots.are_open(*from, *until))
            .map(|(from, until)| Way {
                place,
                weight: slots.weight(from, until),
                stretches: vec![(from, until)],
            });
        let mut ways: Vec<Way> = whole.collect();
        if work.parts {
            ways.extend(in_parts(&slots, (left_us, end)).map(|stretches| Way {
                place,
                weight: stretches.iter().map(|of| slots.weight(of.0, of.1)).sum(),
                stretches,
            }));
        }
        ways
    }

    fn cost(&self, work: &Work, way: &Way) -> Option<EnergyCost> {
        let place = self.places.get(way.place)?;
        let watts = place.watts_of(work.accelerator_milli);
        let mut sum = EnergyCost::default();
        for span in &way.stretches {
            sum.add(&place.outlook.cost(watts, *span, &self.terms)?);
        }
        Some(sum)
    }
}

/// The lightest hours with room that hold so much work before `end`; of alike ones the first.
fn in_parts(slots: &Slots, (left_us, end): (u64, Micros)) -> Option<Stretches> {
    let mut open: Vec<usize> = (0..slots.count())
        .filter(|slot| slots.is_open(*slot) && slots.begin(*slot) < end)
        .collect();
    open.sort_by_key(|slot| (slots.rate(*slot), *slot));
    let mut chosen = vec![false; slots.count() + 1];
    let mut left_us = left_us;
    let mut part = None;
    for slot in open {
        let (from, until) = (slots.begin(slot), slots.end(slot).min(end));
        let span_us = until.since_us(from);
        chosen[slot] = true;
        if span_us >= left_us {
            part = Some((slot, from, until, left_us));
            break;
        }
        left_us -= span_us;
    }
    let (part, from, until, left_us) = part?;
    // Of the last one only a part is used: that which adjoins another one.
    let is_after_one = part.checked_sub(1).is_some_and(|slot| chosen[slot]);
    let part_span = if chosen[part + 1] && !is_after_one {
        (before(until, left_us), until)
    } else {
        (from, after(from, left_us))
    };
    let mut stretches = Stretches::new();
    for slot in (0..slots.count()).filter(|slot| chosen[*slot]) {
        let span = if slot == part {
            part_span
        } else {
            (slots.begin(slot), slots.end(slot).min(end))
        };
        match stretches.last_mut() {
            Some(last) if last.1 == span.0 => last.1 = span.1,
            _ => stretches.push(span),
        }
    }
    Some(stretches)
}

#[cfg(test)]
mod tests;
