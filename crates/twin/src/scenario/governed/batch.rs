//! A group of jobs beside engines: its scheduler, and what its runs do where power is short.

use super::site::GovernedSite;
use crate::experiment::jobs::{JobsOptions, JobsReport, Replay};
use crate::scenario::Scenario;
use crate::scenario::jobs::options;
use crate::scenario::model::JobGroup;
use crate::trace::JobRow;
use madang_core::power::governor::{Bend, Load, LoadId, Pause, PauseHow};
use madang_core::power::model::PowerProfile;
use madang_types::{JobId, RunId};

/// Least time between two tries of runs for which there was no power, in microseconds.
const AGAIN_US_MIN: u64 = 2_000_000;
/// So long after something was bent last nobody is kept from beginning but by what it needs itself, in microseconds.
const CALM_US: u64 = 600_000_000;

/// Jobs that fit on the group's accelerators.
pub(super) struct Fitting<'s> {
    /// The group's place among the scenario's.
    place: usize,
    group: &'s JobGroup,
    /// Its jobs are numbered from here.
    first: u64,
    rows: Vec<JobRow>,
    options: JobsOptions,
}

impl<'s> Fitting<'s> {
    pub fn new(scenario: &'s Scenario, place: usize) -> Self {
        let group = &scenario.jobs[place];
        let before = scenario
            .jobs
            .iter()
            .take(place)
            .map(|group| group.rows.len());
        let rows = group.rows.iter();
        let rows = rows.filter(|row| row.accelerators <= group.accelerators);
        Self {
            place,
            group,
            first: u64::try_from(before.sum::<usize>()).unwrap_or(0) + 1,
            rows: rows.cloned().collect(),
            options: options(group),
        }
    }
}

/// What came of a group.
pub(in crate::scenario) struct BatchResult {
    pub report: JobsReport,
    /// Most accelerators that ran at once.
    pub most: u32,
    /// Jobs that never ran: there was no power for them, or they are larger than all machines.
    pub too_large: u64,
    /// Accelerator-hours of those that did.
    pub accelerator_h: f64,
}

/// A group while it runs.
pub(super) struct Batch<'f> {
    pub site: usize,
    fitting: &'f Fitting<'f>,
    replay: Replay<'f>,
    /// Some run was refused for want of power.
    waits: bool,
    tried_us: u64,
    /// Those that are left will never have the power that they need.
    stuck: bool,
}

impl<'f> Batch<'f> {
    /// `site`: its place among the governed ones.
    pub fn new(fitting: &'f Fitting<'f>, site: usize) -> Self {
        Self {
            site,
            replay: Replay::new(&fitting.rows, &fitting.options),
            waits: false,
            tried_us: 0,
            stuck: false,
            fitting,
        }
    }

    pub fn is_over(&self) -> bool {
        self.stuck || self.replay.is_over()
    }

    /// When something happens next, or somebody may try again.
    pub fn next_us(&self, return_us: u64) -> Option<u64> {
        let again = self.waits.then(|| self.again_us(return_us));
        let next = self.replay.next_at();
        next.into_iter().chain(again).min().filter(|_| !self.stuck)
    }

    fn again_us(&self, return_us: u64) -> u64 {
        self.tried_us + return_us.max(AGAIN_US_MIN)
    }

    /// What its machines draw; how many accelerators stand still.
    pub fn loads(&self, loads: &mut Vec<Load>) -> u64 {
        let group = self.fitting.group;
        let (mut held, mut stood) = (0, 0);
        for holding in self.replay.holding() {
            let accelerators = u64::from(holding.accelerators);
            let profile = group.power.times(accelerators);
            held += accelerators;
            stood += if holding.stands { accelerators } else { 0 };
            loads.push(Load {
                id: LoadId::Run(self.run(holding.index, holding.number)),
                watts: match holding.stands {
                    true => profile.idle_watts,
                    false => profile.full_watts,
                },
                profile,
                bend: Bend::Run {
                    pause: self.pause(&profile),
                    slow_milli: group.slow_milli,
                },
            });
        }
        let idle = u64::from(group.accelerators).saturating_sub(held);
        let idle_watts = group.power.times(idle).idle_watts;
        loads.push(Load {
            id: LoadId::Rest,
            watts: idle_watts,
            profile: PowerProfile::new(idle_watts, idle_watts),
            bend: Bend::Rigid,
        });
        stood
    }

    fn pause(&self, profile: &PowerProfile) -> Option<Pause> {
        let group = self.fitting.group;
        let how = match (group.pause_us, group.checkpoints) {
            (0, false) => return None,
            (0, true) => PauseHow::Checkpoint {
                takes_us: self.fitting.options.checkpoint_s * 1_000_000,
                us_max: 0,
            },
            (us_max, _) => PauseHow::Freeze { us_max },
        };
        Some(Pause {
            how,
            left_watts: profile.idle_watts,
        })
    }

    /// Has its runs do what the site's governor ordered at the last look: it takes that long.
    pub fn obey(&mut self, now_us: u64, site: &GovernedSite) {
        let (paused, slowed) = (&site.orders.paused, &site.orders.slowed);
        let freezes = self.fitting.group.pause_us > 0;
        let changed: Vec<_> = self
            .replay
            .holding()
            .map(|holding| {
                let run = self.run(holding.index, holding.number);
                let slow = slowed.contains(&run);
                (holding, slow || paused.contains(&run), slow || freezes)
            })
            .filter(|(holding, still, _)| holding.stands != *still)
            .collect();
        for (holding, still, stands) in changed {
            match still && !stands {
                true => self.replay.stop_run(now_us, holding.index),
                false => self.replay.stand(now_us, holding.index, still),
            }
        }
    }

    /// Whether some of its runs hold accelerators.
    pub fn holds(&self) -> bool {
        self.replay.holding().next().is_some()
    }

    /// All that happens until then, runs that begin where there is power for them. `is_quiet`: engines are idle for good, and no other
    /// jobs run at the site.
    pub fn until(&mut self, now_us: u64, site: &mut GovernedSite, return_us: u64, is_quiet: bool) {
        if self.stuck {
            return;
        }
        let (first, one) = (self.fitting.first, self.fitting.group.power);
        let mut gate = |at_us: u64, index: usize, number: u32, accelerators: u32| {
            let watts = one.times(u64::from(accelerators)).dynamic_watts();
            site.let_begin(at_us, run(first, index, number), watts)
        };
        self.replay.until(now_us, &mut gate);
        let tries = self.waits && now_us >= self.again_us(return_us);
        if tries {
            self.waits = false;
            self.tried_us = now_us;
            self.replay.pass(now_us, &mut gate);
        }
        let refused = self.replay.take_refused();
        self.waits |= refused;
        let is_calm = site.is_short_for_good(now_us)
            || site.bent_us.is_none_or(|at_us| at_us + CALM_US < now_us);
        // Nothing runs whose end would make room, and nothing else will.
        self.stuck = is_quiet
            && (tries && refused && !self.holds() && is_calm)
            && site.changes_us(now_us).is_none()
            && self.replay.has_come();
    }

    fn run(&self, index: usize, number: u32) -> RunId {
        run(self.fitting.first, index, number)
    }

    pub fn finish(self) -> (usize, BatchResult) {
        let fitting = self.fitting;
        (fitting.place, BatchResult::of(fitting, self.replay))
    }
}

impl BatchResult {
    /// A group where power is never short.
    pub(in crate::scenario) fn alone(scenario: &Scenario, place: usize) -> Self {
        let fitting = Fitting::new(scenario, place);
        let mut replay = Replay::new(&fitting.rows, &fitting.options);
        replay.until(u64::MAX, &mut |_, _, _, _| true);
        Self::of(&fitting, replay)
    }

    fn of(fitting: &Fitting<'_>, replay: Replay<'_>) -> Self {
        let ended = fitting.rows.iter().zip(replay.ended());
        let ended = ended.filter(|(_, ended)| *ended).map(|(row, _)| row);
        let hours = ended.map(|row| row.run_s as f64 * f64::from(row.accelerators) / 3_600.0);
        // The sum of nothing would be a zero below zero.
        let accelerator_h = hours.fold(0.0, |sum, hours| sum + hours);
        let most = replay.held_max();
        let report = replay.report();
        let all = fitting.group.rows.len();
        Self {
            most,
            too_large: u64::try_from(all - report.jobs).unwrap_or(u64::MAX),
            accelerator_h,
            report,
        }
    }
}

fn run(first: u64, index: usize, number: u32) -> RunId {
    let job = first + u64::try_from(index).unwrap_or(0);
    RunId {
        task: JobId(job).into(),
        number,
    }
}
