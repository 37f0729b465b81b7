//! Power, live: what meters say is told to the governors of the core, and what they say is done.
//!
//! [`PowerPlane`] is what others ask; one task looks again and again. Caps and events are in the books: a Madang that begins anew goes on
//! with them, and what others set at the same books is seen at the next look.

mod acts;
mod energy;
mod governors;
mod grid;
mod kept;
pub mod meter;
mod meters;
mod scene;
mod set;
mod status;
#[cfg(test)]
mod tests;

pub use governors::Governors;
pub(crate) use governors::begin_watts;
pub use grid::VtnStatus;
pub use madang_core::power::governor::{PowerDeed, PowerLine};
pub(crate) use scene::{BendingRun, of_accelerator, pue_milli};
pub use set::ChangeError;
pub use status::{LoadStatus, MeterStatus, SitePower};

use crate::jobs::JobsPlane;
use acts::Applied;
use energy::Energies;
use grid::Grid;
use kept::Kept;
use madang_core::power::caps::{Cap, LEAD_US, cap_at, lowest_until, watts_of};
use madang_core::power::gauge::Modelled;
use madang_core::power::governor::{GovernorTerms, Scene};
use madang_core::power::model::at_meter;
use madang_core::power::orders::noted_before;
use madang_fleet::Fleet;
use madang_gateway::clock::{self, clock_text};
use madang_gateway::gateway::Gateway;
use madang_store::PowerBook;
use madang_types::{Micros, PowerEvent, PowerEventKind, PowerStand, RunId, SiteId};
use meters::Watched;
use scene::{Parts, Readings};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Least time between two tries of runs that were refused for want of power.
const AGAIN_MS_MIN: u64 = 2_000;

/// What looks at power, and what others ask of it.
pub struct PowerPlane {
    gateway: Arc<Gateway>,
    jobs: Arc<JobsPlane>,
    book: Arc<dyn PowerBook>,
    governors: Arc<Governors>,
    state: Mutex<State>,
    /// Since when it looks.
    since: Micros,
    /// Somebody set something: the next look is due.
    wake: Arc<Notify>,
    /// Servers of grids, whose orders are followed.
    grid: Grid,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// What is remembered between looks.
#[derive(Default)]
struct State {
    events: Vec<PowerEvent>,
    sites: BTreeMap<SiteId, SitePower>,
    meters: BTreeMap<String, Watched>,
    applied: Applied,
    /// What others have in force who govern.
    kept: Kept,
    energies: Energies,
    /// Runs on this gateway's own machine, while another one governs.
    own_runs: Option<BTreeSet<RunId>>,
    /// When runs that were refused tried again last.
    tried_at: Micros,
    /// The books could not be read at the last look.
    is_away: bool,
    /// Events of which it was told that they are met.
    met: BTreeSet<u64>,
}

impl PowerPlane {
    /// Begins to look. What was in force before is when it returns.
    pub async fn start(
        gateway: Arc<Gateway>,
        jobs: Arc<JobsPlane>,
        book: Arc<dyn PowerBook>,
    ) -> Arc<Self> {
        let plane = Arc::new(Self {
            governors: Arc::clone(jobs.governors()),
            gateway,
            jobs,
            book,
            state: Mutex::default(),
            since: clock::now(),
            wake: Arc::default(),
            grid: Grid::default(),
            tasks: Mutex::default(),
        });
        plane.resume(plane.since).await;
        let sampled = Arc::downgrade(&plane);
        let sampler = move || Some(sampled.upgrade()?.samples());
        plane.gateway.metrics.power_sampler_set(Box::new(sampler));
        let looks = tokio::spawn(look(Arc::downgrade(&plane), Arc::clone(&plane.wake)));
        let asks = tokio::spawn(grid::ask(Arc::downgrade(&plane)));
        plane.tasks().extend([looks, asks]);
        plane
    }

    /// Ends the looking. What was bent stays so.
    pub fn stop(&self) {
        for task in self.tasks().drain(..) {
            task.abort();
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The books of caps and events.
    pub fn book(&self) -> &dyn PowerBook {
        &*self.book
    }

    /// How a site's power stands; `None` of one that was not looked at yet.
    pub fn site(&self, site: &SiteId) -> Option<SitePower> {
        self.lock().sites.get(site).cloned()
    }

    /// How all sites stand, by name.
    pub fn sites(&self) -> BTreeMap<SiteId, SitePower> {
        self.lock().sites.clone()
    }

    /// How a site's servers of a grid stand, by name.
    pub fn vtns(&self, site: &SiteId) -> BTreeMap<String, VtnStatus> {
        self.grid.of(site)
    }

    async fn look(self: &Arc<Self>) {
        let snapshot = self.gateway.snapshot();
        if snapshot.generation == 0 {
            return;
        }
        let fleet = Arc::clone(&snapshot.fleet);
        self.governors.keep(&fleet);
        self.follow_meters(&fleet);
        self.read_meters(fleet.power.look_ms).await;
        let now = clock::now();
        self.follow_events(now).await;
        // Whoever begins to govern runs learns first which of them stand still: runs that come between both are for the next look.
        let governs_runs = self.energy_begin(now, &fleet).await;
        let (runs, live) = self.runs(now, &fleet, governs_runs).await;
        self.forget_runs(&live);
        let pools = self.gateway.status();
        let terms = governors::terms(&fleet.power);
        for site in fleet.sites.keys() {
            let own: Vec<BendingRun> = runs
                .iter()
                .filter(|run| scene::is_at(&fleet, run, site))
                .cloned()
                .collect();
            let seen = self.scene(now, (&fleet, site), &pools, &own);
            self.account(now, (&fleet, site), (&pools, &own), &seen);
            let kept = self.kept(now, site);
            // Whoever governs sees all that draws, and tells it.
            if kept.is_none() {
                if let Some(drawn_watts) = seen.sure_watts() {
                    self.baselines(now, site, drawn_watts).await;
                }
                self.tell_met(now, site, &seen);
            }
            self.govern((now, terms), (&fleet, site), (seen, kept.as_ref()));
            self.act(&fleet, site, &own).await;
        }
        self.energy_end(now, &fleet, &live).await;
        self.try_again(now, fleet.power.return_ms);
    }

    /// Runs that this gateway governs, and all that it tells how to stand.
    async fn runs(
        &self,
        now: Micros,
        fleet: &Fleet,
        governs: bool,
    ) -> (Vec<BendingRun>, BTreeSet<RunId>) {
        if !governs {
            self.follow_kept(now).await;
            return (Vec::new(), self.follow_own(now, fleet).await);
        }
        self.lock().own_runs = None;
        let runs = self.jobs.bending(&self.frozen());
        let live = runs.iter().map(|run| run.run).collect();
        (runs, live)
    }

    /// Runs that were refused for want of power may try again where there is some, from time to time.
    fn try_again(&self, now: Micros, return_ms: u64) {
        let mut state = self.lock();
        if now >= state.tried_at.plus_ms(return_ms.max(AGAIN_MS_MIN))
            && self.governors.may_try_again()
        {
            state.tried_at = now;
            drop(state);
            self.jobs.power_free();
        }
    }

    /// Events as the books have them; where they cannot be read, those of the last look stand.
    async fn follow_events(&self, now: Micros) {
        let read = self.book.power_list(now).await;
        let mut state = self.lock();
        match read {
            Ok(events) => {
                status::tell_events(&state.events, &events);
                (state.events, state.is_away) = (events, false);
            }
            Err(error) => {
                if !std::mem::replace(&mut state.is_away, true) {
                    tracing::warn!(%error, "power events are as they were: the books cannot be read");
                }
            }
        }
    }

    /// What a site drew when a cut of it began to count is noted once: it is a part of that as long as it lasts. Else a cut that is met
    /// before its beginning would be a part of what it has left, again and again.
    async fn baselines(&self, now: Micros, site: &SiteId, drawn_watts: u64) {
        let begins = |event: &&PowerEvent| {
            let kind = event.kind;
            let unnoted = matches!(
                kind,
                PowerEventKind::Cut {
                    baseline_watts: None,
                    ..
                }
            );
            let soon = Micros(now.0.saturating_add(LEAD_US));
            event.site == *site && unnoted && counts(event, now, soon)
        };
        let begun: Vec<(u64, u64)> = {
            let events = &self.lock().events;
            let begun = events.iter().filter(begins);
            begun
                .map(|event| (event.id, noted_before(event, events).unwrap_or(drawn_watts)))
                .collect()
        };
        for (id, drawn_watts) in begun {
            match self.book.power_baseline(id, drawn_watts).await {
                Ok(noted) => {
                    let mut state = self.lock();
                    let known = state.events.iter_mut().find(|event| event.id == id);
                    known.into_iter().for_each(|event| event.kind = noted.kind);
                    tracing::warn!(%site, event = id, drawn_watts, "a power event counts from now on");
                }
                Err(error) => {
                    tracing::warn!(%site, event = id, %error, "what a cut is a part of is not kept yet")
                }
            }
        }
    }

    /// When an event was asked for and when it was met is told once, by whoever looked all the while.
    fn tell_met(&self, now: Micros, site: &SiteId, seen: &Seen) {
        let Some(drawn_watts) = seen.known_watts() else {
            return;
        };
        let mut state = self.lock();
        let State { events, met, .. } = &mut *state;
        met.retain(|id| events.iter().any(|event| event.id == *id));
        for event in events.iter().filter(|event| event.site == *site) {
            let asked_at = event.from.max(event.set_at);
            let is_due = event.is_in_force(now) && asked_at >= self.since;
            let Some(cap_watts) = watts_of(event, None).filter(|_| is_due) else {
                continue;
            };
            if drawn_watts <= cap_watts && met.insert(event.id) {
                let (asked, met_at) = (clock_text(asked_at), clock_text(now));
                let met_after_ms = now.since_us(asked_at) / 1_000;
                tracing::warn!(%site, event = event.id, asked_at = asked, met_at, met_after_ms, drawn_watts, cap_watts, "a power event is met");
            }
        }
    }

    fn scene(
        &self,
        now: Micros,
        (fleet, site): (&Fleet, &SiteId),
        pools: &[madang_core::PoolStatus],
        runs: &[BendingRun],
    ) -> Seen {
        let pue_milli = scene::pue_milli(fleet, site);
        let noted = self.machines(site);
        let parts = |readings: &Readings| {
            let mut parts = scene::parts((fleet, site), pools, runs, readings);
            let unseen = noted.and_then(|noted| scene::unseen((noted, pue_milli), &parts.loads));
            parts.loads.extend(unseen);
            parts
        };
        let unmeasured = parts(&Readings::default());
        let readings = self.believe(now, (fleet, site), (&unmeasured, runs));
        let parts = parts(&readings);
        let model = scene::modelled(&parts.loads, pue_milli, fleet.power.rise_milli_per_s);
        let sum =
            |parts: &Parts| at_meter(parts.loads.iter().map(|load| load.watts).sum(), pue_milli);
        let summed = sum(&parts);
        let knows_all = unmeasured.unknown.is_empty() && !unmeasured.loads.is_empty();
        let likely_watts = knows_all.then(|| sum(&unmeasured));
        let drawn_watts = readings.site.map_or(summed, |believed| believed.watts);
        let measured = readings
            .site
            .map_or(parts.measured && !parts.loads.is_empty(), |believed| {
                believed.measured
            });
        let is_known = match readings.site {
            Some(_) => !readings.is_mute,
            None => !parts.loads.is_empty(),
        };
        let known_watts = is_known.then_some(drawn_watts);
        let (cap, cap_now) = self.caps(now, (fleet, site), known_watts);
        let scene = Scene {
            cap,
            drawn_watts,
            age_us: readings.age_us(),
            sudden_watts: readings.sudden_watts(pue_milli),
            doubted: readings.is_doubted(),
            rise_watts_per_s: model.rise_watts_per_s,
            pue_milli,
            elsewhere: scene::is_served_elsewhere(fleet, site),
            loads: parts.loads,
        };
        Seen {
            scene,
            cap_now,
            is_known,
            measured,
            model,
            likely_watts,
            readings,
            unknown: parts.unknown,
        }
    }

    /// The lowest cap of those in force and those that begin so soon that they are to be met by then; and of those in force alone.
    fn caps(
        &self,
        now: Micros,
        (fleet, site): (&Fleet, &SiteId),
        drawn_watts: Option<u64>,
    ) -> (Option<Cap>, Option<Cap>) {
        let state = self.lock();
        let events = state.events.iter().filter(|event| event.site == *site);
        let events: Vec<PowerEvent> = events.cloned().collect();
        let standing = scene::standing_cap(fleet, site);
        let soon = Micros(now.0.saturating_add(LEAD_US));
        (
            lowest_until(standing, &events, drawn_watts, (now, soon)),
            cap_at(standing, &events, drawn_watts, now),
        )
    }

    /// Tells the governor, and keeps what it says for others to read. It follows whoever governs in another gateway, where one does.
    fn govern(
        &self,
        (now, terms): (Micros, GovernorTerms),
        (fleet, site): (&Fleet, &SiteId),
        (seen, kept): (Seen, Option<&PowerStand>),
    ) {
        let (lines, power) = self.governors.look(site, terms, |governor| {
            let before = governor.log().next_back().map(|line| line.at);
            match kept {
                Some(stand) => governor.follow(now, &seen.scene, stand),
                None => governor.look(now, &seen.scene),
            }
            let new = governor
                .log()
                .filter(|line| before.is_none_or(|at| line.at > at));
            let lines: Vec<PowerLine> = new.cloned().collect();
            (lines, SitePower::of(&seen, governor))
        });
        for line in &lines {
            status::tell(site, line);
            self.gateway.metrics.power_deed(site.as_str(), &line.what);
        }
        let mut state = self.lock();
        let meters = state
            .meters
            .values()
            .filter(|watched| watched.row.site == site.as_str());
        let meters = meters.map(status::meter).collect();
        state
            .sites
            .insert(site.clone(), SitePower { meters, ..power });
        state.sites.retain(|site, _| fleet.sites.contains_key(site));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PowerPlane {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Whether an event is in force, or begins by then.
fn counts(event: &PowerEvent, now: Micros, soon: Micros) -> bool {
    event.from <= soon && !event.is_over(now)
}

/// A site at one look.
struct Seen {
    scene: Scene,
    /// What it may draw now, where something says so.
    cap_now: Option<Cap>,
    /// Something says what is drawn: a meter that told something, or a model.
    is_known: bool,
    /// What is drawn is measured.
    measured: bool,
    model: Modelled,
    /// What the model alone thinks likely, where it knows all that draws, in watts.
    likely_watts: Option<u64>,
    readings: Readings,
    unknown: Vec<String>,
}

impl Seen {
    /// What is drawn, in watts; `None` where nothing says that.
    fn known_watts(&self) -> Option<u64> {
        self.is_known.then_some(self.scene.drawn_watts)
    }

    /// What is drawn for sure, in watts, which a cut is a part of: what is taken in place of a meter errs upwards, and would leave more.
    fn sure_watts(&self) -> Option<u64> {
        let Scene {
            drawn_watts,
            sudden_watts,
            ..
        } = self.scene;
        let sure = drawn_watts.saturating_sub(sudden_watts);
        let likely = self.likely_watts.filter(|_| self.scene.doubted);
        let sure = likely.map_or(sure, |likely| sure.min(likely));
        self.is_known.then_some(sure)
    }

    /// What is drawn over the cap that is in force now, in watts.
    fn over_watts(&self) -> u64 {
        let over = |cap: &Cap| self.scene.drawn_watts.saturating_sub(cap.watts);
        self.cap_now.as_ref().map_or(0, over)
    }
}

async fn look(plane: Weak<PowerPlane>, wake: Arc<Notify>) {
    while let Some(plane) = plane.upgrade() {
        plane.look().await;
        let look_ms = plane.gateway.snapshot().fleet.power.look_ms;
        // Whoever rests does not keep it.
        drop(plane);
        drop(timeout(Duration::from_millis(look_ms), wake.notified()).await);
    }
}
