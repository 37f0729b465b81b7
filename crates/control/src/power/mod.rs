//! Power, live: what meters say is told to the governors of the core, and what they say is done.
//!
//! [`PowerPlane`] is what others ask; one task looks again and again. Caps and events are in the books: a Madang that begins anew goes on
//! with them, and what others set at the same books is seen at the next look.

mod acts;
mod governors;
pub mod meter;
mod scene;
mod status;

pub use governors::Governors;
pub use madang_core::power::governor::{PowerDeed, PowerLine};
pub(crate) use scene::BendingRun;
pub use status::{LoadStatus, MeterStatus, SitePower};

use crate::jobs::JobsPlane;
use acts::Applied;
use futures_util::future::join_all;
use madang_core::power::caps::{Cap, cap_at, lowest_until};
use madang_core::power::gauge::{Believed, Gauge, Modelled, Reading};
use madang_core::power::governor::{GovernorTerms, LoadId, Scene};
use madang_core::power::model::at_meter;
use madang_fleet::{Fleet, Meter};
use madang_gateway::clock;
use madang_gateway::gateway::Gateway;
use madang_store::{PowerBook, StoreError};
use madang_types::{Micros, PowerEvent, PowerEventKind, SiteId};
use meter::{MeterError, PowerMeter};
use scene::{Parts, Readings};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What begins so soon is met by then, in microseconds.
const LEAD_US: i64 = 30_000_000;

/// Least time between two tries of runs that were refused for want of power.
const AGAIN_MS_MIN: u64 = 2_000;

/// What looks at power, and what others ask of it.
pub struct PowerPlane {
    gateway: Arc<Gateway>,
    jobs: Arc<JobsPlane>,
    book: Arc<dyn PowerBook>,
    governors: Arc<Governors>,
    state: Mutex<State>,
    /// Somebody set something: the next look is due.
    wake: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// What is remembered between looks.
#[derive(Default)]
struct State {
    events: Vec<PowerEvent>,
    sites: BTreeMap<SiteId, SitePower>,
    meters: BTreeMap<String, Watched>,
    applied: Applied,
    /// When runs that were refused tried again last.
    tried_at: Micros,
    /// The books could not be read at the last look.
    is_away: bool,
}

/// A meter, and what is believed of it.
struct Watched {
    row: Meter,
    meter: Arc<dyn PowerMeter>,
    gauge: Gauge,
    reading: Option<Reading>,
    error: Option<MeterError>,
    believed: Option<Believed>,
}

impl PowerPlane {
    /// Begins to look.
    pub fn start(
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
            wake: Arc::default(),
            task: Mutex::default(),
        });
        let sampled = Arc::downgrade(&plane);
        let sampler = move || Some(sampled.upgrade()?.samples());
        plane.gateway.metrics.power_sampler_set(Box::new(sampler));
        let task = tokio::spawn(look(Arc::downgrade(&plane), Arc::clone(&plane.wake)));
        *plane.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        plane
    }

    /// Ends the looking. What was bent stays so.
    pub fn stop(&self) {
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task {
            task.abort();
        }
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

    /// Something was set: it is in force at the next look, which is now.
    pub fn changed(&self) {
        self.wake.notify_one();
    }

    async fn look(&self) {
        let snapshot = self.gateway.snapshot();
        if snapshot.generation == 0 {
            return;
        }
        let fleet = Arc::clone(&snapshot.fleet);
        self.governors.keep(&fleet);
        self.follow_meters(&fleet);
        self.read_meters().await;
        let now = clock::now();
        self.follow_events(now).await;
        let runs = self.jobs.bending(&self.frozen());
        self.forget_runs(&runs.iter().map(|run| run.run).collect());
        let pools = self.gateway.status();
        let terms = governors::terms(&fleet.power);
        for site in fleet.sites.keys() {
            let own: Vec<BendingRun> = runs
                .iter()
                .filter(|run| scene::is_at(&fleet, run, site))
                .cloned()
                .collect();
            let seen = self.scene(now, (&fleet, site), &pools, &own);
            self.baselines(now, site, seen.scene.drawn_watts).await;
            self.govern((now, terms), (&fleet, site), seen);
            self.act(&fleet, site, &own).await;
        }
        self.try_again(now, fleet.power.return_ms);
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

    /// Meters as the fleet file names them; what is known of one that stays as it is stays.
    fn follow_meters(&self, fleet: &Fleet) {
        let mut state = self.lock();
        let rows: BTreeMap<&str, &Meter> = fleet
            .meters
            .iter()
            .map(|row| (row.id.as_str(), row))
            .collect();
        state
            .meters
            .retain(|id, watched| rows.get(id.as_str()) == Some(&&watched.row));
        for (id, row) in rows {
            if state.meters.contains_key(id) {
                continue;
            }
            match meter::meter_of(row, &self.gateway.client) {
                Ok(meter) => {
                    let watched = Watched {
                        row: row.clone(),
                        meter: Arc::from(meter),
                        gauge: Gauge::default(),
                        reading: None,
                        error: None,
                        believed: None,
                    };
                    state.meters.insert(id.to_owned(), watched);
                }
                Err(error) => tracing::warn!(meter = id, %error, "a meter cannot be read"),
            }
        }
    }

    /// Asks all meters at once.
    async fn read_meters(&self) {
        let meters: Vec<(String, Arc<dyn PowerMeter>)> = {
            let state = self.lock();
            let each = state.meters.iter();
            each.map(|(id, watched)| (id.clone(), Arc::clone(&watched.meter)))
                .collect()
        };
        let read = meters
            .into_iter()
            .map(async |(id, meter)| (id, meter.read().await));
        for (id, read) in join_all(read).await {
            let mut state = self.lock();
            let Some(watched) = state.meters.get_mut(&id) else {
                continue;
            };
            match read {
                Ok(watts) => {
                    let at = clock::now();
                    watched.reading = Some(Reading { watts, at });
                    if watched.error.take().is_some() {
                        tracing::info!(meter = id, "a meter can be read again");
                    }
                }
                Err(error) => {
                    // Told when it begins, not at each look.
                    if watched.error.as_ref() != Some(&error) {
                        tracing::warn!(meter = id, %error, "a meter tells nothing");
                    }
                    watched.error = Some(error);
                }
            }
        }
    }

    /// Events as the books have them; where they cannot be read, those of the last look stand.
    async fn follow_events(&self, now: Micros) {
        let read = self.book.power_list(now).await;
        let mut state = self.lock();
        match read {
            Ok(events) => (state.events, state.is_away) = (events, false),
            Err(error) => {
                if !std::mem::replace(&mut state.is_away, true) {
                    tracing::warn!(%error, "power events are as they were: the books cannot be read");
                }
            }
        }
    }

    /// What a site drew when a cut of it began is noted once: it is a part of that as long as it lasts.
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
            event.site == *site && unnoted && event.is_in_force(now)
        };
        let begun: Vec<u64> = self
            .lock()
            .events
            .iter()
            .filter(begins)
            .map(|event| event.id)
            .collect();
        for id in begun {
            match self.book.power_baseline(id, drawn_watts).await {
                Ok(noted) => {
                    let mut state = self.lock();
                    let known = state.events.iter_mut().find(|event| event.id == id);
                    known.into_iter().for_each(|event| event.kind = noted.kind);
                    tracing::warn!(%site, event = id, drawn_watts, "a power event begins");
                }
                Err(error) => {
                    tracing::warn!(%site, event = id, %error, "what a cut is a part of is not kept yet")
                }
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
        let unmeasured = scene::parts((fleet, site), pools, runs, &Readings::default());
        let readings = self.believe(now, (fleet, site), &unmeasured);
        let parts = scene::parts((fleet, site), pools, runs, &readings);
        let model = scene::modelled(&parts.loads, pue_milli, fleet.power.rise_milli_per_s);
        let summed = at_meter(parts.loads.iter().map(|load| load.watts).sum(), pue_milli);
        let drawn_watts = readings.site.map_or(summed, |believed| believed.watts);
        let measured = readings
            .site
            .map_or(parts.measured && !parts.loads.is_empty(), |believed| {
                believed.measured
            });
        let scene = Scene {
            cap: self.cap(now, (fleet, site), drawn_watts),
            drawn_watts,
            age_us: 0,
            rise_watts_per_s: model.rise_watts_per_s,
            pue_milli,
            elsewhere: scene::is_served_elsewhere(fleet, site),
            loads: parts.loads,
        };
        Seen {
            scene,
            measured,
            model,
            unknown: parts.unknown,
        }
    }

    /// The lowest cap in force, or that begins soon.
    fn cap(&self, now: Micros, (fleet, site): (&Fleet, &SiteId), drawn_watts: u64) -> Option<Cap> {
        let state = self.lock();
        let events = state.events.iter().filter(|event| event.site == *site);
        let events: Vec<PowerEvent> = events.cloned().collect();
        let standing = scene::standing_cap(fleet, site);
        let until = Micros(now.0.saturating_add(LEAD_US));
        let soon = lowest_until(standing, &events, drawn_watts, (now, until));
        soon.map_or_else(
            || cap_at(standing, &events, drawn_watts, now),
            |(cap, _)| Some(cap),
        )
    }

    /// What is believed of a site's meters, by what the model says of what they measure.
    fn believe(&self, now: Micros, (fleet, site): (&Fleet, &SiteId), parts: &Parts) -> Readings {
        let config = &fleet.power;
        let pue_milli = scene::pue_milli(fleet, site);
        let stale_us = config.stale_ms.saturating_mul(1_000);
        let mut readings = Readings::default();
        let mut state = self.lock();
        let own = state
            .meters
            .values_mut()
            .filter(|watched| watched.row.site == site.as_str());
        for watched in own {
            let row = &watched.row;
            let is_part = |id: &LoadId| match (id, &row.replica, &row.nodes) {
                (LoadId::Replica(id), Some(replica), _) => id.as_str() == replica,
                (LoadId::Run(_) | LoadId::Rest, _, Some(_)) => true,
                (_, None, None) => true,
                _ => false,
            };
            let loads: Vec<_> = parts
                .loads
                .iter()
                .filter(|load| is_part(&load.id))
                .cloned()
                .collect();
            let whole = row.replica.is_none() && row.nodes.is_none();
            // Cooling is in a site's own meter alone.
            let pue_milli = if whole { pue_milli } else { 1_000 };
            let model = scene::modelled(&loads, pue_milli, config.rise_milli_per_s);
            // Of what nobody says what it draws the meter alone is believed.
            let bounded = !loads.is_empty() && (!whole || parts.unknown.is_empty());
            let model = if bounded { model } else { scene::unbounded() };
            let before = watched.believed.and_then(|believed| believed.doubt);
            let believed = watched.gauge.take(now, watched.reading, &model, stale_us);
            if believed.doubt != before {
                told(row, believed);
            }
            watched.believed = Some(believed);
            match (&row.replica, &row.nodes) {
                (Some(replica), _) => drop(
                    replica
                        .parse()
                        .map(|id| readings.replicas.insert(id, believed)),
                ),
                (None, Some(nodes)) => {
                    drop(nodes.parse().map(|id| readings.nodes.insert(id, believed)))
                }
                (None, None) => {
                    // Of several meters of one site each measures a part.
                    let sum = readings.site.map_or(believed, |other: Believed| Believed {
                        watts: other.watts.saturating_add(believed.watts),
                        measured: other.measured && believed.measured,
                        doubt: other.doubt.or(believed.doubt),
                    });
                    readings.site = Some(sum);
                }
            }
        }
        readings
    }

    /// Tells the governor, and keeps what it says for others to read.
    fn govern(
        &self,
        (now, terms): (Micros, GovernorTerms),
        (fleet, site): (&Fleet, &SiteId),
        seen: Seen,
    ) {
        let (lines, power) = self.governors.with(site, terms, |governor| {
            let before = governor.log().next_back().map(|line| line.at);
            governor.look(now, &seen.scene);
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

    /// Keeps an event, and has it in force at once where it begins now.
    ///
    /// # Errors
    /// As [`PowerBook::power_put`].
    pub async fn event_put(&self, event: PowerEvent) -> Result<PowerEvent, StoreError> {
        let event = self.book.power_put(event).await?;
        self.changed();
        Ok(event)
    }

    /// Ends an event.
    ///
    /// # Errors
    /// As [`PowerBook::power_end`].
    pub async fn event_end(&self, id: u64, at: Micros) -> Result<PowerEvent, StoreError> {
        let event = self.book.power_end(id, at).await?;
        self.changed();
        Ok(event)
    }
}

impl Drop for PowerPlane {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A site at one look.
struct Seen {
    scene: Scene,
    /// What is drawn is measured.
    measured: bool,
    model: Modelled,
    unknown: Vec<String>,
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

fn told(row: &Meter, believed: Believed) {
    let Believed { watts, doubt, .. } = believed;
    match doubt {
        Some(doubt) => {
            let why = doubt.as_str();
            tracing::warn!(
                meter = row.id,
                watts,
                why,
                "a meter is not believed: so much is taken as drawn"
            );
        }
        None => tracing::info!(meter = row.id, watts, "a meter is believed again"),
    }
}
