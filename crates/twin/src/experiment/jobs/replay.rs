//! The trace on a virtual clock: jobs come, run, are stopped, and end.

mod bend;

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

/// Asked whether a run may begin: when, which row, which of its runs, on how many accelerators.
pub(crate) type Gate<'g> = &'g mut dyn FnMut(u64, usize, u32, u32) -> bool;

/// What was.
pub(super) struct Past {
    /// When each job ended; `None` of those that never did.
    pub(super) ended_us: Vec<Option<u64>>,
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

/// When, which job, the number of its run, what.
type Due = (u64, usize, u32, Event);

#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// How many runs there were, this one among them.
    began: u32,
    /// Changes whenever what is due to it is due no more.
    number: u32,
    /// When this one began.
    at_us: u64,
    /// Since when it gets on, and whether it stands still instead.
    goes_us: u64,
    stands: bool,
    /// It writes its checkpoint, for so long still.
    stops_us: Option<u64>,
    /// What is still to be done, restores among it, in time on the first kind of accelerator.
    left_us: u64,
    /// How fast it goes where it runs, in thousandths.
    speed_milli: u32,
    /// At the first site, or at the second.
    site: usize,
}

pub(crate) struct Replay<'a> {
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
    /// Where those run that run.
    on: BTreeMap<usize, Vec<Placement>>,
    next: usize,
    now_us: u64,
    /// Accelerators that are held, and most that were at once.
    held: (u32, u32),
    /// Some run was not let begin since this was asked last.
    refused: bool,
    past: Past,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(rows: &'a [JobRow], options: &'a JobsOptions) -> Self {
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
            held: (0, 0),
            refused: false,
            past: Past {
                ended_us: vec![None; rows.len()],
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
        self.until(u64::MAX, &mut |_, _, _, _| true);
        self.past()
    }

    pub(super) fn past(mut self) -> Past {
        if self.options.rule == JobRule::Madang {
            self.past.shares = self.promises.rows();
        }
        self.past
    }

    /// All that happens until then, and then.
    pub(crate) fn until(&mut self, until_us: u64, gate: Gate<'_>) {
        while let Some(at_us) = self.next_at().filter(|at_us| *at_us <= until_us) {
            self.pass(at_us, gate);
        }
    }

    /// It is decided at that instant.
    pub(crate) fn pass(&mut self, at_us: u64, gate: Gate<'_>) {
        let mut effects = Vec::new();
        self.go_to(at_us.max(self.now_us));
        self.happen();
        self.past.passes += 1;
        self.jobs.pass(micros(self.now_us), &mut effects);
        for effect in effects {
            self.perform(effect, gate);
        }
        self.look_at_kept();
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

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<u64> {
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
        self.held.0 -= accelerators;
        let wish = &mut self.wishes[self.tenant_of[index]];
        wish.held_milli -= held_milli;
        wish.wanted_milli -= held_milli;
        let run = &mut self.runs[index];
        run.number += 1;
        (run.stands, run.stops_us) = (false, None);
        self.on.remove(&index);
        let input = match event {
            Event::Ends => {
                self.past.ended_us[index] = Some(self.now_us);
                JobInput::Ended(key(index))
            }
            Event::IsStopped => {
                wish.wanted_milli += counts(accelerators, WHOLE);
                JobInput::Stopped(key(index))
            }
        };
        self.jobs.apply(micros(self.now_us), input);
    }

    fn perform(&mut self, effect: JobEffect, gate: Gate<'_>) {
        match effect {
            JobEffect::Start { job, placements } => {
                let index = index(job);
                let (number, accelerators) =
                    (self.runs[index].began + 1, self.rows[index].accelerators);
                if gate(self.now_us, index, number, accelerators) {
                    self.start(index, placements);
                } else {
                    self.refused = true;
                    self.jobs.apply(micros(self.now_us), JobInput::Stopped(job));
                }
            }
            JobEffect::Stop { job } => self.stop(index(job)),
        }
    }

    fn start(&mut self, index: usize, placements: Vec<Placement>) {
        let accelerators = self.rows[index].accelerators;
        let speed_milli = self.speed_milli(&placements);
        let site = self.site(&placements);
        let brings = self.brings(index).filter(|(from, _)| *from != site);
        let run = &mut self.runs[index];
        if run.began > 0 {
            run.left_us += self.options.restore_s * SECOND_US;
            self.past.lost_us += u64::from(accelerators) * self.options.restore_s * SECOND_US;
        }
        run.began += 1;
        (run.at_us, run.goes_us) = (self.now_us, self.now_us);
        run.speed_milli = speed_milli;
        run.site = site;
        if let Some((_, us)) = brings {
            run.left_us += us * u64::from(speed_milli) / u64::from(WHOLE);
            self.past.moves += 1;
        }
        self.goes(self.now_us, index);
        self.held.0 += accelerators;
        self.held.1 = self.held.1.max(self.held.0);
        let held_milli = counts(accelerators, speed_milli);
        let wish = &mut self.wishes[self.tenant_of[index]];
        wish.held_milli += held_milli;
        wish.wanted_milli += held_milli;
        wish.wanted_milli -= counts(accelerators, WHOLE);
        self.on.insert(index, placements);
    }

    /// What is due to a run that gets on from now on.
    fn goes(&mut self, now_us: u64, index: usize) {
        let run = &self.runs[index];
        let (us, event) = match run.stops_us {
            Some(us) => (us, Event::IsStopped),
            None => (run.takes_us(), Event::Ends),
        };
        let due = (now_us + us, index, run.number, event);
        self.due.push(Reverse(due));
    }

    fn stop(&mut self, index: usize) {
        let accelerators = u64::from(self.rows[index].accelerators);
        let run = &mut self.runs[index];
        let us = self.options.checkpoint_s * SECOND_US;
        // Its end is not due any more. One that stands still writes once it goes on.
        run.rest(self.now_us);
        (run.goes_us, run.stops_us) = (self.now_us, Some(us));
        if !run.stands {
            self.goes(self.now_us, index);
        }
        self.past.stops += 1;
        self.past.lost_us += accelerators * us;
    }
}

impl Run {
    /// It gets on no more from now on: what was due to it is due no more.
    fn rest(&mut self, now_us: u64) {
        if !self.stands {
            let went_us = now_us.saturating_sub(self.goes_us);
            match &mut self.stops_us {
                Some(left_us) => *left_us = left_us.saturating_sub(went_us),
                None => {
                    let done_us = went_us * u64::from(self.speed_milli) / u64::from(WHOLE);
                    self.left_us = self.left_us.saturating_sub(done_us);
                }
            }
        }
        self.number += 1;
    }

    /// How long it takes from now on where it runs, in microseconds.
    fn takes_us(&self) -> u64 {
        self.left_us * u64::from(WHOLE) / u64::from(self.speed_milli)
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
