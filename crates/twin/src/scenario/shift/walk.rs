//! The work as it runs: step by step, by the decision that the live desk asks too, or at once.

use super::ground::{Ground, GroundJob};
use super::{ShiftRow, WON};
use madang_core::flex::{EnergyOutlook, HOUR_US, ShiftPlace, Shifts, Tasks, TasksDone};
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

/// A task that has begun and is not over.
struct Begun {
    /// Where it runs; `None` where it is stopped.
    place: Option<usize>,
    left_us: u64,
    ran_us: u64,
}

/// A job on its way.
struct Going {
    unbegun: u64,
    begun: Vec<Begun>,
    over: u64,
    /// How long each of its tasks is thought to run.
    thought_us: u64,
    /// How long all its tasks ran, and how long nothing of it did, from its coming on.
    ran_us: u64,
    waited_us: u64,
    stops: u64,
}

impl Going {
    fn is_over(&self) -> bool {
        self.unbegun == 0 && self.begun.is_empty()
    }

    fn runs(&self) -> bool {
        self.begun.iter().any(|task| task.place.is_some())
    }

    /// Some task of it has no accelerators.
    fn waits(&self) -> bool {
        self.unbegun > 0 || self.begun.iter().any(|task| task.place.is_none())
    }
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
                unbegun: job.tasks,
                begun: Vec::new(),
                over: 0,
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
            if self.going.iter().all(Going::is_over) {
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
            self.begin_where_is_room(at, step);
        }
    }

    /// Each begins, stops or goes on as the core says; those first that may be put off for the shortest time.
    fn shifted(&mut self, step: usize, deviation: f64) {
        let mut shifts = self.hours_to_come(step, deviation);
        let mut order: Vec<usize> = (0..self.going.len()).collect();
        order.sort_by_key(|at| (self.ground.jobs[*at].latest_us, *at));
        for at in order {
            let (job, going) = (&self.ground.jobs[at], &self.going[at]);
            let stops = job.parts && going.runs();
            if !self.waits(at, step) && !stops {
                continue;
            }
            // A single job that runs stays where it is; the tasks of an array are weighed together.
            let own = going.begun.iter().find_map(|task| task.place);
            let own = own.filter(|_| job.tasks == 1);
            let places = own.map_or_else(|| job.places.clone(), |place| vec![place]);
            match self.weighs(&mut shifts, (at, &places), step) {
                Some((from, _)) if from > now_us(step) => {
                    if stops {
                        self.stop(at);
                    }
                }
                found => {
                    let place = found.map(|(_, place)| place);
                    while let Some(place) = place
                        && self.waits(at, step)
                        && self.has_room(at, place, step)
                    {
                        self.begin(at, place);
                    }
                    // Nothing speaks for waiting: the others begin where there is room.
                    self.begin_where_is_room(at, step);
                }
            }
        }
    }

    fn begin_where_is_room(&mut self, at: usize, step: usize) {
        while self.waits(at, step)
            && let Some(place) = self.roomy(at, step)
        {
            self.begin(at, place);
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
            if job.parts {
                continue;
            }
            for task in &going.begun {
                if let Some(place) = task.place {
                    let left_us = going.thought_us.saturating_sub(task.ran_us);
                    let until = now_us(step) + left_us.max(STEP_US);
                    self.take(&mut shifts, (place, job.milli), (now_us(step), until));
                }
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
        let tasks = Tasks {
            count: job.tasks,
            at_once: job.at_once,
            accelerator_milli: job.milli,
            each_us: going.thought_us,
            checkpoints: job.parts,
            latest_start: at_us(job.latest_us),
        };
        let mut work = tasks.left(&TasksDone {
            over: going.over,
            ran_us: going.ran_us,
            open_ran_us: going.begun.iter().map(|task| task.ran_us).sum(),
            runs: job.parts && going.runs(),
        });
        work.left_us = work.left_us.max(STEP_US);
        let shift = shifts.put(&work, places)?;
        let here = &self.ground.places[shift.place];
        let watts = here.watts_each * work.accelerator_milli / 1_000;
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
        self.going[at].waits() && self.ground.jobs[at].submit_us <= now_us(step)
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
        let going = &mut self.going[at];
        let stopped = going.begun.iter_mut().find(|task| task.place.is_none());
        match stopped {
            Some(task) => task.place = Some(place),
            None => {
                going.unbegun -= 1;
                going.begun.push(Begun {
                    place: Some(place),
                    left_us: self.ground.jobs[at].run_us,
                    ran_us: 0,
                });
            }
        }
    }

    /// All that runs of it.
    fn stop(&mut self, at: usize) {
        let job = &self.ground.jobs[at];
        let going = &mut self.going[at];
        let before = going.stops;
        for task in &mut going.begun {
            if let Some(place) = task.place.take() {
                self.held_milli[place] -= job.milli;
                task.left_us += STOP_US;
                going.stops += 1;
            }
        }
        going.thought_us += STOP_US * (going.stops - before) / job.tasks;
    }

    fn advance(&mut self, step: usize) {
        for (job, going) in self.ground.jobs.iter().zip(&mut self.going) {
            if !going.runs() {
                let is_here = going.waits() && job.submit_us <= now_us(step);
                going.waited_us += if is_here { STEP_US } else { 0 };
                continue;
            }
            for task in &mut going.begun {
                let Some(place) = task.place else {
                    continue;
                };
                let ran_us = task.left_us.min(STEP_US);
                task.ran_us += ran_us;
                task.left_us -= ran_us;
                going.ran_us += ran_us;
                let here = &self.ground.places[place];
                let watts = (here.watts_each * job.milli / 1_000) as f64;
                self.drawn[here.site][step] += watts * ran_us as f64;
                if task.left_us == 0 {
                    going.over += 1;
                    self.held_milli[place] -= job.milli;
                }
            }
            going.begun.retain(|task| task.left_us > 0);
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
            let is_late = going.waited_us > most_us || !going.is_over();
            row.late += usize::from(is_late);
            row.undone += usize::from(!going.is_over());
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
    let more_waves = job.tasks.div_ceil(job.at_once).saturating_sub(1);
    let end = next_step(job.latest_us) + more_waves * next_step(job.run_us) + job.run_us;
    usize::try_from(end.div_ceil(HOUR_US)).unwrap_or(usize::MAX)
}
