//! Model services run by others.

use super::Check;
use super::secret::looks_like_secret;
use super::url::BaseUrl;
use crate::at::At;
use crate::model::{KeySource, Upstream, UpstreamModel};
use crate::raw::{RawUpstream, RawUpstreamModel, Text};
use crate::shape::brief;
use madang_types::{ModelId, UpstreamId};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

/// Requests at once, where the file names none; the schema shows the same.
const SLOTS_DEFAULT: u32 = 64;

impl Check<'_, '_> {
    pub(super) fn upstream(&mut self, row: &At<RawUpstream>) -> Option<(UpstreamId, Upstream)> {
        let raw = &row.value;
        let id = self.name(&raw.id, UpstreamId::new);
        let url = raw.url.as_ref().and_then(|at| self.base_url(at));
        let countries = (&raw.country, &raw.operator_country);
        let place = self.others_place(countries, &raw.facts());
        let key = self.upstream_key(raw);
        let ca_file = self.ca_file(raw);
        let models = raw.models.as_ref().and_then(|at| self.upstream_models(at));
        self.upstream_advice(row);
        let (place, facts) = place?;
        let upstream = Upstream {
            dialect: raw.dialect.as_ref()?.value,
            url: url?.0,
            place,
            facts,
            key: key?,
            ca_file: ca_file?,
            models: models?,
            slots: raw.slots.as_ref().map_or(SLOTS_DEFAULT, |at| at.value),
        };
        Some((id?, upstream))
    }

    fn upstream_advice(&mut self, row: &At<RawUpstream>) {
        let raw = &row.value;
        let https = raw
            .url
            .as_ref()
            .filter(|url| url.value.starts_with("https://"));
        let keyless = raw.key_file.is_none() && raw.key_env.is_none();
        if let (Some(url), true, true) = (https, keyless, self.sure("upstream")) {
            self.report
                .warning(
                    "key_file_missing",
                    &url.span,
                    "the upstream has no `key_file` and no `key_env`; requests go out without a key",
                )
                .help("add key_file = \"secrets/….key\" if the service asks for a key");
        }
    }

    /// Where the key is: `Some(None)` where there is none, `None` where that is wrong. A key goes out over TLS only, but
    /// for what listens on this very machine.
    fn upstream_key(&mut self, raw: &RawUpstream) -> Option<Option<KeySource>> {
        let keys = (&raw.key_file, &raw.key_env);
        let source = self.key_source(keys, "the upstream has its key twice")?;
        let Some(at) = raw.key_file.as_ref().or(raw.key_env.as_ref()) else {
            return Some(None);
        };
        let url = raw.url.as_ref()?;
        let in_clear = BaseUrl::parse(&url.value).is_ok_and(|base| !base.keeps_secrets());
        if in_clear {
            self.report
                .error(
                    "key_without_tls",
                    &url.span,
                    "the key would leave this machine unencrypted",
                )
                .help("use https://")
                .related(&at.span, "the key");
            return None;
        }
        Some(source)
    }

    /// Where a key is, from `key_file` and `key_env`: `Some(None)` where there is none, `None` where that is wrong.
    pub(super) fn key_source(
        &mut self,
        keys: (&Text, &Text),
        twice: &str,
    ) -> Option<Option<KeySource>> {
        match keys {
            (None, None) => Some(None),
            (Some(file), None) => Some(Some(KeySource::File(self.key_path(file)?))),
            (None, Some(env)) => Some(Some(KeySource::Env(self.env_name(env)?))),
            (Some(file), Some(env)) => {
                self.report
                    .error("choose_one", &env.span, twice)
                    .help("take key_file or key_env out")
                    .related(&file.span, "the other one");
                None
            }
        }
    }

    /// Whose word on its certificate counts: `Some(None)` where that is the public authorities'.
    fn ca_file(&mut self, raw: &RawUpstream) -> Option<Option<PathBuf>> {
        let Some(at) = &raw.ca_file else {
            return Some(None);
        };
        let in_clear = |url: &&At<String>| !url.value.starts_with("https://");
        if let Some(url) = raw.url.as_ref().filter(in_clear) {
            self.report
                .warning(
                    "key_without_effect",
                    &at.span,
                    "a service that speaks no TLS shows no certificate",
                )
                .help("take `ca_file` out, or is the url https://?")
                .related(&url.span, "the url");
        }
        self.path(at).map(Some)
    }

    fn env_name(&mut self, at: &At<String>) -> Option<String> {
        let name = &at.value;
        let remedy = "put the key into a variable of the environment and name it: key_env = \"OPENAI_API_KEY\"";
        if looks_like_secret(name) {
            self.secret(name, &at.span, remedy);
            return None;
        }
        let sound = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !sound {
            self.report
                .error(
                    "name_invalid",
                    &at.span,
                    "the name of a variable is made of letters, digits and `_`",
                )
                .help(remedy);
        }
        sound.then(|| name.clone())
    }

    fn upstream_models(
        &mut self,
        at: &At<Vec<At<RawUpstreamModel>>>,
    ) -> Option<Vec<UpstreamModel>> {
        if at.value.is_empty() && self.sure("upstream") {
            self.report
                .error("missing_key", &at.span, "the upstream serves no model")
                .help("models = [{ id = \"name-here\", upstream_model = \"name-there\" }]");
        }
        let mut seen: BTreeMap<&str, &Range<usize>> = BTreeMap::new();
        let mut models = Vec::new();
        let mut sound = true;
        for row in &at.value {
            if let Some(id) = &row.value.id {
                if let Some(first) = seen.get(id.value.as_str()) {
                    let message =
                        format!("the upstream has the model \"{}\" twice", brief(&id.value));
                    self.report
                        .error("id_duplicate", &id.span, message)
                        .help("take one of the two out, or give it another id")
                        .related(first, "first here");
                }
                seen.entry(&id.value).or_insert(&id.span);
            }
            match self.upstream_model(row) {
                Some(model) => models.push(model),
                None => sound = false,
            }
        }
        sound.then_some(models)
    }

    fn upstream_model(&mut self, row: &At<RawUpstreamModel>) -> Option<UpstreamModel> {
        let id = self.name(&row.value.id, ModelId::new);
        let there = match &row.value.upstream_model {
            Some(at) => self.foreign_name(at),
            None => id.as_ref().map(|id| id.as_str().to_owned()),
        };
        Some(UpstreamModel {
            id: id?,
            upstream_model: there?,
        })
    }
}
