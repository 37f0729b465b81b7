//! Whose energy it was.

use madang_ledger::report::{SiteEnergy, TenantEnergy};
use madang_types::{SiteId, TenantId};
use serde::Serialize;
use utoipa::ToSchema;

/// Whose energy it was in a month. Energies are thousandths of a joule at sites' meters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EnergyView {
    /// The civil month, as `2026-11`.
    pub(crate) month: String,
    /// Where it begins: seconds east of UTC.
    pub(crate) offset_s: i32,
    /// When the books were read.
    #[schema(format = DateTime)]
    pub(crate) made_at: String,
    /// By tenant.
    pub(crate) tenants: Vec<TenantEnergyView>,
    /// By site; null for whoever may not see all of the fleet, and where one programme's or tenant's was asked for.
    pub(crate) sites: Option<Vec<SiteEnergyView>>,
}

/// What a tenant took.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantEnergyView {
    /// Which.
    tenant: String,
    /// What its requests took.
    requests_millijoules: i64,
    /// What runs of its jobs took that ended in the month.
    jobs_millijoules: i64,
}

/// What a site drew, and where that went.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteEnergyView {
    /// Which.
    site: String,
    /// What its meters counted.
    measured_millijoules: i64,
    /// What a model says of what no meter counted.
    modelled_millijoules: i64,
    /// What of both requests took.
    requests_millijoules: i64,
    /// What runs of jobs took that ended in the month.
    jobs_millijoules: i64,
    /// What was drawn for nobody.
    idle_millijoules: i64,
    /// What was drawn and is nobody's yet: that of runs that are not over. Below zero where runs ended in the month that drew it before.
    open_millijoules: i64,
}

impl From<(&TenantId, &TenantEnergy)> for TenantEnergyView {
    fn from((tenant, energy): (&TenantId, &TenantEnergy)) -> Self {
        Self {
            tenant: tenant.to_string(),
            requests_millijoules: energy.requests_mj,
            jobs_millijoules: energy.jobs_mj,
        }
    }
}

impl From<(&SiteId, &SiteEnergy)> for SiteEnergyView {
    fn from((site, energy): (&SiteId, &SiteEnergy)) -> Self {
        Self {
            site: site.to_string(),
            measured_millijoules: energy.measured_mj,
            modelled_millijoules: energy.modelled_mj,
            requests_millijoules: energy.requests_mj,
            jobs_millijoules: energy.jobs_mj,
            idle_millijoules: energy.idle_mj,
            open_millijoules: energy.open_mj(),
        }
    }
}
