//! Engines that fail.

use super::place::hours_ns;
use super::{Check, Names};
use crate::scenario::model::{EngineGroup, FailureGroup};
use crate::scenario::raw::{RawFailure, Rows};

impl Check<'_, '_> {
    pub(super) fn failures(
        &mut self,
        rows: Rows<RawFailure>,
        (names, engines): (&Names, &[Option<EngineGroup>]),
    ) -> Vec<FailureGroup> {
        let mut failures = Vec::new();
        for row in rows.into_iter().flatten() {
            failures.extend(self.failure(&row.value, (names, engines)));
        }
        failures
    }

    fn failure(
        &mut self,
        raw: &RawFailure,
        (names, engines): (&Names, &[Option<EngineGroup>]),
    ) -> Option<FailureGroup> {
        let group = self.find(&raw.engine, "engine", names);
        let at = raw.at_h.as_ref()?;
        if at.value >= f64::from(self.hours) {
            let message = "they fail after the scenario's end";
            self.report
                .error("number_range", &at.span, message)
                .help(format!("`at_h` is below {}, its hours", self.hours));
        }
        let there = engines.get(group?)?.as_ref()?.count;
        if let Some(count) = raw.count.as_ref().filter(|count| count.value > there) {
            let message = format!("`count` is {}, of {there} engines", count.value);
            self.report
                .error("number_range", &count.span, message)
                .help("leave it out where all of them fail");
        }
        Some(FailureGroup {
            group: group?,
            count: raw.count.as_ref().map_or(there, |count| count.value),
            at_ns: hours_ns(at.value),
            down_ns: raw
                .down_min
                .as_ref()
                .map_or(0, |at| hours_ns(at.value / 60.0)),
        })
    }
}
