//! What a whole fleet needs on this machine, and the fetching of all of it.

use crate::cache::Cache;
use crate::engine::{self, EngineCommand, ensure_engine, own_llama_server};
use crate::error::ProvisionError;
use crate::progress::Progress;
use crate::python::Python;
use crate::recipe::recipe;
use crate::weights::fetch_weights;
use madang_fleet::model::{Builtin, Fleet, Launch, LaunchWhat, ReplicaAt, WeightSource, Weights};
use madang_types::ModelId;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One thing that launched replicas need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Need {
    /// What it is, for a person.
    pub what: String,
    /// Whether it is here already.
    pub present: bool,
    /// About how many bytes must be fetched: 0 where it is present or lies on this machine.
    pub fetch_bytes: u64,
    /// About how many bytes the cache grows by.
    pub disk_bytes: u64,
}

/// All that launched replicas need, ready for use.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// The file for `{model_path}`, of each model that has weights and a launched replica.
    pub models: BTreeMap<ModelId, PathBuf>,
    /// The built-in engines that are used.
    pub engines: Vec<EngineCommand>,
}

impl Prepared {
    /// The command of a built-in engine.
    pub fn engine(&self, builtin: Builtin) -> Option<&EngineCommand> {
        self.engines.iter().find(|engine| engine.builtin == builtin)
    }
}

/// What the launched replicas of `fleet` need, in the order in which [`prepare`] fetches it. Fetches nothing.
pub async fn needs(cache: &Cache, fleet: &Fleet) -> Vec<Need> {
    let python = Python::ask(cache.tools()).await.ok();
    let mut needs = Vec::new();
    for builtin in builtins(fleet) {
        let recipe = recipe(builtin);
        let own = own_llama_server(cache, builtin).is_ok_and(|found| found.is_some());
        let present = own
            || python
                .as_ref()
                .is_some_and(|python| engine::installed(cache, builtin, python).is_some());
        let (fetch_bytes, disk_bytes) = if present {
            (0, 0)
        } else {
            (recipe.fetch_bytes, recipe.disk_bytes)
        };
        needs.push(Need {
            what: recipe.title.to_owned(),
            present,
            fetch_bytes,
            disk_bytes,
        });
    }
    for (id, weights) in launched_weights(fleet) {
        let present = cache.kept_model(&weights.sha256).is_some();
        let local = weights
            .sources
            .iter()
            .any(|source| matches!(source, WeightSource::File(path) if path.is_file()));
        let bytes = if present || local {
            0
        } else {
            weights.bytes.unwrap_or(0)
        };
        needs.push(Need {
            what: format!("weights of {id}"),
            present,
            fetch_bytes: bytes,
            disk_bytes: bytes,
        });
    }
    needs
}

/// Fetches all that the launched replicas of `fleet` need and that is not here.
///
/// # Errors
/// The first thing that could not be had; what was had before it stays in the cache.
pub async fn prepare(
    cache: &Cache,
    fleet: &Fleet,
    progress: &dyn Progress,
) -> Result<Prepared, ProvisionError> {
    let mut prepared = Prepared::default();
    for builtin in builtins(fleet) {
        prepared
            .engines
            .push(ensure_engine(cache, builtin, progress).await?);
    }
    for (id, weights) in launched_weights(fleet) {
        let path = fetch_weights(cache, weights, progress).await?;
        prepared.models.insert(id.clone(), path);
    }
    Ok(prepared)
}

pub(crate) fn launches(fleet: &Fleet) -> impl Iterator<Item = (&ModelId, &Launch)> {
    fleet
        .replicas
        .values()
        .filter_map(|replica| match &replica.at {
            ReplicaAt::Launch(launch) => Some((&replica.model, launch)),
            ReplicaAt::Url(_) => None,
        })
}

/// The built-in engines used, each once.
pub(crate) fn builtins(fleet: &Fleet) -> Vec<Builtin> {
    let uses =
        |builtin| launches(fleet).any(|(_, launch)| launch.what == LaunchWhat::Builtin(builtin));
    [Builtin::LlamaCpp, Builtin::E5]
        .into_iter()
        .filter(|&builtin| uses(builtin))
        .collect()
}

/// Weights of models with a launched replica.
pub(crate) fn launched_weights(fleet: &Fleet) -> BTreeMap<&ModelId, &Weights> {
    let weights = |id| {
        fleet
            .models
            .get(id)
            .and_then(|model| model.weights.as_ref())
    };
    launches(fleet)
        .filter_map(|(id, _)| Some((id, weights(id)?)))
        .collect()
}
