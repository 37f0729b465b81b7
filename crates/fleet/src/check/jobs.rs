//! What the file says of batch jobs: clusters by name, and a way into each.

use super::{Check, rows};
use crate::at::At;
use crate::model::{JobsExecutor, JobsReservation, JobsTerms, NodesJobs, SlurmCluster};
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
    /// Machines name a cluster that is there, and each cluster can be reached.
    pub(super) fn jobs(&mut self) {
        let mut clusters = BTreeSet::new();
        if let Some(At { value, span }) = &self.raw.jobs {
            let JobsTerms {
                slurm,
                reservations,
                ..
            } = value;
            self.reservations(reservations, span);
            self.qos(value, span);
            for cluster in slurm {
                if !clusters.insert(cluster.id.as_str()) {
                    let id = brief(&cluster.id);
                    let message = format!("two clusters of `jobs.slurm` are called \"{id}\"");
                    let entry = self.report.error("id_duplicate", span, message);
                    entry.help("give one of them another `id`");
                }
                self.way_in(cluster, span);
            }
        }
        for row in rows(&self.raw.nodes) {
            if let Some(At { value, span }) = &row.value.jobs {
                self.cluster_of(value, span, &clusters);
            }
        }
    }

    fn qos(&mut self, terms: &JobsTerms, span: &Range<usize>) {
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

    fn reservations(&mut self, reservations: &[JobsReservation], span: &Range<usize>) {
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

    fn cluster_of(&mut self, jobs: &NodesJobs, span: &Range<usize>, known: &BTreeSet<&str>) {
        match (jobs.executor, jobs.cluster.as_deref()) {
            (JobsExecutor::Local, None) => {}
            (JobsExecutor::Local, Some(_)) => {
                let message = "`cluster` says nothing where `executor` is \"local\"";
                let entry = self.report.error("key_without_effect", span, message);
                entry.help("take it out, or let `executor` be \"slurm\"");
            }
            (JobsExecutor::Slurm, None) => {
                let message = "`executor` is \"slurm\", and there is no `cluster`";
                let entry = self.report.error("missing_key", span, message);
                entry.help("add `cluster`: the `id` of one in [[jobs.slurm]]");
            }
            (JobsExecutor::Slurm, Some(_)) if jobs.gateway.is_some() => {
                let message = "`gateway` says nothing where `executor` is \"slurm\"";
                let entry = self.report.error("key_without_effect", span, message);
                entry.help("take it out: any gateway reaches a cluster");
            }
            (JobsExecutor::Slurm, Some(id)) if known.contains(id) => {}
            (JobsExecutor::Slurm, Some(id)) => {
                let message = format!("`cluster` names no jobs.slurm: \"{}\"", brief(id));
                let entry = self.report.error("reference_unknown", span, message);
                let all: Vec<&str> = known.iter().copied().collect();
                match all.as_slice() {
                    [] => entry.help("there is no [[jobs.slurm]] yet; add one with this id"),
                    all => entry.help(format!("there are: {}", all.join(", "))),
                };
            }
        }
    }

    fn way_in(&mut self, cluster: &SlurmCluster, span: &Range<usize>) {
        let id = brief(&cluster.id);
        let tokens = [&cluster.rest_token_file, &cluster.rest_key_file];
        let tokens = tokens.into_iter().flatten().count();
        let (code, message) = match (&cluster.rest_url, &cluster.rest_user, tokens) {
            (None, _, _) if cluster.shell.is_some() => return,
            (Some(_), Some(_), 1) => return,
            (None, _, _) => (
                "missing_key",
                format!("no way leads into the cluster \"{id}\""),
            ),
            (Some(_), _, 2) => {
                let message = format!("the cluster \"{id}\" has a token and a key");
                ("choose_one", message)
            }
            (Some(_), _, _) => {
                let message =
                    format!("the REST daemon of the cluster \"{id}\" is told no user or no token");
                ("missing_key", message)
            }
        };
        let help = "a cluster has `shell`, or `rest_url` with `rest_user` and one of `rest_token_file` and `rest_key_file`";
        self.report.error(code, span, message).help(help);
    }
}
