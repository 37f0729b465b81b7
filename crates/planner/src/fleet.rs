//! The cheapest fleet for a goal: one way to serve each model, engines placed at sites under their caps.
//!
//! Ways to serve are weighed by cost and by power. Each price of a watt makes one of them the best for each model; the fleets that some
//! price makes best are placed, and the cheapest one that fits is taken. So a greater cap never costs more: it only adds fleets.

use crate::energy::{Year, YearEnergy};
use crate::goal::{Goal, YEAR_S};
use crate::sizing::{Engine, Refused, division, engines};
use serde::Serialize;

/// Engines are placed in so many steps, each where the next ones cost least.
const STEPS: u64 = 2_000;

/// Every way to serve each model, and those that were refused.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub engines: Vec<Engine>,
    pub refused: Vec<Refused>,
}

impl Options {
    pub fn of(goal: &Goal) -> Self {
        let mut options = Self {
            engines: Vec::new(),
            refused: Vec::new(),
        };
        for model in 0..goal.models.len() {
            for chip in 0..goal.chips.len() {
                let found = engines(goal, (model, chip), &mut options.refused);
                options.engines.extend(found);
            }
        }
        options
    }
}

/// Engines of one kind that serve one model.
#[derive(Clone, Debug)]
pub(crate) struct Pick {
    pub engine: Engine,
    /// Engines that the peak needs.
    pub needed: u64,
    /// Of them at each site.
    pub placed: Vec<u64>,
}

impl Pick {
    pub fn accelerators(&self) -> u64 {
        u64::from(self.engine.deployment.parallel.accelerators())
    }

    pub fn engines(&self) -> u64 {
        self.placed.iter().sum()
    }
}

/// What a year costs, in won.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct YearCost {
    /// Servers, by their life and the interest.
    pub servers_won: f64,
    /// Buildings, cooling and power supply likewise.
    pub facility_won: f64,
    /// Staff, repair and software.
    pub opex_won: f64,
    /// Electricity.
    pub energy_won: f64,
}

impl YearCost {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.servers_won + self.facility_won + self.opex_won + self.energy_won
    }
}

/// A fleet that was placed.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub picks: Vec<Pick>,
    /// Greatest power of the machines of each site.
    pub site_watts: Vec<f64>,
    pub energy: Vec<YearEnergy>,
    pub cost: YearCost,
    /// Price of all servers.
    pub servers_won: f64,
    /// Price of all buildings.
    pub facility_won: f64,
    /// Part of the peak that is served.
    pub served: f64,
    /// A cheaper fleet did not fit.
    pub power_bound: bool,
    /// Engines that are cheaper than those taken, but for whose power there is no room.
    pub too_hungry: Vec<Engine>,
}

impl Fleet {
    pub fn accelerators(&self) -> u64 {
        let each = self.picks.iter();
        each.map(|pick| pick.engines() * pick.accelerators()).sum()
    }

    pub fn won_per_m_tokens(&self, goal: &Goal) -> f64 {
        self.cost.total() / (goal.demand.year_tokens() * self.served).max(1.0) * 1e6
    }
}

/// Greatest power of an engine with its part of servers, in watts.
pub(crate) fn engine_watts(goal: &Goal, engine: &Engine) -> f64 {
    let count = f64::from(engine.deployment.parallel.accelerators());
    count * goal.chips[engine.chip].watts * goal.server_power_factor
}

/// What the servers of an engine cost.
pub(crate) fn engine_won(goal: &Goal, engine: &Engine) -> f64 {
    let count = f64::from(engine.deployment.parallel.accelerators());
    count * goal.chips[engine.chip].price_won * goal.money.server_price_factor
}

/// Engines that a model's peak needs.
pub(crate) fn needed(goal: &Goal, engine: &Engine) -> u64 {
    let asked = goal.demand.peak_per_s() * goal.models[engine.model].share;
    let count = asked / (engine.requests_per_s * goal.utilisation);
    // A hair above a whole number is that number.
    (count - 1e-9).ceil().max(1.0) as u64
}

/// Why there is no fleet.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PlanError {
    /// No way to serve a model keeps the SLO.
    #[error("no chip of the goal serves {model} within the SLO; the nearest: {nearest}")]
    Unserved {
        /// Which.
        model: String,
        /// Of what was refused.
        nearest: String,
    },
    /// No site holds one engine.
    #[error(
        "no site has the power for one engine of {model}: the smallest draws {needed_kw:.1} kW at the meter, the greatest cap is {cap_kw:.1} kW; raise power_cap_kw, or take a smaller model or chip"
    )]
    Power {
        /// Of which model.
        model: String,
        /// What the smallest engine draws.
        needed_kw: f64,
        /// The greatest cap.
        cap_kw: f64,
    },
    /// The twin did not run.
    #[error("the confirming run failed: {0}")]
    Twin(String),
}

/// The cheapest fleet for the goal.
///
/// # Errors
/// A model cannot be served at all, or no site holds an engine.
pub(crate) fn solve(goal: &Goal, options: &Options) -> Result<Fleet, PlanError> {
    let years: Vec<Year> = goal
        .sites
        .iter()
        .map(|site| Year::new(goal, site))
        .collect();
    let prices = prices(goal, &years);
    let mut fronts = Vec::new();
    for model in 0..goal.models.len() {
        fronts.push(front(goal, options, (model, prices))?);
    }
    let mut best: Option<Fleet> = None;
    let mut fitted = true;
    for set in sets(&fronts) {
        let picks = set.iter().map(|way| way.engine.clone()).collect();
        let mut fleet = place(goal, &years, picks);
        fleet.power_bound = !fitted || fleet.served < 1.0;
        fitted &= fleet.served >= 1.0;
        // What serves more goes before what costs less.
        let better = best.as_ref().is_none_or(|best| {
            let (more, equal) = (
                fleet.served > best.served + 1e-9,
                (fleet.served - best.served).abs() <= 1e-9,
            );
            more || equal && fleet.cost.total() < best.cost.total()
        });
        if better {
            best = Some(fleet);
        }
    }
    let mut best = best.ok_or_else(|| PlanError::Twin("no model".to_owned()))?;
    if best.picks.iter().any(|pick| pick.engines() == 0) {
        return Err(no_room(goal, &best));
    }
    best.too_hungry = fronts
        .iter()
        .zip(&best.picks)
        .filter(|(front, pick)| {
            engine_name(&front[0].engine) != engine_name(&pick.engine) && best.power_bound
        })
        .map(|(front, _)| front[0].engine.clone())
        .collect();
    Ok(best)
}

fn no_room(goal: &Goal, fleet: &Fleet) -> PlanError {
    let pick = fleet.picks.iter().find(|pick| pick.engines() == 0);
    let cap = goal
        .sites
        .iter()
        .fold(0.0, |most: f64, site| most.max(site.cap_watts));
    let pue = goal
        .sites
        .iter()
        .fold(f64::MAX, |least, site| least.min(site.pue));
    PlanError::Power {
        model: pick.map_or_else(String::new, |pick| {
            pick.engine.deployment.model.name.clone()
        }),
        needed_kw: pick.map_or(0.0, |pick| engine_watts(goal, &pick.engine)) * pue / 1e3,
        cap_kw: cap / 1e3,
    }
}

/// Won of a year for each watt of machines, energy and buildings, on average over the sites.
fn prices(goal: &Goal, years: &[Year]) -> f64 {
    let caps: f64 = goal.sites.iter().map(|site| site.cap_watts).sum();
    let facility = goal.money.facility_won_per_kw / 1_000.0
        * goal.money.annuity(goal.money.facility_life_years);
    let each = goal.sites.iter().zip(years).map(|(site, year)| {
        let watts = site.cap_watts / site.pue;
        site.cap_watts / caps * (year.of(watts).won / watts + facility * site.pue)
    });
    each.sum()
}

/// A way to serve all of a model's demand.
#[derive(Clone, Debug)]
struct Way {
    engine: Engine,
    cost_won: f64,
    watts: f64,
}

/// Ways that some price of a watt makes the best, the cheapest first and the least hungry last.
fn front(
    goal: &Goal,
    options: &Options,
    (model, won_per_watt): (usize, f64),
) -> Result<Vec<Way>, PlanError> {
    let annual = goal.money.annuity(goal.money.life_years) + goal.money.opex_part_per_year;
    let ways = options
        .engines
        .iter()
        .filter(|engine| engine.model == model);
    let stocked = ways.filter(|engine| {
        let most = goal.chips[engine.chip].count_max.unwrap_or(u64::MAX);
        u64::from(engine.deployment.parallel.accelerators()) <= most
    });
    let mut ways: Vec<Way> = stocked
        .map(|engine| {
            let count = needed(goal, engine) as f64;
            let watts = count * engine_watts(goal, engine);
            Way {
                cost_won: count * engine_won(goal, engine) * annual + watts * won_per_watt,
                watts,
                engine: engine.clone(),
            }
        })
        .collect();
    ways.sort_by(|one, other| {
        let cost = one.cost_won.total_cmp(&other.cost_won);
        cost.then(one.watts.total_cmp(&other.watts))
    });
    let mut front: Vec<Way> = Vec::new();
    for way in ways {
        if front.last().is_none_or(|last| way.watts < last.watts) {
            front.push(way);
        }
    }
    if front.is_empty() {
        let name = &goal.models[model].model.name;
        let near = options
            .refused
            .iter()
            .filter(|refused| refused.model == *name);
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
    Ok(front)
}

/// From the cheapest ways of all models to the least hungry ones, one step of one model at a time: the step that saves a watt cheapest.
fn sets(fronts: &[Vec<Way>]) -> Vec<Vec<&Way>> {
    let mut at = vec![0; fronts.len()];
    let mut sets = Vec::new();
    loop {
        sets.push(
            fronts
                .iter()
                .zip(&at)
                .map(|(front, at)| &front[*at])
                .collect(),
        );
        let steps = fronts.iter().enumerate().flat_map(|(model, front)| {
            let now = &front[at[model]];
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

/// Places engines in steps, all models abreast, each where the next ones cost least.
fn place(goal: &Goal, years: &[Year], engines: Vec<Engine>) -> Fleet {
    let facility = goal.money.facility_won_per_kw / 1_000.0;
    let annual = facility * goal.money.annuity(goal.money.facility_life_years);
    let mut watts = vec![0.0; goal.sites.len()];
    let mut stock: Vec<u64> = goal
        .chips
        .iter()
        .map(|chip| chip.count_max.unwrap_or(u64::MAX))
        .collect();
    let mut picks: Vec<Pick> = engines
        .into_iter()
        .map(|engine| Pick {
            needed: needed(goal, &engine),
            engine,
            placed: vec![0; goal.sites.len()],
        })
        .collect();
    let steps = picks
        .iter()
        .map(|pick| pick.needed)
        .max()
        .unwrap_or(0)
        .min(STEPS);
    for step in 1..=steps {
        for pick in &mut picks {
            let each = engine_watts(goal, &pick.engine);
            let due = (u128::from(pick.needed) * u128::from(step)).div_ceil(u128::from(steps));
            let due = u64::try_from(due).unwrap_or(u64::MAX);
            while pick.engines() < due {
                let room = |site: usize| {
                    let room = goal.sites[site].cap_watts * (1.0 + 1e-12) / goal.sites[site].pue
                        - watts[site];
                    (room / each).max(0.0) as u64
                };
                let stocked = stock[pick.engine.chip] / pick.accelerators();
                let count = |site: usize| (due - pick.engines()).min(room(site)).min(stocked);
                let next = (0..goal.sites.len())
                    .filter(|site| count(*site) > 0)
                    .map(|site| {
                        let more = each * count(site) as f64;
                        let energy = years[site].of(watts[site] + more).won
                            - years[site].of(watts[site]).won;
                        (energy / more + annual * goal.sites[site].pue, site)
                    });
                let Some((_, site)) = next.min_by(|one, other| one.0.total_cmp(&other.0)) else {
                    break;
                };
                let count = count(site);
                pick.placed[site] += count;
                watts[site] += each * count as f64;
                stock[pick.engine.chip] -= count * pick.accelerators();
            }
        }
    }
    weigh(goal, years, (picks, watts))
}

/// What a fleet that stands costs and serves.
fn weigh(goal: &Goal, years: &[Year], (picks, watts): (Vec<Pick>, Vec<f64>)) -> Fleet {
    let energy: Vec<YearEnergy> = years
        .iter()
        .zip(&watts)
        .map(|(year, watts)| year.of(*watts))
        .collect();
    let servers_won: f64 = picks
        .iter()
        .map(|pick| pick.engines() as f64 * engine_won(goal, &pick.engine))
        .sum();
    let kw = watts
        .iter()
        .zip(&goal.sites)
        .map(|(watts, site)| watts * site.pue / 1_000.0);
    let facility_won = kw.sum::<f64>() * goal.money.facility_won_per_kw;
    let served = picks.iter().map(|pick| {
        goal.models[pick.engine.model].share * pick.engines() as f64 / pick.needed as f64
    });
    let money = &goal.money;
    Fleet {
        served: served.sum(),
        cost: YearCost {
            servers_won: servers_won * money.annuity(money.life_years),
            facility_won: facility_won * money.annuity(money.facility_life_years),
            opex_won: servers_won * money.opex_part_per_year,
            energy_won: energy.iter().map(|energy| energy.won).sum(),
        },
        picks,
        site_watts: watts,
        energy,
        servers_won,
        facility_won,
        power_bound: false,
        too_hungry: Vec::new(),
    }
}

/// Names of an engine for a table.
pub(crate) fn engine_name(engine: &Engine) -> String {
    let deployment = &engine.deployment;
    format!(
        "{} on {} × {}, {}",
        deployment.model.name,
        deployment.parallel.accelerators(),
        deployment.chip.name,
        division(&deployment.parallel, &engine.precision)
    )
}

/// Requests that a fleet serves in a year.
pub(crate) fn year_requests(goal: &Goal, fleet: &Fleet) -> f64 {
    goal.demand.mean_per_s() * fleet.served * YEAR_S
}
