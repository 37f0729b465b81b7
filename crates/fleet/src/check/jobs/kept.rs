//! Classes of jobs, and machines that are kept: what they name is there, and they say one thing.

use crate::at::At;
use crate::check::{Check, rows};
use crate::model::{JobsReservation, JobsTerms};
use crate::raw::{RawNodes, Text};
use crate::shape::brief;
use std::collections::BTreeSet;
use std::ops::Range;

/// As many as the core tells apart.
const RESERVATIONS_MAX: usize = 64;
/// Classes of jobs.
const QOS_MAX: usize = 64;
/// So many names are told of those that are there.
const NAMES_SHOWN_MAX: usize = 16;

fn named<'r>(ids: impl Iterator<Item = &'r Text>) -> BTreeSet<&'r str> {
    ids.flatten().map(|at| at.value.as_str()).collect()
}

impl Check<'_, '_> {
    pub(super) fn qos(&mut self, terms: &JobsTerms, span: &Range<usize>) {
        if terms.qos.len() > QOS_MAX {
            let message = format!("there are more than {QOS_MAX} `jobs.qos`");
            self.report.error("number_range", span, message);
            return;
        }
        let known: BTreeSet<&str> = terms.qos.iter().map(|qos| qos.id.as_str()).collect();
        if known.len() < terms.qos.len() {
            let message = "two of `jobs.qos` have one `id`";
            let entry = self.report.error("id_duplicate", span, message);
            entry.help("give one of them another `id`");
        } else if terms.qos_tiers().is_none() {
            let message = "a class of `jobs.qos` goes before itself by way of `preempts`";
            let entry = self.report.error("terms_invalid", span, message);
            entry.help("take one of the names out of `preempts`");
        }
        let raw = self.raw;
        let programmes = named(rows(&raw.programme).map(|row| &row.value.id));
        for qos in &terms.qos {
            let lists = [
                ("preempts", &qos.preempts, "jobs.qos", &known),
                ("programmes", &qos.programmes, "programme", &programmes),
            ];
            for (key, names, table, there) in lists {
                let names = names.iter().flatten();
                for name in names.filter(|name| !there.contains(name.as_str())) {
                    let (id, name) = (brief(&qos.id), brief(name));
                    let message =
                        format!("`{key}` of `jobs.qos` \"{id}\" names no {table}: \"{name}\"");
                    let entry = self.report.error("reference_unknown", span, message);
                    entry.help(format!("add a [[{table}]] with this id, or take it out"));
                }
            }
        }
    }

    pub(super) fn reservations(&mut self, reservations: &[JobsReservation], span: &Range<usize>) {
        if reservations.len() > RESERVATIONS_MAX {
            let message = format!("there are more than {RESERVATIONS_MAX} `jobs.reservations`");
            self.report.error("number_range", span, message);
        }
        let mut ids = BTreeSet::new();
        for kept in reservations {
            let id = brief(&kept.id);
            if !ids.insert(kept.id.as_str()) {
                let message = format!("two of `jobs.reservations` are called \"{id}\"");
                let entry = self.report.error("id_duplicate", span, message);
                entry.help("give one of them another `id`");
            }
            if kept.span().is_none_or(|(from, until)| from >= until) {
                let message =
                    format!("`jobs.reservations` \"{id}\" has no time between `from` and `until`");
                let entry = self.report.error("date_invalid", span, message);
                entry.help("write both as 2026-12-01T09:00:00+09:00, the earlier one as `from`");
            }
            let is_twice = kept.machines.is_some() && kept.count.is_some();
            if is_twice || (kept.programme.is_some() && kept.tenant.is_some()) {
                let (one, other) = if is_twice {
                    ("machines", "count")
                } else {
                    ("programme", "tenant")
                };
                let message = format!("`jobs.reservations` \"{id}\" has `{one}` and `{other}`");
                let entry = self.report.error("choose_one", span, message);
                entry.help("take one of them out");
            }
            self.kept_names(kept, span);
        }
    }

    /// What a reservation names is there.
    fn kept_names(&mut self, kept: &JobsReservation, span: &Range<usize>) {
        let raw = self.raw;
        let nodes = rows(&raw.nodes).map(|row| &row.value.id);
        let programmes = rows(&raw.programme).map(|row| &row.value.id);
        let tenants = rows(&raw.tenant).map(|row| &row.value.id);
        let names: [(_, _, BTreeSet<&str>); 3] = [
            ("nodes", Some(&kept.nodes), named(nodes)),
            ("programme", kept.programme.as_ref(), named(programmes)),
            ("tenant", kept.tenant.as_ref(), named(tenants)),
        ];
        let id = brief(&kept.id);
        for (table, name, known) in names {
            let Some(name) = name.filter(|name| !known.contains(name.as_str())) else {
                continue;
            };
            let name = brief(name);
            let message =
                format!("`{table}` of `jobs.reservations` \"{id}\" names no {table}: \"{name}\"");
            let entry = self.report.error("reference_unknown", span, message);
            let all: Vec<&str> = known.into_iter().take(NAMES_SHOWN_MAX).collect();
            match all.as_slice() {
                [] => entry.help(format!("there is no [[{table}]] yet")),
                all => entry.help(format!("there are: {}", all.join(", "))),
            };
        }
        let is_it = |row: &&At<RawNodes>| {
            let id = row.value.id.as_ref();
            id.is_some_and(|id| id.value == kept.nodes)
        };
        let of = rows(&raw.nodes).find(is_it);
        let count = of.and_then(|row| row.value.count.as_ref());
        let last = kept.machines.iter().flatten().copied().max();
        if let (Some(count), Some(last)) = (count, last)
            && last >= count.value
        {
            let message = format!(
                "`jobs.reservations` \"{id}\" keeps machine {last} of {}",
                count.value
            );
            let entry = self.report.error("number_range", span, message);
            entry.help("machines are counted from 0");
        }
    }
}
