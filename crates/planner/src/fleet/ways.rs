//! Ways to serve each model, weighed by cost and by power before any engine is placed.

use super::{Options, PlanError, engine_watts, engine_won, needed, ruled_out};
use crate::goal::Goal;
use crate::sizing::Engine;

/// A way to serve all of a model's demand.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub engine: Engine,
    pub cost_won: f64,
    pub watts: f64,
}

/// Ways to serve a model of which one engine has its chips, and room at a site; the cheapest first.
pub(super) fn standing(
    goal: &Goal,
    options: &Options,
    (model, won_per_watt): (usize, f64),
) -> Result<Vec<Way>, PlanError> {
    let name = &goal.models[model].model.name;
    let all = options
        .engines
        .iter()
        .filter(|engine| engine.model == model);
    let stocked: Vec<&Engine> = all
        .filter(|engine| ruled_out(goal, engine) != Some("stock"))
        .collect();
    if stocked.is_empty() {
        let refused = options.refused.iter();
        let near = refused.filter(|refused| refused.model == *name);
        // What fails by the SLO is nearer than what has no room.
        let near = near.max_by_key(|refused| refused.reason == "slo");
        return Err(PlanError::Unserved {
            model: name.clone(),
            nearest: near.map_or_else(
                || "its chips cannot be had".to_owned(),
                |near| format!("{} on {}: {}", near.division, near.chip, near.why),
            ),
        });
    }
    let fitting = stocked
        .iter()
        .filter(|engine| ruled_out(goal, engine).is_none());
    let annual = goal.money.annuity(goal.money.life_years) + goal.money.opex_part_per_year;
    let mut ways: Vec<Way> = fitting
        .map(|engine| {
            let count = needed(goal, engine) as f64;
            let watts = count * engine_watts(goal, engine);
            Way {
                cost_won: count * engine_won(goal, engine) * annual + watts * won_per_watt,
                watts,
                engine: (*engine).clone(),
            }
        })
        .collect();
    if ways.is_empty() {
        let watts = stocked.iter().map(|engine| engine_watts(goal, engine));
        return Err(no_room(goal, name, watts.fold(f64::MAX, f64::min)));
    }
    ways.sort_by(|one, other| {
        let cost = one.cost_won.total_cmp(&other.cost_won);
        cost.then(one.watts.total_cmp(&other.watts))
    });
    Ok(ways)
}

fn no_room(goal: &Goal, model: &str, watts: f64) -> PlanError {
    let caps = goal.sites.iter().map(|site| site.cap_watts);
    let pues = goal.sites.iter().map(|site| site.pue);
    PlanError::Power {
        model: model.to_owned(),
        needed_kw: watts * pues.fold(f64::MAX, f64::min) / 1e3,
        cap_kw: caps.fold(0.0, f64::max) / 1e3,
    }
}

/// Ways that some price of a watt makes the best, the cheapest first and the least hungry last.
pub(super) fn front(ways: &[Way]) -> Vec<&Way> {
    let mut front: Vec<&Way> = Vec::new();
    for way in ways {
        if front.last().is_none_or(|last| way.watts < last.watts) {
            front.push(way);
        }
    }
    front
}

/// From the cheapest ways of all models to the least hungry ones, one step of one model at a time: the step that saves a watt cheapest.
pub(super) fn sets<'w>(fronts: &[Vec<&'w Way>]) -> Vec<Vec<&'w Way>> {
    let mut at = vec![0; fronts.len()];
    let mut sets = Vec::new();
    loop {
        sets.push(
            fronts
                .iter()
                .zip(&at)
                .map(|(front, at)| front[*at])
                .collect(),
        );
        let steps = fronts.iter().enumerate().flat_map(|(model, front)| {
            let now = front[at[model]];
            let later = front.iter().enumerate().skip(at[model] + 1);
            later.map(move |(next, way)| {
                let price = (way.cost_won - now.cost_won) / (now.watts - way.watts);
                (price, model, next)
            })
        });
        let step = steps.min_by(|one, other| one.0.total_cmp(&other.0).then(other.2.cmp(&one.2)));
        match step {
            Some((_, model, next)) => at[model] = next,
            None => return sets,
        }
    }
}
