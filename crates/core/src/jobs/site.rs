//! What it costs a job to be on one `[[nodes]]` or on another, in won: its run there, the data that is moved, and the time until it
//! begins. Of machines with room it is given those that cost least, and it waits for others where these are worth the wait.

use super::Jobs;
use super::ask::{AccountKey, Ground, JobKey, NodesKey, WHOLE_MILLI};
use super::crowd::Crowds;
use super::queue::Job;
use super::tariff::Tariffs;
use madang_types::{MicroWon, Micros};
use std::collections::BTreeMap;

const HOUR_US: u128 = 3_600_000_000;

/// What an hour that one accelerator waits is worth where nobody says otherwise: about what an hour of an H200 costs.
pub const WAIT_HOUR: MicroWon = MicroWon(5_000_000_000);

/// What machines are chosen by, beside room and shares. Lists are by [`NodesKey`]; what is not in them is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteTerms {
    /// What an hour of one accelerator costs. Machines without a price count as the cheapest.
    pub hours: Vec<Option<MicroWon>>,
    /// How long whoever was given machines waits in a queue of the site's own, in microseconds.
    pub queues_us: Vec<u64>,
    /// What feeds them. Of machines without one nobody can say that power is short.
    pub feeds: Vec<Option<Feed>>,
    /// What may be drawn besides on each feed, in watts.
    pub headroom_watts: Vec<u64>,
    /// What an hour is worth that one accelerator waits.
    pub wait_hour: MicroWon,
    /// The same for accounts, and all below them, that say otherwise.
    pub wait_hours: BTreeMap<AccountKey, MicroWon>,
}

/// What feeds machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Its number in [`SiteTerms::headroom_watts`].
    pub number: u8,
    /// What one accelerator draws there that is given to a job, beside what it draws idle, in watts at the meter.
    pub watts: u64,
}

impl Default for SiteTerms {
    fn default() -> Self {
        Self {
            hours: Vec::new(),
            queues_us: Vec::new(),
            feeds: Vec::new(),
            headroom_watts: Vec::new(),
            wait_hour: WAIT_HOUR,
            wait_hours: BTreeMap::new(),
        }
    }
}

/// What it takes to have a job's data where it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Move {
    /// In microseconds.
    pub us: u64,
    /// What is paid for it.
    pub won: MicroWon,
}

/// What it costs that a job is on one `[[nodes]]`, in millionths of a won.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteCost {
    /// Its accelerators, for as long as its like runs.
    pub run: u128,
    /// The electricity of that, at the hours' prices.
    pub energy: u128,
    /// What its data costs to be moved, and what that time is worth.
    pub data: u128,
    /// What the time is worth until it begins.
    pub wait: u128,
    /// What others save there who get dearer machines instead; nothing where it is not asked who else wants them.
    pub congestion: u128,
    /// For how long its data is moved, in microseconds.
    pub data_us: u64,
    /// How long until it begins, as it counts: with what others wait in the site's own queue, in microseconds.
    pub wait_us: u64,
}

impl SiteCost {
    /// All of it.
    pub fn total(&self) -> u128 {
        let parts = [self.data, self.wait, self.congestion];
        parts.into_iter().fold(self.held(), u128::saturating_add)
    }

    /// What it costs to hold machines there, whenever that is.
    pub(super) fn held(&self) -> u128 {
        self.run.saturating_add(self.energy)
    }
}

/// Machines on which a job may be, and what that would cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub nodes: NodesKey,
    /// How long until it would begin there, in microseconds; `None` where they have no room now and nobody asked further.
    pub wait_us: Option<u64>,
    /// How long until the site's own scheduler would have it begin, as that says, in microseconds.
    pub foretold_us: Option<u64>,
    /// What it costs, with the wait as far as that is known.
    pub cost: SiteCost,
    /// What a job that would begin now lacks there.
    pub lacks: Option<OfferLack>,
    /// What it draws there beside what its accelerators draw idle, and what may be drawn besides, in watts; `None` where nobody says.
    pub watts: Option<[u64; 2]>,
}

/// What machines lack now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferLack {
    /// Accelerators that are free.
    Room,
    /// Power at their site.
    Power,
}

/// What a site's own scheduler said of when a job would begin there, were it told of it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// On which machines.
    pub nodes: NodesKey,
    /// When it would begin.
    pub starts_at: Micros,
    /// When that was said.
    pub said_at: Micros,
    /// From then on it does not count.
    pub until: Micros,
}

/// A job that could begin, and waits for machines that are cheaper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// For which.
    pub nodes: NodesKey,
    /// Since when.
    pub since: Micros,
    /// When it is to begin there.
    pub starts_at: Micros,
    /// Then at the latest it takes what has room: it has waited for as much as these machines would save.
    pub until: Micros,
}

/// What machines are chosen by, and what jobs say.
#[derive(Clone, Debug, Default)]
pub(super) struct Sites {
    terms: SiteTerms,
    /// What an hour that counts whole costs, in millionths of a won; empty where nobody has said a price.
    work_hours: Vec<u128>,
    /// What moves the data of jobs that have any.
    moves: BTreeMap<JobKey, Vec<(NodesKey, Move)>>,
    /// What electricity costs.
    tariffs: Tariffs,
    /// When sites' own schedulers say that jobs would begin there.
    foretold: BTreeMap<JobKey, Vec<Forecast>>,
    /// What was said of machines before then counts no more.
    unforetold: BTreeMap<NodesKey, Micros>,
    /// Those that could begin and wait.
    held: BTreeMap<JobKey, Held>,
    /// What each was offered that was told to start at the last pass.
    offers: BTreeMap<JobKey, Vec<Offer>>,
}

impl Jobs {
    /// What machines are chosen by from now on.
    pub fn site_terms(&mut self, terms: SiteTerms) {
        self.sites.terms = terms;
        self.work_hours();
    }

    /// What electricity costs from now on.
    pub fn tariffs(&mut self, tariffs: Tariffs) {
        self.sites.tariffs = tariffs;
    }

    /// What an hour that counts whole costs on each `[[nodes]]`, and where nothing is known as little as where it is cheapest.
    pub(super) fn work_hours(&mut self) {
        let hours = self.sites.terms.hours.iter().enumerate();
        let work = hours.map(|(at, hour)| {
            let worth = self.worth_milli.get(at).copied();
            let worth = u128::from(worth.unwrap_or(u32::from(WHOLE_MILLI)).max(1));
            let hour = u128::try_from((*hour)?.0).unwrap_or(0);
            Some(hour.saturating_mul(u128::from(WHOLE_MILLI)) / worth)
        });
        let work: Vec<Option<u128>> = work.collect();
        let cheapest = work.iter().flatten().min().copied();
        self.sites.work_hours = match cheapest {
            Some(cheapest) => work.iter().map(|hour| hour.unwrap_or(cheapest)).collect(),
            None => Vec::new(),
        };
    }

    /// What it takes to have the data of a job that is known where it would run.
    pub fn moves(&mut self, job: JobKey, moves: Vec<(NodesKey, Move)>) {
        if self.jobs.contains_key(&job) && !moves.is_empty() {
            self.sites.moves.insert(job, moves);
        } else {
            self.sites.moves.remove(&job);
        }
    }

    /// When sites' own schedulers say that a job that is known would begin there.
    pub fn foretold(&mut self, job: JobKey, said: Vec<Forecast>) {
        if self.jobs.contains_key(&job) && !said.is_empty() {
            self.sites.foretold.insert(job, said);
        } else {
            self.sites.foretold.remove(&job);
        }
    }

    /// Whatever was said before `at` of when jobs would begin on these machines counts no more.
    pub fn foretold_no_more(&mut self, nodes: NodesKey, at: Micros) {
        self.sites.unforetold.insert(nodes, at);
    }

    /// A job that could begin, and waits for machines that are cheaper.
    pub fn held(&self, job: JobKey) -> Option<&Held> {
        self.sites.held.get(&job)
    }

    /// What a job was offered that was told to start at the last pass, that where it is first.
    pub fn offers(&self, job: JobKey) -> &[Offer] {
        self.sites.offers.get(&job).map_or(&[], Vec::as_slice)
    }

    /// When somebody who waits for cheaper machines does so no more.
    pub(super) fn held_until(&self) -> impl Iterator<Item = Micros> + '_ {
        self.sites.held.values().map(|held| held.until)
    }

    /// What a job costs on `nodes` that has to wait for so long until it is given machines there.
    pub(super) fn cost(&self, now: Micros, job: &Job, nodes: NodesKey, wait_us: u64) -> SiteCost {
        let at = usize::from(nodes.0);
        let whole = u128::from(WHOLE_MILLI);
        let of_hours = |hour: u128, us: u64| {
            let milli_us = u128::from(job.milli()).saturating_mul(u128::from(us));
            hour.saturating_mul(milli_us) / (whole * HOUR_US)
        };
        let left_us = self.left_us(now, job);
        let hour = self.sites.work_hours.get(at);
        let run = hour.map_or(0, |hour| of_hours(*hour, left_us));
        let moved = self.sites.moved(job.ask.job, nodes);
        let paid = u128::try_from(moved.won.0).unwrap_or(0);
        let wait_hour = self.wait_hour(job.ask.account);
        let queue_us = self.sites.terms.queues_us.get(at).copied().unwrap_or(0);
        let wait_us = match self.sites.foretold_us(now, job.ask.job, nodes) {
            // It knows of ours too that run there.
            Some(foretold_us) => wait_us.max(foretold_us),
            None => wait_us.saturating_add(queue_us),
        };
        let starts_at = now.plus_us(wait_us.saturating_add(moved.us));
        let tariffs = &self.sites.tariffs;
        SiteCost {
            run,
            energy: tariffs.run(nodes, job.milli(), (starts_at, left_us)),
            data: of_hours(wait_hour, moved.us).saturating_add(paid),
            wait: of_hours(wait_hour, wait_us),
            congestion: 0,
            data_us: moved.us,
            wait_us,
        }
    }

    /// What a job that begins now costs on each `[[nodes]]`, all of it; empty where all cost the same.
    pub(super) fn costs(&self, now: Micros, job: JobKey) -> Vec<u128> {
        let job = self.jobs.get(&job).filter(|job| self.sites.weigh(job));
        let Some(job) = job else {
            return Vec::new();
        };
        let each = (0u8..).zip(self.floor.free_milli());
        each.map(|(nodes, _)| self.cost(now, job, NodesKey(nodes), 0).total())
            .collect()
    }

    /// What an hour is worth, in millionths of a won, that one accelerator of an account's waits: as the nearest above it says.
    fn wait_hour(&self, account: AccountKey) -> u128 {
        let terms = &self.sites.terms;
        let mut next = Some(account).filter(|_| !terms.wait_hours.is_empty());
        let mut said = None;
        while let (Some(here), None) = (next, said) {
            said = terms.wait_hours.get(&here);
            next = self.accounts.parent(here);
        }
        // An hour that is worth nothing would be waited for ever.
        u128::try_from(said.unwrap_or(&terms.wait_hour).0.max(1)).unwrap_or(1)
    }

    /// For how long a job may wait for so much, in microseconds.
    pub(super) fn worth_us(&self, job: &Job, micro_won: u128) -> u64 {
        let whole_hour = u128::from(WHOLE_MILLI) * HOUR_US;
        let hour = self.wait_hour(job.ask.account);
        let each_us = hour.saturating_mul(u128::from(job.milli())).max(1);
        u64::try_from(micro_won.saturating_mul(whole_hour) / each_us).unwrap_or(u64::MAX)
    }

    /// Where a job finds the power that it needs, of those where it may be, as far as `headroom_watts` goes; all of them where it finds it
    /// nowhere, so that it is told what is in its way.
    pub(super) fn powered(&self, job: &Job, headroom_watts: &[u64]) -> Ground {
        let ground = job.ask.need.ground;
        if self.sites.terms.feeds.is_empty() {
            return ground;
        }
        let fed = |nodes: &NodesKey| {
            let feed = self.sites.feed(*nodes);
            feed.is_none_or(|feed| {
                let left = headroom_watts.get(usize::from(feed.number));
                left.is_none_or(|left| watts(feed, job) <= *left)
            })
        };
        let mut fed = self.floor.nodes_in(ground).filter(fed).peekable();
        match fed.peek() {
            Some(_) => Ground::of(fed),
            None => ground,
        }
    }

    /// What a job that starts on `nodes` leaves of the power there; false where it needs more.
    pub(super) fn draw(&self, job: &Job, nodes: NodesKey, headroom_watts: &mut [u64]) -> bool {
        let Some(feed) = self.sites.feed(nodes) else {
            return true;
        };
        let left = headroom_watts.get_mut(usize::from(feed.number));
        left.is_none_or(|left| {
            let (before, draws) = (*left, watts(feed, job));
            *left = before.saturating_sub(draws);
            draws <= before
        })
    }

    /// What a job that stops on `nodes` leaves more of the power there.
    pub(super) fn undraw(&self, job: &Job, nodes: NodesKey, headroom_watts: &mut [u64]) {
        if let Some(feed) = self.sites.feed(nodes)
            && let Some(left) = headroom_watts.get_mut(usize::from(feed.number))
        {
            *left = left.saturating_add(watts(feed, job));
        }
    }

    /// What may be drawn besides, as it was told.
    pub(super) fn headroom_watts(&self) -> Vec<u64> {
        self.sites.terms.headroom_watts.clone()
    }

    /// Some machines cost a job more than others.
    pub(super) fn weighs(&self, job: &Job) -> bool {
        self.sites.weigh(job)
    }

    /// Notes who waits for cheaper machines, and no others do any more that were looked at.
    pub(super) fn hold(&mut self, held: BTreeMap<JobKey, Held>) {
        self.sites.held = held;
    }

    /// Notes what a job is offered that starts on `here` now.
    pub(super) fn offer(
        &mut self,
        now: Micros,
        (key, here): (JobKey, NodesKey),
        crowds: &mut Crowds,
    ) {
        let offers = self.offers_of(now, key, crowds);
        let (mut offers, others): (Vec<_>, Vec<_>) =
            offers.into_iter().partition(|offer| offer.nodes == here);
        for offer in &mut offers {
            // What it has just taken is not what it lacks.
            (offer.lacks, offer.wait_us) = (None, Some(0));
        }
        offers.extend(others);
        if offers.len() > 1 {
            self.sites.offers.insert(key, offers);
        }
    }

    /// What was told of the last pass is told no more.
    pub(super) fn forget_offers(&mut self) {
        self.sites.offers.clear();
    }

    /// Where a job may be that begins now, and what that costs. `crowds` is what is wanted of machines, as far as that was asked already.
    pub(super) fn offers_of(&self, now: Micros, key: JobKey, crowds: &mut Crowds) -> Vec<Offer> {
        let Some(job) = self.jobs.get(&key) else {
            return Vec::new();
        };
        let need = job.ask.need;
        let rivals = self.rivals_of(now, job, crowds);
        let powered = self.powered(job, &self.sites.terms.headroom_watts);
        let offer = |nodes: NodesKey| {
            let free = self.floor.free_milli().get(usize::from(nodes.0));
            let lacks = match (
                powered.has(nodes),
                free.is_some_and(|free| *free >= need.milli()),
            ) {
                (false, _) => Some(OfferLack::Power),
                (true, false) => Some(OfferLack::Room),
                (true, true) => None,
            };
            Offer {
                nodes,
                wait_us: lacks.is_none().then_some(0),
                foretold_us: self.sites.foretold_us(now, key, nodes),
                cost: rivals.cost(self.cost(now, job, nodes, 0)),
                lacks,
                watts: self.sites.feed(nodes).and_then(|feed| {
                    let left = &self.sites.terms.headroom_watts;
                    let left = left.get(usize::from(feed.number))?;
                    Some([watts(feed, job), *left])
                }),
            }
        };
        let all = self.floor.nodes_in(need.ground);
        all.map(offer).collect()
    }
}

impl Sites {
    /// Machines have other numbers from now on.
    pub(super) fn renumbered(&mut self) {
        self.foretold.clear();
        self.unforetold.clear();
    }

    /// Of a job that is not here any more nothing is kept.
    pub(super) fn forget(&mut self, job: JobKey) {
        self.moves.remove(&job);
        self.foretold.remove(&job);
        self.held.remove(&job);
        self.offers.remove(&job);
    }

    /// Some machines cost a job more than others.
    fn weigh(&self, job: &Job) -> bool {
        let key = &job.ask.job;
        let queues = self.terms.queues_us.iter().any(|us| *us > 0);
        let own = self.moves.contains_key(key) || self.foretold.contains_key(key);
        !self.work_hours.is_empty() || queues || own || self.tariffs.differ()
    }

    /// How long until a job would begin on `nodes` as the site's own scheduler says, in microseconds.
    fn foretold_us(&self, now: Micros, job: JobKey, nodes: NodesKey) -> Option<u64> {
        let mut said = self.foretold.get(&job)?.iter();
        let said = said.find(|forecast| forecast.nodes == nodes)?;
        let since = self.unforetold.get(&nodes);
        let counts = now < said.until && since.is_none_or(|since| *since <= said.said_at);
        counts.then(|| said.starts_at.since_us(now))
    }

    fn moved(&self, job: JobKey, nodes: NodesKey) -> Move {
        let moves = self.moves.get(&job);
        let found = moves.and_then(|moves| moves.iter().find(|(to, _)| *to == nodes));
        found.map(|(_, moved)| *moved).unwrap_or_default()
    }

    fn feed(&self, nodes: NodesKey) -> Option<Feed> {
        *self.terms.feeds.get(usize::from(nodes.0))?
    }
}

/// What a job draws beside what its accelerators draw idle.
fn watts(feed: Feed, job: &Job) -> u64 {
    feed.watts.saturating_mul(job.milli()) / u64::from(WHOLE_MILLI)
}
