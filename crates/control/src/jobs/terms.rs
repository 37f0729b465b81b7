//! What the fleet file says of jobs, in the core's words.

use super::JobsPlane;
use madang_core::desk::DeskReservation;
use madang_core::jobs::{Backfill, JobTerms};
use madang_fleet::{JobsBackfill, JobsReservation};
use madang_types::{NodesId, TenantId};

/// So long before machines are kept those are stopped there that can be, where nobody says otherwise.
const NOTICE_MS: u64 = 600_000;

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

    /// Machines that are kept.
    pub(super) fn reservations(&self) -> Vec<DeskReservation> {
        let snapshot = self.gateway.snapshot();
        let fleet = &snapshot.fleet;
        let reservation = |kept: &JobsReservation| {
            let nodes: NodesId = kept.nodes.parse().ok()?;
            let tenant: Option<TenantId> = kept.tenant.as_ref().and_then(|id| id.parse().ok());
            let programme = match &tenant {
                Some(tenant) => fleet.tenants.get(tenant)?.programme.clone(),
                None => kept.programme.as_ref().and_then(|id| id.parse().ok()),
            };
            let (from, until) = kept.span()?;
            let is_owned = programme.is_some() || tenant.is_some();
            Some(DeskReservation {
                id: kept.id.clone(),
                machines: kept.machines_of(fleet.nodes.get(&nodes)?.count),
                nodes,
                owner: is_owned.then_some((programme, tenant)),
                from,
                until,
                notice_us: kept.notice_ms.unwrap_or(NOTICE_MS).saturating_mul(1_000),
            })
        };
        let reservations = fleet.jobs.reservations.iter();
        reservations.filter_map(reservation).collect()
    }
}
