//! How power stands at a site, for people and for metrics.

use super::meters::Watched;
use super::{PowerPlane, Seen};
use madang_core::power::caps::{Cap, watts_of};
use madang_core::power::gauge::Doubted;
use madang_core::power::governor::{Act, Governor, Load, Orders, PowerDeed, PowerLine};
use madang_gateway::clock::{self, clock_text};
use madang_gateway::metrics::{MeterSample, PowerSample};
use madang_types::{Micros, PowerEvent, SiteId};
use std::collections::BTreeSet;

/// Lines of the log that are shown, the newest.
const LINES_SHOWN_MAX: usize = 50;

/// How power stands at a site.
#[derive(Clone, Debug, Default)]
pub struct SitePower {
    /// What it may draw, or will have to soon; `None` where nobody says.
    pub cap: Option<Cap>,
    /// What it draws, in watts at its meter.
    pub drawn_watts: u64,
    /// Something says so: a meter that told something, or a model.
    pub is_known: bool,
    /// That is measured; else a model says so.
    pub measured: bool,
    /// What it draws where all does nothing, in watts at its meter: no cap below that can be kept.
    pub idle_watts: u64,
    /// What it may draw at most, in watts at its meter.
    pub full_watts: u64,
    /// What it may draw once all that was decided holds, with what may rise meanwhile, in watts at its meter.
    pub expected_watts: u64,
    /// What it draws over the cap that is in force now, in watts.
    pub over_watts: u64,
    /// By how much it may come over the cap, with what may rise meanwhile, though nothing is left that bends, in watts.
    pub lacks_watts: u64,
    /// Acts in force, since when, and what each is thought to save, in watts.
    pub acts: Vec<(Act, Micros, u64)>,
    /// What draws power.
    pub loads: Vec<LoadStatus>,
    /// What measures it.
    pub meters: Vec<MeterStatus>,
    /// Things of which nobody says what they draw.
    pub unknown: Vec<String>,
    /// What was done, the newest last.
    pub log: Vec<PowerLine>,
    pub(super) orders: Orders,
    pub(super) scene_loads: Vec<Load>,
}

/// Something that draws power.
#[derive(Clone, Debug)]
pub struct LoadStatus {
    /// What: `replica:ID`, `run:ID` or `rest`.
    pub what: String,
    /// What it draws, in watts.
    pub watts: u64,
    /// Where it does nothing, in watts.
    pub idle_watts: u64,
    /// At most, in watts.
    pub full_watts: u64,
}

/// A meter.
#[derive(Clone, Debug)]
pub struct MeterStatus {
    /// Its name.
    pub id: String,
    /// What it measures: `site`, `nodes:ID` or `replica:ID`.
    pub of: String,
    /// What it said last, in watts.
    pub told_watts: Option<u64>,
    /// When.
    pub told_at: Option<Micros>,
    /// What is taken as drawn, in watts.
    pub watts: u64,
    /// What it says is believed.
    pub measured: bool,
    /// Why not, and what is taken instead.
    pub doubt: Option<Doubted>,
    /// Since when it is not believed.
    pub doubted_at: Option<Micros>,
    /// Why it cannot be read.
    pub error: Option<String>,
}

impl SitePower {
    /// What an event leaves of it, in watts at its meter; `None` of a part where nothing says what it draws.
    pub fn left_watts(&self, event: &PowerEvent) -> Option<u64> {
        watts_of(event, self.is_known.then_some(self.drawn_watts))
    }

    pub(super) fn of(seen: &Seen, governor: &Governor) -> Self {
        let scene = &seen.scene;
        let skipped = governor.log().count().saturating_sub(LINES_SHOWN_MAX);
        let acts = governor.acts();
        Self {
            cap: scene.cap.clone(),
            drawn_watts: scene.drawn_watts,
            is_known: seen.is_known,
            measured: seen.measured,
            idle_watts: seen.model.idle_watts,
            full_watts: seen.model.full_watts,
            expected_watts: governor.expected_watts(),
            over_watts: seen.over_watts(),
            lacks_watts: governor.lacks_watts(),
            acts: acts
                .map(|(act, at, saves)| (act.clone(), at, saves))
                .collect(),
            loads: scene.loads.iter().map(load).collect(),
            meters: Vec::new(),
            unknown: seen.unknown.clone(),
            log: governor.log().skip(skipped).cloned().collect(),
            orders: governor.orders(),
            scene_loads: scene.loads.clone(),
        }
    }
}

fn load(load: &Load) -> LoadStatus {
    LoadStatus {
        what: load.id.to_string(),
        watts: load.watts,
        idle_watts: load.profile.idle_watts,
        full_watts: load.profile.full_watts,
    }
}

pub(super) fn meter(watched: &Watched) -> MeterStatus {
    let believed = watched.believed;
    MeterStatus {
        id: watched.row.id.clone(),
        of: match (&watched.row.replica, &watched.row.nodes) {
            (Some(id), _) => format!("replica:{id}"),
            (None, Some(id)) => format!("nodes:{id}"),
            (None, None) => "site".to_owned(),
        },
        told_watts: watched.reading.map(|reading| reading.watts),
        told_at: watched.reading.map(|reading| reading.at),
        watts: believed.map_or(0, |believed| believed.watts),
        measured: believed.is_some_and(|believed| believed.measured),
        doubt: believed.and_then(|believed| believed.doubt),
        doubted_at: watched.doubted_at,
        error: watched.error.as_ref().map(ToString::to_string),
    }
}

/// What was done is in the server's log.
pub(super) fn tell(site: &SiteId, line: &PowerLine) {
    let PowerLine {
        what,
        drawn_watts,
        cap_watts,
        ..
    } = line;
    match what {
        PowerDeed::Took { act, saves_watts } => {
            tracing::warn!(%site, %act, saves_watts, drawn_watts, cap_watts, "power is short: an act is taken");
        }
        PowerDeed::Seen { act, saved_watts } => {
            tracing::info!(%site, %act, saved_watts, drawn_watts, "what an act brought");
        }
        PowerDeed::Gave { act } => {
            tracing::info!(%site, %act, drawn_watts, cap_watts, "an act is taken back");
        }
        PowerDeed::Short { lacks_watts } if cap_watts.is_some_and(|cap| *drawn_watts <= cap) => {
            tracing::warn!(%site, lacks_watts, drawn_watts, cap_watts, "the cap is kept now and may not be soon: what may rise would pass it, and nothing is left that bends");
        }
        PowerDeed::Short { lacks_watts } => {
            tracing::error!(%site, lacks_watts, drawn_watts, cap_watts, "the cap is not kept: nothing is left that bends");
        }
        PowerDeed::Met => {
            tracing::info!(%site, drawn_watts, cap_watts, "the cap is kept, and what may rise is met");
        }
    }
}

/// Caps and events that are new since the last look, and those that are over, are in the server's log: at the start all that hold, whoever
/// set them. Who it was is in the audit log.
pub(super) fn tell_events(before: &[PowerEvent], now: &[PowerEvent]) {
    for event in missing(now, before) {
        let (cap_watts, cut_milli) = (event.kind.cap_watts(), event.kind.cut_milli());
        let (site, from, until) = (&event.site, clock_text(event.from), event.until);
        let until = until.map(clock_text);
        tracing::warn!(%site, event = event.id, cap_watts, cut_milli, from, until, "a cap or an event of power is set");
    }
    for PowerEvent { site, id, .. } in missing(before, now) {
        tracing::warn!(%site, event = id, "a cap or an event of power is over");
    }
}

/// What the first has and the second has not.
fn missing<'e>(
    these: &'e [PowerEvent],
    those: &[PowerEvent],
) -> impl Iterator<Item = &'e PowerEvent> {
    let those: BTreeSet<u64> = those.iter().map(|event| event.id).collect();
    these.iter().filter(move |event| !those.contains(&event.id))
}

impl PowerPlane {
    /// How sites stand at a scrape.
    pub(super) fn samples(&self) -> Vec<PowerSample> {
        let now = clock::now();
        let meter = |meter: &MeterStatus| MeterSample {
            meter: meter.id.clone(),
            doubt: meter.doubt.map(|doubt| doubt.why.kind()),
            doubted_s: meter
                .doubted_at
                .map_or(0, |at| now.since_us(at) / 1_000_000),
        };
        let sample = |(site, power): (&SiteId, &SitePower)| PowerSample {
            site: site.clone(),
            watts: power.drawn_watts,
            measured: power.measured,
            cap_watts: power.cap.as_ref().map(|cap| cap.watts),
            over_watts: power.over_watts,
            lacks_watts: power.lacks_watts,
            meters: power.meters.iter().map(meter).collect(),
            vtns: self.vtns_answer(site),
            acts: power.acts.iter().map(|(act, ..)| act.kind()).collect(),
        };
        self.lock().sites.iter().map(sample).collect()
    }

    fn vtns_answer(&self, site: &SiteId) -> Vec<(String, bool)> {
        let vtns = self.vtns(site).into_iter();
        vtns.filter_map(|(id, vtn)| Some((id, vtn.answers()?)))
            .collect()
    }
}
