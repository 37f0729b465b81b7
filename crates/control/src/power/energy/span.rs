//! What a site drew between two looks, and what of it was whose: from what meters counted where they count, else from what they and the
//! model said at both.

use crate::power::meters::{Watched, bounds, left_out};
use crate::power::scene::{self, BendingRun, Parts, Readings};
use madang_core::PoolStatus;
use madang_core::power::gauge::Believed;
use madang_core::power::governor::{Load, LoadId};
use madang_core::power::model::{WHOLE_MILLI, millijoules};
use madang_fleet::Fleet;
use madang_ledger::{EnergyNote, EnergyStand, EngineEnergy, shared};
use madang_types::{Micros, PowerStand, RunId, SiteId};
use std::collections::{BTreeMap, BTreeSet};

/// Of a longer time without a look counts alone say what was drawn: what meters told at its ends says nothing of it.
const GAP_US_MAX: u64 = 3_600_000_000;
/// A count that rose by more than this part of what can be drawn, in thousandths, is not believed; as of a reading.
const ABOVE_MILLI: u64 = 1_250;

/// What is there at a look.
pub(super) struct Look<'a> {
    pub now: Micros,
    pub fleet: &'a Fleet,
    pub site: &'a SiteId,
    pub pools: &'a [PoolStatus],
    pub runs: &'a [BendingRun],
    /// What draws, and how much now.
    pub loads: &'a [Load],
    /// The site's meters.
    pub meters: Vec<&'a Watched>,
}

/// Loads by name, in watts: machines that nobody uses are one.
fn by_name(loads: &[Load]) -> BTreeMap<String, u64> {
    let mut names = BTreeMap::new();
    for load in loads {
        let sum: &mut u64 = names.entry(load.id.to_string()).or_default();
        *sum = sum.saturating_add(load.watts);
    }
    names
}

/// How things stand at a look; what runs have drawn, and what is done against power that is short, is added by whoever keeps it.
pub(super) fn stand(look: &Look<'_>) -> EnergyStand {
    let meter = |watched: &&Watched| {
        let believed = watched.believed?;
        let count = watched.count.filter(|_| believed.measured);
        Some((watched.row.id.clone(), (believed.watts, count)))
    };
    EnergyStand {
        at: look.now,
        loads: by_name(look.loads),
        meters: look.meters.iter().filter_map(meter).collect(),
        runs: BTreeMap::new(),
        power: PowerStand::default(),
    }
}

/// Adds to a note what was drawn since the last look, and gives what of it runs drew, in thousandths of a joule at the site's meter.
pub(super) fn account(
    before: &EnergyStand,
    look: &Look<'_>,
    note: &mut EnergyNote,
) -> BTreeMap<RunId, u64> {
    let span_us = look.now.since_us(before.at);
    if span_us == 0 {
        return BTreeMap::new();
    }
    let mut readings = means(before, look, span_us);
    let mut parts = scene::parts((look.fleet, look.site), look.pools, look.runs, &readings);
    let measured = measured(look, &readings);
    let counts_only = span_us > GAP_US_MAX && !readings.site.is_some_and(|site| site.measured);
    if counts_only {
        // What a site's own meter counts is shared as ever.
        readings.site = None;
        let is_counted = |load: &Load| measured.contains(&load.id.to_string());
        parts.loads.retain(is_counted);
    }
    let mut drawn: BTreeMap<String, u64> = BTreeMap::new();
    let mut counted_mj = 0_u64;
    for (name, watts) in by_name(&parts.loads) {
        let mj = match measured.contains(&name) {
            true => millijoules(watts, span_us),
            // Of what was not there before, half of the time was.
            false => mean_mj(
                before.loads.get(&name).copied().unwrap_or(0),
                watts,
                span_us,
            ),
        };
        if measured.contains(&name) {
            counted_mj = counted_mj.saturating_add(mj);
        }
        drawn.insert(name, mj);
    }
    for (name, watts) in &before.loads {
        // What a run drew that is gone its machines' meter has counted already.
        let is_counted = name.starts_with("run:") && !readings.nodes.is_empty();
        let gone = || match is_counted || counts_only {
            true => 0,
            false => mean_mj(*watts, 0, span_us),
        };
        drawn.entry(name.clone()).or_insert_with(gone);
    }
    let all: u64 = drawn.values().sum();
    let pue_milli = scene::pue_milli(look.fleet, look.site);
    let total = match readings.site {
        Some(site) => millijoules(site.watts, span_us),
        None => scale(all, pue_milli),
    };
    let measured_mj = match readings.site {
        Some(site) if site.measured => total,
        Some(_) => 0,
        None => scale(counted_mj, pue_milli).min(total),
    };
    note.measured_mj = note.measured_mj.saturating_add(measured_mj);
    note.modelled_mj = note.modelled_mj.saturating_add(total - measured_mj);
    hand_out(shared(total, &drawn), (total, span_us), &parts, note)
}

/// What each load drew goes to where it belongs; what draws nothing by its parts is nobody's.
fn hand_out(
    shares: BTreeMap<String, u64>,
    (total, span_us): (u64, u64),
    parts: &Parts,
    note: &mut EnergyNote,
) -> BTreeMap<RunId, u64> {
    let mut runs = BTreeMap::new();
    let mut rest = total;
    for load in &parts.loads {
        if let LoadId::Replica(id) = &load.id {
            let engine: &mut EngineEnergy = note.engines.entry(id.clone()).or_default();
            engine.span_us = engine.span_us.saturating_add(span_us);
            engine.idle_watts = load.profile.idle_watts;
        }
    }
    for (name, mj) in shares {
        if let Some(id) = name.strip_prefix("replica:")
            && let Some(engine) = id.parse().ok().and_then(|id| note.engines.get_mut(&id))
        {
            engine.mj = engine.mj.saturating_add(mj);
            rest -= mj;
        } else if let Some(run) = name.strip_prefix("run:").and_then(|run| run.parse().ok()) {
            runs.insert(run, mj);
            note.runs_mj = note.runs_mj.saturating_add(mj);
            rest -= mj;
        }
    }
    note.rest_mj = note.rest_mj.saturating_add(rest);
    runs
}

/// What each meter says of the time since the last look, in watts: by its count, else the mean of what it said at both, which after too
/// long a time measures nothing.
fn means(before: &EnergyStand, look: &Look<'_>, span_us: u64) -> Readings {
    let mut readings = Readings::default();
    let unmeasured = Readings::default();
    let parts = scene::parts((look.fleet, look.site), look.pools, look.runs, &unmeasured);
    for watched in &look.meters {
        let Some(believed) = watched.believed else {
            continue;
        };
        let bounds = bounds((look.fleet, look.site), &watched.row, (&parts, look.runs));
        if bounds.is_none() && watched.gauge.is_mute() {
            // It never told anything, and nothing else says what it measures.
            continue;
        }
        let full = bounds.map_or(u64::MAX / ABOVE_MILLI, |bounds| bounds.full_watts);
        let told = before.meters.get(&watched.row.id);
        let count = watched.count.filter(|_| believed.measured);
        let counted = told.and_then(|(_, earlier)| {
            let mj = count?.checked_sub((*earlier)?)?;
            // To the nearest: what is cut off at each look would add up.
            let half = u128::from(span_us / 2);
            let watts = (u128::from(mj) * 1_000 + half) / u128::from(span_us);
            let watts = u64::try_from(watts).ok()?;
            (watts <= full.saturating_mul(ABOVE_MILLI) / u64::from(WHOLE_MILLI)).then_some(watts)
        });
        let mean = || {
            let earlier = told.map_or(believed.watts, |(watts, _)| *watts);
            earlier.midpoint(believed.watts)
        };
        // What is believed has it already.
        let beside = bounds.map_or(0, |bounds| left_out(look.fleet, &watched.row, &bounds));
        let mean = Believed {
            watts: counted.map_or_else(mean, |watts| watts.saturating_add(beside)),
            measured: believed.measured && (counted.is_some() || span_us <= GAP_US_MAX),
            ..believed
        };
        readings.add(&watched.row, mean, false);
    }
    readings
}

/// The loads that meters measure, and are believed, by name.
fn measured(look: &Look<'_>, readings: &Readings) -> BTreeSet<String> {
    let is_measured = |believed: &Believed| believed.measured;
    let engines = readings.replicas.iter();
    let engines = engines.filter(|(_, believed)| is_measured(believed));
    let engines = engines.map(|(id, _)| LoadId::Replica(id.clone()).to_string());
    let is_on = |run: &&BendingRun| readings.nodes.get(&run.nodes).is_some_and(is_measured);
    let runs = look.runs.iter().filter(is_on);
    let runs = runs.map(|run| LoadId::Run(run.run).to_string());
    engines.chain(runs).collect()
}

fn mean_mj(before_watts: u64, watts: u64, span_us: u64) -> u64 {
    millijoules(before_watts.saturating_add(watts), span_us) / 2
}

fn scale(mj: u64, pue_milli: u32) -> u64 {
    let mj = u128::from(mj) * u128::from(pue_milli.max(WHOLE_MILLI)) / u128::from(WHOLE_MILLI);
    u64::try_from(mj).unwrap_or(u64::MAX)
}
