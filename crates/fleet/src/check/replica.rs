//! Replicas: where they run, what they serve, how they are reached.

use super::Check;
use crate::at::At;
use crate::model::{Builtin, Engine, ModelKind, Replica, ReplicaAt, ResponsesSupport};
use crate::raw::{RawModel, RawReplica};
use crate::shape::brief;
use madang_types::{ModelId, NodesId, ReplicaId, SiteId};
use std::collections::BTreeMap;
use std::path::PathBuf;

impl<'c> Check<'c, '_> {
    pub(super) fn replica(&mut self, row: &'c At<RawReplica>) -> Option<(ReplicaId, Replica)> {
        let raw = &row.value;
        let id = self.name(&raw.id, ReplicaId::new);
        let site = self.reference("site", &raw.site, "site", SiteId::new);
        let nodes = self.reference("nodes", &raw.nodes, "nodes", NodesId::new);
        let model_id = self.reference("model", &raw.model, "model", ModelId::new);
        self.same_site(raw);
        let model = self.model_row(raw);
        self.sizes(raw, model);
        let engine = self.engine(row);
        let at = self.place(row, model);
        let key_file = self.key_file(raw.key_file.as_ref(), raw.url.as_ref());
        let upstream_model = self.engine_name(raw);
        let adapters = self.adapters(raw);
        if raw.nodes.is_some() && nodes.is_none() {
            return None;
        }
        let engine = engine?;
        let replica = Replica {
            site: site?,
            nodes,
            model: model_id?,
            engine,
            upstream_model: upstream_model?,
            slots: raw.slots.as_ref()?.value,
            kv_tokens: raw.kv_tokens.as_ref().map(|at| at.value),
            host_kv_tokens: raw.host_kv_tokens.as_ref().map_or(0, |at| at.value),
            costs: raw.costs.as_ref().map(|at| at.value).unwrap_or_default(),
            adapters: adapters?,
            responses: raw
                .responses
                .as_ref()
                .map_or(responses(engine), |at| at.value),
            at: at?,
            key_file: key_file?,
            power: raw.power.as_ref().map(|at| at.value.clone()),
        };
        Some((id?, replica))
    }

    /// The names of a replica's adapters, each once.
    fn adapters(&mut self, raw: &RawReplica) -> Option<Vec<ModelId>> {
        let rows = raw.adapters.iter().flat_map(|at| &at.value);
        let mut seen: BTreeMap<&str, &At<String>> = BTreeMap::new();
        let mut names = Some(Vec::new());
        for at in rows {
            if let Some(first) = seen.insert(&at.value, at) {
                let message = format!("the adapter \"{}\" is there twice", brief(&at.value));
                self.report
                    .error("id_duplicate", &at.span, message)
                    .help("take one of the two out")
                    .related(&first.span, "first here");
                names = None;
                continue;
            }
            let name = self.name(&Some(at.clone()), ModelId::new);
            match (&mut names, name) {
                (Some(names), Some(name)) => names.push(name),
                _ => names = None,
            }
        }
        names
    }

    fn model_row(&self, raw: &RawReplica) -> Option<&'c RawModel> {
        let wanted = raw.model.as_ref()?.value.as_str();
        self.model_rows.get(wanted).copied()
    }

    /// The machines of a replica stand at the replica's site.
    fn same_site(&mut self, raw: &RawReplica) {
        let (Some(nodes), Some(site)) = (&raw.nodes, &raw.site) else {
            return;
        };
        let row = self.nodes_rows.get(nodes.value.as_str());
        let Some(there) = row.and_then(|row| row.site.as_ref()) else {
            return;
        };
        if there.value != site.value {
            let message = format!(
                "the replica is at \"{}\", its machines \"{}\" are at \"{}\"",
                brief(&site.value),
                brief(&nodes.value),
                brief(&there.value)
            );
            self.report
                .error("site_mismatch", &nodes.span, message)
                .help("name machines of the same site, or correct the site")
                .related(&site.span, "the replica's site")
                .related(&there.span, "the machines' site");
        }
    }

    fn sizes(&mut self, raw: &RawReplica, model: Option<&RawModel>) {
        let Some(kv) = &raw.kv_tokens else { return };
        if let Some(slots) = raw.slots.as_ref().filter(|s| u64::from(s.value) > kv.value) {
            let message = format!(
                "{} KV tokens cannot hold {} sequences at once",
                kv.value, slots.value
            );
            self.report
                .error("kv_too_small", &kv.span, message)
                .help("kv_tokens is the engine's whole cache, counted in tokens (vLLM logs it at start)")
                .related(&slots.span, "the sequences");
        } else if let Some(context) = model
            .and_then(|m| m.context_tokens.as_ref())
            .filter(|c| c.value > kv.value)
        {
            let message = format!(
                "a prompt of the model's whole context ({} tokens) does not fit into {} KV tokens",
                context.value, kv.value
            );
            self.report
                .warning("kv_too_small", &kv.span, message)
                .help("lower the model's context_tokens, or give the engine more cache")
                .related(&context.span, "the model's context");
        }
    }

    fn engine(&mut self, row: &At<RawReplica>) -> Option<Engine> {
        if let Some(engine) = &row.value.engine {
            return Some(engine.value);
        }
        let builtin = row
            .value
            .launch
            .as_ref()
            .and_then(|at| at.value.builtin.as_ref());
        match builtin.map(|at| at.value) {
            Some(Builtin::LlamaCpp) => Some(Engine::LlamaCpp),
            Some(Builtin::E5) => Some(Engine::OpenAi),
            None => {
                if self.sure("replica") {
                    self.report
                        .error("missing_key", &row.span, "[[replica]] has no `engine`")
                        .help("add engine = \"vllm\", \"sglang\", \"llama.cpp\" or, for any other OpenAI-compatible server, \"openai\"");
                }
                None
            }
        }
    }

    fn place(&mut self, row: &'c At<RawReplica>, model: Option<&RawModel>) -> Option<ReplicaAt> {
        let raw = &row.value;
        let url = raw.url.as_ref().and_then(|at| self.base_url(at));
        let launch = raw
            .launch
            .as_ref()
            .and_then(|at| self.launch(at, raw, model));
        match (&raw.url, &raw.launch) {
            (Some(_), None) => url.map(|(text, _)| ReplicaAt::Url(text)),
            (None, Some(_)) => launch.map(ReplicaAt::Launch),
            (Some(url), Some(launch)) => {
                self.report
                    .error("choose_one", &url.span, "the replica has a `url` and a `launch`, it can have only one")
                    .help("`url`: someone else runs the engine; `launch`: Madang starts it and knows where it is")
                    .related(&launch.span, "the launch");
                None
            }
            (None, None) => {
                if self.sure("replica") {
                    self.report
                        .error("choose_one", &row.span, "the replica has neither a `url` nor a `launch`")
                        .help("url = \"http://10.0.0.7:8000\" for an engine that runs, launch = { … } for one that Madang starts");
                }
                None
            }
        }
    }

    /// The name that the engine knows its model by: sent in each request, so it holds no control characters.
    fn engine_name(&mut self, raw: &RawReplica) -> Option<String> {
        match &raw.upstream_model {
            Some(at) => self.foreign_name(at),
            None => raw.model.as_ref().map(|at| at.value.clone()),
        }
    }

    /// A name that others chose: any text but nothing, blanks at its ends and control characters.
    pub(super) fn foreign_name(&mut self, at: &At<String>) -> Option<String> {
        let text = &at.value;
        let sound = !text.is_empty()
            && text.len() <= 512
            && text.trim() == text
            && !text.chars().any(char::is_control);
        if sound {
            return Some(text.clone());
        }
        let message = "`upstream_model` is a text of 1 to 512 bytes without blanks at its ends";
        self.report
            .error("name_invalid", &at.span, message)
            .help("write the name as the engine lists it in /v1/models");
        None
    }

    /// A key file: `Some(None)` where there is none, `None` where it is wrong.
    fn key_file(
        &mut self,
        key_file: Option<&At<String>>,
        url: Option<&At<String>>,
    ) -> Option<Option<PathBuf>> {
        let Some(at) = key_file else {
            return Some(None);
        };
        let address = url.and_then(|url| super::url::BaseUrl::parse(&url.value).ok());
        if let (Some(url), true) = (url, address.is_some_and(|a| a.is_in_clear())) {
            self.report
                .warning(
                    "key_in_clear",
                    &url.span,
                    "the key would cross an open network unencrypted",
                )
                .help("use https://")
                .related(&at.span, "the key");
        }
        self.key_path(at).map(Some)
    }

    /// The path of a file that holds a key.
    pub(super) fn key_path(&mut self, at: &At<String>) -> Option<PathBuf> {
        let remedy = "write the key into a file of mode 0600 and name it: key_file = \"secrets/engine.key\". \
                      A key that stood here is known to whoever could read this file: revoke it";
        if super::secret::looks_like_secret(&at.value) {
            self.secret(&at.value, &at.span, remedy);
            return None;
        }
        self.path(at)
    }

    /// Whether a model only embeds.
    pub(super) fn embeds(model: &RawModel) -> bool {
        model
            .kind
            .as_ref()
            .is_some_and(|kind| kind.value == ModelKind::Embedding)
    }
}

/// What is passed on where the file does not say: `native` only for engines known to have the endpoint.
fn responses(engine: Engine) -> ResponsesSupport {
    match engine {
        Engine::Vllm => ResponsesSupport::Native,
        Engine::LlamaCpp | Engine::Sglang | Engine::OpenAi => ResponsesSupport::Mapped,
    }
}
