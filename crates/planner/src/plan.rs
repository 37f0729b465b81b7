//! From a goal to its report.

use crate::confirm::confirm;
use crate::effects::{EffectsReport, Money as Flow};
use crate::energy::{YearEnergy, day};
use crate::fleet::{
    Fleet, Options, Pick, PlanError, engine_name, engine_watts, engine_won, ruled_out, solve,
    year_requests,
};
use crate::goal::Goal;
use crate::report::{Binding, Confirmed, Line, Report, ShadowLine, SiteLine, Totals};
use crate::said::{self, Note, Said};
use crate::sizing::{Bound, Refused, division};
use crate::what_if;
use std::collections::BTreeMap;

/// Contracts from which a power-system impact assessment is needed, in watts.
const ASSESSED_WATTS: f64 = 10e6;

/// What is asked of the planner beside the goal.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The twin runs each kind of engine.
    pub confirm: bool,
    /// On so many threads; the result is the same.
    pub threads: usize,
}

/// The plan of a goal.
///
/// # Errors
/// A model cannot be served at all, no site holds an engine, or the twin did not run.
pub fn plan(goal: &Goal, asked: Asked) -> Result<Report, PlanError> {
    let mut options = Options::of(goal);
    let mut confirmed: Vec<Confirmed> = Vec::new();
    let mut fleet = solve(goal, &options)?;
    let mut ran = BTreeMap::new();
    if asked.confirm {
        // What the twin says may make another way the best one, which is then run too: each at most once.
        while let Some(engine) = fleet
            .picks
            .iter()
            .map(|pick| &pick.engine)
            .find(|engine| !ran.contains_key(&engine_name(engine)))
            .cloned()
        {
            let name = engine_name(&engine);
            let told = confirm(goal, &engine, asked.threads)?;
            for option in &mut options.engines {
                if engine_name(option) == name {
                    option.requests_per_s *= told.ratio;
                }
            }
            if told.ratio <= 0.0 {
                options.refused.push(Refused {
                    model: told.model.clone(),
                    chip: told.chip.clone(),
                    division: told.division.clone(),
                    reason: "slo",
                    why: said::never_kept(),
                });
            }
            ran.insert(name, told.ratio);
            confirmed.push(told);
            options.engines.retain(|engine| engine.requests_per_s > 0.0);
            fleet = solve(goal, &options)?;
        }
    }
    let derate = Derate::of(ran, &fleet);
    let mut refused = options.refused.clone();
    refused.extend(dearer(goal, &options, &fleet));
    let shadows = what_if::shadows(goal, &fleet, &derate);
    let servers = (fleet.servers_won, fleet.facility_won, fleet.cost);
    let effects = goal.effects.as_ref().map(|effects| {
        effects.of(|flow| match flow {
            Flow::Servers => servers.0,
            Flow::Facility => servers.1,
            Flow::Opex => servers.2.opex_won,
            Flow::Energy => servers.2.energy_won,
        })
    });
    let mut notes = notes(goal, &fleet, (&confirmed, &shadows));
    notes.extend(effects.iter().flat_map(without_sectors));
    Ok(Report {
        about: goal.about.clone(),
        year: goal.start_year,
        totals: totals(goal, &fleet),
        fleet: fleet.picks.iter().map(|pick| line(goal, pick)).collect(),
        sites: (0..goal.sites.len())
            .map(|at| site(goal, &fleet, at))
            .collect(),
        binding: binding(goal, &fleet),
        tornado: what_if::tornado(goal, &derate),
        phases: what_if::phases(goal, &fleet),
        effects,
        refused,
        notes,
        shadows,
        confirmed,
        inputs: goal.inputs.clone(),
    })
}

/// What the twin took off of each kind of engine, carried to what-if questions: it is not run again.
pub(crate) struct Derate {
    /// The part that is left, by the name of the engine.
    ran: BTreeMap<String, f64>,
    /// Of the kind that was taken, by model: for kinds that were not run.
    taken: BTreeMap<usize, f64>,
}

impl Derate {
    /// With what is left of the kinds that were run, and the fleet that was taken after it.
    pub fn of(ran: BTreeMap<String, f64>, fleet: &Fleet) -> Self {
        let engines = fleet.picks.iter().map(|pick| &pick.engine);
        let taken = engines.filter_map(|engine| {
            let part = ran.get(&engine_name(engine))?;
            Some((engine.model, *part))
        });
        let taken = taken.collect();
        Self { ran, taken }
    }

    /// The cheapest fleet of another goal, its engines as much slower than in closed form.
    pub fn solve(&self, goal: &Goal) -> Result<Fleet, PlanError> {
        let mut options = Options::of(goal);
        for engine in &mut options.engines {
            let own = self.ran.get(&engine_name(engine));
            let part = own.or_else(|| self.taken.get(&engine.model));
            engine.requests_per_s *= part.copied().unwrap_or(1.0);
        }
        options.engines.retain(|engine| engine.requests_per_s > 0.0);
        solve(goal, &options)
    }
}

fn part(energy: &YearEnergy) -> f64 {
    energy.renewables_kwh / (energy.renewables_kwh + energy.grid_kwh).max(1e-9)
}

fn totals(goal: &Goal, fleet: &Fleet) -> Totals {
    let demand = &goal.demand;
    let mut energy = YearEnergy::default();
    for site in &fleet.energy {
        energy.grid_kwh += site.grid_kwh;
        energy.renewables_kwh += site.renewables_kwh;
        energy.won += site.won;
        energy.gco2 += site.gco2;
    }
    let count = |factor: &dyn Fn(f64) -> f64| {
        let each = fleet.picks.iter().map(|pick| {
            let engines = pick.engines() as f64 * factor(pick.engine.band);
            engines.ceil() as u64 * pick.accelerators()
        });
        each.sum()
    };
    let m_tokens = (demand.year_tokens() * fleet.served).max(1.0) / 1e6;
    let output_part = demand.output_tokens / (demand.input_tokens + demand.output_tokens);
    let rents = fleet.picks.iter().map(|pick| {
        let rent = goal.chips[pick.engine.chip].rent_won_per_hour?;
        Some(rent * 8_760.0 * (pick.engines() * pick.accelerators()) as f64)
    });
    let rent: Option<f64> = rents.sum();
    let peak_kw = |at: usize| fleet.site_watts[at] * goal.sites[at].pue / 1e3;
    Totals {
        requests_per_day: demand.mean_per_s() * 86_400.0,
        mean_per_s: demand.mean_per_s(),
        peak_per_s: demand.peak_per_s(),
        peak_output_tokens_per_s: demand.peak_per_s() * demand.output_tokens,
        year_tokens: m_tokens * 1e6,
        served_part: fleet.served,
        accelerators: fleet.accelerators(),
        accelerators_low: count(&|band| 1.0 / band),
        accelerators_high: count(&|band| band),
        hbm_bytes: fleet
            .picks
            .iter()
            .map(|pick| hbm(pick, pick.engines()))
            .sum(),
        dram_bytes: fleet.picks.iter().map(|pick| dram(goal, pick)).sum(),
        peak_kw: (0..goal.sites.len()).map(peak_kw).sum(),
        renewable_part: part(&energy),
        energy,
        servers_won: fleet.servers_won,
        facility_won: fleet.facility_won,
        cost: fleet.cost,
        won_per_m_tokens: fleet.won_per_m_tokens(goal),
        won_per_m_output_tokens: fleet.won_per_m_tokens(goal) / output_part,
        gco2_per_m_tokens: energy.gco2 / m_tokens,
        rent_won_per_m_tokens: rent.map(|won| won / m_tokens),
    }
}

fn hbm(pick: &Pick, engines: u64) -> f64 {
    (engines * pick.accelerators()) as f64 * pick.engine.deployment.chip.memory_gb * 1e9
}

/// Host memory for KV between turns, by Little's law: requests a second times how long each is kept times what each holds.
fn dram(goal: &Goal, pick: &Pick) -> f64 {
    let demand = &goal.demand;
    let shape = &pick.engine.deployment.model.shape;
    let held = shape.kv_elements(demand.input_tokens + demand.output_tokens)
        * pick.engine.deployment.precision.kv_bytes;
    let served = pick.engines() as f64 / pick.needed as f64;
    demand.peak_per_s() * goal.models[pick.engine.model].share * served * demand.kv_keep_s * held
}

fn line(goal: &Goal, pick: &Pick) -> Line {
    let engine = &pick.engine;
    let deployment = &engine.deployment;
    let each = engine.requests_per_s / pick.accelerators() as f64;
    let memory = deployment.memory().ok();
    Line {
        model: deployment.model.name.clone(),
        chip: deployment.chip.name.clone(),
        division: division(&deployment.parallel, &engine.precision),
        accelerators_per_engine: pick.accelerators(),
        engines: pick.engines(),
        engines_needed: pick.needed,
        accelerators: pick.engines() * pick.accelerators(),
        sequences: engine.sequences,
        requests_per_s: engine.requests_per_s,
        output_tokens_per_s: each * goal.demand.output_tokens,
        input_tokens_per_s: each * goal.demand.input_tokens,
        ttft_ms: engine.ttft_ms,
        tpot_ms: engine.tpot_ms,
        bound: engine.bound,
        band: engine.band,
        weight_bytes: memory.map_or(0.0, |memory| memory.weight_bytes),
        kv_tokens: memory.map_or(0, |memory| memory.kv_tokens),
        load_s: deployment.load_s(goal.chips[engine.chip].per_machine, None),
    }
}

fn site(goal: &Goal, fleet: &Fleet, at: usize) -> SiteLine {
    let site = &goal.sites[at];
    let watts = fleet.site_watts[at];
    let part_of = |pick: &Pick| pick.placed[at] as f64 / pick.engines().max(1) as f64;
    let mut notes = Vec::new();
    if site.cap_watts >= ASSESSED_WATTS && site.country.as_str() == "KR" {
        notes.push(said::assessed());
    }
    SiteLine {
        id: site.id.clone(),
        engines: fleet.picks.iter().map(|pick| pick.placed[at]).collect(),
        accelerators: fleet
            .picks
            .iter()
            .map(|pick| pick.placed[at] * pick.accelerators())
            .sum(),
        hbm_bytes: fleet
            .picks
            .iter()
            .map(|pick| hbm(pick, pick.placed[at]))
            .sum(),
        dram_bytes: fleet
            .picks
            .iter()
            .map(|pick| dram(goal, pick) * part_of(pick))
            .sum(),
        peak_kw: watts * site.pue / 1e3,
        cap_kw: site.cap_watts / 1e3,
        energy: fleet.energy[at],
        renewable_part: part(&fleet.energy[at]),
        summer: day(goal, site, 7, watts),
        winter: day(goal, site, 1, watts),
        notes,
    }
}

fn binding(goal: &Goal, fleet: &Fleet) -> Binding {
    let binding = |resource: &str, why| Binding {
        resource: resource.to_owned(),
        why,
    };
    if fleet.served < 1.0 {
        let chips = fleet.spent_chip(goal).is_some();
        return binding(
            if chips { "chips" } else { "power" },
            said::part_of_peak(chips, fleet.served),
        );
    }
    if let Some(engine) = fleet.too_hungry.first() {
        return binding("power", said::no_room(&engine_name(engine)));
    }
    if let Some((model, chip)) = fleet.scarce.first() {
        let (chip, model) = (&goal.chips[*chip].chip, &goal.models[*model].model);
        return binding("chips", said::too_few(&chip.name, &model.name));
    }
    let mut by_bound: Vec<(Bound, u64)> = Vec::new();
    for pick in &fleet.picks {
        let count = pick.engines() * pick.accelerators();
        match by_bound
            .iter_mut()
            .find(|(bound, _)| *bound == pick.engine.bound)
        {
            Some((_, sum)) => *sum += count,
            None => by_bound.push((pick.engine.bound, count)),
        }
    }
    let (bound, count) = by_bound
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .unwrap_or((Bound::Engine, 0));
    binding(
        bound.word(),
        said::bound(bound, count, fleet.accelerators()),
    )
}

/// Ways that serve and were not taken, with what they would cost beside the one taken.
fn dearer(goal: &Goal, options: &Options, fleet: &Fleet) -> Vec<Refused> {
    let mut refused = Vec::new();
    for engine in &options.engines {
        let Some(taken) = fleet
            .picks
            .iter()
            .find(|pick| pick.engine.model == engine.model)
        else {
            continue;
        };
        if engine_name(engine) == engine_name(&taken.engine) {
            continue;
        }
        let cost = |engine: &crate::sizing::Engine| {
            let annual = goal.money.annuity(goal.money.life_years) + goal.money.opex_part_per_year;
            let watts = engine_watts(goal, engine);
            let energy = fleet.cost.energy_won + fleet.cost.facility_won;
            let per_watt = energy / fleet.site_watts.iter().sum::<f64>().max(1.0);
            (engine_won(goal, engine) * annual + watts * per_watt) / engine.requests_per_s
        };
        let ratio = cost(engine) / cost(&taken.engine);
        let mut hungry = fleet.too_hungry.iter();
        let reason = if let Some(reason) = ruled_out(goal, engine) {
            reason
        } else if hungry.any(|other| engine_name(other) == engine_name(engine)) {
            "power"
        } else if fleet.scarce.contains(&(engine.model, engine.chip)) {
            "stock"
        } else {
            "cost"
        };
        refused.push(Refused {
            model: engine.deployment.model.name.clone(),
            chip: engine.deployment.chip.name.clone(),
            division: division(&engine.deployment.parallel, &engine.precision),
            reason,
            why: said::dearer(ratio),
        });
    }
    refused
}

/// Sums of effects that are not the whole, as the table lacks coefficients.
fn without_sectors(effects: &EffectsReport) -> Vec<Said> {
    let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for missing in &effects.missing {
        let sectors = kinds.entry(missing.kind).or_default();
        sectors.push(&missing.sector);
    }
    let kinds = kinds.into_iter();
    kinds
        .map(|(kind, sectors)| said::without_sectors(kind, &sectors.join(", ")))
        .collect()
}

fn notes(
    goal: &Goal,
    fleet: &Fleet,
    (confirmed, shadows): (&[Confirmed], &[ShadowLine]),
) -> Vec<Said> {
    let same = |line: &ShadowLine| line.saved_accelerators == 0 && line.more_served_part <= 0.0;
    let told = [
        (true, Note::Catalogue),
        (true, Note::StaysOn),
        (true, Note::GridCarbon),
        (true, Note::Served(year_requests(goal, fleet))),
        (confirmed.is_empty(), Note::NotConfirmed),
        (shadows.iter().all(same), Note::NoWholeEngine),
        (goal.effects.is_none(), Note::NoEffects),
        (fleet.served < 1.0, Note::TakenOff),
    ];
    let told = told.into_iter().filter(|(holds, _)| *holds);
    told.map(|(_, note)| note.said()).collect()
}
