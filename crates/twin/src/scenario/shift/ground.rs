//! What there is: sites with their hours, places with room for work, and the work.

use super::{Drawn, LeftOut, TAIL_H, WON};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::scenario::model::{FlexGroup, JobGroup, Site};
use madang_core::flex::{EnergyHour, EnergyTerms, HOUR_US};
use madang_core::power::model::at_meter;
use madang_fleet::energy::hour_of;
use madang_types::MicroWon;

/// The stream of random numbers of forecasts, beside those of requests and jobs.
const PURPOSE: u64 = 1 << 60;
const SECOND_US: u64 = 1_000_000;
const DAY_H: usize = 24;

/// All that is known when it is over.
pub(super) struct Ground {
    pub terms: EnergyTerms,
    pub sites: Vec<GroundSite>,
    pub places: Vec<GroundPlace>,
    pub jobs: Vec<GroundJob>,
    /// Jobs that nothing can run, which are in none of the ways.
    pub left_out: Vec<LeftOut>,
    pub hours: usize,
}

/// A site, hour by hour.
pub(super) struct GroundSite {
    /// As it comes.
    pub hours: Vec<EnergyHour>,
    /// What its renewables give in all, in watts.
    own_watts: Vec<f64>,
    /// What is drawn anyway, in watts.
    drawn_watts: Vec<f64>,
    /// By how much a forecast made a day before is wrong, of each day, beside the standard deviation.
    errors: Vec<f64>,
}

/// Accelerators of one group at one site.
pub(super) struct GroundPlace {
    pub site: usize,
    /// Of each, in watts at the meter.
    pub watts_each: u64,
    /// How many have power in each hour, in thousandths.
    pub room_milli: Vec<u64>,
}

/// A job that may be put off.
pub(super) struct GroundJob {
    /// Places where it may run, its own site's first.
    pub places: Vec<usize>,
    /// How many tasks it has, and how many of them run at once at most.
    pub tasks: u64,
    pub at_once: u64,
    /// Of each task.
    pub milli: u64,
    pub submit_us: u64,
    pub latest_us: u64,
    pub run_us: u64,
    /// How wrong what is known of its run is, beside the standard deviation.
    pub error: f64,
    pub parts: bool,
}

impl Ground {
    /// `None` where nothing may be put off.
    pub fn new(scenario: &Scenario, drawn: &[Drawn]) -> Option<Self> {
        let groups: Vec<(&JobGroup, &FlexGroup)> = scenario
            .jobs
            .iter()
            .filter_map(|group| Some((group, group.flex.as_ref()?)))
            .collect();
        if groups.is_empty() {
            return None;
        }
        let hours = usize::try_from(scenario.hours + TAIL_H).unwrap_or(usize::MAX);
        let mut ground = Self {
            terms: EnergyTerms {
                per_kg_co2: MicroWon((scenario.won_per_kg_co2 / WON) as i64),
            },
            sites: Vec::new(),
            places: Vec::new(),
            jobs: Vec::new(),
            left_out: Vec::new(),
            hours,
        };
        let mut free: Vec<Vec<f64>> = Vec::new();
        for (at, (site, drawn)) in scenario.sites.iter().zip(drawn).enumerate() {
            let caps = &drawn.cap_watts;
            let cap = |hour: usize| caps.get(hour).or(caps.last()).copied();
            let peaks = (0..hours).map(|hour| {
                let cap = cap(hour).unwrap_or(f64::INFINITY);
                (cap - of_day(&drawn.peak_watts, hour)).max(0.0)
            });
            free.push(peaks.collect());
            let random = Random::new(scenario.seed, PURPOSE | u64::try_from(at).unwrap_or(0));
            ground
                .sites
                .push(GroundSite::new(scenario, (site, drawn), (hours, random)));
        }
        for (number, (group, flex)) in (0u64..).zip(groups) {
            let places = ground.open(scenario, (group, flex), &mut free);
            let mut random = Random::new(scenario.seed, PURPOSE | 1 << 32 | number);
            let rooms = places.iter().flat_map(|at| &ground.places[*at].room_milli);
            let most_milli = rooms.copied().max().unwrap_or(0);
            let tasks = u64::from(flex.tasks);
            let jobs = group.rows.iter().map(|row| GroundJob {
                places: places.clone(),
                tasks,
                at_once: (most_milli / 1_000 / u64::from(row.accelerators).max(1)).clamp(1, tasks),
                milli: u64::from(row.accelerators) * 1_000,
                submit_us: row.submit_s * SECOND_US,
                latest_us: row.submit_s * SECOND_US + flex.shift_us,
                run_us: row.run_s.max(1) * SECOND_US,
                error: random.normal(),
                parts: flex.parts,
            });
            let mut without = LeftOutJobs::default();
            for job in jobs {
                let end_us = u64::try_from(hours).map_or(u64::MAX, |hours| hours * HOUR_US);
                let is_wide = job.milli > u64::from(group.accelerators) * 1_000;
                match (is_wide, job.milli > most_milli, job.submit_us >= end_us) {
                    (true, ..) => without.wide.push(job.milli / 1_000),
                    (false, true, _) => without.unfed.push(job.milli / 1_000),
                    (false, false, true) => without.after_end += 1,
                    (false, false, false) => ground.jobs.push(job),
                }
            }
            let fed = most_milli / 1_000;
            ground.left_out.extend(without.lines(group, fed));
        }
        Some(ground)
    }

    /// Places of a group: as many accelerators at each of its sites as the cap feeds at full power beside all that is drawn.
    fn open(
        &mut self,
        scenario: &Scenario,
        (group, flex): (&JobGroup, &FlexGroup),
        free: &mut [Vec<f64>],
    ) -> Vec<usize> {
        let mut places = Vec::new();
        for site in &flex.sites {
            let watts_each = at_meter(group.power.full_watts, scenario.sites[*site].pue_milli);
            let most = u64::from(group.accelerators);
            let rooms = free[*site].iter_mut().map(|free| {
                let fed = (*free / watts_each.max(1) as f64).min(most as f64) as u64;
                *free -= (fed * watts_each) as f64;
                fed * 1_000
            });
            places.push(self.places.len());
            self.places.push(GroundPlace {
                site: *site,
                watts_each,
                room_milli: rooms.collect(),
            });
        }
        places
    }

    /// What the work needs together.
    pub fn accelerator_h(&self) -> f64 {
        let each = self
            .jobs
            .iter()
            .map(|job| (job.tasks * job.milli) as f64 / 1e3 * job.run_us as f64);
        each.sum::<f64>() / HOUR_US as f64
    }
}

/// Jobs of a group that nothing can run.
#[derive(Default)]
struct LeftOutJobs {
    /// Accelerators of those that ask for more than there are.
    wide: Vec<u64>,
    /// Of those that ask for more than ever have power.
    unfed: Vec<u64>,
    after_end: usize,
}

impl LeftOutJobs {
    /// What is said of them, where so many accelerators have power in the best hour.
    fn lines(self, group: &JobGroup, fed: u64) -> Vec<LeftOut> {
        let most = |asked: &[u64]| asked.iter().copied().max().unwrap_or(0);
        let lines = [
            LeftOut {
                group: group.id.clone(),
                jobs: self.wide.len(),
                reason: "wider_than_group",
                note: format!(
                    "each asks for more accelerators than its group has at a site: up to {}, of {}; raise `accelerators`, or ask for fewer",
                    most(&self.wide),
                    group.accelerators
                ),
            },
            LeftOut {
                group: group.id.clone(),
                jobs: self.unfed.len(),
                reason: "no_power",
                note: format!(
                    "each asks for more accelerators than ever have power beside what else is drawn: up to {}, and {fed} have it in the best hour; raise `power_cap_kw`, or ask for fewer",
                    most(&self.unfed)
                ),
            },
            LeftOut {
                group: group.id.clone(),
                jobs: self.after_end,
                reason: "after_end",
                note: format!(
                    "they come later than {} days after the scenario's end, where nothing is run any more; raise `hours`, or let them come earlier",
                    TAIL_H / 24
                ),
            },
        ];
        lines.into_iter().filter(|line| line.jobs > 0).collect()
    }
}

impl GroundSite {
    fn new(
        scenario: &Scenario,
        (site, drawn): (&Site, &Drawn),
        (count, mut random): (usize, Random),
    ) -> Self {
        let mut ground = Self {
            hours: Vec::new(),
            own_watts: Vec::new(),
            drawn_watts: Vec::new(),
            errors: (0..=count / DAY_H).map(|_| random.normal()).collect(),
        };
        for hour in 0..count {
            let at = hour_of(scenario.start, u32::try_from(hour).unwrap_or(u32::MAX));
            let won = site.tariff.as_ref().and_then(|of| of.won_per_kwh(at));
            let own = site.renewables.as_ref().map_or(0.0, |own| own.watts(at));
            let drawn = of_day(&drawn.mean_watts, hour);
            ground.own_watts.push(own);
            ground.drawn_watts.push(drawn);
            ground.hours.push(EnergyHour {
                grid_per_kwh: MicroWon((won.unwrap_or(0.0) / WON) as i64),
                co2_mg_per_kwh: (site.carbon_at(at) * 1e3) as u64,
                own_spare_watts: (own - drawn).max(0.0) as u64,
            });
        }
        ground
    }

    /// The hours as they are foretold in the hour of that number: of the site's own power the more is wrong the farther off it is, up to
    /// a day.
    pub fn foretold(&self, now_h: usize, deviation: f64) -> Vec<EnergyHour> {
        let hours = self.hours.iter().enumerate();
        let foretold = hours.map(|(at, hour)| {
            let lead = at.saturating_sub(now_h).min(DAY_H) as f64 / DAY_H as f64;
            let factor = 1.0 + deviation * lead * self.errors[at / DAY_H];
            let spare = self.own_watts[at] * factor.max(0.0) - self.drawn_watts[at];
            EnergyHour {
                own_spare_watts: spare.max(0.0) as u64,
                ..*hour
            }
        });
        foretold.collect()
    }
}

/// The value of an hour; after the last one that of the same hour of the last day.
fn of_day(values: &[f64], hour: usize) -> f64 {
    let beyond = hour.saturating_sub(values.len().saturating_sub(1));
    let at = hour.saturating_sub(beyond.div_ceil(DAY_H) * DAY_H);
    values.get(at).or(values.last()).copied().unwrap_or(0.0)
}
