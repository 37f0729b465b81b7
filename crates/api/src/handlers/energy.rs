//! The report of whose energy it was.

use super::report::{of_span, span};
use super::usage::tenant_asked;
use super::{Result, programme};
use crate::caller::{Ground, May, right};
use crate::extract::Query;
use crate::params::CostQuery;
use crate::state::Api;
use crate::views::{EnergyView, SiteEnergyView, TenantEnergyView, instant};
use axum::Json;
use axum::extract::State;
use madang_gateway::clock;
use madang_ledger::report::energy_use;
use std::sync::Arc;

/// Whose energy it was in a month
///
/// By tenant what its requests and its jobs took, as it is booked in the ledger; and for whoever may see all of the fleet, by site what was
/// drawn and where it went.
#[utoipa::path(get, path = "/api/v1/reports/energy", tag = "usage", params(CostQuery),
    responses((status = 200, body = EnergyView)))]
pub(crate) async fn energy_get(
    may: May<right::UsageRead>,
    State(api): State<Arc<Api>>,
    Query(asked): Query<CostQuery>,
) -> Result<Json<EnergyView>> {
    let programme = programme::asked(&api, &may.ground, asked.programme).await?;
    let tenant = tenant_asked(&api, &may.ground, asked.tenant).await?;
    let (month, span) = span(asked.month, asked.offset_s)?;
    let is_all = matches!(may.ground, Ground::All) && programme.is_none() && tenant.is_none();
    let filter = of_span(span, (programme, tenant));
    let extract = api.store().usage_extract(filter, asked.offset_s).await?;
    let used = energy_use(&extract.energy_legs, &extract.job_legs);
    let sites = used.sites.iter().map(SiteEnergyView::from).collect();
    Ok(Json(EnergyView {
        month: month.to_string(),
        offset_s: asked.offset_s,
        made_at: instant(clock::now()),
        tenants: used.tenants.iter().map(TenantEnergyView::from).collect(),
        sites: is_all.then_some(sites),
    }))
}
