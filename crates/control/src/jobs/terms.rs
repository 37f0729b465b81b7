//! What the fleet file says of jobs, in the core's words.

use super::JobsPlane;
use madang_core::jobs::{Backfill, JobTerms};
use madang_fleet::JobsBackfill;

impl JobsPlane {
    /// How the rule works.
    pub(super) fn terms(&self) -> JobTerms {
        let snapshot = self.gateway.snapshot();
        JobTerms {
            backfill: match snapshot.fleet.jobs.backfill {
                JobsBackfill::Easy => Backfill::Easy,
                JobsBackfill::Conservative => Backfill::Conservative,
            },
            ..JobTerms::default()
        }
    }
}
