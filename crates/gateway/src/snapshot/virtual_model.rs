//! Names that lead to one of several models, as callers see them and as the core is told.

use super::ModelEntry;
use madang_core::{VirtualCandidate, VirtualModel};
use madang_fleet::PrefixCache;
use madang_fleet::{Candidate, ToolSupport, VirtualModel as OfFleet};
use madang_types::{Endpoint, ModelId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The entries of the names of which some candidate is served.
pub(super) fn entries(
    names: &BTreeMap<ModelId, OfFleet>,
    served: &BTreeMap<ModelId, Arc<ModelEntry>>,
) -> Vec<(ModelId, Arc<ModelEntry>)> {
    let entry = |(id, name): (&ModelId, &OfFleet)| {
        let models = name.candidates.iter().map(|candidate| &candidate.model);
        let models = models.filter_map(|model| Some((model, served.get(model)?)));
        let entry = ModelEntry::of_candidates(models);
        (!entry.candidates.is_empty()).then(|| (id.clone(), Arc::new(entry)))
    };
    names.iter().filter_map(entry).collect()
}

/// What the core is told of them.
pub(super) fn views(names: &BTreeMap<ModelId, OfFleet>) -> Vec<VirtualModel> {
    let candidate = |candidate: &Candidate| VirtualCandidate {
        model: candidate.model.clone(),
        class_max: candidate.class_max,
        flags_none: candidate.flags_none,
        programme: candidate.programme.clone(),
    };
    let view = |(id, name): (&ModelId, &OfFleet)| VirtualModel {
        id: id.clone(),
        candidates: name.candidates.iter().map(candidate).collect(),
    };
    names.iter().map(view).collect()
}

impl ModelEntry {
    /// What every candidate can take in and is, and the doors and features that some candidate has.
    fn of_candidates<'m>(models: impl Iterator<Item = (&'m ModelId, &'m Arc<ModelEntry>)>) -> Self {
        let mut all = Self {
            context_tokens: None,
            endpoints: Vec::new(),
            model_class: None,
            prefix_cache: PrefixCache::Shared,
            tools: ToolSupport::None,
            dimensions: None,
            candidates: Vec::new(),
        };
        let mut classes = Vec::new();
        for (model, entry) in models {
            classes.push(entry.model_class.clone());
            let known = [all.context_tokens, entry.context_tokens];
            all.context_tokens = known.into_iter().flatten().min();
            let new = |endpoint: &&Endpoint| !all.endpoints.contains(endpoint);
            let new: Vec<Endpoint> = entry.endpoints.iter().filter(new).copied().collect();
            all.endpoints.extend(new);
            if entry.prefix_cache == PrefixCache::ByTenant {
                all.prefix_cache = PrefixCache::ByTenant;
            }
            if all.tools == ToolSupport::None {
                all.tools = entry.tools;
            }
            all.candidates.push(model.clone());
        }
        classes.dedup();
        if let [class] = &classes[..] {
            all.model_class.clone_from(class);
        }
        all
    }
}
