//! The meters of all sites: read at each look, and believed as far as the core says.

use super::PowerPlane;
use super::meter::{self, MeterError, MeterReading, NoMeter, PowerMeter, READ_TIME_MAX};
use super::scene::{self, BendingRun, Parts, Readings};
use futures_util::future::join_all;
use madang_core::power::gauge::{Believed, Doubted, Gauge, Modelled, Reading};
use madang_core::power::governor::{Load, LoadId};
use madang_core::power::model::{WHOLE_MILLI, at_meter, machine_watts};
use madang_fleet::{Fleet, Meter, MeterKind};
use madang_gateway::clock;
use madang_types::{Micros, SiteId};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A look waits no longer than that for meters that have told something before, and than half the time between two looks.
const ANSWERS_IN_MAX: Duration = Duration::from_millis(500);

/// A meter that is asked, by its name.
type Asked = (String, Arc<dyn PowerMeter>);

/// A meter, and what is believed of it.
pub(super) struct Watched {
    pub(super) row: Meter,
    meter: Arc<dyn PowerMeter>,
    /// It was asked, and has not answered yet.
    is_asked: bool,
    pub(super) gauge: Gauge,
    /// Its count of thousandths of a joule, as it was read last; `None` where it has none.
    pub(super) count: Option<u64>,
    pub(super) reading: Option<Reading>,
    pub(super) error: Option<MeterError>,
    pub(super) believed: Option<Believed>,
    /// Since when it is not believed.
    pub(super) doubted_at: Option<Micros>,
}

impl Watched {
    pub(super) fn new(row: &Meter, meter: Arc<dyn PowerMeter>) -> Self {
        Self {
            row: row.clone(),
            meter,
            is_asked: false,
            gauge: Gauge::default(),
            count: None,
            reading: None,
            error: None,
            believed: None,
            doubted_at: None,
        }
    }

    /// What is believed of it from now on.
    pub(super) fn believe(&mut self, now: Micros, believed: Believed) {
        let why = |believed: Believed| believed.doubt.map(|doubt| doubt.why);
        // What is taken instead may change from look to look.
        if why(believed) != self.believed.and_then(why) {
            told(&self.row, believed);
        }
        self.doubted_at = believed.doubt.and(self.doubted_at.or(Some(now)));
        self.believed = Some(believed);
    }
}

impl PowerPlane {
    /// Meters as the fleet file names them; what is known of one that stays as it is stays.
    pub(super) fn follow_meters(&self, fleet: &Fleet) {
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
            // One whose address is none is shown as one that cannot be read.
            let meter = meter::meter_of(row, &self.gateway.client)
                .unwrap_or_else(|error| Box::new(NoMeter(error)));
            let watched = Watched::new(row, Arc::from(meter));
            state.meters.insert(id.to_owned(), watched);
        }
    }

    /// Asks all meters at once. One that does not answer soon keeps nobody waiting: what it says counts once it comes, and until then it is
    /// not asked again.
    pub(super) async fn read_meters(self: &Arc<Self>, look_ms: u64) {
        let (meters, is_first) = self.unasked();
        let asked = meters.into_iter().map(|(id, meter)| {
            let plane = Arc::downgrade(self);
            tokio::spawn(async move {
                let read = meter.read().await;
                if let Some(plane) = plane.upgrade() {
                    plane.meter_told(&id, &meter, read);
                }
            })
        });
        let asked: Vec<_> = asked.collect();
        let wait = match is_first {
            // Nothing is known of it yet, and what is taken then is the most that it can be.
            true => READ_TIME_MAX,
            false => Duration::from_millis(look_ms / 2).min(ANSWERS_IN_MAX),
        };
        drop(timeout(wait, join_all(asked)).await);
    }

    /// Meters that are not being asked, which are from now on, and whether one of them has told nothing yet.
    fn unasked(&self) -> (Vec<Asked>, bool) {
        let mut state = self.lock();
        let mut is_first = false;
        let meters = state.meters.iter_mut();
        let unasked = meters.filter(|(_, watched)| !watched.is_asked);
        let asked = unasked.map(|(id, watched)| {
            watched.is_asked = true;
            is_first |= watched.reading.is_none() && watched.error.is_none();
            (id.clone(), Arc::clone(&watched.meter))
        });
        (asked.collect(), is_first)
    }

    fn meter_told(
        &self,
        id: &str,
        meter: &Arc<dyn PowerMeter>,
        read: Result<MeterReading, MeterError>,
    ) {
        let at = clock::now();
        let mut state = self.lock();
        // The fleet file may name another one by now.
        let is_it = |watched: &&mut Watched| Arc::ptr_eq(&watched.meter, meter);
        let Some(watched) = state.meters.get_mut(id).filter(is_it) else {
            return;
        };
        watched.is_asked = false;
        match read {
            Ok(MeterReading { watts, millijoules }) => {
                watched.count = millijoules;
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
                watched.count = None;
                watched.error = Some(error);
            }
        }
    }

    /// What is believed of a site's meters, by what the model says of what they measure.
    pub(super) fn believe(
        &self,
        now: Micros,
        (fleet, site): (&Fleet, &SiteId),
        (parts, runs): (&Parts, &[BendingRun]),
    ) -> Readings {
        let stale_us = fleet.power.stale_ms.saturating_mul(1_000);
        let mut readings = Readings::default();
        let mut state = self.lock();
        let own = state
            .meters
            .values_mut()
            .filter(|watched| watched.row.site == site.as_str());
        // The site's own last: what they say is held against the others.
        let (whole, of_parts): (Vec<_>, Vec<_>) = own.partition(|watched| is_whole(&watched.row));
        let only = (whole.len() == 1).then_some(());
        let mut parts_watts = 0_u64;
        for watched in of_parts.into_iter().chain(whole) {
            let row = &watched.row;
            let bounds = bounds((fleet, site), row, (parts, runs));
            let model = bounds.unwrap_or_else(scene::unbounded);
            let believed = watched.gauge.take(now, watched.reading, &model, stale_us);
            if believed.measured && !is_whole(row) {
                parts_watts = parts_watts.saturating_add(believed.watts);
            }
            let believed = Believed {
                watts: believed.watts.saturating_add(match believed.measured {
                    true => left_out(fleet, row, &model),
                    false => 0,
                }),
                ..believed
            };
            let believed = match only.filter(|()| is_whole(row)) {
                Some(()) => {
                    let all_watts = scene::least_of_parts((fleet, site), runs, &readings);
                    let pue_milli = scene::pue_milli(fleet, site);
                    believed.no_less_than(parts_watts, at_meter(all_watts, pue_milli))
                }
                None => believed,
            };
            watched.believe(now, believed);
            let is_mute = bounds.is_none() && watched.gauge.is_mute();
            readings.add(&watched.row, believed, is_mute);
        }
        readings
    }
}

/// What the model says of what a meter measures; `None` where nobody says what that draws: then the meter alone is believed.
pub(super) fn bounds(
    (fleet, site): (&Fleet, &SiteId),
    row: &Meter,
    (parts, runs): (&Parts, &[BendingRun]),
) -> Option<Modelled> {
    let modelled = |loads: &[Load], pue_milli| {
        let rise = fleet.power.rise_milli_per_s;
        (!loads.is_empty()).then(|| scene::modelled(loads, pue_milli, rise))
    };
    let whole = match (&row.replica, &row.nodes) {
        (Some(replica), _) => {
            let is_it =
                |load: &&Load| matches!(&load.id, LoadId::Replica(id) if id.as_str() == replica);
            let loads: Vec<Load> = parts.loads.iter().filter(is_it).cloned().collect();
            modelled(&loads, WHOLE_MILLI)
        }
        (None, Some(nodes)) => modelled(&scene::of_nodes(fleet, nodes, runs).loads, WHOLE_MILLI),
        // Cooling is in a site's own meter alone.
        (None, None) if parts.unknown.is_empty() => {
            modelled(&parts.loads, scene::pue_milli(fleet, site))
        }
        (None, None) => None,
    }?;
    // One of several measures a part, and nobody says how small; NVML measures accelerators without their machine.
    let idle_watts = match (is_alone(fleet, row), row.kind) {
        (false, _) | (_, MeterKind::Nvml) => 0,
        _ => whole.idle_watts,
    };
    Some(Modelled {
        idle_watts,
        ..whole
    })
}

/// What the machine draws beside its accelerators, in watts, where NVML alone measures these: a cap is held to no less.
pub(super) fn left_out(fleet: &Fleet, row: &Meter, model: &Modelled) -> u64 {
    if row.kind != MeterKind::Nvml || !is_alone(fleet, row) {
        return 0;
    }
    let named = |name: &String| {
        let found = fleet.nodes.iter().find(|(id, _)| id.as_str() == name);
        let (_, nodes) = found?;
        let all = u64::from(nodes.count) * u64::from(nodes.per_node);
        Some(scene::of_accelerator(nodes)?.times(all).full_watts)
    };
    // The model of machines knows no more than their runs could draw.
    let full_watts = row.nodes.as_ref().and_then(named);
    machine_watts(full_watts.unwrap_or(model.full_watts))
}

/// Whether it is a site's own.
fn is_whole(row: &Meter) -> bool {
    row.replica.is_none() && row.nodes.is_none()
}

/// Whether no other meter measures the same.
fn is_alone(fleet: &Fleet, row: &Meter) -> bool {
    let of = |row: &Meter| (row.site.clone(), row.replica.clone(), row.nodes.clone());
    fleet
        .meters
        .iter()
        .filter(|other| of(other) == of(row))
        .count()
        == 1
}

fn told(row: &Meter, believed: Believed) {
    let Believed { watts, doubt, .. } = believed;
    match doubt {
        Some(Doubted { why, instead }) => {
            let (why, instead) = (why.as_str(), instead.as_str());
            tracing::warn!(
                meter = row.id,
                watts,
                why,
                instead,
                "a meter is not believed: so much is taken as drawn"
            );
        }
        None => tracing::info!(meter = row.id, watts, "a meter is believed again"),
    }
}
