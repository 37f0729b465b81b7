//! The work as it runs: step by step, by the decision that the live desk asks too, or at once.

use super::ground::{Ground, GroundJob};
use super::{ShiftRow, WON};
use madang_core::flex::{EnergyOutlook, HOUR_US, ShiftPlace, Shifts, Work};
use madang_types::Micros;

/// Time between two looks.
const STEP_US: u64 = HOUR_US / STEPS_PER_HOUR as u64;
const STEPS_PER_HOUR: usize = 4;
/// A checkpoint, and going on from it: the defaults of `madang twin jobs`.
const STOP_US: u64 = 60_000_000;
const WATT_US_PER_KWH: f64 = 1_000.0 * HOUR_US as f64;

/// By which work begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// As soon as there is room.
    AtOnce,
    /// When the core says so, where forecasts err by so much.
    Shifted(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Runs(usize),
    Ended,
}

/// A job on its way.
struct Going {
    state: State,
    left_us: u64,
    /// What is thought to be left.
    thought_us: u64,
    /// How long it ran, and how long it waited, from its coming on.
    ran_us: u64,
    waited_us: u64,
    stops: u64,
}

/// One way to run the work.
pub(super) struct Walk<'g> {
    ground: &'g Ground,
    rule: Rule,
    going: Vec<Going>,
    /// Thousandths of accelerators in use at each place.
    held_milli: Vec<u64>,
    /// Energy of each site in each step, in watts times microseconds.
    drawn: Vec<Vec<f64>>,
}

impl<'g> Walk<'g> {
    pub fn new(ground: &'g Ground, rule: Rule) -> Self {
        let deviation = match rule {
            Rule::AtOnce => 0.0,
            Rule::Shifted(deviation) => deviation,
        };
        let going = ground.jobs.iter().map(|job| {
            // The mean of what is thought is what is true.
            let factor = (deviation * job.error - deviation * deviation / 2.0).exp();
            Going {
                state: State::Waits,
                left_us: job.run_us,
                thought_us: ((job.run_us as f64 * factor) as u64).max(STEP_US),
                ran_us: 0,
                waited_us: 0,
                stops: 0,
            }
        });
        Self {
            going: going.collect(),
            held_milli: vec![0; ground.places.len()],
            drawn: vec![vec![0.0; ground.hours * STEPS_PER_HOUR]; ground.sites.len()],
            ground,
            rule,
        }
    }

    pub fn run(mut self) -> ShiftRow {
        for step in 0..self.ground.hours * STEPS_PER_HOUR {
            if self.going.iter().all(|of| of.state == State::Ended) {
                break;
            }
            match self.rule {
                Rule::AtOnce => self.at_once(step),
                Rule::Shifted(deviation) => self.shifted(step, deviation),
            }
            self.advance(step);
        }
        self.row()
    }

    /// Those that came begin in their order, at the first of their places with room.
    fn at_once(&mut self, step: usize) {
        for at in 0..self.going.len() {
            if self.waits(at, step)
                && let Some(place) = self.roomy(at, step)
            {
                self.begin(at, place);
            }
        }
    }

    /// Each begins, stops or goes on as the core says; those first that may be put off for the shortest time.
    fn shifted(&mut self, step: usize, deviation: f64) {
        let mut shifts = self.hours_to_come(step, deviation);
        let mut order: Vec<usize> = (0..self.going.len()).collect();
        order.sort_by_key(|at| (self.ground.jobs[*at].latest_us, *at));
        for at in order {
            match self.going[at].state {
                State::Runs(place) if self.ground.jobs[at].parts => {
                    let goes_on = self.weighs(&mut shifts, (at, &[place]), step);
                    if goes_on.is_some_and(|(from, _)| from > now_us(step)) {
                        self.stop(at, place);
                    }
                }
                State::Waits if self.waits(at, step) => {
                    let places = &self.ground.jobs[at].places;
                    let found = self.weighs(&mut shifts, (at, places), step);
                    let place = match found {
                        Some((from, _)) if from > now_us(step) => continue,
                        Some((_, place)) if self.has_room(at, place, step) => Some(place),
                        // Nothing speaks for waiting: it begins where there is room.
                        _ => self.roomy(at, step),
                    };
                    if let Some(place) = place {
                        self.begin(at, place);
                    }
                }
                State::Waits | State::Runs(_) | State::Ended => {}
            }
        }
    }

    /// What the core knows: the hours as they are foretold, and the room that those leave which run through.
    fn hours_to_come(&self, step: usize, deviation: f64) -> Shifts {
        let hour = step / STEPS_PER_HOUR;
        let places = self.ground.places.iter().map(|place| {
            let hours = self.ground.sites[place.site].foretold(hour, deviation);
            let outlook = EnergyOutlook::new(Micros(0), hours);
            ShiftPlace::new(outlook, place.watts_each, place.room_milli.clone())
        });
        let mut shifts = Shifts::new(at_us(now_us(step)), self.ground.terms, places.collect());
        for (job, going) in self.ground.jobs.iter().zip(&self.going) {
            if let State::Runs(place) = going.state
                && !job.parts
            {
                let until = now_us(step) + going.thought_us.max(STEP_US);
                self.take(&mut shifts, (place, job.milli), (now_us(step), until));
            }
        }
        shifts
    }

    /// Room at a place, and the site's own power at all of its places.
    fn take(&self, shifts: &mut Shifts, (place, milli): (usize, u64), span: (u64, u64)) {
        let span = (at_us(span.0), at_us(span.1));
        shifts.take(place, milli, span);
        let here = &self.ground.places[place];
        let watts = here.watts_each * milli / 1_000;
        for (other, of) in self.ground.places.iter().enumerate() {
            if other != place && of.site == here.site {
                shifts.take_own(other, watts, span);
            }
        }
    }

    /// When a job is to run from, and where; `None` where nothing speaks for waiting.
    fn weighs(
        &self,
        shifts: &mut Shifts,
        (at, places): (usize, &[usize]),
        step: usize,
    ) -> Option<(u64, usize)> {
        let (job, going) = (&self.ground.jobs[at], &self.going[at]);
        // It may wait for so long in all: what it ran moves the end of that.
        let latest_us = job.latest_us + going.ran_us;
        let work = Work {
            accelerator_milli: job.milli,
            left_us: going.thought_us.max(STEP_US),
            latest_start: at_us(latest_us),
            parts: job.parts,
            runs: matches!(going.state, State::Runs(_)),
        };
        let shift = shifts.put(&work, places)?;
        let here = &self.ground.places[shift.place];
        let watts = here.watts_each * job.milli / 1_000;
        for (other, of) in self.ground.places.iter().enumerate() {
            if other != shift.place && of.site == here.site {
                for span in &shift.stretches {
                    shifts.take_own(other, watts, *span);
                }
            }
        }
        let from = u64::try_from(shift.from.0).unwrap_or(0);
        Some((from.max(now_us(step)), shift.place))
    }

    fn waits(&self, at: usize, step: usize) -> bool {
        self.going[at].state == State::Waits && self.ground.jobs[at].submit_us <= now_us(step)
    }

    fn has_room(&self, at: usize, place: usize, step: usize) -> bool {
        let room = &self.ground.places[place].room_milli;
        let room_milli = room[step / STEPS_PER_HOUR];
        self.held_milli[place] + self.ground.jobs[at].milli <= room_milli
    }

    /// The first of a job's places with room now.
    fn roomy(&self, at: usize, step: usize) -> Option<usize> {
        let mut places = self.ground.jobs[at].places.iter().copied();
        places.find(|place| self.has_room(at, *place, step))
    }

    fn begin(&mut self, at: usize, place: usize) {
        self.held_milli[place] += self.ground.jobs[at].milli;
        self.going[at].state = State::Runs(place);
    }

    fn stop(&mut self, at: usize, place: usize) {
        self.held_milli[place] -= self.ground.jobs[at].milli;
        let going = &mut self.going[at];
        going.state = State::Waits;
        going.left_us += STOP_US;
        going.thought_us += STOP_US;
        going.stops += 1;
    }

    fn advance(&mut self, step: usize) {
        for (job, going) in self.ground.jobs.iter().zip(&mut self.going) {
            let State::Runs(place) = going.state else {
                let is_here = going.state == State::Waits && job.submit_us <= now_us(step);
                going.waited_us += if is_here { STEP_US } else { 0 };
                continue;
            };
            let ran_us = going.left_us.min(STEP_US);
            going.ran_us += ran_us;
            going.left_us -= ran_us;
            going.thought_us = going.thought_us.saturating_sub(ran_us);
            let here = &self.ground.places[place];
            let watts = (here.watts_each * job.milli / 1_000) as f64;
            self.drawn[here.site][step] += watts * ran_us as f64;
            if going.left_us == 0 {
                going.state = State::Ended;
                self.held_milli[place] -= job.milli;
            }
        }
    }

    fn row(&self) -> ShiftRow {
        let mut row = ShiftRow {
            name: match self.rule {
                Rule::AtOnce => "at once",
                Rule::Shifted(_) => "shifted",
            },
            ..ShiftRow::default()
        };
        for (site, drawn) in self.ground.sites.iter().zip(&self.drawn) {
            for (step, drawn) in drawn.iter().enumerate() {
                let hour = &site.hours[step / STEPS_PER_HOUR];
                let own = drawn.min(hour.own_spare_watts as f64 * STEP_US as f64);
                row.kwh += drawn / WATT_US_PER_KWH;
                row.own_kwh += own / WATT_US_PER_KWH;
                row.pay((drawn - own) / WATT_US_PER_KWH, hour, &self.ground.terms);
            }
        }
        let mut waited_us = 0.0;
        for (job, going) in self.ground.jobs.iter().zip(&self.going) {
            // It waits in whole steps, and came in one.
            let most_us = job.latest_us - job.submit_us + STEP_US;
            let is_late = going.waited_us > most_us || going.state != State::Ended;
            row.late += usize::from(is_late);
            row.stops += going.stops;
            waited_us += going.waited_us as f64;
        }
        let count = self.going.len().max(1) as f64;
        row.wait_h_mean = waited_us / count / HOUR_US as f64;
        row
    }
}

impl ShiftRow {
    /// So much of the grid in that hour.
    pub(super) fn pay(
        &mut self,
        kwh: f64,
        hour: &madang_core::flex::EnergyHour,
        terms: &madang_core::flex::EnergyTerms,
    ) {
        let (won, grams) = (
            kwh * hour.grid_per_kwh.0 as f64 * WON,
            kwh * hour.co2_mg_per_kwh as f64 / 1e3,
        );
        self.grid_kwh += kwh;
        self.won += won;
        self.gco2 += grams;
        self.weighed_won += won + grams / 1e3 * terms.per_kg_co2.0 as f64 * WON;
    }
}

fn now_us(step: usize) -> u64 {
    u64::try_from(step)
        .unwrap_or(u64::MAX)
        .saturating_mul(STEP_US)
}

/// The beginning of the first step that is not before then: nothing begins between steps.
fn next_step(us: u64) -> u64 {
    us.div_ceil(STEP_US) * STEP_US
}

fn at_us(us: u64) -> Micros {
    Micros(i64::try_from(us).unwrap_or(i64::MAX))
}

/// Whoever waits at its latest start begins with the next step.
pub(super) fn end_h(job: &GroundJob) -> usize {
    let end = next_step(job.latest_us) + job.run_us;
    usize::try_from(end.div_ceil(HOUR_US)).unwrap_or(usize::MAX)
}
