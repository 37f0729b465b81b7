//! The fleet as requests read it: built whole at each load, published at once, never changed after.

use crate::client::EngineAddress;
use crate::headers;
use http::{HeaderMap, HeaderValue};
use madang_core::{CoreLimits, EngineCosts, FleetView, Place, PoolMember, ReplicaHealth};
use madang_fleet::{
    Dialect, Fleet, Model, ModelKind, Replica, ReplicaAt, ResponsesSupport, ToolSupport, Upstream,
};
use madang_types::{Endpoint, ModelId, ReplicaId, SiteId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod tuning;

/// Why a checked fleet cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A key file is missing or unreadable.
    #[error("the key file {path} of '{owner}' cannot be read: {reason}")]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// Whose.
        owner: String,
        /// Why.
        reason: String,
    },
    /// An address that the fleet's checks let through and the client does not take.
    #[error("the url of '{owner}' cannot be used: {reason}")]
    Address {
        /// Whose.
        owner: String,
        /// Why.
        reason: String,
    },
    /// Two pool members would have one name.
    #[error("two members of the fleet are both named '{0}'")]
    MemberTwice(ReplicaId),
}

/// One place that requests can be sent to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its id in the pool.
    pub replica: ReplicaId,
    /// Its site (an upstream's id stands as its site).
    pub site: SiteId,
    /// What it serves.
    pub model: ModelId,
    /// Further names under which it serves adapters of that model.
    pub adapters: Vec<ModelId>,
    /// The name it knows the model by.
    pub upstream_model: String,
    /// Where it is; `None` for a launched engine until it has been given a port.
    pub address: Option<EngineAddress>,
    /// What every answer from there says of it: replica, site, and the country whose law applies (`unknown` where the fleet
    /// does not say).
    pub marks: HeaderMap,
    /// What happens to `/v1/responses`.
    pub responses: ResponsesSupport,
    /// Sent as `authorization`.
    pub authorization: Option<HeaderValue>,
    /// Whether the model runs at a site of ours.
    pub own: bool,
}

impl Target {
    /// Whether it answers to this name: its model's, or one of its adapters'.
    pub fn serves(&self, name: &ModelId) -> bool {
        self.model == *name || self.adapters.contains(name)
    }
}

/// A served model.
#[derive(Clone, Debug)]
pub struct ModelEntry {
    /// Longest prompt and answer together, where the fleet says.
    pub context_tokens: Option<u64>,
    /// Which doors it serves.
    pub endpoints: Vec<Endpoint>,
    /// How its tool calls are had.
    pub tools: ToolSupport,
    /// Length of its vectors, where the fleet says.
    pub dimensions: Option<u64>,
}

/// A fleet, ready for requests.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Counts published fleets; 0 until it is published.
    pub generation: u64,
    /// The fleet as checked.
    pub fleet: Arc<Fleet>,
    /// Everything that requests can be sent to.
    pub targets: BTreeMap<ReplicaId, Arc<Target>>,
    /// Served models: those with at least one target.
    pub models: BTreeMap<ModelId, Arc<ModelEntry>>,
}

/// The doors of a kind of model.
pub fn endpoints(kind: ModelKind) -> Vec<Endpoint> {
    match kind {
        ModelKind::Chat => vec![Endpoint::Chat, Endpoint::Completions, Endpoint::Responses],
        ModelKind::Embedding => vec![Endpoint::Embeddings],
    }
}

impl Snapshot {
    /// Builds the snapshot of a fleet; reads key files.
    ///
    /// # Errors
    /// The first thing that keeps it from being served.
    pub fn build(fleet: Arc<Fleet>) -> Result<Self, SnapshotError> {
        let mut snapshot = Self {
            fleet: Arc::clone(&fleet),
            ..Self::default()
        };
        for (id, replica) in &fleet.replicas {
            let Some(model) = fleet.models.get(&replica.model) else {
                continue;
            };
            snapshot.add(replica_target(&fleet, id, replica)?)?;
            let entry = Arc::new(ModelEntry {
                context_tokens: Some(model.context_tokens),
                endpoints: endpoints(model.kind),
                tools: model.tools,
                dimensions: model.dimensions,
            });
            for adapter in &replica.adapters {
                snapshot.models.insert(adapter.clone(), Arc::clone(&entry));
            }
            snapshot.models.insert(replica.model.clone(), entry);
        }
        for (id, upstream) in &fleet.upstreams {
            if upstream.dialect == Dialect::Anthropic {
                continue;
            }
            for (index, served) in upstream.models.iter().enumerate() {
                let target = upstream_target((id.as_str(), upstream), index)?;
                snapshot.add(target)?;
                let entry = snapshot.models.entry(served.id.clone());
                entry.or_insert_with(|| {
                    Arc::new(upstream_model_entry(fleet.models.get(&served.id)))
                });
            }
        }
        Ok(snapshot)
    }

    fn add(&mut self, target: Target) -> Result<(), SnapshotError> {
        let id = target.replica.clone();
        match self.targets.insert(id.clone(), Arc::new(target)) {
            None => Ok(()),
            Some(_) => Err(SnapshotError::MemberTwice(id)),
        }
    }

    /// What the core needs of it; `held_back` replicas drain, and their requests wait for them to come back.
    pub fn view(&self, held_back: &BTreeSet<ReplicaId>) -> FleetView {
        let limits = &self.fleet.limits;
        let member =
            |target: &Arc<Target>| self.member(target, held_back.contains(&target.replica));
        FleetView {
            members: self.targets.values().map(member).collect(),
            limits: CoreLimits {
                queue_length_max: limits.queue_length_max,
                attempts_max: limits.attempts_max,
                retry_percent_max: limits.retry_percent_max,
                hedge_percent_max: limits.hedge_percent_max,
                tpot_ms_target: limits.tpot_ms_target,
                ttft_ms_max: limits.ttft_ms_max,
            },
            rules: tuning::rules(self.fleet.rules),
        }
    }

    fn member(&self, target: &Target, held_back: bool) -> PoolMember {
        let endpoints = self
            .models
            .get(&target.model)
            .map(|m| m.endpoints.clone())
            .unwrap_or_default();
        let site = self.fleet.sites.get(&target.site).filter(|_| target.own);
        let upstream = self
            .fleet
            .upstreams
            .iter()
            .find(|(id, _)| id.as_str() == target.site.as_str());
        let (country, operator_country) = match (site, upstream) {
            (Some(site), _) => (
                Some(site.country.clone()),
                Some(site.operator_country.clone()),
            ),
            (None, Some((_, up))) => (up.country.clone(), up.operator_country.clone()),
            (None, None) => (None, None),
        };
        let replicas = &self.fleet.replicas;
        let replica = replicas.get(&target.replica).filter(|_| target.own);
        let slots = match (replica, upstream) {
            (Some(replica), _) => replica.slots,
            (None, Some((_, up))) => up.slots,
            (None, None) => 1,
        };
        PoolMember {
            replica: target.replica.clone(),
            site: target.site.clone(),
            model: target.model.clone(),
            adapters: target.adapters.clone(),
            endpoints,
            slots,
            kv_tokens: replica.and_then(|r| r.kv_tokens),
            host_tokens: replica.map_or(0, |r| r.host_kv_tokens),
            costs: replica.map_or_else(EngineCosts::default, |r| tuning::costs(&self.fleet, r)),
            place: Place {
                own: target.own,
                country,
                operator_country,
            },
            // Nobody probes a stranger's API: it is up until attempts fail. Ours are up once a probe says so.
            health: if target.own {
                ReplicaHealth::Starting
            } else {
                ReplicaHealth::Up
            },
            held_back,
        }
    }
}

fn upstream_model_entry(model: Option<&Model>) -> ModelEntry {
    let kind = model.map(|m| m.kind).unwrap_or_default();
    ModelEntry {
        context_tokens: model.map(|m| m.context_tokens),
        endpoints: endpoints(kind),
        tools: model.map(|m| m.tools).unwrap_or_default(),
        dimensions: model.and_then(|m| m.dimensions),
    }
}

fn replica_target(
    fleet: &Fleet,
    id: &ReplicaId,
    replica: &Replica,
) -> Result<Target, SnapshotError> {
    let address = match &replica.at {
        ReplicaAt::Url(url) => Some(parse_address(url, id.as_str())?),
        ReplicaAt::Launch(_) => None,
    };
    let country = fleet.sites.get(&replica.site).map(|site| &*site.country);
    Ok(Target {
        marks: marks((id, &replica.site), country),
        replica: id.clone(),
        site: replica.site.clone(),
        model: replica.model.clone(),
        adapters: replica.adapters.clone(),
        upstream_model: replica.upstream_model.clone(),
        address,
        responses: replica.responses,
        authorization: authorization(replica.key_file.as_deref(), id.as_str())?,
        own: true,
    })
}

fn upstream_target(
    (id, upstream): (&str, &Upstream),
    index: usize,
) -> Result<Target, SnapshotError> {
    let served = &upstream.models[index];
    let name = |text: &str| {
        let bad = |e: madang_types::NameError| SnapshotError::Address {
            owner: id.into(),
            reason: e.to_string(),
        };
        ReplicaId::new(text).map_err(bad)
    };
    // One member per model that the upstream serves: slots and failures are per model there.
    let replica = if index == 0 {
        name(id)?
    } else {
        name(&format!("{id}.{}", index + 1))?
    };
    let site = SiteId::new(id).map_err(|e| SnapshotError::Address {
        owner: id.into(),
        reason: e.to_string(),
    })?;
    Ok(Target {
        marks: marks((&replica, &site), upstream.country.as_deref()),
        replica,
        site,
        model: served.id.clone(),
        adapters: Vec::new(),
        upstream_model: served.upstream_model.clone(),
        address: Some(parse_address(&upstream.url, id)?),
        responses: ResponsesSupport::Native,
        authorization: authorization(upstream.key_file.as_deref(), id)?,
        own: false,
    })
}

fn marks((replica, site): (&ReplicaId, &SiteId), country: Option<&str>) -> HeaderMap {
    let pairs = [
        (headers::SITE, site.as_str()),
        (headers::REPLICA, replica.as_str()),
        (headers::JURISDICTION, country.unwrap_or("unknown")),
    ];
    let value = |(name, text)| Some((name, HeaderValue::from_str(text).ok()?));
    pairs.into_iter().filter_map(value).collect()
}

fn parse_address(url: &str, owner: &str) -> Result<EngineAddress, SnapshotError> {
    EngineAddress::parse(url).map_err(|e| SnapshotError::Address {
        owner: owner.into(),
        reason: e.to_string(),
    })
}

fn authorization(
    key_file: Option<&Path>,
    owner: &str,
) -> Result<Option<HeaderValue>, SnapshotError> {
    let Some(path) = key_file else {
        return Ok(None);
    };
    let fail = |reason: String| SnapshotError::KeyFile {
        path: path.into(),
        owner: owner.into(),
        reason,
    };
    let key = std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    if key.trim().is_empty() {
        return Err(fail("it is empty".into()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {}", key.trim()))
        .map_err(|_| fail("it holds characters that no header may carry".into()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}
