//! The fleet: how it stands, and loading it again.

use super::Result;
use crate::caller::{May, right};
use crate::extract::{PathId, Query};
use crate::params::LogQuery;
use crate::refusal::Refusal;
use crate::state::Api;
use crate::views::{
    List, LogView, ModelView, NodesView, PoolView, ReloadView, ReplicaView, ShareView, SiteView,
    StatusView, problem_views,
};
use axum::Json;
use axum::extract::State;
use madang_control::{Applied, ApplyError};
use madang_fleet::{LoadError, Nodes, Site};
use madang_gateway::clock;
use madang_types::{ErrorCode, ReplicaId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// How the server stands: pools, members, requests
#[utoipa::path(get, path = "/api/v1/status", tag = "fleet", responses((status = 200, body = StatusView)))]
pub(crate) async fn status_get(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
) -> Json<StatusView> {
    let gateway = api.gateway();
    Json(StatusView {
        version: env!("CARGO_PKG_VERSION"),
        generation: gateway.snapshot().generation,
        fleet: api.control.fleet_name().display().to_string(),
        uptime_s: clock::now().since_us(api.started_at) / 1_000_000,
        requests_count: gateway.requests_count(),
        books_writable: !gateway.books.resting(),
        jobs: api.control.jobs().totals().map(Into::into),
        pools: pool_views(&api),
        clusters: api
            .control
            .jobs()
            .clusters()
            .into_iter()
            .map(Into::into)
            .collect(),
    })
}

fn pool_views(api: &Api) -> Vec<PoolView> {
    api.gateway().status().into_iter().map(Into::into).collect()
}

/// Every pool: who waits, who has how much beside its share, how its replicas are loaded
#[utoipa::path(get, path = "/api/v1/pools", tag = "fleet", responses((status = 200, body = List<PoolView>)))]
pub(crate) async fn pool_list(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
) -> Json<List<PoolView>> {
    Json(List::new(pool_views(&api)))
}

/// Every tenant's share over time: its credit or debt, and what of this month's promise was delivered
#[utoipa::path(get, path = "/api/v1/shares", tag = "fleet", responses((status = 200, body = List<ShareView>)))]
pub(crate) async fn share_list(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
) -> Json<List<ShareView>> {
    let shares = api.gateway().share_status();
    Json(List::new(shares.into_iter().map(Into::into).collect()))
}

/// Every replica
#[utoipa::path(get, path = "/api/v1/replicas", tag = "fleet", responses((status = 200, body = List<ReplicaView>)))]
pub(crate) async fn replica_list(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
) -> Json<List<ReplicaView>> {
    let replicas = api.control.replicas();
    Json(List::new(replicas.into_iter().map(Into::into).collect()))
}

/// One replica
#[utoipa::path(get, path = "/api/v1/replicas/{id}", tag = "fleet",
    params(("id" = String, Path, description = "The replica")), responses((status = 200, body = ReplicaView)))]
pub(crate) async fn replica_get(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
) -> Result<Json<ReplicaView>> {
    let replicas = api.control.replicas();
    let found = replicas.into_iter().find(|r| r.id.as_str() == id);
    let replica = found.ok_or_else(|| Refusal::absent("replica", &id))?;
    Ok(Json(replica.into()))
}

/// The newest lines of a launched replica's log
#[utoipa::path(get, path = "/api/v1/replicas/{id}/logs", tag = "fleet",
    params(("id" = String, Path, description = "The replica"), LogQuery), responses((status = 200, body = LogView)))]
pub(crate) async fn replica_logs(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
    PathId(id): PathId,
    Query(LogQuery { lines }): Query<LogQuery>,
) -> Result<Json<LogView>> {
    let replica = ReplicaId::new(&id).map_err(|_| Refusal::absent("replica", &id))?;
    let lines_max = usize::try_from(lines).unwrap_or(usize::MAX);
    let control = Arc::clone(&api.control);
    let named = replica.clone();
    let reading = tokio::task::spawn_blocking(move || control.log_tail(&named, lines_max));
    let read = reading
        .await
        .map_err(|_| unreadable(&replica, "its reader broke"))?;
    let lines = read.map_err(|error| unreadable(&replica, &error.to_string()))?;
    let lines = lines.ok_or_else(|| Refusal::absent("replica", &id))?;
    Ok(Json(LogView { replica: id, lines }))
}

fn unreadable(replica: &ReplicaId, reason: &str) -> Refusal {
    let message = format!("the log of '{replica}' cannot be read: {reason}");
    Refusal::new(ErrorCode::Internal, message)
}

/// Every site of the fleet with its machines
#[utoipa::path(get, path = "/api/v1/sites", tag = "fleet", responses((status = 200, body = List<SiteView>)))]
pub(crate) async fn site_list(
    _: May<right::FleetRead>,
    State(api): State<Arc<Api>>,
) -> Json<List<SiteView>> {
    let fleet = Arc::clone(&api.gateway().snapshot().fleet);
    let sites = fleet.sites.iter().map(|(id, site)| {
        let Site {
            country,
            operator_country,
            place: _,
            facts: _,
            power_cap_kw,
            pue,
            electricity: _,
        } = site;
        let nodes = fleet.nodes.iter().filter(|(_, nodes)| nodes.site == *id);
        SiteView {
            id: id.to_string(),
            country: country.to_string(),
            operator_country: operator_country.to_string(),
            power_cap_kw: *power_cap_kw,
            pue: *pue,
            nodes: nodes
                .map(|(id, nodes)| nodes_view(id.as_str(), nodes))
                .collect(),
            replicas_count: fleet.replicas.values().filter(|r| r.site == *id).count(),
        }
    });
    Json(List::new(sites.collect()))
}

fn nodes_view(id: &str, nodes: &Nodes) -> NodesView {
    let Nodes {
        site: _,
        accelerator,
        per_node,
        count,
        jobs,
        power: _,
    } = nodes;
    NodesView {
        id: id.to_owned(),
        accelerator: accelerator.clone(),
        per_node: *per_node,
        count: *count,
        takes_jobs: jobs.is_some(),
    }
}

/// Every served model
#[utoipa::path(get, path = "/api/v1/models", tag = "fleet", responses((status = 200, body = List<ModelView>)))]
pub(crate) async fn model_list(
    _: May<right::ServedRead>,
    State(api): State<Arc<Api>>,
) -> Json<List<ModelView>> {
    let gateway = api.gateway();
    let snapshot = gateway.snapshot();
    let pools = gateway.status();
    let models = snapshot.models.iter().map(|(id, entry)| {
        let targets = || snapshot.serving(id);
        let sites: BTreeSet<&str> = targets().map(|t| t.site.as_str()).collect();
        let mut members = pools
            .iter()
            .flat_map(|p| &p.members)
            .filter(|member| targets().any(|t| t.replica == member.replica));
        ModelView {
            id: id.to_string(),
            context_tokens: entry.context_tokens,
            model_class: entry.model_class.as_ref().map(ToString::to_string),
            endpoints: entry.endpoints.iter().map(ToString::to_string).collect(),
            sites: sites.into_iter().map(Into::into).collect(),
            candidates: entry.candidates.iter().map(ToString::to_string).collect(),
            available: members.any(|member| member.available),
        }
    });
    Json(List::new(models.collect()))
}

/// Load the fleet file again: whole, or not at all
///
/// Where the file has problems, the error lists every one, and the last good fleet goes on serving.
#[utoipa::path(post, path = "/api/v1/reload", tag = "fleet", responses((status = 200, body = ReloadView)))]
pub(crate) async fn fleet_reload(
    _: May<right::FleetWrite>,
    State(api): State<Arc<Api>>,
) -> Result<Json<ReloadView>> {
    let file = api.control.fleet_name().display().to_string();
    let applied = api.control.reload().await;
    let Applied {
        generation,
        started,
        leaving,
        warnings,
    } = applied.map_err(|error| reload_refusal(error, file.clone()))?;
    Ok(Json(ReloadView {
        file,
        generation,
        started,
        leaving,
        warnings: warnings.iter().flat_map(problem_views).collect(),
    }))
}

fn reload_refusal(error: ApplyError, file: String) -> Refusal {
    let message = error.to_string();
    match error {
        ApplyError::Load(LoadError::Invalid(invalid)) => Refusal::fleet(
            message,
            invalid.path.display().to_string(),
            problem_views(&invalid).collect(),
        ),
        ApplyError::Load(_) | ApplyError::Snapshot(_) | ApplyError::Provision(_) => {
            Refusal::fleet(message, file, Vec::new())
        }
        ApplyError::Store(error) => error.into(),
        ApplyError::Audit(_) => Refusal::new(ErrorCode::AuditUnavailable, message),
        ApplyError::Stopping => Refusal::new(ErrorCode::Draining, message),
    }
}
