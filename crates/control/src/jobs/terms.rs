//! What the fleet file says of jobs, in the core's words.

use super::JobsPlane;
use madang_core::desk::{DeskQos, DeskReservation};
use madang_core::jobs::{Backfill, JobTerms};
use madang_fleet::{JobsBackfill, JobsQos, JobsReservation};
use madang_gateway::refused::Refused;
use madang_types::{ErrorCode, Job, NodesId, ProgrammeId, TenantId};

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

    /// Classes of jobs.
    pub(super) fn qos(&self) -> Vec<DeskQos> {
        let snapshot = self.gateway.snapshot();
        let tiers = snapshot.fleet.jobs.qos_tiers().unwrap_or_default();
        let qos = |qos: &JobsQos| DeskQos {
            id: qos.id.clone(),
            priority: qos.priority.unwrap_or(DeskQos::PRIORITY),
            tier: tiers.get(qos.id.as_str()).copied().unwrap_or(0),
            held_max: qos.running_accelerators_max,
        };
        snapshot.fleet.jobs.qos.iter().map(qos).collect()
    }

    /// A job's class is there, open to its programme, and lets it run for so long.
    pub(super) fn check_qos(&self, job: &Job) -> Result<(), Refused> {
        let Some(id) = &job.spec.qos else {
            return Ok(());
        };
        let refused = |field: &str, message: String| {
            Err(Refused::new(ErrorCode::FieldInvalid, message).at(field))
        };
        let snapshot = self.gateway.snapshot();
        let is_open = |qos: &&JobsQos| {
            let programme = job.programme.as_ref().map(ProgrammeId::as_str);
            let of = qos.programmes.as_ref();
            of.is_none_or(|of| of.iter().any(|id| Some(id.as_str()) == programme))
        };
        let open = snapshot.fleet.jobs.qos.iter().filter(is_open);
        let Some(qos) = open.clone().find(|qos| &qos.id == id) else {
            let ids: Vec<&str> = open.map(|qos| qos.id.as_str()).collect();
            let there = if ids.is_empty() {
                "none is open to it".to_owned()
            } else {
                format!("open to it are: {}", ids.join(", "))
            };
            let message =
                format!("'{id}' is no class of jobs that is open to this tenant; {there}");
            return refused("qos", message);
        };
        match qos.time_limit_ms_max {
            Some(most) if job.spec.time_limit_ms > most => {
                let message = format!("jobs of the class '{id}' run for at most {most} ms");
                refused("time_limit_ms", message)
            }
            _ => Ok(()),
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
