//! The cheapest fleet for a goal: one way to serve each model, engines placed at sites under their caps.
//!
//! Ways to serve are weighed by cost and by power. Each price of a watt makes one of them the best for each model; the fleets that some
//! price makes best are placed, and the cheapest one that fits is taken. So a greater cap never costs more: it only adds fleets.

mod ways;

use crate::energy::{Year, YearEnergy};
use crate::goal::{Goal, SiteGoal, YEAR_S};
use crate::sizing::{Engine, Refused, division, engines};
use serde::Serialize;
use ways::{Way, front, sets, standing};

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
    /// Engines that are cheaper than those taken, but for whose power there is no room.
    pub too_hungry: Vec<Engine>,
    /// Chips of which there were too few for all models that would have them: a model's place and a chip's that it was kept from.
    pub scarce: Vec<(usize, usize)>,
}

impl Fleet {
    pub fn accelerators(&self) -> u64 {
        let each = self.picks.iter();
        each.map(|pick| pick.engines() * pick.accelerators()).sum()
    }

    /// The chip of which more cannot be had, where a model is short of engines by it.
    pub fn spent_chip(&self, goal: &Goal) -> Option<usize> {
        let short = self
            .picks
            .iter()
            .filter(|pick| pick.engines() < pick.needed);
        let spent = short.filter(|pick| {
            let chip = pick.engine.chip;
            let alike = self.picks.iter().filter(|other| other.engine.chip == chip);
            let used: u64 = alike
                .map(|other| other.engines() * other.accelerators())
                .sum();
            let most = goal.chips[chip].count_max;
            most.is_some_and(|most| most < used + pick.accelerators())
        });
        spent.map(|pick| pick.engine.chip).next()
    }

    /// What serves more goes before what costs less.
    fn is_better_than(&self, other: &Self) -> bool {
        let more = self.served - other.served;
        more > 1e-9 || more.abs() <= 1e-9 && self.cost.total() < other.cost.total()
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
    /// Other models take all the power, or all the chips.
    #[error(
        "the sites' power, or the chips that can be had, end before the first engine of {model}; raise power_cap_kw or count_max, or take a smaller model or chip"
    )]
    Crowded {
        /// For which model nothing is left.
        model: String,
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
    let price = prices(goal, &years);
    let mut ways = Vec::new();
    for model in 0..goal.models.len() {
        ways.push(standing(goal, options, (model, price))?);
    }
    let mut scarce = Vec::new();
    let mut last = cheapest(goal, &years, &ways)?;
    let mut best = last.clone();
    // Where a chip is spent, one model after another goes over to others, as long as it has some.
    while let Some((model, chip)) = yielding(goal, &last, &ways) {
        ways[model].retain(|way| way.engine.chip != chip);
        scarce.push((model, chip));
        last = cheapest(goal, &years, &ways)?;
        last.scarce.clone_from(&scarce);
        if last.is_better_than(&best) {
            best = last.clone();
        }
    }
    match best.picks.iter().find(|pick| pick.engines() == 0) {
        Some(pick) => Err(PlanError::Crowded {
            model: pick.engine.deployment.model.name.clone(),
        }),
        None => Ok(best),
    }
}

/// The cheapest fleet of these ways, placed as far as there is room.
fn cheapest(goal: &Goal, years: &[Year], ways: &[Vec<Way>]) -> Result<Fleet, PlanError> {
    let fronts: Vec<Vec<&Way>> = ways.iter().map(|ways| front(ways)).collect();
    let mut best: Option<Fleet> = None;
    // Whether some fleet so far, all of them cheaper in their ways, had no room for its power.
    let mut crowded = false;
    for set in sets(&fronts) {
        let engines = set.iter().map(|way| way.engine.clone()).collect();
        let mut fleet = place(goal, years, engines);
        crowded |= fleet.served < 1.0 && fleet.spent_chip(goal).is_none();
        if best.as_ref().is_none_or(|best| fleet.is_better_than(best)) {
            let firsts = fronts.iter().map(|front| &front[0].engine);
            let others = firsts
                .zip(&fleet.picks)
                .filter(|(first, pick)| crowded && engine_name(first) != engine_name(&pick.engine));
            fleet.too_hungry = others.map(|(first, _)| first.clone()).collect();
            best = Some(fleet);
        }
    }
    best.ok_or_else(|| PlanError::Twin("no model".to_owned()))
}

/// Of the models that share a spent chip, the one that another chip serves for the least more won for each chip that it leaves, and the
/// chip; none where no chip is spent, or nothing else serves any of them.
fn yielding(goal: &Goal, fleet: &Fleet, ways: &[Vec<Way>]) -> Option<(usize, usize)> {
    let chip = fleet.spent_chip(goal)?;
    let users = fleet.picks.iter().filter(|pick| pick.engine.chip == chip);
    let prices = users.filter_map(|pick| {
        let ways = &ways[pick.engine.model];
        let own = ways.iter().find(|way| way.engine.chip == chip)?;
        let other = ways.iter().find(|way| way.engine.chip != chip)?;
        let left = (pick.needed * pick.accelerators()) as f64;
        Some(((other.cost_won - own.cost_won) / left, pick.engine.model))
    });
    let (_, model) = prices.min_by(|one, other| one.0.total_cmp(&other.0))?;
    Some((model, chip))
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

/// What machines may still draw at a site where they draw so much.
fn room_watts(site: &SiteGoal, watts: f64) -> f64 {
    site.cap_watts * (1.0 + 1e-12) / site.pue - watts
}

/// Why not even one such engine can stand: `stock` where it has more chips than can be had, `power` where no site holds it.
pub(crate) fn ruled_out(goal: &Goal, engine: &Engine) -> Option<&'static str> {
    let chips = u64::from(engine.deployment.parallel.accelerators());
    let most = goal.chips[engine.chip].count_max;
    let rooms = goal.sites.iter().map(|site| room_watts(site, 0.0));
    if most.is_some_and(|most| chips > most) {
        Some("stock")
    } else if engine_watts(goal, engine) > rooms.fold(0.0, f64::max) {
        Some("power")
    } else {
        None
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
                    let room = room_watts(&goal.sites[site], watts[site]);
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
    let parts = picks.iter().map(|pick| {
        goal.models[pick.engine.model].share * pick.engines() as f64 / pick.needed as f64
    });
    // Shares add up to 1 but for rounding; where nothing is missing, all is served.
    let whole = picks.iter().all(|pick| pick.engines() == pick.needed);
    let served = if whole { 1.0 } else { parts.sum() };
    let money = &goal.money;
    Fleet {
        served,
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
        too_hungry: Vec::new(),
        scarce: Vec::new(),
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
