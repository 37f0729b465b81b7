//! Power, energy, money and carbon: of engines by what they did, at the meter of their site, less the site's own renewables.

use super::{Counts, Key};
use crate::scenario::Scenario;
use crate::scenario::governed::SitePower;
use crate::scenario::model::{EngineGroup, Site};
use crate::scenario::shard::Use;
use crate::scenario::shift::Drawn;
use crate::scenario::tally::Cell;
use madang_core::power::model::{WHOLE_MILLI, at_meter};
use madang_fleet::energy::hour_of;
use serde::Serialize;
use std::collections::BTreeMap;

const INTERVAL_S: f64 = 300.0;
const INTERVALS_PER_HOUR: usize = 12;
const JOULES_PER_KWH: f64 = 3.6e6;

/// The hour in which an interval lies.
pub(super) fn hour_of_interval(interval: usize) -> u32 {
    u32::try_from(interval / INTERVALS_PER_HOUR).unwrap_or(u32::MAX)
}

/// Energy, and what it cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Account {
    pub joules: f64,
    pub won: f64,
    pub gco2: f64,
}

impl Account {
    pub fn add(&mut self, other: &Self) {
        self.joules += other.joules;
        self.won += other.won;
        self.gco2 += other.gco2;
    }

    fn part(&self, part: f64) -> Self {
        Self {
            joules: self.joules * part,
            won: self.won * part,
            gco2: self.gco2 * part,
        }
    }
}

/// Power and energy of a site.
#[derive(Clone, Debug, Serialize)]
pub struct SiteEnergy {
    /// Its name.
    pub site: String,
    /// Greatest power that it may draw, in kW.
    pub cap_kw: Option<f64>,
    /// Mean power at the meter, in kW.
    pub mean_kw: f64,
    /// Greatest mean power of five minutes, in kW.
    pub peak_kw: f64,
    /// Time above the cap, by seconds, in milliseconds: of engines and of the jobs that take turns.
    pub over_cap_ms: u64,
    /// Energy at the meter, in kWh.
    pub kwh: f64,
    /// Of it from its own renewables.
    pub own_kwh: f64,
    /// Of it from the grid.
    pub grid_kwh: f64,
    /// What that cost; `None` without a tariff.
    pub won: Option<f64>,
    /// Grams of CO2 of that; `None` where the grid's is not known.
    pub gco2: Option<f64>,
}

/// All energy of a run.
pub(super) struct Energy {
    /// By site, model and hour.
    accounts: BTreeMap<(usize, usize, u32), Account>,
    /// Accelerator time that was served there.
    served_us: BTreeMap<(usize, usize, u32), u64>,
    /// At the meter of each site, of each five minutes.
    watts: Vec<Vec<f64>>,
    own_joules: Vec<f64>,
}

impl Energy {
    pub fn new(scenario: &Scenario, counts: &Counts) -> Self {
        let intervals = usize::try_from(scenario.hours).unwrap_or(0) * INTERVALS_PER_HOUR;
        let mut energy = Self {
            accounts: BTreeMap::new(),
            served_us: BTreeMap::new(),
            watts: vec![vec![0.0; intervals]; scenario.sites.len()],
            own_joules: vec![0.0; scenario.sites.len()],
        };
        for ((site, model, _, hour), cell) in &counts.cells {
            *energy.served_us.entry((*site, *model, *hour)).or_default() += cell.served_us;
        }
        for (group, uses) in scenario.engines.iter().zip(&counts.uses.0) {
            let pue = scenario.sites[group.site].pue_milli;
            for (interval, used) in uses.iter().enumerate() {
                let watts = at_meter(watts(group, used), pue) as f64;
                energy.watts[group.site][interval] += watts;
                let key = (group.site, group.model, hour_of_interval(interval));
                energy.accounts.entry(key).or_default().joules += watts * INTERVAL_S;
            }
        }
        energy.price(scenario);
        energy
    }

    /// What of each hour comes from the grid, and what that costs. Models pay by what they drew.
    fn price(&mut self, scenario: &Scenario) {
        for (at, site) in scenario.sites.iter().enumerate() {
            for hour in 0..scenario.hours {
                let when = hour_of(scenario.start, hour);
                let drawn = self.sum(|(site, _, of)| *site == at && *of == hour).joules;
                let own_watts = site.renewables.as_ref().map_or(0.0, |own| own.watts(when));
                let own = drawn.min(own_watts * 3_600.0);
                self.own_joules[at] += own;
                let grid = if drawn > 0.0 {
                    (drawn - own) / drawn
                } else {
                    0.0
                };
                let won = site
                    .tariff
                    .as_ref()
                    .and_then(|tariff| tariff.won_per_kwh(when))
                    .unwrap_or(0.0);
                let grams = site.carbon_at(when);
                let of_hour = self
                    .accounts
                    .iter_mut()
                    .filter(|((site, _, of), _)| *site == at && *of == hour);
                for (_, account) in of_hour {
                    let grid_kwh = account.joules * grid / JOULES_PER_KWH;
                    account.won = grid_kwh * won;
                    account.gco2 = grid_kwh * grams;
                }
            }
        }
    }

    pub fn sum(&self, fits: impl Fn(&(usize, usize, u32)) -> bool) -> Account {
        let mut sum = Account::default();
        for (_, account) in self.accounts.iter().filter(|(key, _)| fits(key)) {
            sum.add(account);
        }
        sum
    }

    /// The part of a tenant: by the accelerator time that it was served, of that of its site, model and hour.
    pub fn of_cell(&self, (site, model, _, hour): &Key, cell: &Cell) -> Account {
        let key = (*site, *model, *hour);
        let all = self.served_us.get(&key).copied().unwrap_or(0);
        let account = self.accounts.get(&key);
        match account {
            Some(account) if all > 0 => account.part(cell.served_us as f64 / all as f64),
            _ => Account::default(),
        }
    }

    /// What each site's engines draw in each hour.
    pub fn drawn(&self, scenario: &Scenario) -> Vec<Drawn> {
        let of_site = |(watts, site): (&Vec<f64>, &Site)| {
            let cap = site.cap_watts.map_or(f64::INFINITY, |watts| watts as f64);
            let hours = watts.chunks(INTERVALS_PER_HOUR);
            let (mean, peak) = hours
                .map(|hour| {
                    let sum: f64 = hour.iter().sum();
                    (
                        sum / hour.len() as f64,
                        hour.iter().copied().fold(0.0, f64::max),
                    )
                })
                .unzip();
            Drawn {
                mean_watts: mean,
                peak_watts: peak,
                // One more than there are hours: what holds ever after.
                cap_watts: vec![cap; hours_of(watts) + 1],
            }
        };
        let sites = self.watts.iter().zip(&scenario.sites);
        sites.map(of_site).collect()
    }

    pub fn sites(&self, scenario: &Scenario, governed: &[SitePower]) -> Vec<SiteEnergy> {
        let sites = scenario.sites.iter().enumerate();
        let line = |(at, site): (usize, &Site)| {
            let watts = &self.watts[at];
            let sum: f64 = watts.iter().sum();
            let cap = site.cap_watts.map(|cap| cap as f64);
            // Who is not governed cannot come to its cap.
            let governed = governed.iter().find(|power| site.id.as_str() == power.site);
            let account = self.sum(|(site, ..)| *site == at);
            let (kwh, own_kwh) = (
                account.joules / JOULES_PER_KWH,
                self.own_joules[at] / JOULES_PER_KWH,
            );
            SiteEnergy {
                site: site.id.to_string(),
                cap_kw: cap.map(|cap| cap / 1_000.0),
                mean_kw: sum / watts.len().max(1) as f64 / 1_000.0,
                peak_kw: watts.iter().copied().fold(0.0, f64::max) / 1_000.0,
                over_cap_ms: governed.map_or(0, |power| power.over_cap_ms),
                kwh,
                own_kwh,
                grid_kwh: kwh - own_kwh,
                won: site.tariff.as_ref().map(|_| account.won),
                gco2: site.carbon_g_per_kwh.map(|_| account.gco2),
            }
        };
        sites.map(line).collect()
    }
}

fn hours_of(intervals: &[f64]) -> usize {
    intervals.len() / INTERVALS_PER_HOUR
}

/// What is not counted.
pub(super) fn notes(scenario: &Scenario, governed: &[SitePower]) -> Vec<String> {
    let mut notes = Vec::new();
    let unknown: u64 = scenario
        .engines
        .iter()
        .filter(|group| group.power.is_none())
        .map(|group| u64::from(group.count))
        .sum();
    if unknown > 0 {
        notes.push(format!(
            "the power of {unknown} engines is not known: their energy is not counted"
        ));
    }
    for site in &scenario.sites {
        if site.tariff.is_none() {
            notes.push(format!(
                "site {} has no tariff: its electricity costs nothing here",
                site.id
            ));
        }
        if site.carbon_g_per_kwh.is_none() {
            notes.push(format!(
                "the CO2 of site {}'s grid is not known: it is counted as none",
                site.id
            ));
        }
    }
    for site in governed.iter().filter(|site| site.over_cap_ms > 0) {
        notes.push(format!(
            "site {} was above its cap for {} s, by {:.3} kW at most: what is drawn rose faster than `rise_milli_per_s` of [power], or nothing was left that bends",
            site.site,
            site.over_cap_ms / 1_000,
            site.over_cap_kw_max
        ));
    }
    notes
}

/// Mean power of a group's engines in an interval, in watts.
fn watts(group: &EngineGroup, used: &Use) -> u64 {
    let Some(power) = &group.power else { return 0 };
    let milli = used.full_milli / used.samples.max(1);
    power
        .times(u64::from(used.engines))
        .watts(u32::try_from(milli).unwrap_or(WHOLE_MILLI))
}
