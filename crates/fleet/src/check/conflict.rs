//! Rows against each other: addresses that meet, models that nobody serves.

use super::url::BaseUrl;
use super::{Check, rows};
use crate::at::At;
use crate::raw::{RawModel, RawReplica};
use crate::shape::brief;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

impl<'c> Check<'c, '_> {
    /// No two replicas share an address.
    pub(super) fn addresses(&mut self) {
        let mut urls: BTreeMap<String, &'c Range<usize>> = BTreeMap::new();
        // Ports of the machine at a site on which Madang runs: those it will open, then those it will call.
        let mut ports: BTreeMap<(Option<&'c str>, u16), &'c Range<usize>> = BTreeMap::new();
        let raw = self.raw;
        for row in rows(&raw.replica) {
            let launch = row.value.launch.as_ref();
            if let Some(port) = launch.and_then(|l| l.value.port.as_ref()) {
                let key = (site(row), port.value);
                match ports.get(&key) {
                    Some(first) => self.port_conflict(port.value, &port.span, first),
                    None => {
                        ports.insert(key, &port.span);
                    }
                }
            }
        }
        for row in rows(&raw.replica) {
            let Some(at) = &row.value.url else { continue };
            let Ok(url) = BaseUrl::parse(&at.value) else {
                continue;
            };
            if let BaseUrl::Http { port, .. } = &url
                && url.is_loopback()
                && let Some(first) = ports.get(&(site(row), *port))
            {
                self.port_conflict(*port, &at.span, first);
            }
            // 127.0.0.1 is another machine at each site.
            let place = if url.is_loopback() { site(row) } else { None };
            let key = format!("{} {}", place.unwrap_or_default(), url.canonical());
            if let Some(first) = urls.get(&key) {
                self.report
                    .error(
                        "url_duplicate",
                        &at.span,
                        "two replicas have the same url; its slots would be counted twice",
                    )
                    .help(
                        "one engine is one replica; give the other its own address, or take it out",
                    )
                    .related(first, "first here");
            } else {
                urls.insert(key, &at.span);
            }
        }
    }

    /// An adapter's name is nobody else's: one name is one model, whoever asks for it.
    pub(super) fn adapters_apart(&mut self) {
        let raw = self.raw;
        let mut bases: BTreeMap<&str, (&str, &Range<usize>)> = BTreeMap::new();
        let upstreams = rows(&raw.upstream).flat_map(|row| row.value.models.iter());
        let elsewhere: BTreeMap<&str, &Range<usize>> = upstreams
            .flat_map(|at| &at.value)
            .filter_map(|model| model.value.id.as_ref())
            .map(|at| (at.value.as_str(), &at.span))
            .collect();
        for row in rows(&raw.replica) {
            let Some(model) = row.value.model.as_ref().map(|at| at.value.as_str()) else {
                continue;
            };
            for at in row.value.adapters.iter().flat_map(|at| &at.value) {
                let name = at.value.as_str();
                let of_model = self.index.models.get(name).map(|span| (span, "the model"));
                let of_upstream = elsewhere
                    .get(name)
                    .map(|span| (*span, "the upstream's model"));
                let of_other = bases
                    .get(name)
                    .filter(|(base, _)| *base != model)
                    .map(|(_, span)| (*span, "the other model's adapter"));
                if let Some((other, what)) = of_model.or(of_upstream).or(of_other) {
                    let message =
                        format!("the adapter \"{}\" has a name that is taken", brief(name));
                    self.report
                        .error("id_shared", &at.span, message)
                        .help(
                            "give it another name, and the engine too: it is asked for by this one",
                        )
                        .related(other, what);
                } else {
                    bases.entry(name).or_insert((model, &at.span));
                }
            }
        }
    }

    fn port_conflict(&mut self, port: u16, span: &Range<usize>, first: &Range<usize>) {
        let message = format!("port {port} is taken by another replica of the same site");
        self.report
            .error("port_conflict", span, message)
            .help("choose another port, or leave `port` out of the launch: Madang picks a free one")
            .related(first, "first here");
    }

    /// What an operator meant to serve, and does not.
    pub(super) fn served(&mut self) {
        let raw = self.raw;
        let mut served: BTreeSet<&str> = BTreeSet::new();
        for row in rows(&raw.replica) {
            served.extend(row.value.model.iter().map(|at| at.value.as_str()));
        }
        // A misspelt model is reported where it stands; which one it meant is not known here.
        let misspelt = served.iter().any(|id| !self.index.models.contains_key(*id));
        for row in rows(&raw.upstream) {
            let models = row.value.models.iter().flat_map(|at| &at.value);
            served.extend(
                models
                    .filter_map(|m| m.value.id.as_ref())
                    .map(|at| at.value.as_str()),
            );
        }
        if !self.sure("replica") || !self.sure("upstream") {
            return;
        }
        if rows(&raw.replica).next().is_none() && rows(&raw.upstream).next().is_none() {
            self.report
                .warning(
                    "nothing_to_serve",
                    &(0..0),
                    "the fleet has no replica and no upstream: nothing is served",
                )
                .help("add a [[replica]] or an [[upstream]]; examples/laptop.toml shows one");
            return;
        }
        for row in rows(&raw.model).filter(|_| !misspelt) {
            self.unserved(&row.value, &served);
        }
    }

    fn unserved(&mut self, model: &RawModel, served: &BTreeSet<&str>) {
        let Some(id) = model
            .id
            .as_ref()
            .filter(|id| !served.contains(id.value.as_str()))
        else {
            return;
        };
        let what = if Self::embeds(model) {
            "embedding model"
        } else {
            "model"
        };
        let message = format!(
            "the {what} \"{}\" has no replica and no upstream; requests for it will be refused",
            brief(&id.value)
        );
        self.report
            .warning("model_unserved", &id.span, message)
            .help("add a [[replica]] with this model, or take it out");
    }
}

fn site(row: &At<RawReplica>) -> Option<&str> {
    row.value.site.as_ref().map(|at| at.value.as_str())
}
