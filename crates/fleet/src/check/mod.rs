//! The second pass: what the values mean together. Every check runs, whatever the others found; a row is left out of
//! the fleet only when one of its own values is missing, which was then reported.

mod bounds;
mod conflict;
mod country;
mod energy;
mod fine_tuning;
mod jobs;
mod launch;
mod model;
mod origin;
mod place;
mod policy;
mod power;
mod programme;
mod replica;
mod secret;
mod sign_in;
mod upstream;
mod url;
mod virtual_model;
mod vtn;

use crate::at::At;
use crate::model::{Fleet, Nodes, Site, TenantEntry};
use crate::problem::{Report, nearest};
use crate::raw::{RawFleet, RawModel, RawNodes, Rows, Text};
use crate::shape::{Shaped, brief};
use madang_types::{NameError, NodesId, Place, ProgrammeId, SiteId, TenantId};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use policy::{word, words};

pub(crate) use policy::{Known, read as read_policy, spans as policy_spans};

/// Builds the fleet; `None` when a value that it needs is missing. Problems go into the report.
pub(crate) fn build(
    shaped: &Shaped<RawFleet>,
    base_dir: &Path,
    report: &mut Report<'_>,
) -> Option<Fleet> {
    let raw = &shaped.raw;
    let mut check = Check {
        raw,
        base_dir,
        index: Index::default(),
        model_rows: by_id(&raw.model, |row| &row.id),
        nodes_rows: by_id(&raw.nodes, |row| &row.id),
        lost: &shaped.lost,
        report,
    };
    check.index_ids();
    let mut fleet = Fleet {
        limits: given(raw.limits.as_ref()),
        probe: given(raw.probe.as_ref()),
        audit: given(raw.audit.as_ref()),
        jobs: jobs::terms(raw.jobs.as_ref(), base_dir),
        power: given(raw.power.as_ref()),
        rules: given(raw.rules.as_ref()),
        credit: given(raw.credit.as_ref()),
        ..Fleet::default()
    };
    let mut whole = true;
    whole &= keep(&mut fleet.sites, rows(&raw.site), |row| check.site(row));
    whole &= keep(&mut fleet.nodes, rows(&raw.nodes), |row| check.nodes(row));
    whole &= keep(&mut fleet.models, rows(&raw.model), |row| check.model(row));
    whole &= keep(&mut fleet.replicas, rows(&raw.replica), |row| {
        check.replica(row)
    });
    whole &= keep(&mut fleet.upstreams, rows(&raw.upstream), |row| {
        check.upstream(row)
    });
    let sites = &fleet.sites;
    whole &= keep(&mut fleet.origins, rows(&raw.origin), |row| {
        check.origin(row, sites)
    });
    whole &= keep(&mut fleet.programmes, rows(&raw.programme), |row| {
        check.programme(row)
    });
    whole &= keep(&mut fleet.tenants, rows(&raw.tenant), |row| {
        check.tenant(row)
    });
    match check.virtual_models() {
        Some(virtual_models) => fleet.virtual_models = virtual_models,
        None => whole = false,
    }
    match check.sign_in() {
        Some(sign_in) => fleet.sign_in = sign_in,
        None => whole = false,
    }
    match check.policy() {
        Some((policy, file)) => (fleet.policy, fleet.policy_file) = (policy, file),
        None => whole = false,
    }
    check.addresses();
    check.origins_apart();
    check.adapters_apart();
    check.served();
    check.jobs(&shaped.spans);
    fleet.fine_tuning = check.fine_tuning();
    fleet.meters = check.meters();
    fleet.vtns = check.vtns();
    check.caps_of_sites(&fleet);
    check.limits(&fleet.limits, &fleet.probe, &shaped.spans);
    whole.then_some(fleet)
}

/// A table as it was given, or its defaults.
fn given<T: Clone + Default>(table: Option<&At<T>>) -> T {
    table.map(|at| at.value.clone()).unwrap_or_default()
}

fn rows<T>(rows: &Rows<T>) -> impl Iterator<Item = &At<T>> {
    rows.iter().flatten()
}

fn by_id<T>(table: &Rows<T>, id: fn(&T) -> &Text) -> BTreeMap<&str, &T> {
    let mut found = BTreeMap::new();
    for row in rows(table).map(|row| &row.value) {
        if let Some(id) = id(row) {
            found.entry(id.value.as_str()).or_insert(row);
        }
    }
    found
}

/// Builds each row and keeps it under its id. False when one could not be built.
fn keep<'r, R: 'r, K: Ord, V>(
    table: &mut BTreeMap<K, V>,
    rows: impl Iterator<Item = &'r At<R>>,
    mut build: impl FnMut(&'r At<R>) -> Option<(K, V)>,
) -> bool {
    let mut whole = true;
    for row in rows {
        match build(row) {
            Some((id, value)) => {
                table.insert(id, value);
            }
            None => whole = false,
        }
    }
    whole
}

/// What mends an id that is there twice.
const RENAME: &str = "give it another id, or take one of the two out";

/// Where each id is first written; one that is there again is a problem, which `mend` mends.
fn once<'r>(
    report: &mut Report<'_>,
    (what, mend): (&str, &str),
    ids: impl Iterator<Item = &'r Text>,
) -> BTreeMap<String, Range<usize>> {
    let mut seen: BTreeMap<String, Range<usize>> = BTreeMap::new();
    for id in ids.flatten() {
        if let Some(first) = seen.get(&id.value) {
            let message = format!("the {what} \"{}\" is there twice", brief(&id.value));
            report
                .error("id_duplicate", &id.span, message)
                .help(mend)
                .related(first, "first here");
        } else {
            seen.insert(id.value.clone(), id.span.clone());
        }
    }
    seen
}

/// A name, checked.
fn name<T>(
    report: &mut Report<'_>,
    at: &At<String>,
    make: fn(&str) -> Result<T, NameError>,
) -> Option<T> {
    match make(&at.value) {
        Ok(name) => Some(name),
        Err(reason) => {
            let entry = report.error("name_invalid", &at.span, reason.to_string());
            match sound_name(&at.value).filter(|better| make(better).is_ok()) {
                Some(better) => entry.help(format!("for example \"{better}\"")),
                None => entry.help("use Latin letters and digits, for example \"pohang-1\""),
            };
            None
        }
    }
}

/// Where each id is first written. Ids that are no names are here too: a reference to one is not dangling.
#[derive(Default)]
pub(crate) struct Index {
    sites: BTreeMap<String, Range<usize>>,
    nodes: BTreeMap<String, Range<usize>>,
    models: BTreeMap<String, Range<usize>>,
    replicas: BTreeMap<String, Range<usize>>,
    upstreams: BTreeMap<String, Range<usize>>,
    origins: BTreeMap<String, Range<usize>>,
    programmes: BTreeMap<String, Range<usize>>,
    tenants: BTreeMap<String, Range<usize>>,
}

/// The pass over one text.
pub(crate) struct Check<'c, 's> {
    raw: &'c RawFleet,
    base_dir: &'c Path,
    index: Index,
    /// The first row of each model and of each nodes, by id.
    model_rows: BTreeMap<&'c str, &'c RawModel>,
    nodes_rows: BTreeMap<&'c str, &'c RawNodes>,
    lost: &'c BTreeSet<String>,
    report: &'c mut Report<'s>,
}

impl Check<'_, '_> {
    fn index_ids(&mut self) {
        let raw = self.raw;
        self.index = Index {
            sites: self.ids("site", rows(&raw.site).map(|r| &r.value.id)),
            nodes: self.ids("nodes", rows(&raw.nodes).map(|r| &r.value.id)),
            models: self.ids("model", rows(&raw.model).map(|r| &r.value.id)),
            replicas: self.ids("replica", rows(&raw.replica).map(|r| &r.value.id)),
            upstreams: self.ids("upstream", rows(&raw.upstream).map(|r| &r.value.id)),
            origins: self.ids("origin", rows(&raw.origin).map(|r| &r.value.id)),
            programmes: self.ids("programme", rows(&raw.programme).map(|r| &r.value.id)),
            tenants: self.ids("tenant", rows(&raw.tenant).map(|r| &r.value.id)),
        };
        // An upstream stands in answers' headers as its own site and replica, an origin in the policy beside all of them.
        let Index {
            sites,
            replicas,
            upstreams,
            origins,
            ..
        } = &self.index;
        let pairs = [
            (("upstream", upstreams), ("site", sites)),
            (("upstream", upstreams), ("replica", replicas)),
            (("origin", origins), ("site", sites)),
            (("origin", origins), ("replica", replicas)),
            (("origin", origins), ("upstream", upstreams)),
        ];
        for ((what, table), (other, others)) in pairs {
            for (id, first) in others {
                let Some(span) = table.get(id) else { continue };
                let message = format!("the {what} \"{}\" has the id of a {other}", brief(id));
                self.report
                    .error("id_shared", span, message)
                    .help("give one of the two another id: both are named in answers and records")
                    .related(first, format!("the {other}"));
            }
        }
    }

    fn ids<'r>(
        &mut self,
        table: &str,
        ids: impl Iterator<Item = &'r Text>,
    ) -> BTreeMap<String, Range<usize>> {
        once(self.report, (table, RENAME), ids)
    }

    /// A name, checked.
    fn name<T>(&mut self, text: &Text, make: fn(&str) -> Result<T, NameError>) -> Option<T> {
        name(self.report, text.as_ref()?, make)
    }

    /// A reference to a row of `table`, checked; `None` if there is no such row.
    fn reference<T>(
        &mut self,
        key: &str,
        text: &Text,
        table: &'static str,
        make: fn(&str) -> Result<T, NameError>,
    ) -> Option<T> {
        let at = text.as_ref()?;
        let known = self.index.table(table);
        if known.contains_key(&at.value) {
            return make(&at.value).ok();
        }
        if self.report.is_whole() && !self.lost.contains(table) {
            let is_full = self.report.is_full();
            let candidates = known.keys().filter(|_| !is_full);
            let near = nearest(&at.value, candidates.map(String::as_str));
            let place = near.and_then(|near| known.get(near)).cloned();
            let message = format!("`{key}` names no {table}: \"{}\"", brief(&at.value));
            let entry = self.report.error("reference_unknown", &at.span, message);
            match (near, place) {
                (Some(near), Some(place)) => {
                    entry
                        .help(format!("did you mean \"{}\"?", brief(near)))
                        .related(&place, "this one");
                }
                _ if known.is_empty() => {
                    entry.help(format!("there is no [[{table}]] yet; add one with this id"));
                }
                _ => {
                    entry.help(format!("there are: {}", some_of(known.keys())));
                }
            }
        }
        None
    }

    fn site(&mut self, row: &At<crate::raw::RawSite>) -> Option<(SiteId, Site)> {
        let raw = &row.value;
        let id = self.name(&raw.id, SiteId::new);
        let country = self.country(&raw.country);
        let operator_country = match &raw.operator_country {
            Some(_) => self.country(&raw.operator_country),
            None => country,
        };
        let place = Place {
            own: true,
            country,
            operator_country,
            ..Place::default()
        };
        let facts = self.place_of(place, &raw.facts());
        let electricity = self.electricity(raw);
        let (country, operator_country) = (country?, operator_country?);
        let (place, facts) = facts?;
        let site = Site {
            country,
            operator_country,
            place,
            facts,
            power_cap_kw: raw.power_cap_kw.as_ref().map(|at| at.value),
            pue: raw.pue.as_ref().map(|at| at.value),
            electricity: electricity?,
        };
        Some((id?, site))
    }

    fn nodes(&mut self, row: &At<RawNodes>) -> Option<(NodesId, Nodes)> {
        let raw = &row.value;
        let id = self.name(&raw.id, NodesId::new);
        let site = self.reference("site", &raw.site, "site", SiteId::new);
        let accelerator = self.accelerator(&raw.accelerator);
        let nodes = Nodes {
            site: site?,
            accelerator: accelerator?,
            per_node: raw.per_node.as_ref()?.value,
            count: raw.count.as_ref()?.value,
            jobs: raw.jobs.as_ref().map(|at| at.value.clone()),
            power: raw.power.as_ref().map(|at| at.value),
        };
        Some((id?, nodes))
    }

    fn accelerator(&mut self, text: &Text) -> Option<String> {
        let at = text.as_ref()?;
        let sound = !at.value.is_empty()
            && at.value.len() <= madang_types::id::NAME_BYTES_MAX
            && at.value.bytes().all(|b| {
                b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.' | b'_')
            });
        if sound {
            return Some(at.value.clone());
        }
        let message =
            "a kind of accelerator is written in lower-case letters, digits, '.', '_' and '-'";
        let entry = self.report.error("name_invalid", &at.span, message);
        match sound_name(&at.value.to_ascii_lowercase()) {
            Some(better) => entry.help(format!("for example \"{better}\"")),
            None => entry.help("for example \"h200\", or \"cpu\" for none"),
        };
        None
    }

    fn tenant(&mut self, row: &At<crate::raw::RawTenant>) -> Option<(TenantId, TenantEntry)> {
        let raw = &row.value;
        let id = self.name(&raw.id, TenantId::new);
        let programme = self.reference("programme", &raw.programme, "programme", ProgrammeId::new);
        if raw.programme.is_some() && programme.is_none() {
            return None;
        }
        let tenant = TenantEntry {
            programme,
            weight: raw.weight.as_ref().map_or(1, |at| at.value),
            class_floor: word(&raw.class_floor).unwrap_or_default(),
            data_flags: words(&raw.data_flags),
        };
        Some((id?, tenant))
    }

    /// A path, resolved against the fleet file's folder.
    fn path(&mut self, at: &At<String>) -> Option<PathBuf> {
        let text = &at.value;
        let wrong = if text.trim().is_empty() {
            Some(("the path is empty", "name a file"))
        } else if text.contains('\0') {
            Some(("a path has no NUL character", "take it out"))
        } else if text.starts_with('~') {
            Some((
                "`~` is a shell's word and is not expanded here",
                "write the whole path, or one relative to the fleet file",
            ))
        } else {
            None
        };
        if let Some((message, remedy)) = wrong {
            self.report
                .error("path_invalid", &at.span, message)
                .help(remedy);
            return None;
        }
        Some(self.base_dir.join(text))
    }
}

impl Index {
    fn table(&self, table: &str) -> &BTreeMap<String, Range<usize>> {
        match table {
            "site" => &self.sites,
            "nodes" => &self.nodes,
            "model" => &self.models,
            "programme" => &self.programmes,
            "replica" => &self.replicas,
            "upstream" => &self.upstreams,
            _ => &self.tenants,
        }
    }
}

fn some_of<'k>(keys: impl Iterator<Item = &'k String>) -> String {
    const SHOWN_MAX: usize = 8;
    let mut list: Vec<String> = keys.take(SHOWN_MAX + 1).map(|k| brief(k)).collect();
    if list.len() > SHOWN_MAX {
        list.truncate(SHOWN_MAX);
        list.push("…".into());
    }
    list.join(", ")
}

/// The text with what no name may hold replaced, if something remains.
fn sound_name(text: &str) -> Option<String> {
    let replaced: String = text
        .trim()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_') {
                c
            } else {
                '-'
            }
        })
        .take(madang_types::id::NAME_BYTES_MAX)
        .collect();
    let parts: Vec<&str> = replaced
        .split(['-', '.'])
        .filter(|p| !p.is_empty())
        .collect();
    let name = parts.join("-");
    let name = name.trim_matches('_');
    (!name.is_empty()).then(|| name.to_owned())
}
