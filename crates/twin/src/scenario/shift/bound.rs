//! The least that the work can weigh: a linear programme that knows every hour and every run, cuts work into any parts, and moves it
//! between sites at no cost. No plan that keeps the same bounds weighs less.
//!
//! Where no plan keeps every job's time, another programme says how many jobs are late at the least; the bound then lets all work run
//! late, so that it stays below every plan that does the same work.

use super::ground::Ground;
use super::walk::end_h;
use super::{ShiftRow, TAIL_H, WON};
use madang_core::flex::HOUR_US;
use microlp::{ComparisonOp, LinearExpr, OptimizationDirection, Problem, Solution, Variable};
use std::collections::BTreeMap;

/// Beyond that many unknowns it takes too long.
const UNKNOWNS_MAX: usize = 100_000;
/// What a sum of parts may be off by rounding.
const ROUNDING: f64 = 1e-6;

/// What is known of the least that the work weighs.
#[derive(Default)]
pub(super) struct Least {
    /// `None` where it is not known.
    pub row: Option<ShiftRow>,
    /// Jobs, at the least, that are late by any plan.
    pub late_min: usize,
    /// What it leaves open, or why it is not known.
    pub notes: Vec<String>,
}

/// Until when work may run.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// Each job's own time.
    InTime,
    /// The last hour that is looked at.
    End,
}

/// Why a programme has no answer.
enum Unsolved {
    /// No plan does all work.
    Impossible,
    /// In words.
    Other(String),
}

impl From<microlp::Error> for Unsolved {
    fn from(error: microlp::Error) -> Self {
        match error {
            microlp::Error::Infeasible => Self::Impossible,
            other => Self::Other(format!("no bound is worked out: the solver says: {other}")),
        }
    }
}

/// Jobs that differ in nothing that the programme sees: their places, and the hours between which they run.
#[derive(Clone, Copy, Default)]
struct Class {
    /// All that they need, in accelerator-hours.
    work: f64,
    /// What the largest of them needs.
    work_max: f64,
    /// All that they can use at once, in accelerators.
    width: f64,
}

type Classes<'g> = BTreeMap<(&'g [usize], usize, usize), Class>;

/// The hours of one place or site, and what is used in them.
type Uses = BTreeMap<(usize, usize), Vec<(Variable, f64)>>;

/// The least that the work weighs.
pub(super) fn least(ground: &Ground) -> Least {
    match lightest(ground, Until::InTime) {
        Ok(row) => Least {
            row: Some(row),
            ..Least::default()
        },
        Err(Unsolved::Impossible) => least_late(ground),
        Err(Unsolved::Other(note)) => without((0, note)),
    }
}

/// The same where some jobs are late whatever is done.
fn least_late(ground: &Ground) -> Least {
    let late_min = match missed(ground, Until::InTime) {
        Ok(late_min) => late_min,
        Err(note) => return without((0, note)),
    };
    let (all, days) = (ground.jobs.len(), TAIL_H / 24);
    let late = format!(
        "no plan keeps the time of every job: at least {late_min} of {all} are late, as the hours in which they may run have too few accelerators or too little power"
    );
    match lightest(ground, Until::End) {
        Ok(row) => Least {
            row: Some(row),
            late_min,
            notes: vec![format!(
                "{late}; the bound lets every job be late, until {days} days after the end"
            )],
        },
        Err(Unsolved::Impossible) => {
            let undone = missed(ground, Until::End)
                .map_or_else(|_| "some".to_owned(), |undone| format!("at least {undone}"));
            without((
                late_min,
                format!(
                    "{late}; there is no bound: {undone} of them are not over even {days} days after the end, by any plan, and ways that leave different work undone cannot be weighed beside one"
                ),
            ))
        }
        Err(Unsolved::Other(note)) => without((late_min, format!("{late}; {note}"))),
    }
}

fn without((late_min, note): (usize, String)) -> Least {
    Least {
        row: None,
        late_min,
        notes: vec![note],
    }
}

/// A programme as far as all of them are the same: what is used of each place, each hour, by each class of jobs.
struct Programme {
    problem: Problem,
    /// Accelerators in use at each place in each hour; kilowatts at each site.
    rooms: Uses,
    loads: Uses,
}

impl Programme {
    /// With what a kilowatt-hour weighs at each site in each hour, and what it counts that a part of a class is not done, where that may
    /// be.
    fn new(
        ground: &Ground,
        until: Until,
        weight: impl Fn(usize, usize) -> f64,
        undone: Option<fn(&Class) -> f64>,
    ) -> Result<Self, Unsolved> {
        let classes = classes(ground, until);
        let count = |((places, from, until), _): (&(&[usize], usize, usize), &Class)| {
            places.len() * (until - from)
        };
        let unknowns: usize = classes.iter().map(count).sum();
        if unknowns > UNKNOWNS_MAX {
            return Err(Unsolved::Other(format!(
                "no bound is worked out: it has {unknowns} unknowns, and {UNKNOWNS_MAX} at most are tried"
            )));
        }
        let mut own = Self {
            problem: Problem::new(OptimizationDirection::Minimize),
            rooms: Uses::new(),
            loads: Uses::new(),
        };
        for ((places, from, until), class) in &classes {
            let mut all = LinearExpr::empty();
            for place in *places {
                let at = &ground.places[*place];
                let kilowatts = at.watts_each as f64 / 1e3;
                for hour in *from..*until {
                    let weight = kilowatts * weight(at.site, hour);
                    let used = own.problem.add_var(weight, (0.0, class.width));
                    all.add(used, 1.0);
                    let room = own.rooms.entry((*place, hour)).or_default();
                    room.push((used, 1.0));
                    let load = own.loads.entry((at.site, hour)).or_default();
                    load.push((used, kilowatts));
                }
            }
            if let Some(undone) = undone {
                all.add(own.problem.add_var(undone(class), (0.0, class.work)), 1.0);
            }
            own.problem
                .add_constraint(all, ComparisonOp::Eq, class.work);
        }
        for ((place, hour), used) in &own.rooms {
            let room = ground.places[*place].room_milli[*hour] as f64 / 1e3;
            own.problem
                .add_constraint(sum(used), ComparisonOp::Le, room);
        }
        Ok(own)
    }

    fn solve(&self) -> Result<Solution, Unsolved> {
        let solved = self.problem.solve()?.into_solution();
        solved.map_err(|_| {
            Unsolved::Other("no bound is worked out: the solver came to no end".to_owned())
        })
    }
}

/// The least that all work weighs.
fn lightest(ground: &Ground, until: Until) -> Result<ShiftRow, Unsolved> {
    let weight = |site: usize, hour: usize| weight(ground, site, hour);
    let mut programme = Programme::new(ground, until, weight, None)?;
    let mut own = BTreeMap::new();
    for (key @ (site, hour), used) in &programme.loads {
        let spare = ground.sites[*site].hours[*hour].own_spare_watts as f64 / 1e3;
        if spare > 0.0 {
            // What the site makes itself replaces the grid's, up to what is used.
            let problem = &mut programme.problem;
            let taken = problem.add_var(-weight(*site, *hour), (0.0, spare));
            let mut rest = sum(used);
            rest.add(taken, -1.0);
            problem.add_constraint(rest, ComparisonOp::Ge, 0.0);
            own.insert(*key, taken);
        }
    }
    let solution = programme.solve()?;
    let mut row = ShiftRow {
        name: "bound",
        ..ShiftRow::default()
    };
    for (key @ (site, hour), used) in &programme.loads {
        let each = used.iter().map(|(of, part)| solution.var_value(*of) * part);
        let kwh: f64 = each.sum();
        let own = own.get(key).map_or(0.0, |of| solution.var_value(*of));
        row.kwh += kwh;
        row.own_kwh += own;
        row.pay(kwh - own, &ground.sites[*site].hours[*hour], &ground.terms);
    }
    Ok(row)
}

/// Jobs, at the least, that no plan runs until then: as parts of the largest of their class, of which each missed job is one at most.
///
/// # Errors
/// Why that is not known.
fn missed(ground: &Ground, until: Until) -> Result<usize, String> {
    let each: fn(&Class) -> f64 = |class| 1.0 / class.work_max;
    let programme = Programme::new(ground, until, |_, _| 0.0, Some(each));
    match programme.and_then(|programme| programme.solve()) {
        Ok(solution) => Ok((solution.objective() - ROUNDING).ceil().max(1.0) as usize),
        Err(Unsolved::Other(note)) => Err(note),
        // Nothing done is a plan of this programme.
        Err(Unsolved::Impossible) => Err("no bound is worked out: the solver failed".to_owned()),
    }
}

fn classes(ground: &Ground, until: Until) -> Classes<'_> {
    let mut classes = Classes::new();
    for job in &ground.jobs {
        let from = usize::try_from(job.submit_us / HOUR_US).unwrap_or(usize::MAX);
        let until = match until {
            Until::InTime => end_h(job).min(ground.hours),
            Until::End => ground.hours,
        };
        let class = classes.entry((&job.places, from.min(until), until));
        let class = class.or_default();
        let accelerators = (job.tasks * job.milli) as f64 / 1e3;
        let work = accelerators * job.run_us as f64 / HOUR_US as f64;
        class.work += work;
        class.work_max = class.work_max.max(work);
        class.width += accelerators;
    }
    classes
}

fn sum(used: &[(Variable, f64)]) -> LinearExpr {
    let mut sum = LinearExpr::empty();
    for (variable, part) in used {
        sum.add(*variable, *part);
    }
    sum
}

/// What a kilowatt-hour of the grid weighs there and then, in won.
fn weight(ground: &Ground, site: usize, hour: usize) -> f64 {
    let hour = &ground.sites[site].hours[hour];
    let carbon_kg = hour.co2_mg_per_kwh as f64 / 1e6;
    (hour.grid_per_kwh.0 as f64 + carbon_kg * ground.terms.per_kg_co2.0 as f64) * WON
}
