//! How sites are kept under their caps, and when they have to do with less.

use super::{Check, Names};
use crate::scenario::model::{EngineGroup, GridEvent, JobGroup};
use crate::scenario::raw::{RawEvent, RawPower, Rows};
use madang_core::power::governor::GovernorTerms;
use madang_fleet::PowerConfig;
use madang_fleet::text::At;
use madang_types::PowerEventKind;

/// Events of a scenario.
const EVENTS_MAX: usize = 64;
/// Between two looks, and from what is decided until it is done, in microseconds.
const LOOK_AND_DO_US: u64 = 2_000_000;
const HOUR_US: f64 = 3.6e9;
const MINUTE_US: f64 = 6e7;

/// The governor's terms, and how fast what is drawn may rise: what is not said is as in the fleet file.
pub(super) fn terms(raw: Option<RawPower>) -> (GovernorTerms, u32) {
    let default = PowerConfig::default();
    let us = |raw: Option<At<u64>>, ms: u64| raw.map_or(ms, |at| at.value) * 1_000;
    let milli = |raw: Option<At<u32>>, milli: u32| raw.map_or(milli, |at| at.value);
    let (meet, hold, back, spare, level, rise) = match raw {
        None => (None, None, None, None, None, None),
        Some(raw) => (
            raw.meet_ms,
            raw.hold_ms,
            raw.return_ms,
            raw.spare_milli,
            raw.level_milli_min,
            raw.rise_milli_per_s,
        ),
    };
    let terms = GovernorTerms {
        meet_us: us(meet, default.meet_ms),
        react_us: LOOK_AND_DO_US,
        hold_us: us(hold, default.hold_ms),
        return_us: us(back, default.return_ms),
        spare_milli: milli(spare, default.spare_milli),
        level_milli_min: milli(level, default.level_milli_min),
    };
    (terms, milli(rise, default.rise_milli_per_s))
}

impl Check<'_, '_> {
    pub(super) fn events(
        &mut self,
        rows: Rows<RawEvent>,
        sites: &Names,
        known: (&[EngineGroup], &[JobGroup]),
    ) -> Vec<GridEvent> {
        let rows = rows.unwrap_or_default();
        if let Some(row) = rows.get(EVENTS_MAX) {
            let message = format!("[[event]] has more than {EVENTS_MAX} rows");
            self.report
                .error("limits_conflict", &row.span, message)
                .help("each is measured for itself: take fewer");
        }
        let events = rows.into_iter();
        events
            .filter_map(|row| self.event(&row, sites, known))
            .collect()
    }

    fn event(
        &mut self,
        row: &At<RawEvent>,
        sites: &Names,
        (engines, jobs): (&[EngineGroup], &[JobGroup]),
    ) -> Option<GridEvent> {
        let raw = &row.value;
        let site = self.find(&raw.site, "site", sites)?;
        let draws = engines
            .iter()
            .any(|group| group.site == site && group.power.is_some());
        if !draws && jobs.iter().all(|group| group.site != site) {
            let span = raw.site.as_ref().map_or(0..0, |at| at.span.clone());
            let message = "nothing says what this site draws";
            self.report
                .error("missing_key", &span, message)
                .help("name the `accelerator` of its engines, or their idle_watts and full_watts");
        }
        let kind = match (&raw.cut_percent, &raw.to_kw) {
            (Some(percent), None) => PowerEventKind::Cut {
                milli: (percent.value * 10.0).round() as u32,
                baseline_watts: None,
            },
            (None, Some(kw)) => PowerEventKind::Cap {
                watts: (kw.value * 1_000.0) as u64,
            },
            _ => {
                let message = "exactly one of `cut_percent` and `to_kw` says what is left";
                self.choose("event", &row.span, (message, "as cut_percent = 25"));
                return None;
            }
        };
        let from_us = self.begins(raw.at.as_ref()?)?;
        let notice_us = raw
            .notice_min
            .as_ref()
            .map_or(0, |at| (at.value * MINUTE_US) as u64);
        Some(GridEvent {
            id: raw.id.as_ref()?.value.clone(),
            site,
            set_us: from_us.saturating_sub(notice_us),
            from_us,
            until_us: from_us + ((raw.for_h.as_ref()?.value * HOUR_US) as u64).max(1),
            kind,
        })
    }

    /// Microseconds from the start of the run; an instant within it.
    fn begins(&mut self, text: &At<String>) -> Option<u64> {
        let at = text.value.parse::<jiff::civil::DateTime>().ok();
        let midnight = self.start.to_datetime(jiff::civil::Time::midnight());
        let us = at.and_then(|at| {
            let since = at.duration_since(midnight);
            u64::try_from(since.as_micros()).ok()
        });
        let us = us.filter(|us| *us < u64::from(self.hours) * 3_600_000_000);
        if us.is_none() {
            let message = format!(
                "`{}` is no instant of the run",
                madang_fleet::text::brief(&text.value)
            );
            self.report
                .error("date_invalid", &text.span, message)
                .help(format!(
                    "local time, as {}T18:00, within {} hours of its midnight",
                    self.start, self.hours
                ));
        }
        us
    }
}
