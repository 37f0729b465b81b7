//! Programmes: their days, and who may take part.

use super::Check;
use super::policy::{begin_of, end_of, word};
use crate::at::At;
use crate::model::ProgrammeEntry;
use crate::problem::Report;
use crate::raw::{RawProgramme, Text};
use madang_types::people::TermsError;
use madang_types::{Micros, Period, ProgrammeId, ProgrammeJobs, ProgrammeTerms};

impl Check<'_, '_> {
    pub(super) fn programme(
        &mut self,
        row: &At<RawProgramme>,
    ) -> Option<(ProgrammeId, ProgrammeEntry)> {
        let raw = &row.value;
        let id = self.name(&raw.id, ProgrammeId::new);
        let from = self.bound(&raw.begins_on, begin_of);
        let until = self.bound(&raw.ends_on, end_of);
        let terms = ProgrammeTerms {
            period: Period {
                from: from?,
                until: until?,
            },
            eligibility: raw
                .eligibility
                .as_ref()
                .map_or_else(String::new, |at| at.value.clone()),
            residency_floor: word(&raw.residency_floor),
            jobs: ProgrammeJobs {
                when_ended: word(&raw.jobs_when_ended).unwrap_or_default(),
                preempted: word(&raw.jobs_preempted).unwrap_or_default(),
            },
        };
        if let Err(error) = terms.check() {
            let (text, remedy) = match error {
                TermsError::Reversed => (
                    &raw.ends_on,
                    "let it end on the day on which it begins, or later",
                ),
                TermsError::TooLong(_) => (
                    &raw.eligibility,
                    "say it shorter, and where more of it stands",
                ),
                TermsError::Unprintable => (&raw.eligibility, "take them out"),
            };
            let span = text.as_ref().map_or(&row.span, |at| &at.span);
            self.report
                .error("terms_invalid", span, error.to_string())
                .help(remedy);
            return None;
        }
        let weight = raw.weight.as_ref().map_or(1, |at| at.value);
        Some((id?, ProgrammeEntry { weight, terms }))
    }

    /// A bound where one is given; `None` where what is given is no day.
    fn bound(
        &mut self,
        day: &Text,
        read: fn(&mut Report<'_>, &At<String>) -> Option<Micros>,
    ) -> Option<Option<Micros>> {
        match day {
            None => Some(None),
            Some(at) => read(self.report, at).map(Some),
        }
    }
}
