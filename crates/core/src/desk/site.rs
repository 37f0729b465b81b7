//! Which of several machines a job is given: what is known of sites, in the queue's words, and what is told of its choice.

use super::data::DataPlaces;
use super::entry::{self, TaskState};
use super::{Desk, DeskNodes};
use crate::jobs::{Feed, JobKey, Jobs, NodesKey, Offer, OfferLack, SiteTerms, WAIT_HOUR};
use madang_types::{
    JobId, MicroWon, Micros, NodesId, ProgrammeId, RunCandidate, RunLack, RunRecord, RunState,
    SiteId,
};
use std::collections::BTreeMap;

/// Machines that are told of with a choice.
const CANDIDATES_MAX: usize = 8;
/// What was learnt of a site's own queue counts half after so long: else nobody would go there again, and learn more.
const LEARNT_HALF_US: u64 = 3_600_000_000;
/// What the last run waited weighs so much of what was learnt before: a quarter.
const LEARNT_PARTS: u64 = 4;

/// What is known of sites, beside machines. What is not named is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskSites {
    /// What an hour of one accelerator costs.
    pub hours: BTreeMap<NodesId, MicroWon>,
    /// What one accelerator draws beside what it draws idle, in watts at its site's meter.
    pub watts: BTreeMap<NodesId, u64>,
    /// What an hour is worth that one accelerator waits.
    pub wait_hour: MicroWon,
    /// The same for jobs of programmes that say otherwise.
    pub wait_hours: BTreeMap<ProgrammeId, MicroWon>,
    /// Where data stands.
    pub data: DataPlaces,
}

impl Default for DeskSites {
    fn default() -> Self {
        Self {
            hours: BTreeMap::new(),
            watts: BTreeMap::new(),
            wait_hour: WAIT_HOUR,
            wait_hours: BTreeMap::new(),
            data: DataPlaces::default(),
        }
    }
}

/// What was learnt of the queue that a site has of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learnt {
    us: u64,
    at: Micros,
}

impl Desk {
    /// What is known of sites from now on.
    pub fn sites(&mut self, now: Micros, sites: DeskSites) {
        if sites == self.sites {
            return;
        }
        let moved = sites.data != self.sites.data;
        self.sites = sites;
        self.weigh(now);
        if moved {
            // What was queued asks for places where its data may not be.
            self.queue_anew();
        }
    }

    /// What runs that begin may draw at each site from now on, in watts at the meter; at those that are not named as much as they want.
    pub fn headroom(&mut self, now: Micros, headroom_watts: BTreeMap<SiteId, u64>) {
        if headroom_watts != self.headroom_watts {
            self.headroom_watts = headroom_watts;
            self.weigh(now);
        }
    }

    /// What is known of sites, as it was told last.
    pub fn known_sites(&self) -> &DeskSites {
        &self.sites
    }

    /// Tells the queue what is known of sites.
    pub(super) fn weigh(&mut self, now: Micros) {
        let numbers: BTreeMap<&SiteId, u8> = self.headroom_watts.keys().zip(0u8..).collect();
        let feed = |nodes: &DeskNodes| {
            let number = *numbers.get(&nodes.site)?;
            let watts = *self.sites.watts.get(&nodes.id)?;
            Some(Feed { number, watts })
        };
        let hour = |nodes: &DeskNodes| self.sites.hours.get(&nodes.id).copied();
        let terms = SiteTerms {
            hours: self.nodes.iter().map(hour).collect(),
            queues_us: self.queues_us(now),
            feeds: self.nodes.iter().map(feed).collect(),
            headroom_watts: self.headroom_watts.values().copied().collect(),
            wait_hour: self.sites.wait_hour,
            wait_hours: BTreeMap::new(),
        };
        let wait_hours = self.sites.wait_hours.clone().into_iter();
        let wait_hours = wait_hours.map(|(programme, hour)| {
            let path = (Some(programme), None, None);
            (self.account_of(path, Jobs::ROOT), hour)
        });
        let wait_hours = wait_hours.collect();
        self.jobs.site_terms(SiteTerms {
            wait_hours,
            ..terms
        });
    }

    /// How long runs wait in queues of sites' own: as was learnt, and no less than whoever waits there longest has waited already.
    fn queues_us(&self, now: Micros) -> Vec<u64> {
        let mut waiting: BTreeMap<&NodesId, u64> = BTreeMap::new();
        for run in self.runs().filter(|run| run.state == RunState::Starting) {
            let us = now.since_us(run.created_at);
            let longest = waiting.entry(&run.nodes).or_default();
            *longest = us.max(*longest);
        }
        let queue_us = |nodes: &DeskNodes| {
            if !nodes.has_queue {
                return 0;
            }
            let learnt = self.learnt.get(&nodes.id);
            let halves = |learnt: &Learnt| now.since_us(learnt.at) / LEARNT_HALF_US;
            let learnt = learnt.map_or(0, |learnt| {
                let halves = u32::try_from(halves(learnt)).unwrap_or(u32::MAX);
                learnt.us.checked_shr(halves).unwrap_or(0)
            });
            learnt.max(waiting.get(&nodes.id).copied().unwrap_or(0))
        };
        self.nodes.iter().map(queue_us).collect()
    }

    /// Follows queues of sites' own, where there are any.
    pub(super) fn follow_queues(&mut self, now: Micros) {
        if self.nodes.iter().any(|nodes| nodes.has_queue) {
            self.weigh(now);
        }
    }

    /// A run began: what it waited at its site is learnt, where that has a queue of its own.
    pub(super) fn learn(&mut self, run: &RunRecord, at: Micros) {
        let us = at.since_us(run.created_at);
        let found = self.nodes_named(&run.nodes);
        if found.is_some_and(|(_, nodes)| nodes.has_queue) {
            let known = self.learnt.entry(run.nodes.clone());
            let learnt = known.or_insert(Learnt { us, at });
            let before = learnt.us - learnt.us / LEARNT_PARTS;
            *learnt = Learnt {
                us: before.saturating_add(us / LEARNT_PARTS),
                at,
            };
        }
    }

    /// Tells the queue what it takes to have a job's data where it would run.
    pub(super) fn tell_moves(&mut self, id: JobId) {
        let Some(entry) = self.entries.get(&id) else {
            return;
        };
        let moves = self.sites.data.moves(&entry.job, &self.nodes);
        for (index, task) in &entry.open {
            if matches!(task.state, TaskState::Queued) {
                let key = entry::key_of(entry.task_id(*index));
                self.jobs.moves(key, moves.clone());
            }
        }
    }

    /// Machines on which a job may be that just was given some, those first; none where it had no choice.
    pub(super) fn candidates(&self, job: JobKey) -> Vec<RunCandidate> {
        self.told(self.jobs.offers(job))
    }

    /// Offers of the queue, as people read them; none where there is one alone.
    pub(super) fn told(&self, offers: &[Offer]) -> Vec<RunCandidate> {
        let candidate = |offer: &Offer| {
            let nodes = self.nodes.get(usize::from(offer.nodes.0))?;
            let won = |won: u128| MicroWon(i64::try_from(won).unwrap_or(i64::MAX));
            Some(RunCandidate {
                nodes: nodes.id.clone(),
                site: nodes.site.clone(),
                lacks: offer.lacks.map(|lacks| match lacks {
                    OfferLack::Room => RunLack::Room,
                    OfferLack::Power => RunLack::Power,
                }),
                wait_ms: offer.wait_us.map(|us| us / 1_000),
                foretold_ms: offer.foretold_us.map(|us| us / 1_000),
                energy: won(offer.cost.energy),
                run: won(offer.cost.run),
                data: won(offer.cost.data),
                wait: won(offer.cost.wait),
                congestion: won(offer.cost.congestion),
                data_ms: offer.cost.data_us / 1_000,
                starts_ms: offer.cost.wait_us / 1_000,
                watts: offer.watts,
            })
        };
        match offers {
            [] | [_] => Vec::new(),
            offers => offers
                .iter()
                .take(CANDIDATES_MAX)
                .filter_map(candidate)
                .collect(),
        }
    }

    /// Why a job waits that could begin.
    pub(super) fn held_back(&self, job: JobKey) -> Option<(String, Micros)> {
        let held = self.jobs.held(job)?;
        let NodesKey(at) = held.nodes;
        let nodes = self.nodes.get(usize::from(at))?;
        let why = format!(
            "there is room, and it waits for {}, where it costs less with the wait",
            nodes.id
        );
        Some((why, held.starts_at))
    }
}
