//! Model services run by others.

use super::Check;
use crate::at::At;
use crate::model::{Dialect, Upstream, UpstreamModel};
use crate::raw::{RawUpstream, RawUpstreamModel};
use crate::shape::brief;
use madang_types::{ModelId, Place, UpstreamId};
use std::collections::BTreeMap;
use std::ops::Range;

/// Requests at once, where the file names none; the schema shows the same.
const SLOTS_DEFAULT: u32 = 64;

impl Check<'_, '_> {
    pub(super) fn upstream(&mut self, row: &At<RawUpstream>) -> Option<(UpstreamId, Upstream)> {
        let raw = &row.value;
        let id = self.name(&raw.id, UpstreamId::new);
        let url = raw.url.as_ref().and_then(|at| self.base_url(at));
        let country = self.country(&raw.country);
        let operator_country = self.country(&raw.operator_country);
        let key_file = self.key_file(raw.key_file.as_ref(), raw.url.as_ref());
        let models = raw.models.as_ref().and_then(|at| self.upstream_models(at));
        self.upstream_advice(row);
        let place = Place {
            country,
            operator_country,
            ..Place::default()
        };
        let facts = self.place_of(place, &raw.facts());
        let wrong_country = raw.country.is_some() && country.is_none();
        let wrong_operator = raw.operator_country.is_some() && operator_country.is_none();
        if wrong_country || wrong_operator {
            return None;
        }
        let (place, facts) = facts?;
        let upstream = Upstream {
            dialect: raw.dialect.as_ref()?.value,
            url: url?.0,
            place,
            facts,
            key_file: key_file?,
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
        if let (Some(url), None, true) = (https, &raw.key_file, self.sure("upstream")) {
            self.report
                .warning(
                    "key_file_missing",
                    &url.span,
                    "the upstream has no `key_file`; requests go out without a key",
                )
                .help("add key_file = \"secrets/….key\" if the service asks for a key");
        }
        if let Some(dialect) = raw
            .dialect
            .as_ref()
            .filter(|d| d.value == Dialect::Anthropic)
        {
            self.report
                .warning("dialect_unserved", &dialect.span, "the dialect \"anthropic\" is not served yet; this upstream's models are not listed")
                .help("nothing to do; the entry is checked and kept");
        }
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
