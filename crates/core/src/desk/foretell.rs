//! When sites' own schedulers would have jobs begin: whom to ask about, what they said, and for how long that counts.
//!
//! They are asked about shapes, not about jobs: who has the same owner, resources and time limit is told the same.

use super::entry::{self, TaskState};
use super::{Desk, DeskNodes};
use crate::jobs::{Forecast, NodesKey};
use madang_types::{Job, JobId, Micros, NodesId, Priority, ProgrammeId, TenantId};
use std::collections::BTreeMap;

/// What was said counts for so long, in microseconds; a site is asked again about shapes that wait after a part of that.
const COUNTS_US: i64 = 300_000_000;
const ASKED_AGAIN_US: u64 = 60_000_000;
/// Where a run of ours has begun since nothing counts that was said before; but nobody is asked about a shape more often than this.
const ASKED_AGAIN_US_MIN: u64 = 5_000_000;
/// Answers that are kept.
const KEPT_MAX: usize = 256;
/// Questions at a time, and jobs that are looked at for them: the first that came.
const ASKS_MAX: usize = 8;
const LOOKED_AT_MAX: usize = 1_000;

/// What a site's scheduler is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    owner: (Option<ProgrammeId>, TenantId),
    priority: Priority,
    /// Pieces, and accelerators in each.
    pieces: (u32, u32),
    share_milli: u32,
    cpu_milli: u64,
    memory_mib: u64,
    time_limit_ms: u64,
    /// It brings or keeps files, for which it has more time.
    stages: bool,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    starts_at: Option<Micros>,
    at: Micros,
}

/// What is known of sites' own schedulers.
#[derive(Debug, Default)]
pub(super) struct Foretold {
    told: BTreeMap<(NodesId, Shape), Told>,
    /// When a run of ours was last given machines there.
    given: BTreeMap<NodesId, Micros>,
}

impl Shape {
    fn of(job: &Job) -> Self {
        let (spec, wanted) = (&job.spec, &job.spec.resources);
        Self {
            owner: (job.programme.clone(), job.tenant.clone()),
            priority: spec.priority,
            pieces: wanted.pieces(),
            share_milli: wanted.share_milli,
            cpu_milli: wanted.cpu_milli,
            memory_mib: wanted.memory_mib,
            time_limit_ms: spec.time_limit_ms,
            stages: !spec.inputs.is_empty() || !spec.outputs.is_empty(),
        }
    }

    /// Whether a job has it.
    fn is_of(&self, job: &Job) -> bool {
        // Most others differ in these.
        let alike = self.time_limit_ms == job.spec.time_limit_ms && self.owner.1 == job.tenant;
        alike && *self == Self::of(job)
    }
}

impl Foretold {
    /// Whether what was said counts no more: something of ours was begun there since.
    fn is_stale(&self, nodes: &NodesId, told: &Told) -> bool {
        self.given.get(nodes).is_some_and(|at| *at > told.at)
    }

    fn is_due(&self, now: Micros, key: &(NodesId, Shape)) -> bool {
        let Some(told) = self.told.get(key) else {
            return true;
        };
        let again_us = match self.is_stale(&key.0, told) {
            true => ASKED_AGAIN_US_MIN,
            false => ASKED_AGAIN_US,
        };
        now.since_us(told.at) >= again_us
    }

    /// What counts of what was said: when it would begin, when that was said, until when that counts.
    fn said(&self, now: Micros, key: &(NodesId, Shape)) -> Option<(Micros, Micros, Micros)> {
        let told = self.told.get(key)?;
        let until = Micros(told.at.0.saturating_add(COUNTS_US));
        let counts = now < until && !self.is_stale(&key.0, told);
        Some((told.starts_at.filter(|_| counts)?, told.at, until))
    }
}

impl Desk {
    /// Sites' own schedulers that are to be asked now when they would have a job begin that waits, or just comes (`coming`): a job of each
    /// shape, and where. Only of jobs that have a choice; a few at a time.
    pub fn to_foretell(
        &self,
        now: Micros,
        coming: Option<(&Job, &[NodesId])>,
    ) -> Vec<(Job, NodesId)> {
        if !self.nodes.iter().any(|nodes| nodes.has_queue) {
            return Vec::new();
        }
        let mut asks: BTreeMap<(NodesId, Shape), &Job> = BTreeMap::new();
        let mut ask = |job, open: &mut dyn Iterator<Item = &DeskNodes>| {
            let open: Vec<&DeskNodes> = open.collect();
            let queues = open.iter().filter(|nodes| nodes.has_queue);
            for nodes in queues.filter(|_| open.len() > 1) {
                let key = (nodes.id.clone(), Shape::of(job));
                if asks.len() < ASKS_MAX && self.foretold.is_due(now, &key) {
                    asks.entry(key).or_insert(job);
                }
            }
        };
        if let Some((job, allowed)) = coming {
            let fits = |nodes: &&DeskNodes| {
                allowed.contains(&nodes.id) && nodes.fits(&job.spec.resources).is_ok()
            };
            ask(job, &mut self.nodes.iter().filter(fits));
        } else {
            let queued = |task: &entry::Task| matches!(task.state, TaskState::Queued);
            let waits = |entry: &&entry::Entry| entry.open.values().any(queued);
            for entry in self.entries.values().filter(waits).take(LOOKED_AT_MAX) {
                let keys = entry::open_to(entry, &self.nodes, &self.bars, &self.sites.data);
                let nodes = |key: &NodesKey| self.nodes.get(usize::from(key.0));
                ask(&entry.job, &mut keys.iter().filter_map(nodes));
            }
        }
        let asks = asks.into_iter();
        asks.map(|((nodes, _), job)| (job.clone(), nodes)).collect()
    }

    /// A site's own scheduler was asked when it would have a job begin: what it said, if it did.
    pub fn foretell(
        &mut self,
        now: Micros,
        (job, nodes): (&Job, NodesId),
        starts_at: Option<Micros>,
    ) {
        let shape = Shape::of(job);
        let told = Told { starts_at, at: now };
        let known = &mut self.foretold.told;
        known.insert((nodes, shape.clone()), told);
        // The oldest are those that nobody waits with any more.
        if known.len() > KEPT_MAX {
            let oldest = known.iter().min_by_key(|(_, told)| told.at);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                known.remove(&oldest);
            }
        }
        let entries = self.entries.iter();
        let alike = entries.filter(|(_, entry)| shape.is_of(&entry.job));
        let alike: Vec<JobId> = alike.map(|(id, _)| *id).collect();
        for id in alike {
            self.tell_foretold(now, id);
        }
    }

    /// Something of ours was given machines: what the site's own scheduler said before does not count any more.
    pub(super) fn given(&mut self, now: Micros, nodes: &NodesId) {
        if let Some((key, _)) = self.nodes_named(nodes).filter(|(_, of)| of.has_queue) {
            self.foretold.given.insert(nodes.clone(), now);
            self.jobs.foretold_no_more(key, now);
        }
    }

    /// Tells the queue what sites' own schedulers say of a job.
    pub(super) fn tell_foretold(&mut self, now: Micros, id: JobId) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        if self.foretold.told.is_empty() {
            return;
        }
        let shape = Shape::of(&entry.job);
        let forecast = |(key, nodes): (u8, &DeskNodes)| {
            let of = (nodes.id.clone(), shape.clone());
            let (starts_at, said_at, until) = self.foretold.said(now, &of)?;
            Some(Forecast {
                nodes: NodesKey(key),
                starts_at,
                said_at,
                until,
            })
        };
        let said: Vec<Forecast> = (0u8..).zip(&self.nodes).filter_map(forecast).collect();
        for (index, task) in &entry.open {
            if matches!(task.state, TaskState::Queued) {
                let key = entry::key_of(entry.task_id(*index));
                self.jobs.foretold(key, said.clone());
            }
        }
    }
}
