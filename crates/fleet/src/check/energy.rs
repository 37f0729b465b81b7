//! What a site's electricity costs: bands that can be read, and that leave no hour out.

use super::Check;
use crate::at::At;
use crate::energy::{Band, DAY_H, Days, Numbers, SiteElectricity, Tariff, WordError};
use crate::raw::{RawBand, RawSite, Text};
use crate::shape::brief;
use std::ops::Range;

/// Bands of one tariff: each hour of the years after each of their days is looked through.
const BANDS_MAX: usize = 100;
/// Farther from UTC is no place on earth, in seconds.
const OFFSET_S_MAX: i32 = 14 * 3_600;

impl Check<'_, '_> {
    /// What is known of a site's electricity; `None` where something of it is wrong.
    pub(super) fn electricity(&mut self, raw: &RawSite) -> Option<SiteElectricity> {
        let tariff = match &raw.tariff {
            None => None,
            Some(bands) => Some(self.tariff(bands)?),
        };
        let offset = match &raw.utc_offset {
            None => None,
            Some(text) => Some(self.offset(text)?),
        };
        if let (Some(bands), None) = (&raw.tariff, &raw.utc_offset) {
            let message = "nobody says by which time the hours of `tariff` are";
            self.report
                .error("missing_key", &bands.span, message)
                .help("add how far local time is ahead of UTC, as utc_offset = \"+09:00\"");
            return None;
        }
        let carbon_hours = self.hours("carbon_hours", &raw.carbon_hours)?;
        let renewables_kw = self.hours("renewables_hours_kw", &raw.renewables_hours_kw)?;
        let others = [
            raw.carbon_g_per_kwh.as_ref().map(|at| &at.span),
            raw.carbon_hours.as_ref().map(|at| &at.span),
            raw.renewables_hours_kw.as_ref().map(|at| &at.span),
        ];
        if let (None, Some(span)) = (&raw.tariff, others.into_iter().flatten().next()) {
            let message = "it says nothing to jobs that wait for cheap hours without a `tariff`";
            self.report
                .warning("key_without_effect", span, message)
                .help("add `tariff`; [{ won_per_kwh = 150 }] is one price for all hours");
        }
        Some(SiteElectricity {
            tariff,
            carbon_g_per_kwh: raw.carbon_g_per_kwh.as_ref().map(|at| at.value),
            carbon_hours,
            renewables_kw,
            utc_offset_s: offset.unwrap_or(0),
        })
    }

    fn tariff(&mut self, bands: &At<Vec<At<RawBand>>>) -> Option<Tariff> {
        if let Some(band) = bands.value.get(BANDS_MAX) {
            let message = format!("a tariff has at most {BANDS_MAX} bands");
            self.report
                .error("number_range", &band.span, message)
                .help("put alike ones together: `hours` and `months` take several ranges");
            return None;
        }
        let rows: Vec<Option<Band>> = bands
            .value
            .iter()
            .map(|band| self.band(&band.value))
            .collect();
        let tariff = Tariff::new(rows.into_iter().collect::<Option<Vec<Band>>>()?);
        let Some(hole) = tariff.hole_ever() else {
            return Some(tariff);
        };
        let (day, hour) = (hole.date(), hole.hour());
        let weekday = hole.strftime("%A");
        let message = format!(
            "the tariff says nothing of {weekday}, {day}, {hour} to {} h",
            hour + 1
        );
        self.report
            .error("tariff_incomplete", &bands.span, message)
            .help("the first band that matches an hour holds: a last one for all of it would do, as { won_per_kwh = 150 }");
        None
    }

    fn band(&mut self, raw: &RawBand) -> Option<Band> {
        let from = self.date(&raw.from);
        let until = self.date(&raw.until);
        let months = self.word(&raw.months, Numbers::months);
        let days = self.word(&raw.days, Days::read);
        let hours = self.word(&raw.hours, Numbers::hours);
        Some(Band {
            from: from?,
            until: until?,
            months: months?,
            days: days?,
            hours: hours?,
            won_per_kwh: raw.won_per_kwh.as_ref()?.value,
        })
    }

    /// A word of a band; one that is not given is empty.
    fn word<T>(&mut self, text: &Text, read: fn(&str) -> Result<T, WordError>) -> Option<T> {
        let (word, span) = text
            .as_ref()
            .map_or(("", 0..0), |at| (at.value.as_str(), at.span.clone()));
        match read(word) {
            Ok(value) => Some(value),
            Err(error) => {
                self.wrong(
                    &span,
                    error.to_string(),
                    "months are 1 to 12, hours 0 to 24",
                );
                None
            }
        }
    }

    fn wrong(&mut self, span: &Range<usize>, message: String, help: &'static str) {
        self.report.error("number_range", span, message).help(help);
    }

    /// One number for each hour of the day, none of them below nothing.
    fn hours(&mut self, key: &str, at: &Option<At<Vec<f64>>>) -> Option<Option<[f64; DAY_H]>> {
        let Some(At { value, span }) = at else {
            return Some(None);
        };
        let is_sound = |number: &f64| (0.0..=1e8).contains(number);
        let hours = <[f64; DAY_H]>::try_from(value.as_slice()).ok();
        let hours = hours.filter(|hours| hours.iter().all(is_sound));
        if hours.is_none() {
            let message = format!(
                "`{key}` has {} numbers: it has one for each of the 24 hours from midnight, none below 0",
                value.len()
            );
            self.wrong(
                span,
                message,
                "as [0, 0, 0, 0, 0, 0, 1, 3, 5, 7, 8, 9, 9, 9, 8, 6, 4, 2, 0, 0, 0, 0, 0, 0]",
            );
        }
        hours.map(Some)
    }

    fn offset(&mut self, at: &At<String>) -> Option<i32> {
        let offset = offset_s(&at.value).filter(|offset| offset.abs() <= OFFSET_S_MAX);
        if offset.is_none() {
            let message = format!("\"{}\" is no difference to UTC", brief(&at.value));
            self.wrong(&at.span, message, "as \"+09:00\"");
        }
        offset
    }
}

/// Seconds of `+09:00` or `-03:30:15`.
fn offset_s(text: &str) -> Option<i32> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let parts: Vec<&str> = rest.split(':').collect();
    let is_sound = |part: &&str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !(2..=3).contains(&parts.len()) || !parts.iter().all(is_sound) {
        return None;
    }
    let mut seconds = 0;
    for (part, whole) in parts.into_iter().zip([3_600, 60, 1]) {
        let number: i32 = part.parse().ok()?;
        if whole < 3_600 && number >= 60 {
            return None;
        }
        seconds += number * whole;
    }
    Some(sign * seconds)
}
