//! The least that the work can weigh: a linear programme that knows every hour and every run, cuts work into any parts, and moves it
//! between sites at no cost. No plan that keeps the same bounds weighs less.

use super::ground::Ground;
use super::walk::end_h;
use super::{ShiftRow, WON};
use madang_core::flex::HOUR_US;
use microlp::{ComparisonOp, LinearExpr, OptimizationDirection, Problem, Variable};
use std::collections::BTreeMap;

/// Beyond that many unknowns it takes too long.
const UNKNOWNS_MAX: usize = 100_000;

/// Jobs that differ in nothing that the programme sees: their places, and the hours between which they run.
#[derive(Clone, Copy, Default)]
struct Class {
    /// All that they need, in accelerator-hours.
    work: f64,
    /// All that they can use at once, in accelerators.
    width: f64,
}

/// The hours of one place or site, and what is used in them.
type Uses = BTreeMap<(usize, usize), Vec<(Variable, f64)>>;

/// The least that the work weighs.
///
/// # Errors
/// Why that is not known.
pub(super) fn least(ground: &Ground) -> Result<ShiftRow, String> {
    let classes = classes(ground);
    let count = |((places, from, until), _): (&(&[usize], usize, usize), &Class)| {
        places.len() * (until - from)
    };
    let unknowns: usize = classes.iter().map(count).sum();
    if unknowns > UNKNOWNS_MAX {
        return Err(format!(
            "no bound is worked out: it has {unknowns} unknowns, and {UNKNOWNS_MAX} at most are tried"
        ));
    }
    let mut problem = Problem::new(OptimizationDirection::Minimize);
    // Accelerators in use at each place in each hour; kilowatts at each site.
    let (mut rooms, mut loads) = (Uses::new(), Uses::new());
    for ((places, from, until), class) in &classes {
        let mut all = LinearExpr::empty();
        for place in *places {
            let at = &ground.places[*place];
            let kilowatts = at.watts_each as f64 / 1e3;
            for hour in *from..*until {
                let weight = kilowatts * weight(ground, at.site, hour);
                let used = problem.add_var(weight, (0.0, class.width));
                all.add(used, 1.0);
                rooms.entry((*place, hour)).or_default().push((used, 1.0));
                let load = loads.entry((at.site, hour)).or_default();
                load.push((used, kilowatts));
            }
        }
        problem.add_constraint(all, ComparisonOp::Eq, class.work);
    }
    for ((place, hour), used) in &rooms {
        let room = ground.places[*place].room_milli[*hour] as f64 / 1e3;
        problem.add_constraint(sum(used), ComparisonOp::Le, room);
    }
    let mut own = BTreeMap::new();
    for (key @ (site, hour), used) in &loads {
        let spare = ground.sites[*site].hours[*hour].own_spare_watts as f64 / 1e3;
        if spare > 0.0 {
            // What the site makes itself replaces the grid's, up to what is used.
            let taken = problem.add_var(-weight(ground, *site, *hour), (0.0, spare));
            let mut rest = sum(used);
            rest.add(taken, -1.0);
            problem.add_constraint(rest, ComparisonOp::Ge, 0.0);
            own.insert(*key, taken);
        }
    }
    let solved = problem.solve().map_err(|error| error.to_string())?;
    let solved = solved.into_solution();
    let solution = solved.map_err(|_| "the solver came to no end".to_owned())?;
    let mut row = ShiftRow {
        name: "bound",
        ..ShiftRow::default()
    };
    for (key @ (site, hour), used) in &loads {
        let each = used.iter().map(|(of, part)| solution.var_value(*of) * part);
        let kwh: f64 = each.sum();
        let own = own.get(key).map_or(0.0, |of| solution.var_value(*of));
        row.kwh += kwh;
        row.own_kwh += own;
        row.pay(kwh - own, &ground.sites[*site].hours[*hour], &ground.terms);
    }
    Ok(row)
}

fn classes(ground: &Ground) -> BTreeMap<(&[usize], usize, usize), Class> {
    let mut classes: BTreeMap<(&[usize], usize, usize), Class> = BTreeMap::new();
    for job in &ground.jobs {
        let from = usize::try_from(job.submit_us / HOUR_US).unwrap_or(usize::MAX);
        let until = end_h(job).min(ground.hours);
        let class = classes.entry((&job.places, from.min(until), until));
        let class = class.or_default();
        let accelerators = (job.tasks * job.milli) as f64 / 1e3;
        class.work += accelerators * job.run_us as f64 / HOUR_US as f64;
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
