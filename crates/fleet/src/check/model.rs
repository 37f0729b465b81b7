//! Models and the places of their weights.

use super::Check;
use crate::at::At;
use crate::model::{Model, ModelKind, PackagePart, ToolSupport, WeightSource, Weights};
use crate::raw::{RawModel, RawPart, RawSource, RawWeights, Rows, Text};
use crate::shape::brief;
use madang_types::{ModelClass, ModelId};

impl Check<'_, '_> {
    pub(super) fn model(&mut self, row: &At<RawModel>) -> Option<(ModelId, Model)> {
        let raw = &row.value;
        let id = self.name(&raw.id, ModelId::new);
        let kind = raw.kind.as_ref().map_or(ModelKind::Chat, |at| at.value);
        let tools = raw
            .tools
            .as_ref()
            .map_or(ToolSupport::Native, |at| at.value);
        if let (ModelKind::Embedding, Some(at)) = (kind, &raw.tools) {
            self.report
                .warning(
                    "key_without_effect",
                    &at.span,
                    "an embedding model has no tool calls",
                )
                .help("take `tools` out, or is the model's kind \"chat\"?");
        }
        if let (ModelKind::Chat, Some(at)) = (kind, &raw.dimensions) {
            self.report
                .warning(
                    "key_without_effect",
                    &at.span,
                    "a chat model makes no embeddings",
                )
                .help("take `dimensions` out, or is the model's kind \"embedding\"?");
        }
        let model_class = self.name(&raw.model_class, ModelClass::new);
        if raw.model_class.is_some() && model_class.is_none() {
            return None;
        }
        let weights = match &raw.weights {
            Some(at) => Some(self.weights(at)?),
            None => None,
        };
        let model = Model {
            context_tokens: raw.context_tokens.as_ref()?.value,
            kind,
            model_class,
            prefix_cache: raw
                .prefix_cache
                .as_ref()
                .map(|at| at.value)
                .unwrap_or_default(),
            tools,
            dimensions: raw.dimensions.as_ref().map(|at| at.value),
            weights,
            costs: raw.costs.as_ref().map(|at| at.value).unwrap_or_default(),
        };
        Some((id?, model))
    }

    fn weights(&mut self, at: &At<RawWeights>) -> Option<Weights> {
        let raw = &at.value;
        let sha256 = self.digest(&raw.sha256);
        let rows = raw.sources.as_ref()?;
        if rows.is_empty() && !self.lost.contains("model") {
            self.report
                .error("weights_invalid", &at.span, "the weights have no source")
                .help("sources = [{ file = \"…\" }], [{ url = \"…\" }] or [{ package = [ … ] }]");
        }
        let found: Vec<Option<WeightSource>> = rows.iter().map(|row| self.source(row)).collect();
        let sources: Vec<WeightSource> = found.into_iter().collect::<Option<_>>()?;
        Some(Weights {
            sha256: sha256?,
            bytes: raw.bytes.as_ref().map(|at| at.value),
            sources,
        })
    }

    fn source(&mut self, row: &At<RawSource>) -> Option<WeightSource> {
        let RawSource { file, url, package } = &row.value;
        match (file, url, package) {
            (Some(at), None, None) => self.path(at).map(WeightSource::File),
            (None, Some(at), None) => self.weights_url(at),
            (None, None, Some(_)) => self.package(package, &row.span),
            _ => {
                self.report
                    .error("choose_one", &row.span, "a source is exactly one of `file`, `url` and `package`")
                    .help("give each place its own braces: sources = [{ file = \"…\" }, { url = \"…\" }]");
                None
            }
        }
    }

    fn weights_url(&mut self, at: &At<String>) -> Option<WeightSource> {
        let text = &at.value;
        if self.secret(
            text,
            &at.span,
            "take the secret out; use a mirror that needs none",
        ) {
            return None;
        }
        let host = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .and_then(|rest| rest.split('/').next());
        let blank = |c: char| c.is_whitespace() || c.is_control();
        if host.is_none_or(|h| h.is_empty() || h.contains('@')) || text.contains(blank) {
            let message = format!(
                "\"{}\" is no http:// or https:// URL of a file",
                brief(text)
            );
            self.report
                .error("url_invalid", &at.span, message)
                .help("for a file on this machine write { file = \"…\" }");
            return None;
        }
        Some(WeightSource::Url(text.clone()))
    }

    fn package(
        &mut self,
        rows: &Rows<RawPart>,
        span: &std::ops::Range<usize>,
    ) -> Option<WeightSource> {
        let rows = rows.as_ref()?;
        if rows.is_empty() {
            self.report
                .error("weights_invalid", span, "the list of packages is empty")
                .help("package = [{ requirement = \"name==1.2.3\", wheel_sha256 = \"…\", member = \"…\" }]");
            return None;
        }
        let found: Vec<Option<PackagePart>> = rows.iter().map(|row| self.part(row)).collect();
        let parts = found.into_iter().collect::<Option<_>>()?;
        Some(WeightSource::Package { parts })
    }

    fn part(&mut self, row: &At<RawPart>) -> Option<PackagePart> {
        let raw = &row.value;
        let requirement = self.requirement(&raw.requirement);
        let wheel_sha256 = self.digest(&raw.wheel_sha256);
        let member = self.member(&raw.member);
        Some(PackagePart {
            requirement: requirement?,
            wheel_sha256: wheel_sha256?,
            member: member?,
        })
    }

    fn requirement(&mut self, text: &Text) -> Option<String> {
        let at = text.as_ref()?;
        let sound = at.value.split_once("==").is_some_and(|(name, version)| {
            let is_word = |word: &str, also: &[char]| {
                word.starts_with(|c: char| c.is_ascii_alphanumeric())
                    && word.ends_with(|c: char| c.is_ascii_alphanumeric())
                    && word
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || also.contains(&c))
            };
            is_word(name, &['-', '_', '.']) && is_word(version, &['.', '+', '!', '-', '_'])
        });
        if sound {
            return Some(at.value.clone());
        }
        let message = format!(
            "\"{}\" names no package with one exact version",
            brief(&at.value)
        );
        self.report
            .error("requirement_invalid", &at.span, message)
            .help("write name==1.2.3, without blanks, ranges or stars");
        None
    }

    fn member(&mut self, text: &Text) -> Option<String> {
        let at = text.as_ref()?;
        let inside = !at.value.is_empty()
            && !at.value.contains(['\\', '\0'])
            && at
                .value
                .split('/')
                .all(|part| !matches!(part, "" | "." | ".."));
        if inside {
            return Some(at.value.clone());
        }
        let message = format!("\"{}\" is no path inside a wheel", brief(&at.value));
        self.report
            .error("path_invalid", &at.span, message)
            .help("for example package_name/data/part01.bin");
        None
    }

    fn digest(&mut self, text: &Text) -> Option<String> {
        let at = text.as_ref()?;
        let plain = at.value.strip_prefix("sha256:").unwrap_or(&at.value);
        let is_hex = at.value.bytes().all(|b| b.is_ascii_hexdigit());
        if is_hex && at.value.len() == 64 {
            return Some(at.value.to_ascii_lowercase());
        }
        let message = if is_hex {
            format!(
                "a SHA-256 has 64 hex digits, this one has {}",
                at.value.len()
            )
        } else {
            "a SHA-256 is 64 hex digits".into()
        };
        let help = if plain.len() == 64 {
            "leave out the prefix sha256:"
        } else {
            "`sha256sum FILE` prints it"
        };
        self.report
            .error("digest_invalid", &at.span, message)
            .help(help);
        None
    }
}
