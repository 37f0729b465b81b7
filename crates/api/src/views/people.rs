//! Programmes, tenants, projects and keys. A key's hash is in no view, and its secret only in the answer that makes it.

use super::instant;
use madang_types::{
    DataFlag, KeyRecord, KeyTerms, MicroWon, Micros, Period, Programme, ProgrammeTerms, Project,
    Tenant, Zone,
};
use serde::Serialize;
use utoipa::ToSchema;

/// A programme that grants allocations.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProgrammeView {
    /// Its name.
    id: String,
    /// Its share beside the other programmes.
    weight: u32,
    /// Its tenants are served from then on; null for no beginning.
    #[schema(format = DateTime)]
    from: Option<String>,
    /// Its tenants are served until then; null for no end.
    #[schema(format = DateTime)]
    until: Option<String>,
    /// Who may take part, in words for people.
    eligibility: String,
    /// The data of its tenants is served on this ground or a better one; null for wherever policy permits.
    #[schema(value_type = Option<String>)]
    residency_floor: Option<&'static str>,
    /// What becomes of its tenants' batch jobs that run when nothing pays for them any more: `run_on` or `stop`.
    #[schema(value_type = String)]
    jobs_when_ended: &'static str,
    /// What a stretch of a batch job costs that was stopped for others, or by a stop switch, and left no checkpoint: `charged` or `free`.
    #[schema(value_type = String)]
    jobs_preempted: &'static str,
    /// `fleet` where the fleet file owns the row, else `api`.
    #[schema(value_type = String)]
    origin: &'static str,
    /// When it was first written.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was removed; its tenants' keys are refused.
    #[schema(format = DateTime)]
    disabled_at: Option<String>,
}

impl From<Programme> for ProgrammeView {
    fn from(programme: Programme) -> Self {
        let Programme {
            id,
            weight,
            terms,
            origin,
            created_at,
            disabled_at,
        } = programme;
        let ProgrammeTerms {
            period: Period { from, until },
            eligibility,
            residency_floor,
            jobs,
        } = terms;
        Self {
            id: id.to_string(),
            weight,
            from: from.map(instant),
            until: until.map(instant),
            eligibility,
            residency_floor: residency_floor.map(Zone::as_str),
            jobs_when_ended: jobs.when_ended.as_str(),
            jobs_preempted: jobs.preempted.as_str(),
            origin: origin.as_str(),
            created_at: instant(created_at),
            disabled_at: disabled_at.map(instant),
        }
    }
}

/// Who is billed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantView {
    /// Its name.
    id: String,
    /// The programme that it belongs to.
    programme: Option<String>,
    /// Its share beside the programme's other tenants.
    weight: u32,
    /// No request of the tenant has a lower class.
    #[schema(value_type = String)]
    class_floor: &'static str,
    /// What all data of the tenant is.
    data_flags: Vec<&'static str>,
    /// `fleet` where the fleet file owns the row, else `api`.
    #[schema(value_type = String)]
    origin: &'static str,
    /// When it was first written.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was removed; its keys are refused.
    #[schema(format = DateTime)]
    disabled_at: Option<String>,
}

impl From<Tenant> for TenantView {
    fn from(tenant: Tenant) -> Self {
        let Tenant {
            id,
            programme,
            weight,
            class_floor,
            data_flags,
            origin,
            created_at,
            disabled_at,
        } = tenant;
        Self {
            id: id.to_string(),
            programme: programme.map(|id| id.to_string()),
            weight,
            class_floor: class_floor.as_str(),
            data_flags: data_flags.iter().map(DataFlag::as_str).collect(),
            origin: origin.as_str(),
            created_at: instant(created_at),
            disabled_at: disabled_at.map(instant),
        }
    }
}

/// A tenant's working unit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectView {
    /// Its name, unique in its tenant.
    id: String,
    /// Whose it is.
    tenant: String,
    /// Words for people.
    label: String,
    /// What its keys may spend together, in millionths of a won; null for no bound.
    limit_micro_won: Option<i64>,
    /// When it was first written.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was disabled; its keys are refused.
    #[schema(format = DateTime)]
    disabled_at: Option<String>,
}

impl From<Project> for ProjectView {
    fn from(project: Project) -> Self {
        let Project {
            id,
            tenant,
            label,
            won_limit,
            created_at,
            disabled_at,
        } = project;
        Self {
            id: id.to_string(),
            tenant: tenant.to_string(),
            label,
            limit_micro_won: won_limit.map(|MicroWon(limit)| limit),
            created_at: instant(created_at),
            disabled_at: disabled_at.map(instant),
        }
    }
}

/// A key, without its secret but in the answer that makes it.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyView {
    /// The public part: what stands between `mdg_` and the last `_`.
    id: String,
    /// The whole key, in the answer that makes it. It is not kept and cannot be shown again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    key: Option<String>,
    /// Whose key; null for the roles that belong to no tenant.
    tenant: Option<String>,
    /// Whose key, for a programme's manager.
    programme: Option<String>,
    /// The tenant's project that its usage counts for.
    project: Option<String>,
    /// `operator`, `programme_manager`, `tenant_admin`, `member` or `auditor`.
    #[schema(value_type = String)]
    role: &'static str,
    /// Models that it may ask for; empty for all.
    models: Vec<String>,
    /// Doors that it may come through; empty for all.
    endpoints: Vec<&'static str>,
    /// Requests in a minute; null for no bound.
    rate_requests_per_min: Option<u32>,
    /// Tokens in a minute, of prompts and answers; null for no bound.
    rate_tokens_per_min: Option<u32>,
    /// What it may spend, in millionths of a won; null for no bound.
    limit_micro_won: Option<i64>,
    /// No request with this key has a lower class.
    #[schema(value_type = String)]
    class_floor: &'static str,
    /// What all data sent with this key is.
    data_flags: Vec<&'static str>,
    /// Words for people.
    label: String,
    /// `active`, `expired` or `revoked`.
    #[schema(value_type = String)]
    state: &'static str,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// Refused from then on.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// When it was revoked.
    #[schema(format = DateTime)]
    revoked_at: Option<String>,
}

impl KeyView {
    /// The view of a key as it stands at `now`.
    pub fn new(row: &KeyRecord, now: Micros) -> Self {
        let KeyRecord {
            id,
            tenant,
            programme,
            project,
            role,
            terms,
            class_floor,
            data_flags,
            label,
            secret_hash: _,
            created_at,
            expires_at,
            revoked_at,
        } = row;
        let KeyTerms {
            models,
            endpoints,
            rate_requests_per_min,
            rate_tokens_per_min,
            won_limit,
        } = &**terms;
        let state = match revoked_at {
            Some(_) => "revoked",
            None if row.is_in_force(now) => "active",
            None => "expired",
        };
        Self {
            id: id.to_string(),
            key: None,
            tenant: tenant.as_ref().map(ToString::to_string),
            programme: programme.as_ref().map(ToString::to_string),
            project: project.as_ref().map(ToString::to_string),
            role: role.as_str(),
            models: models.iter().map(ToString::to_string).collect(),
            endpoints: endpoints.iter().map(|door| door.as_str()).collect(),
            rate_requests_per_min: *rate_requests_per_min,
            rate_tokens_per_min: *rate_tokens_per_min,
            limit_micro_won: won_limit.map(|MicroWon(limit)| limit),
            class_floor: class_floor.as_str(),
            data_flags: data_flags.iter().map(DataFlag::as_str).collect(),
            label: label.clone(),
            state,
            created_at: instant(*created_at),
            expires_at: expires_at.map(instant),
            revoked_at: revoked_at.map(instant),
        }
    }

    /// The view of a key just made, with its whole text: shown here and never again.
    pub fn made(row: &KeyRecord, key: String) -> Self {
        let view = Self::new(row, row.created_at);
        Self {
            key: Some(key),
            ..view
        }
    }
}
