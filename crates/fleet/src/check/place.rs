//! What a site, an upstream or an origin says of where data comes to.

use super::Check;
use crate::at::At;
use crate::model::PlaceFacts;
use crate::raw::{RawOrigin, RawSite, RawUpstream, Text, Texts};
use crate::shape::brief;
use jiff::civil::Date;
use madang_types::{Assurance, Country, Place};
use std::collections::BTreeSet;
use std::ops::Range;

/// The keys that sites, upstreams and origins have in common.
pub(super) struct RawFacts<'r> {
    zone: &'r Text,
    assurance: &'r Texts,
    lists: [&'r Texts; 4],
    abuse_log_days: Option<u32>,
    zero_retention: bool,
    verified_on: &'r Text,
    texts: [&'r Text; 3],
}

macro_rules! facts {
    ($row:expr, $inferred_in:expr) => {
        RawFacts {
            zone: &$row.zone,
            assurance: &$row.assurance,
            lists: [
                &$row.stored_in,
                $inferred_in,
                &$row.tls_ends_in,
                &$row.abuse_logs_in,
            ],
            abuse_log_days: $row.abuse_log_days.as_ref().map(|at| at.value),
            zero_retention: $row.zero_retention.as_ref().is_some_and(|at| at.value),
            verified_on: &$row.verified_on,
            texts: [&$row.recipient, &$row.purpose, &$row.retention],
        }
    };
}

impl RawSite {
    pub(super) fn facts(&self) -> RawFacts<'_> {
        facts!(self, &self.inferred_in)
    }
}

impl RawUpstream {
    pub(super) fn facts(&self) -> RawFacts<'_> {
        facts!(self, &self.inferred_in)
    }
}

impl RawOrigin {
    pub(super) fn facts(&self) -> RawFacts<'_> {
        facts!(self, &None)
    }

    /// A key that says what the site says already, where there is one.
    pub(super) fn own_fact(&self) -> Option<&Range<usize>> {
        let country = [&self.country, &self.operator_country];
        let flag = self.zero_retention.as_ref().map(|at| &at.span);
        let days = self.abuse_log_days.as_ref().map(|at| &at.span);
        let RawFacts {
            zone,
            assurance,
            lists,
            verified_on,
            texts,
            ..
        } = self.facts();
        let singles = country.into_iter().chain([zone, verified_on]).chain(texts);
        let lists = lists.into_iter().chain([assurance]).flatten();
        let spans = singles.flatten().map(|at| &at.span);
        spans
            .chain(lists.map(|at| &at.span))
            .chain(flag)
            .chain(days)
            .next()
    }
}

impl Check<'_, '_> {
    /// What is known of a place that others run, in these countries (its own, its operator's); `None` where something in it is
    /// wrong.
    pub(super) fn others_place(
        &mut self,
        (country, operator_country): (&Text, &Text),
        raw: &RawFacts<'_>,
    ) -> Option<(Place, PlaceFacts)> {
        let place = Place {
            country: self.country(country),
            operator_country: self.country(operator_country),
            ..Place::default()
        };
        let is_wrong = country.is_some() && place.country.is_none()
            || operator_country.is_some() && place.operator_country.is_none();
        let read = self.place_of(place, raw);
        read.filter(|_| !is_wrong)
    }

    /// Adds what a row says to what is known of its place; `None` where something in it is wrong.
    pub(super) fn place_of(
        &mut self,
        place: Place,
        raw: &RawFacts<'_>,
    ) -> Option<(Place, PlaceFacts)> {
        let [stored_in, inferred_in, tls_ends_in, abuse_logs_in] =
            raw.lists.map(|list| self.countries(list));
        let verified_on = self.date(raw.verified_on);
        self.undated(raw);
        // The words of the schema are those of the types; a test holds them together.
        let zone = raw.zone.as_ref().and_then(|at| at.value.parse().ok());
        let words = raw.assurance.iter().flat_map(|at| &at.value);
        let assurance: BTreeSet<Assurance> = words.filter_map(|at| at.value.parse().ok()).collect();
        let place = Place {
            zone,
            assurance,
            stored_in: stored_in?,
            inferred_in: inferred_in?,
            tls_ends_in: tls_ends_in?,
            abuse_logs_in: abuse_logs_in?,
            zero_retention: raw.zero_retention,
            ..place
        };
        let [recipient, purpose, retention] = raw
            .texts
            .map(|text| text.as_ref().map(|at| at.value.clone()));
        let facts = PlaceFacts {
            abuse_log_days: raw.abuse_log_days,
            verified_on: verified_on?,
            recipient,
            purpose,
            retention,
        };
        Some((place, facts))
    }

    fn countries(&mut self, list: &Texts) -> Option<BTreeSet<Country>> {
        let all = list.iter().flat_map(|list| &list.value);
        // Every one is looked at, so that every wrong one is reported.
        let read: Vec<Option<Country>> = all.map(|at| self.country_at(at)).collect();
        read.into_iter().collect()
    }

    /// A day, if one is given. `None` where what is given is none.
    pub(super) fn date(&mut self, text: &Text) -> Option<Option<Date>> {
        match text {
            None => Some(None),
            Some(at) => date(at, |span, message| {
                self.report
                    .error("date_invalid", span, message)
                    .help("year, month and day, such as \"2026-11-26\"");
            })
            .map(Some),
        }
    }

    /// Facts that somebody relies on, and nobody dated.
    fn undated(&mut self, raw: &RawFacts<'_>) {
        let lists = raw.lists.into_iter().flatten();
        let first = raw
            .zone
            .iter()
            .map(|at| &at.span)
            .chain(raw.assurance.iter().map(|at| &at.span));
        let mut relied = first.chain(lists.map(|at| &at.span));
        if let (Some(span), None, true) = (relied.next(), raw.verified_on, self.report.is_whole()) {
            self.report
                .warning("unverified", span, "nobody says when these facts were verified")
                .help("add verified_on = \"YYYY-MM-DD\": reports show it, and facts older than a year are reported");
        }
    }
}

/// A day, or a word on why it is none.
pub(super) fn date(at: &At<String>, mut wrong: impl FnMut(&Range<usize>, String)) -> Option<Date> {
    let day = at
        .value
        .parse::<Date>()
        .ok()
        .filter(|_| at.value.len() == 10);
    if day.is_none() {
        wrong(&at.span, format!("\"{}\" is no day", brief(&at.value)));
    }
    day
}
