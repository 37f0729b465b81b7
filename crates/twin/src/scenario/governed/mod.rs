//! Sites that may come to their caps: all that stands there runs side by side, a second at a time, and each site's governor looks at it
//! in between. What they order is done as live: engines are slowed, requests meet narrower terms, runs of jobs stand still or are stopped.

mod batch;
mod engines;
mod record;
mod site;

pub(in crate::scenario) use batch::BatchResult;
pub use record::{DeedLine, SitePower};

use super::event::EventLine;
use super::shard::{ShardPlan, ShardResult};
use super::{Files, Progress, RunError, Scenario};
use batch::{Batch, Fitting};
use engines::GovernedShard;
use madang_core::power::model::at_meter;
use madang_types::NameError;
use site::{GovernedSite, LOOK_US};
use std::collections::BTreeMap;
use std::thread;

const HOUR_US: u64 = 3_600_000_000;

/// What comes of all that is governed.
#[derive(Default)]
pub(super) struct Governed {
    /// By the places of the shards.
    pub shards: Vec<(usize, Result<ShardResult, RunError>)>,
    /// Each site that was governed.
    pub sites: Vec<SitePower>,
    /// By the places of the events.
    pub events: BTreeMap<usize, EventLine>,
    /// By the places of the groups of jobs.
    pub batches: BTreeMap<usize, BatchResult>,
}

/// Whether a site has to be governed: an event is set there, or all that stands there may draw more than its cap. Where it may not,
/// nothing would ever be bent.
pub(super) fn is_governed(scenario: &Scenario, place: usize) -> bool {
    if scenario.events.iter().any(|event| event.site == place) {
        return true;
    }
    let site = &scenario.sites[place];
    let engines = scenario.engines.iter().filter(|group| group.site == place);
    let engines = engines.filter_map(|group| Some((group.power?, group.count)));
    let jobs = jobs_at(scenario, place).map(|(_, group)| (group.power, group.accelerators));
    let full: u64 = engines
        .chain(jobs)
        .map(|(power, count)| power.full_watts.saturating_mul(u64::from(count)))
        .sum();
    site.cap_watts
        .is_some_and(|cap| at_meter(full, site.pue_milli) > cap)
}

/// Groups of jobs that take turns at a site.
fn jobs_at(
    scenario: &Scenario,
    place: usize,
) -> impl Iterator<Item = (usize, &super::model::JobGroup)> {
    let groups = scenario.jobs.iter().enumerate();
    groups.filter(move |(_, group)| group.flex.is_none() && group.site == place)
}

/// Runs the shards that have engines at governed sites, and the jobs there, on so many threads.
///
/// # Errors
/// None: all names are names.
pub(super) fn run(
    (scenario, files): (&Scenario, &Files),
    plans: &[(usize, &ShardPlan)],
    threads: usize,
    progress: &Progress,
) -> Result<Governed, NameError> {
    let places: Vec<usize> = (0..scenario.sites.len())
        .filter(|place| is_governed(scenario, *place))
        .collect();
    if places.is_empty() {
        return Ok(Governed::default());
    }
    let mut sites = Vec::new();
    let mut fitting = Vec::new();
    for (at, place) in places.iter().enumerate() {
        sites.push(GovernedSite::new(scenario, *place)?);
        let groups = jobs_at(scenario, *place);
        fitting.extend(groups.map(|(group, _)| (at, Fitting::new(scenario, group))));
    }
    let mut governed = Governed::default();
    let mut shards = Vec::new();
    for (at, plan) in plans {
        match GovernedShard::new((scenario, files), plan, progress, &places) {
            Ok(shard) => shards.push((*at, shard)),
            Err(error) => governed.shards.push((*at, Err(error))),
        }
    }
    let mut side_by_side = SideBySide {
        scenario,
        threads,
        sites,
        batches: fitting
            .iter()
            .map(|(site, fitting)| Batch::new(fitting, *site))
            .collect(),
        shards,
    };
    side_by_side.run();
    for (at, shard) in side_by_side.shards {
        governed.shards.push((at, shard.finish()));
    }
    for site in side_by_side.sites {
        let (power, lines) = site.finish();
        governed.sites.push(power);
        governed.events.extend(lines);
    }
    let ended = side_by_side.batches.into_iter().map(Batch::finish);
    governed.batches = ended.collect();
    Ok(governed)
}

/// All that is governed, on one clock.
struct SideBySide<'s, 'f> {
    scenario: &'s Scenario,
    threads: usize,
    sites: Vec<GovernedSite>,
    batches: Vec<Batch<'f>>,
    shards: Vec<(usize, GovernedShard<'s>)>,
}

impl SideBySide<'_, '_> {
    fn run(&mut self) {
        let mut now_us = 0;
        loop {
            self.engines(now_us);
            let mut loads = self.loads(now_us);
            for (site, (loads, stood)) in self.sites.iter_mut().zip(&mut loads) {
                site.look(now_us, std::mem::take(loads), *stood);
            }
            self.jobs(now_us);
            match self.next_us(now_us) {
                Some(next_us) => now_us = next_us,
                None => return,
            }
        }
    }

    /// Engines do what was ordered, and go on until then.
    fn engines(&mut self, now_us: u64) {
        if self.shards.iter().all(|(_, shard)| shard.is_over()) {
            return;
        }
        let orders: Vec<_> = self.sites.iter().map(|site| &site.orders).collect();
        let each = self.shards.len().div_ceil(self.threads.max(1)).max(1);
        let go = |shards: &mut [(usize, GovernedShard<'_>)]| {
            for (_, shard) in shards {
                shard.go(now_us, &orders);
            }
        };
        let mut parts = self.shards.chunks_mut(each);
        let own = parts.next();
        thread::scope(|scope| {
            for part in parts {
                scope.spawn(|| go(part));
            }
            own.into_iter().for_each(go);
        });
    }

    /// What draws power at each site, and how many accelerators stand still there.
    fn loads(&mut self, now_us: u64) -> Vec<(Vec<madang_core::power::governor::Load>, u64)> {
        let mut loads: Vec<_> = self.sites.iter().map(|_| (Vec::new(), 0)).collect();
        for (_, shard) in &self.shards {
            for (site, load) in shard.loads() {
                loads[site].0.push(load.clone());
            }
        }
        for batch in &mut self.batches {
            batch.obey(now_us, &self.sites[batch.site]);
            let (loads, stood) = &mut loads[batch.site];
            *stood += batch.loads(loads);
        }
        loads
    }

    fn jobs(&mut self, now_us: u64) {
        let idle = self.shards.iter().all(|(_, shard)| shard.is_over());
        let return_us = self.scenario.governor.return_us;
        for at in 0..self.batches.len() {
            let place = self.batches[at].site;
            let mut others = self.batches.iter().enumerate();
            let others =
                others.any(|(other, batch)| other != at && batch.site == place && batch.holds());
            let site = &mut self.sites[place];
            self.batches[at].until(now_us, site, return_us, idle && !others);
        }
    }

    /// The next look: a second later; once engines are idle for good, when something changes. `None`: all is over.
    fn next_us(&self, now_us: u64) -> Option<u64> {
        let soon_us = now_us + LOOK_US;
        let asked = now_us < u64::from(self.scenario.hours) * HOUR_US;
        let comes_back = |site: &GovernedSite| site.is_bent() && !site.is_short_for_good(now_us);
        let bent = self.sites.iter().any(comes_back);
        if asked || bent || self.shards.iter().any(|(_, shard)| !shard.is_over()) {
            return Some(soon_us);
        }
        if self.batches.iter().all(Batch::is_over) {
            return None;
        }
        let return_us = self.scenario.governor.return_us;
        let batches = self.batches.iter().filter(|batch| !batch.is_over());
        let next = batches.filter_map(|batch| batch.next_us(return_us));
        let changes = self.sites.iter().filter_map(|site| site.changes_us(now_us));
        let next_us = next.chain(changes).min()?;
        Some(next_us.next_multiple_of(LOOK_US).max(soon_us))
    }
}
