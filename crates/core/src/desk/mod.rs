//! The desk at which jobs are taken in: what their owners want, what they wait for, how often they are tried, what became of them.
//!
//! [`crate::jobs`] knows tasks that want machines now; the desk knows the rest: holds and withdrawals, jobs that wait for others, arrays,
//! tries, what the budget said, and what executors tell of runs. It is told by [`Desk::apply`], and [`Desk::pass`] says what to do.

mod bar;
mod data;
mod dear;
mod entry;
mod fit;
mod foretell;
mod qos;
mod reserve;
mod shift;
mod site;
mod steps;
mod unseen;
mod view;

pub use bar::{Funds, Payer};
pub use data::{DataPlace, DataPlaces, Link};
pub use fit::{DeskNodes, Lack, nowhere};
pub use qos::DeskQos;
pub use reserve::DeskReservation;
pub use shift::DeskElectricity;
pub use site::DeskSites;
pub use unseen::UNSEEN_MS_MAX;
pub use view::{Counts, Totals, Waits};

use crate::jobs::{AccountKey, JobEffect, JobRule, JobTerms, Jobs, Machine, MachineKey, NodesKey};
use bar::Bars;
use entry::Entry;
use madang_types::{
    Job, JobCheckpoint, JobId, JobState, Micros, NodesId, ProgrammeId, ProjectId, RunEnd, RunId,
    RunPiece, RunRecord, RunState, SiteId, TaskId, TenantId,
};
use shift::Shifting;
use std::collections::{BTreeMap, BTreeSet};

/// A job that came, or was there when the desk was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The job.
    pub job: Job,
    /// Runs of it so far, by task and number.
    pub runs: Vec<RunRecord>,
    /// Of the jobs that it waits for, those that are over.
    pub over: BTreeMap<JobId, JobState>,
    /// Where policy lets its data be.
    pub allowed: BTreeSet<NodesId>,
    /// Machines whose executor would never run it, and why.
    pub unfit: BTreeMap<NodesId, String>,
    /// The weights of its programme, its tenant and its project, each among its siblings.
    pub weights: [u32; 3],
}

/// Who answers for a job: the programme in which its tenant was when it came, the tenant, and the project.
pub type JobOwner = (Option<ProgrammeId>, TenantId, Option<ProjectId>);

/// What somebody had of accelerators before the desk was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// Who.
    pub owner: JobOwner,
    /// As in [`Arrival`].
    pub weights: [u32; 3],
    /// How much, in milliseconds of a whole accelerator.
    pub accelerator_ms: u64,
    /// About when.
    pub at: Micros,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeskInput {
    /// Something was used in runs that were over when the desk was opened.
    Used(Used),
    /// A job came.
    Came(Box<Arrival>),
    /// Its owner holds it back, or lets it go on.
    Held(JobId, bool),
    /// Its owner withdrew it.
    Cancelled(JobId, Micros),
    /// Its owner wants what runs of it to begin anew.
    Requeued(JobId),
    /// Of a job: where policy lets its data be, and on which machines their executor would never run it, and why.
    Allowed(JobId, BTreeSet<NodesId>, BTreeMap<NodesId, String>),
    /// A run that was to begin may not, and nothing of it is in the books: its budget or policy is against it. It is tried again later.
    /// One that the books have ends as [`madang_types::RunOutcome::Refused`].
    Refused(RunId, String),
    /// What somebody may have paid for from now on.
    Funds(Payer, Funds),
    /// Sites that an operator has stopped, by which switch: nothing begins there, and what runs there is stopped.
    Stopped(BTreeMap<SiteId, String>),
    /// Power is short at its site: a run that writes checkpoints is stopped, and waits again.
    Power(RunId),
    /// Something has changed for which those that were refused may try again at once.
    Granted,
    /// An executor fetches what a run needs: what it says.
    Prepares(RunId, String),
    /// Its executor has told how a run stands.
    Seen(RunId),
    /// Nobody could be asked how a run stands, and why.
    Unseen {
        /// Which.
        run: RunId,
        /// Its executor may have it; else nobody has begun it for sure.
        taken: bool,
        /// Why.
        why: String,
    },
    /// A run's program began.
    Began(RunId, Micros),
    /// A run is over.
    Ended(RunId, RunEnd),
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeskEffect {
    /// Write it down, have its budget set aside, start it.
    Begin(Box<RunRecord>),
    /// Write it down.
    Run(Box<RunRecord>),
    /// Write it down, and stop it; with a checkpoint where there is one.
    Stop(Box<RunRecord>, Option<JobCheckpoint>),
    /// Settle it, and write it down.
    Settle(Box<RunRecord>),
    /// Write down how a job stands.
    Job(Box<Job>),
}

/// Tasks of one job that stand in the queue at most: those of an array are alike, so that more of them change nothing.
const QUEUED_MAX: usize = 1_000;
/// How often a task that was lost with its machine is begun anew.
const LOST_MAX: u32 = 3;

/// An account's path: programme, tenant, project.
type Owner = (
    Option<ProgrammeId>,
    Option<TenantId>,
    Option<Option<ProjectId>>,
);

/// All jobs that are not over.
#[derive(Debug)]
pub struct Desk {
    jobs: Jobs,
    nodes: Vec<DeskNodes>,
    machines: Vec<(NodesKey, u32)>,
    /// When jobs start that may be put off.
    shifting: Shifting,
    sites: DeskSites,
    /// What runs that begin may draw at each site, in watts at the meter.
    headroom_watts: BTreeMap<SiteId, u64>,
    /// What runs waited for at sites that have queues of their own.
    learnt: BTreeMap<NodesId, site::Learnt>,
    /// What their own schedulers foretell.
    foretold: foretell::Foretold,
    reservations: Vec<DeskReservation>,
    qos: Vec<DeskQos>,
    accounts: BTreeMap<Owner, AccountKey>,
    bars: Bars,
    entries: BTreeMap<JobId, Entry>,
    /// Who waits for whom.
    waits: BTreeMap<JobId, BTreeSet<JobId>>,
    /// Jobs that are arrays.
    arrays: BTreeSet<JobId>,
    /// Jobs that were refused something.
    refused: BTreeSet<JobId>,
    /// Tasks that are tried again, by when.
    later: BTreeSet<(Micros, TaskId)>,
    /// Those of which something may be fed to the queue.
    feed: BTreeSet<JobId>,
    effects: Vec<DeskEffect>,
}

impl Desk {
    /// No jobs, and those machines; of more than 128 `[[nodes]]` the first count.
    pub fn new(terms: JobTerms, nodes: Vec<DeskNodes>) -> Self {
        let mut desk = Self {
            jobs: Jobs::new(JobRule::Madang, terms, &[]),
            nodes: Vec::new(),
            machines: Vec::new(),
            shifting: Shifting::default(),
            sites: DeskSites::default(),
            headroom_watts: BTreeMap::new(),
            learnt: BTreeMap::new(),
            foretold: foretell::Foretold::default(),
            reservations: Vec::new(),
            qos: Vec::new(),
            accounts: BTreeMap::new(),
            bars: Bars::default(),
            entries: BTreeMap::new(),
            waits: BTreeMap::new(),
            arrays: BTreeSet::new(),
            refused: BTreeSet::new(),
            later: BTreeSet::new(),
            feed: BTreeSet::new(),
            effects: Vec::new(),
        };
        desk.machines(nodes);
        desk
    }

    /// Other machines from now on.
    pub fn machines(&mut self, mut nodes: Vec<DeskNodes>) {
        nodes.truncate(NODES_MAX);
        let all: Vec<(NodesKey, u32)> = (0u8..)
            .zip(&nodes)
            .flat_map(|(at, nodes)| (0..nodes.count).map(move |number| (NodesKey(at), number)))
            .collect();
        let machines: Vec<Machine> = all
            .iter()
            .filter_map(|(key, _)| machine(&nodes, *key))
            .collect();
        let new: BTreeMap<(&NodesId, u32), u32> = (0u32..)
            .zip(&all)
            .filter_map(|(at, (key, number))| {
                Some(((&nodes.get(usize::from(key.0))?.id, *number), at))
            })
            .collect();
        let now_is = |old: MachineKey| {
            let (key, number) = self.machines.get(usize::try_from(old.0).ok()?)?;
            let id = &self.nodes.get(usize::from(key.0))?.id;
            new.get(&(id, *number)).copied().map(MachineKey)
        };
        self.jobs.refit(&machines, now_is);
        let worth = nodes.iter().map(|nodes| nodes.worth_milli);
        self.jobs.worth(worth.collect());
        self.nodes = nodes;
        self.machines = all;
        // What was learnt of queues fades from the next pass on.
        self.weigh(Micros(0));
        self.keep();
        self.price_power();
        self.shift_anew();
        // What was queued asks for places by their old numbers.
        self.queue_anew();
    }

    fn queue_anew(&mut self) {
        let known: Vec<JobId> = self.entries.keys().copied().collect();
        for id in known {
            self.unqueue(Micros(0), id);
            self.feed.insert(id);
        }
    }

    /// Machines that take jobs.
    pub fn nodes(&self) -> &[DeskNodes] {
        &self.nodes
    }

    /// Other terms from now on.
    pub fn terms(&mut self, terms: JobTerms) {
        self.jobs.terms(terms);
    }

    /// Notes what happened. What is said of a job or a run that is not known changes nothing.
    pub fn apply(&mut self, now: Micros, input: DeskInput) {
        match input {
            DeskInput::Used(used) => self.used(now, used),
            DeskInput::Came(arrival) => self.came(now, *arrival),
            DeskInput::Held(id, held) => self.held(now, id, held),
            DeskInput::Cancelled(id, at) => self.cancelled(now, id, at),
            DeskInput::Requeued(id) => self.requeued(now, id),
            DeskInput::Allowed(id, allowed, unfit) => self.allowed(now, id, (allowed, unfit)),
            DeskInput::Refused(run, why) => self.refused(now, run, why),
            DeskInput::Funds(payer, funds) => self.set_funds(now, payer, funds),
            DeskInput::Stopped(sites) => self.set_stopped(now, sites),
            DeskInput::Power(run) => self.power_short(now, run),
            DeskInput::Granted => self.granted(),
            DeskInput::Prepares(run, why) => self.prepares(run, why),
            DeskInput::Seen(run) => self.seen(run),
            DeskInput::Unseen { run, taken, why } => self.unseen(now, run, (taken, why)),
            DeskInput::Began(run, at) => self.began(run, at),
            DeskInput::Ended(run, end) => self.run_ended(now, run, end),
        }
    }

    /// Says what to do as things stand at `now`.
    pub fn pass(&mut self, now: Micros, effects: &mut Vec<DeskEffect>) {
        self.due(now);
        self.stop_in_dear_hours(now);
        for id in std::mem::take(&mut self.feed) {
            self.feed(now, id);
        }
        self.follow_queues(now);
        let mut said = Vec::new();
        self.jobs.pass(now, &mut said);
        for effect in said {
            match effect {
                JobEffect::Start { job, placements } => {
                    self.begin(now, entry::task_of(job), &placements)
                }
                JobEffect::Stop { job } => self.make_room(now, entry::task_of(job)),
            }
        }
        effects.append(&mut self.effects);
    }

    /// When there may be something to do though nothing happens.
    pub fn wake_at(&self, now: Micros) -> Option<Micros> {
        let later = self.later.first().map(|(at, _)| *at);
        let own = later.into_iter().chain(self.look_at());
        self.jobs.wake_at(now).into_iter().chain(own).min()
    }

    fn came(&mut self, now: Micros, arrival: Arrival) {
        let id = arrival.job.id;
        if self.entries.contains_key(&id) {
            return;
        }
        self.bars.came(&arrival.job);
        let account = self.account(owner(&arrival.job), arrival.weights);
        let over = arrival.over;
        let places = (arrival.allowed, arrival.unfit);
        let mut entry = Entry::new(arrival.job, account, places);
        entry.after.retain(|after| !over.contains_key(&after.job));
        for after in &entry.after {
            self.waits.entry(after.job).or_default().insert(id);
        }
        let spec_after = entry.job.spec.after.clone();
        self.arrays.extend(entry.job.spec.array.map(|_| id));
        self.entries.insert(id, entry);
        let mut seen = BTreeSet::new();
        for run in arrival.runs {
            seen.insert(run.run.task.index.unwrap_or(0));
            self.was_run(run);
        }
        if let Some(entry) = self.entries.get_mut(&id) {
            // Others of its tasks stood in the queue when one of them was begun.
            for index in (0..entry.next).filter(|index| !seen.contains(index)) {
                entry.open.entry(index).or_default();
            }
            entry.weigh = entry.next > 0;
        }
        self.may_stop(id);
        for after in spec_after {
            match over.get(&after.job) {
                Some(state) => self.other_over(now, id, after.job, *state),
                None if self.entries.contains_key(&after.job) => {}
                None => self.other_over(now, id, after.job, JobState::Cancelled),
            }
        }
        if let Some(at) = self
            .entries
            .get(&id)
            .and_then(|entry| entry.job.cancelled_at)
        {
            self.cancelled(now, id, at);
        }
        self.feed.insert(id);
        self.stop_barred(now, id);
        self.settle_state(now, id);
    }

    /// A run that the books have: it is over, or runs.
    fn was_run(&mut self, run: RunRecord) {
        let id = run.run.task.job;
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        match &run.end {
            Some(end) => entry.ended_before(&run, end),
            None => self.was_running(run),
        }
    }

    fn was_running(&mut self, run: RunRecord) {
        let placements = self.placements(&run);
        let Some(entry) = self.entries.get_mut(&run.run.task.job) else {
            return;
        };
        let task = run.run.task;
        let need = fit::need(
            &entry.job.spec.resources,
            &entry::open_to(entry, &self.nodes, &self.bars, &self.sites.data),
        );
        let class = qos::class(&self.qos, &entry.job.spec);
        let ask = entry.ask(task, need, class);
        self.jobs
            .found(ask, run.started_at.unwrap_or(run.created_at), placements);
        if run.state == RunState::Stopping {
            self.jobs.stopping(entry::key_of(task));
        }
        entry.running(task, run);
        self.may_stop(task.job);
    }

    /// Those machines, and the queue's number for them; none where they are no longer among all.
    fn nodes_named(&self, id: &NodesId) -> Option<(NodesKey, &DeskNodes)> {
        let mut all = (0u8..).zip(&self.nodes);
        let (key, nodes) = all.find(|(_, nodes)| nodes.id == *id)?;
        Some((NodesKey(key), nodes))
    }

    /// Its machines by their numbers here; none where they are no longer among them, or the site chooses.
    fn placements(&self, run: &RunRecord) -> Vec<crate::jobs::Placement> {
        let at = |piece: &RunPiece| {
            let is_it = |(key, number): &(NodesKey, u32)| {
                let nodes = self.nodes.get(usize::from(key.0));
                nodes.is_some_and(|nodes| nodes.id == run.nodes) && *number == piece.node
            };
            let machine = self.machines.iter().position(is_it)?;
            entry::placement(machine, piece)
        };
        run.pieces.iter().filter_map(at).collect()
    }

    /// What was used before the desk was opened counts as if it had not been closed.
    fn used(&mut self, now: Micros, used: Used) {
        let account = self.account(used.owner, used.weights);
        self.jobs
            .used_before(now, account, (used.accelerator_ms, used.at));
    }

    fn account(&mut self, (programme, tenant, project): JobOwner, weights: [u32; 3]) -> AccountKey {
        let tenant = Some(tenant);
        let path: [Owner; 3] = [
            (programme.clone(), None, None),
            (programme.clone(), tenant.clone(), None),
            (programme, tenant, Some(project)),
        ];
        let mut parent = Jobs::ROOT;
        for (owner, weight) in path.into_iter().zip(weights) {
            let account = self.account_of(owner, parent);
            self.jobs.weigh(account, weight);
            parent = account;
        }
        parent
    }

    /// The account of somebody below `parent`.
    fn account_of(&mut self, owner: Owner, parent: AccountKey) -> AccountKey {
        let (accounts, jobs) = (&mut self.accounts, &mut self.jobs);
        let account = accounts.entry(owner);
        *account.or_insert_with(|| jobs.account(parent, 1))
    }
}

fn owner(job: &Job) -> JobOwner {
    (
        job.programme.clone(),
        job.tenant.clone(),
        job.project.clone(),
    )
}

/// As many as a [`crate::jobs::Ground`] tells apart.
const NODES_MAX: usize = 128;

fn machine(nodes: &[DeskNodes], key: NodesKey) -> Option<Machine> {
    let of = nodes.get(usize::from(key.0))?;
    Some(Machine {
        nodes: key,
        accelerators: of.per_node,
        // What nobody counts is never what is missing.
        cpu_milli: of.cpu_milli.unwrap_or(u64::MAX / 2),
        memory_mib: of.memory_mib.unwrap_or(u64::MAX / 2),
    })
}

#[cfg(test)]
mod tests;
