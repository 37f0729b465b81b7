//! The fleet as requests read it: built whole at each load, published at once, never changed after.

use crate::client::{Authorities, ClientBuildError, EngineAddress};
use crate::headers;
use crate::policy;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use location::location;
use madang_audit::leaf::Location;
use madang_core::policy::PolicyError;
use madang_core::{CoreLimits, EngineCosts, FleetView, PolicyTable, PoolMember, ReplicaHealth};
use madang_fleet::{
    Dialect, Engine, Fleet, KeySource, Model, ModelKind, OriginAddress, PrefixCache, Replica,
    ReplicaAt, ResponsesSupport, ToolSupport, Upstream,
};
use madang_types::{Country, Endpoint, ModelClass, ModelId, Policy, ReplicaId, SiteId};
use std::collections::{BTreeMap, BTreeSet};
use std::env::VarError;
use std::path::Path;
use std::sync::Arc;

mod location;
mod origin;
mod sign_in;
mod tuning;
mod virtual_model;

pub use origin::Origin;
pub use sign_in::{ClientSecret, Provider};

/// Why a checked fleet cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A key's file or variable cannot be read, or holds no header's value. The key itself is never told.
    #[error("the key of '{owner}' in {place} cannot be used: {reason}")]
    Key {
        /// Whose.
        owner: String,
        /// The file, or the variable after a `$`.
        place: String,
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
    /// The certificates that an upstream's is held against cannot be read.
    #[error("the ca_file of '{owner}' cannot be used: {reason}")]
    Authorities {
        /// Whose.
        owner: String,
        /// Why.
        reason: ClientBuildError,
    },
    /// The policy cannot be compiled over the fleet's places.
    #[error("the policy cannot be used: {0}")]
    Policy(#[from] PolicyError),
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
    /// What the audit log says of it, but for its zone, which the policy knows.
    pub location: Location,
    /// Which wire format it speaks.
    pub dialect: Dialect,
    /// What happens to `/v1/responses`.
    pub responses: ResponsesSupport,
    /// The header with its key, sent to its address alone.
    pub credential: Option<(HeaderName, HeaderValue)>,
    /// Whether the model runs at a site of ours.
    pub own: bool,
    /// Whether it is told to keep each tenant's prompts apart, and knows how.
    pub salted: bool,
}

impl Target {
    /// Whether it answers to this name: its model's, or one of its adapters'.
    pub fn serves(&self, name: &ModelId) -> bool {
        self.model == *name || self.adapters.contains(name)
    }

    /// Whether what comes through this door can be said in its wire format.
    fn speaks(&self, endpoint: Endpoint) -> bool {
        match self.dialect {
            Dialect::OpenAi => true,
            Dialect::Anthropic => !matches!(endpoint, Endpoint::Completions | Endpoint::Embeddings),
        }
    }
}

/// A served model.
#[derive(Clone, Debug)]
pub struct ModelEntry {
    /// Longest prompt and answer together, where the fleet says.
    pub context_tokens: Option<u64>,
    /// Which doors it serves.
    pub endpoints: Vec<Endpoint>,
    /// Its class, where the fleet says; of a name that leads to several models the one that all of them have.
    pub model_class: Option<ModelClass>,
    /// Whose prompts may be known again.
    pub prefix_cache: PrefixCache,
    /// How its tool calls are had.
    pub tools: ToolSupport,
    /// Length of its vectors, where the fleet says.
    pub dimensions: Option<u64>,
    /// Of a name that leads to one of several models: those, best first.
    pub candidates: Vec<ModelId>,
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
    /// Served models, and names that lead to them: those with at least one target.
    pub models: BTreeMap<ModelId, Arc<ModelEntry>>,
    /// The hosts that URLs in requests may name.
    pub origins: BTreeMap<OriginAddress, Origin>,
    /// Where people sign in, where they do.
    pub sign_in: Option<Arc<Provider>>,
    /// What may go where, as the core is told.
    pub policy: Policy,
    /// The same, compiled over all places of the fleet.
    pub policy_table: PolicyTable,
}

/// The doors of a kind of model.
pub fn endpoints(kind: ModelKind) -> Vec<Endpoint> {
    match kind {
        ModelKind::Chat => vec![
            Endpoint::Chat,
            Endpoint::Completions,
            Endpoint::Responses,
            Endpoint::Messages,
        ],
        ModelKind::Embedding => vec![Endpoint::Embeddings],
    }
}

impl Snapshot {
    /// Builds the snapshot of a fleet; reads key files.
    ///
    /// # Errors
    /// The first thing that keeps it from being served.
    pub fn build(fleet: Arc<Fleet>) -> Result<Self, SnapshotError> {
        let (policy, policy_table) = policy::worked_out(&fleet)?;
        let mut snapshot = Self {
            fleet: Arc::clone(&fleet),
            origins: origin::origins(&fleet)?,
            sign_in: sign_in::provider(&fleet)?.map(Arc::new),
            policy,
            policy_table,
            ..Self::default()
        };
        for (id, replica) in &fleet.replicas {
            let Some(model) = fleet.models.get(&replica.model) else {
                continue;
            };
            snapshot.add(replica_target(&fleet, (id, replica), model)?)?;
            let entry = Arc::new(ModelEntry {
                context_tokens: Some(model.context_tokens),
                endpoints: endpoints(model.kind),
                model_class: model.model_class.clone(),
                prefix_cache: model.prefix_cache,
                tools: model.tools,
                dimensions: model.dimensions,
                candidates: Vec::new(),
            });
            for adapter in &replica.adapters {
                snapshot.models.insert(adapter.clone(), Arc::clone(&entry));
            }
            snapshot.models.insert(replica.model.clone(), entry);
        }
        for (id, upstream) in &fleet.upstreams {
            for (index, served) in upstream.models.iter().enumerate() {
                let target = upstream_target((id.as_str(), upstream), index)?;
                snapshot.add(target)?;
                let entry = snapshot.models.entry(served.id.clone());
                entry.or_insert_with(|| {
                    Arc::new(upstream_model_entry(fleet.models.get(&served.id)))
                });
            }
        }
        let targets = &snapshot.targets;
        for (id, entry) in &mut snapshot.models {
            Arc::make_mut(entry).endpoints.retain(|endpoint| {
                let mut serving = targets.values().filter(|target| target.serves(id));
                serving.any(|target| target.speaks(*endpoint))
            });
        }
        let virtual_models = virtual_model::entries(&fleet.virtual_models, &snapshot.models);
        snapshot.models.extend(virtual_models);
        Ok(snapshot)
    }

    /// Everything that serves a name: a model, an adapter, or a name that leads to some.
    pub fn serving<'a>(&'a self, name: &'a ModelId) -> impl Iterator<Item = &'a Target> {
        let entry = self.models.get(name);
        let candidates = entry.map_or(&[][..], |entry| &entry.candidates);
        let serves = move |target: &&Arc<Target>| {
            target.serves(name) || candidates.iter().any(|model| target.serves(model))
        };
        self.targets.values().filter(serves).map(Arc::as_ref)
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
        let jobs = self
            .fleet
            .nodes
            .values()
            .filter(|nodes| nodes.jobs.is_some());
        let jobs = jobs.filter_map(|nodes| {
            let site = self.fleet.sites.get(&nodes.site)?;
            Some((nodes.site.clone(), site.place.clone()))
        });
        FleetView {
            members: self.targets.values().map(member).collect(),
            origins: self.origins.values().map(Origin::at).chain(jobs).collect(),
            limits: CoreLimits {
                queue_length_max: limits.queue_length_max,
                attempts_max: limits.attempts_max,
                retry_percent_max: limits.retry_percent_max,
                hedge_percent_max: limits.hedge_percent_max,
                tpot_ms_target: limits.tpot_ms_target,
                ttft_ms_max: limits.ttft_ms_max,
            },
            rules: tuning::rules(self.fleet.rules),
            credit: tuning::credit(&self.fleet),
            policy: self.policy.clone(),
            virtuals: virtual_model::views(&self.fleet.virtual_models),
        }
    }

    fn member(&self, target: &Target, held_back: bool) -> PoolMember {
        let mut endpoints = self
            .models
            .get(&target.model)
            .map(|m| m.endpoints.clone())
            .unwrap_or_default();
        endpoints.retain(|endpoint| target.speaks(*endpoint));
        let upstream = self
            .fleet
            .upstreams
            .iter()
            .find(|(id, _)| id.as_str() == target.site.as_str());
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
            place: self.place(&target.site).cloned().unwrap_or_default(),
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
        model_class: model.and_then(|m| m.model_class.clone()),
        prefix_cache: model.map(|m| m.prefix_cache).unwrap_or_default(),
        tools: model.map(|m| m.tools).unwrap_or_default(),
        dimensions: model.and_then(|m| m.dimensions),
        candidates: Vec::new(),
    }
}

fn replica_target(
    fleet: &Fleet,
    (id, replica): (&ReplicaId, &Replica),
    model: &Model,
) -> Result<Target, SnapshotError> {
    let address = match &replica.at {
        ReplicaAt::Url(url) => Some(parse_address(url, id.as_str())?),
        ReplicaAt::Launch(_) => None,
    };
    let site = fleet.sites.get(&replica.site);
    let known = site.map(|site| (&site.place, &site.facts));
    Ok(Target {
        marks: marks((id, &replica.site), known.and_then(|known| known.0.country)),
        location: location(&replica.site, true, known),
        replica: id.clone(),
        site: replica.site.clone(),
        model: replica.model.clone(),
        adapters: replica.adapters.clone(),
        upstream_model: replica.upstream_model.clone(),
        address,
        dialect: Dialect::OpenAi,
        responses: replica.responses,
        credential: match &replica.key_file {
            Some(path) => {
                let source = KeySource::File(path.clone());
                Some(credential(&source, Dialect::OpenAi, id.as_str())?)
            }
            None => None,
        },
        own: true,
        salted: model.prefix_cache == PrefixCache::ByTenant
            && matches!(replica.engine, Engine::Vllm | Engine::Sglang),
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
        marks: marks((&replica, &site), upstream.place.country),
        location: location(&site, false, Some((&upstream.place, &upstream.facts))),
        replica,
        site,
        model: served.id.clone(),
        adapters: Vec::new(),
        upstream_model: served.upstream_model.clone(),
        address: Some(upstream_address(id, upstream)?),
        dialect: upstream.dialect,
        responses: ResponsesSupport::Native,
        credential: match &upstream.key {
            Some(source) => Some(credential(source, upstream.dialect, id)?),
            None => None,
        },
        own: false,
        salted: false,
    })
}

fn marks((replica, site): (&ReplicaId, &SiteId), country: Option<Country>) -> HeaderMap {
    let country = country.map_or_else(|| "unknown".into(), |country| country.to_string());
    let pairs = [
        (headers::SITE, site.as_str()),
        (headers::REPLICA, replica.as_str()),
        (headers::JURISDICTION, country.as_str()),
    ];
    let value = |(name, text)| Some((name, HeaderValue::from_str(text).ok()?));
    pairs.into_iter().filter_map(value).collect()
}

fn upstream_address(id: &str, upstream: &Upstream) -> Result<EngineAddress, SnapshotError> {
    let address = parse_address(&upstream.url, id)?;
    Ok(match &upstream.ca_file {
        Some(path) => address.trusting(authorities(path, id)?),
        None => address,
    })
}

fn authorities(path: &Path, owner: &str) -> Result<Authorities, SnapshotError> {
    Authorities::read(path).map_err(|reason| SnapshotError::Authorities {
        owner: owner.into(),
        reason,
    })
}

fn parse_address(url: &str, owner: &str) -> Result<EngineAddress, SnapshotError> {
    EngineAddress::parse(url).map_err(|e| SnapshotError::Address {
        owner: owner.into(),
        reason: e.to_string(),
    })
}

/// The header that carries a key in this wire format.
fn credential(
    source: &KeySource,
    dialect: Dialect,
    owner: &str,
) -> Result<(HeaderName, HeaderValue), SnapshotError> {
    key_read(source, owner, |key| key_header(key, dialect))
}

/// A key where the fleet says that it is, made into what it is used as.
fn key_read<T>(
    source: &KeySource,
    owner: &str,
    make: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, SnapshotError> {
    let (place, read) = match source {
        KeySource::File(path) => (
            path.display().to_string(),
            std::fs::read_to_string(path).map_err(|error| error.to_string()),
        ),
        KeySource::Env(name) => (
            format!("${name}"),
            // Not in the error's own words, which hold the value.
            std::env::var(name).map_err(|error| match error {
                VarError::NotPresent => "it is not set".to_owned(),
                VarError::NotUnicode(_) => "it is not UTF-8".to_owned(),
            }),
        ),
    };
    let made = read.and_then(|key| match key.trim() {
        "" => Err("it is empty".to_owned()),
        key => make(key),
    });
    made.map_err(|reason| SnapshotError::Key {
        owner: owner.into(),
        place,
        reason,
    })
}

fn key_header(key: &str, dialect: Dialect) -> Result<(HeaderName, HeaderValue), String> {
    let (name, text) = match dialect {
        Dialect::OpenAi => (header::AUTHORIZATION, format!("Bearer {key}")),
        Dialect::Anthropic => (crate::headers::X_API_KEY, key.to_owned()),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| "it holds characters that no header may carry".to_owned())?;
    value.set_sensitive(true);
    Ok((name, value))
}
