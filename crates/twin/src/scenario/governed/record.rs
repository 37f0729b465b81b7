//! What is written down of a governed site: what it drew, and what was done about it.

use crate::scenario::model::Site;
use jiff::civil::{Date, DateTime, Time};
use madang_core::power::governor::{PowerDeed, PowerLine};
use serde::Serialize;
use std::collections::BTreeMap;

/// Deeds of a site that are listed; more are counted.
const DEEDS_MAX: usize = 256;
const KILO: f64 = 1e3;
const US_PER_ACCELERATOR_H: f64 = 3.6e9;

/// How a site was kept under its cap.
#[derive(Clone, Debug, Serialize)]
pub struct SitePower {
    /// Its name.
    pub site: String,
    /// Greatest power that it may draw, in kW at the meter.
    pub cap_kw: Option<f64>,
    /// Greatest mean power of a second, in kW at the meter.
    pub peak_kw: f64,
    /// Time above the cap, in milliseconds.
    pub over_cap_ms: u64,
    /// By how much at most, in kW.
    pub over_cap_kw_max: f64,
    /// Accelerator-hours in which jobs stood still.
    pub stood_accelerator_h: f64,
    /// How often each kind of act was taken.
    pub acts: BTreeMap<&'static str, u64>,
    /// What was done, the first of it.
    pub deeds: Vec<DeedLine>,
    /// How much more was done.
    pub deeds_left_out: u64,
}

/// One deed of a governor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeedLine {
    /// When.
    pub at: String,
    /// `took`, `seen`, `gave`, `short` or `met`.
    pub deed: &'static str,
    /// Which act.
    pub act: Option<String>,
    /// What the act is thought to save (`took`), by how much less was drawn once it had its time (`seen`), what is missing (`short`),
    /// in watts.
    pub watts: Option<i64>,
    /// What was read at the meter then, in watts.
    pub drawn_watts: u64,
    /// What might be drawn, in watts.
    pub cap_watts: Option<u64>,
}

impl SitePower {
    pub(super) fn new(site: &Site) -> Self {
        Self {
            site: site.id.to_string(),
            cap_kw: site.cap_watts.map(|cap| cap as f64 / KILO),
            peak_kw: 0.0,
            over_cap_ms: 0,
            over_cap_kw_max: 0.0,
            stood_accelerator_h: 0.0,
            acts: BTreeMap::new(),
            deeds: Vec::new(),
            deeds_left_out: 0,
        }
    }

    /// So many watts were drawn, so many of them above the cap, while so many accelerators stood still.
    pub(super) fn drawn(&mut self, span_us: u64, (watts, over): (u64, u64), stood: u64) {
        self.peak_kw = self.peak_kw.max(watts as f64 / KILO);
        self.over_cap_kw_max = self.over_cap_kw_max.max(over as f64 / KILO);
        if over > 0 {
            self.over_cap_ms += span_us / 1_000;
        }
        self.stood_accelerator_h += stood as f64 * span_us as f64 / US_PER_ACCELERATOR_H;
    }

    pub(super) fn tell(&mut self, stamp: &Stamp, line: &PowerLine) {
        let signed = |watts: u64| i64::try_from(watts).unwrap_or(i64::MAX);
        let (deed, act, watts) = match &line.what {
            PowerDeed::Took { act, saves_watts } => {
                *self.acts.entry(act.kind()).or_default() += 1;
                ("took", Some(act), Some(signed(*saves_watts)))
            }
            PowerDeed::Seen { act, saved_watts } => ("seen", Some(act), Some(*saved_watts)),
            PowerDeed::Gave { act } => ("gave", Some(act), None),
            PowerDeed::Short { lacks_watts } => ("short", None, Some(signed(*lacks_watts))),
            PowerDeed::Met => ("met", None, None),
        };
        if self.deeds.len() >= DEEDS_MAX {
            self.deeds_left_out += 1;
            return;
        }
        self.deeds.push(DeedLine {
            at: stamp.at(u64::try_from(line.at.0).unwrap_or(0)),
            deed,
            act: act.map(ToString::to_string),
            watts,
            drawn_watts: line.drawn_watts,
            cap_watts: line.cap_watts,
        });
    }
}

/// Instants of a run as they are written.
pub(super) struct Stamp(DateTime);

impl Stamp {
    pub fn new(start: Date) -> Self {
        Self(start.to_datetime(Time::midnight()))
    }

    /// So many microseconds from the start, as `2026-07-15T18:00:03`.
    pub fn at(&self, us: u64) -> String {
        let seconds = i64::try_from(us / 1_000_000).unwrap_or(i64::MAX);
        let at = self.0.checked_add(jiff::SignedDuration::from_secs(seconds));
        at.unwrap_or(self.0)
            .strftime("%Y-%m-%dT%H:%M:%S")
            .to_string()
    }
}
