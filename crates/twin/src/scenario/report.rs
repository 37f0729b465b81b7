//! What a run says: lines for all of it and for each site, model, tenant and hour, and one for each of their combinations.

mod budget;
mod energy;
mod fairness;
mod line;

pub use budget::BudgetLine;
pub use energy::SiteEnergy;
pub use line::{Line, Percentiles, Utilisation};

use super::Scenario;
use super::event::{EventLine, EventTally};
use super::governed::{Governed, SitePower};
use super::jobs::{JobsLine, run_jobs};
use super::purses::Spending;
use super::shard::Uses;
use super::shift::{self, ShiftReport};
use super::tally::{Cell, PERCENTILE_ERROR};
use energy::{Account, Energy};
use fairness::fairness;
use line::line;
use madang_core::recording::Agreement;
use madang_fleet::energy::hour_of;
use serde::Serialize;
use std::collections::BTreeMap;

/// Where requests are counted: site (one more than there are for those that no engine had), model, tenant, hour.
pub(super) type Key = (usize, usize, usize, u32);

/// What all shards counted.
#[derive(Debug)]
pub(super) struct Counts {
    pub cells: BTreeMap<Key, Cell>,
    pub uses: Uses,
    pub events: Vec<EventTally>,
    pub shards: usize,
    /// What tenants spent of their grants, by their places.
    pub spent: BTreeMap<usize, Spending>,
}

/// What came of a scenario.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it is about.
    pub about: String,
    /// The first day.
    pub start: String,
    /// Hours in which clients asked.
    pub run_hours: u32,
    /// Of everything that was drawn.
    pub seed: u64,
    /// Gateways that shared the load.
    pub cells: u32,
    /// Pools of gateways that were run, each for itself.
    pub shards: usize,
    /// How far a percentile may be from the true one, as a part of it.
    pub percentile_error: f64,
    /// Engines.
    pub engines: u64,
    /// By what factor times of engines, and with them what the fleet can do, may be above or below the truth for 90 of 100 measurements:
    /// the widest of its engines. `None` where profiles without such a figure take part.
    pub engine_time_band: Option<f64>,
    /// Jain's index of what tenants got of what was theirs; 1: nobody was treated worse than another.
    pub fairness: f64,
    /// All of it.
    pub total: Line,
    /// By site.
    pub sites: Vec<Line>,
    /// By model.
    pub models: Vec<Line>,
    /// By tenant.
    pub tenants: Vec<Line>,
    /// By hour.
    pub hours: Vec<Line>,
    /// Power and energy of each site.
    pub energy: Vec<SiteEnergy>,
    /// How sites were kept under their caps that might have come to them.
    pub power: Vec<SitePower>,
    /// What came of each event.
    pub events: Vec<EventLine>,
    /// What tenants spent of what they were granted.
    pub budgets: Vec<BudgetLine>,
    /// Gateways' recordings that are traces here.
    pub recordings: Vec<RecordingLine>,
    /// What each group of engines is.
    pub groups: Vec<GroupLine>,
    /// Batch jobs that take turns.
    pub jobs: Vec<JobsLine>,
    /// Work that may be put off; `None` where there is none.
    pub shift: Option<ShiftReport>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// Each combination that occurred.
    #[serde(skip)]
    pub rows: Vec<Row>,
}

/// A gateway's recording, run through a fresh core on the fleet that it has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordingLine {
    /// Its file.
    pub file: String,
    /// Its steps.
    pub steps: u64,
    /// The part of them that had the same effects as live.
    pub equal_ratio: f64,
}

impl RecordingLine {
    pub(super) fn new(file: &str, agreement: Agreement) -> Self {
        Self {
            file: file.to_owned(),
            steps: agreement.steps,
            equal_ratio: agreement.equal as f64 / agreement.steps.max(1) as f64,
        }
    }
}

/// Engines of one kind at one site.
#[derive(Clone, Debug, Serialize)]
pub struct GroupLine {
    /// Their name.
    pub name: String,
    /// How many.
    pub engines: u32,
    /// From the start of the process of one until it serves, in seconds.
    pub load_s: f64,
    /// How many of them failed, each as often as it did.
    pub failures: u64,
}

/// One combination of site, model, tenant and hour.
#[derive(Debug)]
pub struct Row {
    /// Site; `-` for requests that no engine had.
    pub site: String,
    /// Model.
    pub model: String,
    /// Tenant.
    pub tenant: String,
    /// The hour, as 2026-07-15T13:00.
    pub hour: String,
    /// What came of them.
    pub line: Line,
}

/// What a sum of cells is called and measured by.
struct Group {
    cell: Cell,
    account: Account,
    seconds: f64,
    utilisation: Option<Utilisation>,
}

impl Report {
    pub(super) fn new(scenario: &Scenario, counts: Counts, governed: Governed) -> Self {
        let energy = Energy::new(scenario, &counts);
        let site_energy = energy.sites(scenario, &governed.sites);
        let by = Summer {
            scenario,
            counts: &counts,
            energy: &energy,
        };
        let names = Names::new(scenario);
        let sites = (0..scenario.sites.len()).map(|at| by.site(&names.sites[at], at));
        let models = (0..scenario.models.len()).map(|at| by.model(&names.models[at], at));
        let tenants = (0..scenario.tenants.len()).map(|at| by.tenant(&names.tenants[at], at));
        let hours = (0..scenario.hours).map(|at| by.hour(&names.hour(at), at));
        let jobs = run_jobs(scenario, governed.batches);
        let events = noticed(governed.events, &counts.events);
        let mut drawn = energy.drawn(scenario);
        for (site, drawn) in scenario.sites.iter().zip(&mut drawn) {
            // Jobs that take turns come before those that may be put off.
            let own = jobs.iter().filter(|line| site.id.as_str() == line.site);
            drawn.raise(own.map(|line| line.full_kw * 1e3).sum());
        }
        for (event, line) in scenario.events.iter().zip(&events) {
            let watts = line.cap_kw.map(|kw| kw * 1e3);
            drawn[event.site].lower(event, watts);
        }
        Self {
            about: scenario.about.clone(),
            start: scenario.start.to_string(),
            run_hours: scenario.hours,
            seed: scenario.seed,
            cells: scenario.cells,
            shards: counts.shards,
            percentile_error: PERCENTILE_ERROR,
            engines: scenario
                .engines
                .iter()
                .map(|group| u64::from(group.count))
                .sum(),
            engine_time_band: band(scenario),
            fairness: fairness(scenario, &counts.cells),
            total: by.total(),
            sites: sites.collect(),
            models: models.collect(),
            tenants: tenants.filter(|line| line.asked > 0).collect(),
            hours: hours.collect(),
            shift: shift::run(scenario, &drawn),
            groups: groups(scenario),
            jobs,
            notes: energy::notes(scenario, &governed.sites),
            power: governed.sites,
            recordings: Vec::new(),
            budgets: budget::lines(scenario, &counts.spent),
            events,
            energy: site_energy,
            rows: by.rows(&names),
        }
    }
}

/// What came of each event, with what those noticed who waited.
fn noticed(lines: BTreeMap<usize, EventLine>, tallies: &[EventTally]) -> Vec<EventLine> {
    let lines = lines.into_values().zip(tallies);
    let noticed = lines.map(|(mut line, tally)| {
        line.notice(tally);
        line
    });
    noticed.collect()
}

fn groups(scenario: &Scenario) -> Vec<GroupLine> {
    let failures = |at: usize| {
        let own = scenario
            .failures
            .iter()
            .filter(move |failure| failure.group == at);
        own.map(|failure| u64::from(failure.count)).sum()
    };
    let groups = scenario.engines.iter().enumerate();
    let line = |(at, group): (usize, &super::model::EngineGroup)| GroupLine {
        name: group.id.clone(),
        engines: group.count,
        load_s: group.profile.load_us as f64 / 1e6,
        failures: failures(at),
    };
    groups.map(line).collect()
}

fn band(scenario: &Scenario) -> Option<f64> {
    let bands: Option<Vec<f64>> = scenario.engines.iter().map(|group| group.band).collect();
    bands?.into_iter().reduce(f64::max)
}

/// Names as they are printed.
struct Names {
    start: jiff::civil::Date,
    sites: Vec<String>,
    models: Vec<String>,
    tenants: Vec<String>,
}

impl Names {
    fn new(scenario: &Scenario) -> Self {
        let sites = scenario.sites.iter().map(|site| site.id.to_string());
        let tenants = scenario
            .tenants
            .iter()
            .map(|tenant| tenant.payer.tenant.to_string());
        Self {
            start: scenario.start,
            sites: sites.chain(["-".to_owned()]).collect(),
            models: scenario
                .models
                .iter()
                .map(|model| model.id.to_string())
                .collect(),
            tenants: tenants.collect(),
        }
    }

    fn hour(&self, hour: u32) -> String {
        hour_of(self.start, hour)
            .strftime("%Y-%m-%dT%H:00")
            .to_string()
    }
}

/// Sums of cells by what they have in common.
struct Summer<'r> {
    scenario: &'r Scenario,
    counts: &'r Counts,
    energy: &'r Energy,
}

impl Summer<'_> {
    fn sum(&self, fits: impl Fn(&Key) -> bool) -> Group {
        let mut cell = Cell::default();
        for (_, more) in self.counts.cells.iter().filter(|(key, _)| fits(key)) {
            cell.add(more);
        }
        Group {
            cell,
            account: Account::default(),
            seconds: f64::from(self.scenario.hours) * 3_600.0,
            utilisation: None,
        }
    }

    fn total(&self) -> Line {
        let mut group = self.sum(|_| true);
        group.account = self.energy.sum(|_| true);
        group.utilisation = self.used(|_| true, |_| true);
        line("total", &group)
    }

    fn site(&self, name: &str, at: usize) -> Line {
        let mut group = self.sum(|(site, ..)| *site == at);
        group.account = self.energy.sum(|(site, ..)| *site == at);
        group.utilisation = self.used(|group| self.scenario.engines[group].site == at, |_| true);
        line(name, &group)
    }

    fn model(&self, name: &str, at: usize) -> Line {
        let mut group = self.sum(|(_, model, ..)| *model == at);
        group.account = self.energy.sum(|(_, model, _)| *model == at);
        group.utilisation = self.used(|group| self.scenario.engines[group].model == at, |_| true);
        line(name, &group)
    }

    fn tenant(&self, name: &str, at: usize) -> Line {
        let mut group = self.sum(|(_, _, tenant, _)| *tenant == at);
        for (key, cell) in &self.counts.cells {
            if key.2 == at {
                group.account.add(&self.energy.of_cell(key, cell));
            }
        }
        line(name, &group)
    }

    fn hour(&self, name: &str, at: u32) -> Line {
        let mut group = self.sum(|(.., hour)| *hour == at);
        group.account = self.energy.sum(|(.., hour)| *hour == at);
        group.utilisation = self.used(|_| true, |hour| hour == at);
        group.seconds = 3_600.0;
        line(name, &group)
    }

    fn rows(&self, names: &Names) -> Vec<Row> {
        let row = |(key, cell): (&Key, &Cell)| {
            let (site, model, tenant, hour) = *key;
            let group = Group {
                cell: cell.clone(),
                account: self.energy.of_cell(key, cell),
                seconds: 3_600.0,
                utilisation: None,
            };
            Row {
                site: names.sites[site].clone(),
                model: names.models[model].clone(),
                tenant: names.tenants[tenant].clone(),
                hour: names.hour(hour),
                line: line("", &group),
            }
        };
        self.counts.cells.iter().map(row).collect()
    }

    /// How much of their time engines of some groups were used in some hours.
    fn used(
        &self,
        group_fits: impl Fn(usize) -> bool,
        hour_fits: impl Fn(u32) -> bool,
    ) -> Option<Utilisation> {
        let mut sum = line::UsedTime::default();
        for (group, uses) in self.counts.uses.0.iter().enumerate() {
            if !group_fits(group) {
                continue;
            }
            let kv_tokens = self.scenario.engines[group].profile.kv_tokens;
            for (interval, used) in uses.iter().enumerate() {
                if hour_fits(energy::hour_of_interval(interval)) {
                    sum.add(used, kv_tokens);
                }
            }
        }
        sum.utilisation()
    }
}
