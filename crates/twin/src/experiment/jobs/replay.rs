//! The trace on a virtual clock: jobs come, run, are stopped, and end.

use super::promise::{Promises, ShareRow, Wish};
use super::{JobsOptions, Maintenance, SiteChoice, SitesOptions};
use crate::trace::JobRow;
use madang_core::jobs::{
    AccountKey, Ask, JobClass, JobEffect, JobInput, JobKey, JobRule, Jobs, Machine, MachineKey,
    Move, Need, NodesKey, Placement, Reservation, SiteTerms,
};
use madang_types::{MicroWon, Micros, Priority};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

const SECOND_US: u64 = 1_000_000;
const HOUR_US: u64 = 3_600 * SECOND_US;
/// The speed and the worth of the first kind of accelerator, in thousandths.
const WHOLE: u32 = 1000;
/// Accelerators of one machine.
const MACHINE_ACCELERATORS: u32 = 8;
/// Nobody names a limit in these traces.
const RUN_US_MAX: u64 = 366 * 86_400 * SECOND_US;

/// What was.
pub(super) struct Past {
    /// When each job ended.
    pub(super) ended_us: Vec<u64>,
    pub(super) stops: u64,
    /// Accelerator time that went into checkpoints and restores.
    pub(super) lost_us: u64,
    pub(super) passes: u64,
    pub(super) kept_held_max: u32,
    /// What accelerators cost that jobs held, in won.
    pub(super) paid_won: f64,
    /// How often a job brought its data from another site.
    pub(super) moves: u64,
    pub(super) shares: Vec<ShareRow>,
}

/// What will happen to a job; it does not once the job is in another run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ends,
    IsStopped,
}

/// When, which job, in which of its runs, what.
type Due = (u64, usize, u32, Event);

#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// How many runs there were.
    number: u32,
    /// When this one began.
    at_us: u64,
    /// What is still to be done, restores among it, in time on the first kind of accelerator.
    left_us: u64,
    /// How fast it goes where it runs, in thousandths.
    speed_milli: u32,
    /// At the first site, or at the second.
    site: usize,
}

pub(super) struct Replay<'a> {
    rows: &'a [JobRow],
    options: &'a JobsOptions,
    jobs: Jobs,
    accounts: Vec<AccountKey>,
    /// Of each row, which account.
    tenant_of: Vec<usize>,
    wishes: Vec<Wish>,
    promises: Promises,
    runs: Vec<Run>,
    due: BinaryHeap<Reverse<Due>>,
    /// Where those run that run, where it is asked for.
    on: BTreeMap<usize, Vec<Placement>>,
    next: usize,
    now_us: u64,
    past: Past,
}

impl<'a> Replay<'a> {
    pub(super) fn new(rows: &'a [JobRow], options: &'a JobsOptions) -> Self {
        let mut jobs = Jobs::new(options.rule, options.terms, &machines(options));
        let of_each = options.other.map(|other| vec![WHOLE, other.worth_milli]);
        jobs.worth(of_each.unwrap_or_default());
        if let Some(sites) = options.sites {
            jobs.site_terms(terms(&sites));
        }
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for row in rows {
            names.entry(&row.tenant).or_default();
        }
        for (number, value) in names.values_mut().enumerate() {
            *value = number;
        }
        jobs.reserve(options.maintenance.map(reservation).into_iter().collect());
        let tenants: Vec<String> = names.keys().map(|name| (*name).to_owned()).collect();
        let accounts = tenants
            .iter()
            .map(|_| jobs.account(Jobs::ROOT, 1))
            .collect();
        let tenant_of = rows.iter().map(|row| names[row.tenant.as_str()]).collect();
        let run = |row: &JobRow| Run {
            left_us: row.run_s * SECOND_US,
            ..Run::default()
        };
        Self {
            rows,
            options,
            jobs,
            accounts,
            tenant_of,
            wishes: vec![Wish::default(); tenants.len()],
            promises: Promises::new(&options.terms, worth_milli(options), &tenants),
            runs: rows.iter().map(run).collect(),
            due: BinaryHeap::new(),
            on: BTreeMap::new(),
            next: 0,
            now_us: 0,
            past: Past {
                ended_us: vec![0; rows.len()],
                stops: 0,
                lost_us: 0,
                passes: 0,
                kept_held_max: 0,
                paid_won: 0.0,
                moves: 0,
                shares: Vec::new(),
            },
        }
    }

    pub(super) fn run(mut self) -> Past {
        let mut effects = Vec::new();
        while let Some(at_us) = self.next_at() {
            self.go_to(at_us);
            self.happen();
            self.past.passes += 1;
            self.jobs.pass(micros(self.now_us), &mut effects);
            for effect in effects.drain(..) {
                self.perform(effect);
            }
            self.look_at_kept();
        }
        if self.options.rule == JobRule::Madang {
            self.past.shares = self.promises.rows();
        }
        self.past
    }

    /// How many accelerators are held of those that are kept for nobody.
    fn look_at_kept(&mut self) {
        let Some(maintenance) = self.options.maintenance else {
            return;
        };
        let hours = maintenance.from_h..maintenance.from_h + maintenance.span_h;
        if hours.contains(&(self.now_us / HOUR_US)) {
            let machines = maintenance.machines();
            let held = self.on.values().flatten();
            let held = held.filter(|at| at.machine.0 < machines);
            let held: usize = held.map(|at| at.accelerators.len()).sum();
            let held = u32::try_from(held).unwrap_or(u32::MAX);
            self.past.kept_held_max = self.past.kept_held_max.max(held);
        }
    }

    /// How fast jobs run there, in thousandths.
    fn speed_milli(&self, placements: &[Placement]) -> u32 {
        let other = self.options.other.map(|other| other.worth_milli);
        match self.site(placements) {
            0 => WHOLE,
            _ => other.unwrap_or(WHOLE).max(1),
        }
    }

    /// Whether they are of the first kind (0), or of the other.
    fn site(&self, placements: &[Placement]) -> usize {
        let first = self.options.accelerators.div_ceil(MACHINE_ACCELERATORS);
        let is_other = |at: &Placement| at.machine.0 >= first;
        usize::from(placements.first().is_some_and(is_other))
    }

    fn next_at(&self) -> Option<u64> {
        let comes = self.rows.get(self.next).map(|row| row.submit_s * SECOND_US);
        let due = self.due.peek().map(|Reverse((at, ..))| *at);
        let wake = self.jobs.wake_at(micros(self.now_us));
        let wake = wake.and_then(|at| u64::try_from(at.0).ok());
        [comes, due, wake].into_iter().flatten().min()
    }

    fn go_to(&mut self, at_us: u64) {
        let us = at_us.saturating_sub(self.now_us);
        self.promises.pass(us as f64 / 1e6, &self.wishes);
        self.now_us = at_us;
    }

    /// All that happens now.
    fn happen(&mut self) {
        while let Some(Reverse((at, index, number, event))) = self.due.peek().copied() {
            if at > self.now_us {
                break;
            }
            self.due.pop();
            if self.runs[index].number == number {
                self.happens(index, event);
            }
        }
        while let Some(row) = self.rows.get(self.next) {
            if row.submit_s * SECOND_US > self.now_us {
                break;
            }
            self.comes(self.next, row);
            self.next += 1;
        }
    }

    fn comes(&mut self, index: usize, row: &JobRow) {
        let known = self.options.rule != JobRule::Madang;
        self.wishes[self.tenant_of[index]].wanted_milli += counts(row.accelerators, WHOLE);
        let ask = Ask {
            job: key(index),
            account: self.accounts[self.tenant_of[index]],
            need: Need::accelerators(row.accelerators),
            run_us_max: if known {
                row.run_s * SECOND_US
            } else {
                RUN_US_MAX
            },
            preemptible: !self.options.rigid,
            priority: Priority::Standard,
            class: JobClass::default(),
        };
        self.jobs
            .apply(micros(self.now_us), JobInput::Submitted(ask));
        let tells = |sites: &SitesOptions| sites.choice == SiteChoice::OneCost;
        if let Some((from, us)) = self.brings(index)
            && self.options.sites.as_ref().is_some_and(tells)
        {
            let to = NodesKey(u8::from(from == 0));
            let won = MicroWon(0);
            self.jobs.moves(ask.job, vec![(to, Move { us, won })]);
        }
    }

    /// Where a job's data stands, and how long it takes to have it at the other site; `None` where it brings none.
    fn brings(&self, index: usize) -> Option<(usize, u64)> {
        let data = self.options.sites?.data?;
        // A megabit a second is a bit a microsecond.
        let us = data.gigabytes.saturating_mul(8_000_000_000) / data.mbit_per_s.max(1);
        Some((self.tenant_of[index] % 2, us))
    }

    /// What a run cost that ends now.
    fn pays(&mut self, index: usize) {
        if let Some(sites) = self.options.sites {
            let run = &self.runs[index];
            let held_h = (self.now_us - run.at_us) as f64 / HOUR_US as f64;
            let hour = sites.won_per_hour[run.site] as f64;
            self.past.paid_won += held_h * f64::from(self.rows[index].accelerators) * hour;
        }
    }

    fn happens(&mut self, index: usize, event: Event) {
        self.pays(index);
        let accelerators = self.rows[index].accelerators;
        let held_milli = counts(accelerators, self.runs[index].speed_milli);
        let wish = &mut self.wishes[self.tenant_of[index]];
        wish.held_milli -= held_milli;
        wish.wanted_milli -= held_milli;
        self.runs[index].number += 1;
        self.on.remove(&index);
        let input = match event {
            Event::Ends => {
                self.past.ended_us[index] = self.now_us;
                JobInput::Ended(key(index))
            }
            Event::IsStopped => {
                wish.wanted_milli += counts(accelerators, WHOLE);
                JobInput::Stopped(key(index))
            }
        };
        self.jobs.apply(micros(self.now_us), input);
    }

    fn perform(&mut self, effect: JobEffect) {
        match effect {
            JobEffect::Start { job, placements } => {
                let index = index(job);
                let accelerators = self.rows[index].accelerators;
                let speed_milli = self.speed_milli(&placements);
                let site = self.site(&placements);
                let brings = self.brings(index).filter(|(from, _)| *from != site);
                let run = &mut self.runs[index];
                if run.number > 0 {
                    run.left_us += self.options.restore_s * SECOND_US;
                    self.past.lost_us +=
                        u64::from(accelerators) * self.options.restore_s * SECOND_US;
                }
                run.at_us = self.now_us;
                run.speed_milli = speed_milli;
                run.site = site;
                if let Some((_, us)) = brings {
                    run.left_us += us * u64::from(speed_milli) / u64::from(WHOLE);
                    self.past.moves += 1;
                }
                let us = run.left_us * u64::from(WHOLE) / u64::from(speed_milli);
                let due = (self.now_us + us, index, run.number, Event::Ends);
                self.due.push(Reverse(due));
                let held_milli = counts(accelerators, speed_milli);
                let wish = &mut self.wishes[self.tenant_of[index]];
                wish.held_milli += held_milli;
                wish.wanted_milli += held_milli;
                wish.wanted_milli -= counts(accelerators, WHOLE);
                if self.options.maintenance.is_some() {
                    self.on.insert(index, placements);
                }
            }
            JobEffect::Stop { job } => {
                let index = index(job);
                let accelerators = u64::from(self.rows[index].accelerators);
                let run = &mut self.runs[index];
                let us = self.options.checkpoint_s * SECOND_US;
                let done_us =
                    (self.now_us - run.at_us) * u64::from(run.speed_milli) / u64::from(WHOLE);
                run.left_us = run.left_us.saturating_sub(done_us);
                // Its end is not due any more.
                run.number += 1;
                let due = (self.now_us + us, index, run.number, Event::IsStopped);
                self.due.push(Reverse(due));
                self.past.stops += 1;
                self.past.lost_us += accelerators * us;
            }
        }
    }
}

/// What the queue is told of two sites.
fn terms(sites: &SitesOptions) -> SiteTerms {
    SiteTerms {
        hours: sites
            .won_per_hour
            .map(|hour| Some(MicroWon::of_won(hour)))
            .to_vec(),
        wait_hour: match sites.choice {
            // Nothing is worth a wait where there is room.
            SiteChoice::Cheapest => MicroWon(i64::MAX),
            SiteChoice::OneCost => MicroWon::of_won(sites.wait_won_per_hour),
        },
        ..SiteTerms::default()
    }
}

impl Maintenance {
    fn machines(&self) -> u32 {
        self.accelerators.div_ceil(MACHINE_ACCELERATORS)
    }
}

/// A running job that makes room is told ten minutes before.
fn reservation(maintenance: Maintenance) -> Reservation {
    Reservation {
        machines: (0..maintenance.machines()).map(MachineKey).collect(),
        account: None,
        from: micros(maintenance.from_h * HOUR_US),
        until: micros((maintenance.from_h + maintenance.span_h) * HOUR_US),
        notice_us: 600 * SECOND_US,
    }
}

/// What so many accelerators count in shares, in thousandths.
fn counts(accelerators: u32, worth_milli: u32) -> u64 {
    u64::from(accelerators) * u64::from(worth_milli)
}

/// What all accelerators count together, in thousandths.
fn worth_milli(options: &JobsOptions) -> u64 {
    let other = options.other;
    let other = other.map_or(0, |other| counts(other.accelerators, other.worth_milli));
    counts(options.accelerators, WHOLE) + other
}

fn machines(options: &JobsOptions) -> Vec<Machine> {
    let other = options.other.map_or(0, |other| other.accelerators);
    let mut machines = Vec::new();
    for (nodes, accelerators) in [(0, options.accelerators), (1, other)] {
        let count = accelerators.div_ceil(MACHINE_ACCELERATORS);
        machines.extend((0..count).map(|number| {
            Machine {
                nodes: NodesKey(nodes),
                accelerators: (accelerators - number * MACHINE_ACCELERATORS)
                    .min(MACHINE_ACCELERATORS)
                    .try_into()
                    .unwrap_or(0),
                cpu_milli: 0,
                memory_mib: 0,
            }
        }));
    }
    machines
}

fn key(index: usize) -> JobKey {
    JobKey(u64::try_from(index).unwrap_or(u64::MAX))
}

fn index(job: JobKey) -> usize {
    usize::try_from(job.0).unwrap_or(usize::MAX)
}

fn micros(us: u64) -> Micros {
    Micros(i64::try_from(us).unwrap_or(i64::MAX))
}
