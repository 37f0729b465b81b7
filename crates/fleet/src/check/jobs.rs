//! What the file says of batch jobs: clusters by name, a way into each, what Madang may do there, and buckets.

mod bucket;
mod cluster;
mod data;
mod kept;

use super::{Check, given, rows};
use crate::at::At;
use crate::model::{JobsExecutor, JobsTerms, NodesJobs, SlurmCluster};
use crate::shape::{brief, row_path};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Places of keys in the text.
type Spans = BTreeMap<String, Range<usize>>;

/// A row of a list in `[jobs]`, and where it and its keys stand.
#[derive(Clone, Copy)]
struct Row<'a> {
    spans: &'a Spans,
    list: &'a str,
    number: usize,
    /// Of the table, where nothing nearer is known.
    table: &'a Range<usize>,
}

impl Row<'_> {
    fn span(&self) -> Range<usize> {
        let at = row_path(self.list, self.number);
        self.spans.get(&at).unwrap_or(self.table).clone()
    }

    fn key(&self, name: &str) -> Range<usize> {
        let at = format!("{}.{name}", row_path(self.list, self.number));
        self.spans.get(&at).cloned().unwrap_or_else(|| self.span())
    }
}

/// The table with its files where they are: those that are not absolute are seen from the fleet file.
pub(super) fn terms(table: Option<&At<JobsTerms>>, base_dir: &Path) -> JobsTerms {
    let mut terms = given(table);
    let mut files: Vec<&mut PathBuf> = terms.stage_authority_file.iter_mut().collect();
    for bucket in &mut terms.bucket {
        files.extend([&mut bucket.access_key_file, &mut bucket.secret_key_file]);
    }
    for cluster in &mut terms.slurm {
        files.extend(cluster.rest_authority_file.as_mut());
        files.extend(cluster.rest_token_file.as_mut());
        files.extend(cluster.rest_key_file.as_mut());
    }
    for file in files {
        *file = base_dir.join(&*file);
    }
    terms
}

impl Check<'_, '_> {
    /// Machines name a cluster that is there, and each cluster can be reached.
    pub(super) fn jobs(&mut self, spans: &Spans) {
        let mut clusters: BTreeMap<&str, &SlurmCluster> = BTreeMap::new();
        if let Some(At { value, span }) = &self.raw.jobs {
            if let Some(path) = &value.secrets_key_file
                && !path.is_absolute()
            {
                let shown = path.display().to_string();
                let message = format!(
                    "`secrets_key_file` is no absolute path: \"{}\"",
                    brief(&shown)
                );
                let entry = self.report.error("path_invalid", span, message);
                entry.help("gateways that share the books find it at the same place");
            }
            let row = |list, number| Row {
                spans,
                list,
                number,
                table: span,
            };
            self.reservations(&value.reservations, span, |number| {
                row("jobs.reservations", number)
            });
            self.qos(value, span, |number| row("jobs.qos", number));
            self.data(value, span, row);
            for (number, cluster) in value.slurm.iter().enumerate() {
                let row = row("jobs.slurm", number);
                if clusters.insert(cluster.id.as_str(), cluster).is_some() {
                    self.called_twice(&cluster.id, row);
                }
                self.cluster(cluster, row);
            }
            for (number, bucket) in value.bucket.iter().enumerate() {
                self.bucket(&value.bucket[..number], bucket, row("jobs.bucket", number));
            }
        }
        for nodes in rows(&self.raw.nodes) {
            if let Some(At { value, span }) = &nodes.value.jobs {
                self.cluster_of(value, span, &clusters);
            }
        }
    }

    fn called_twice(&mut self, id: &str, row: Row<'_>) {
        let message = format!("two of `{}` are called \"{}\"", row.list, brief(id));
        let entry = self.report.error("id_duplicate", &row.key("id"), message);
        entry.help("give one of them another `id`");
    }

    fn cluster_of(
        &mut self,
        jobs: &NodesJobs,
        span: &Range<usize>,
        known: &BTreeMap<&str, &SlurmCluster>,
    ) {
        match (jobs.executor, jobs.cluster.as_deref()) {
            (JobsExecutor::Local, None) => {
                self.dcgm(jobs, span);
                let given = [
                    ("gres", jobs.gres.is_some()),
                    ("watts", jobs.watts.is_some()),
                ];
                for (key, _) in given.into_iter().filter(|(_, given)| *given) {
                    self.says_nothing_here(key, span);
                }
            }
            (JobsExecutor::Local, Some(_)) => self.says_nothing_here("cluster", span),
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
            (JobsExecutor::Slurm, Some(_)) if jobs.dcgm_url.is_some() => {
                let message = "`dcgm_url` says nothing where `executor` is \"slurm\"";
                let entry = self.report.error("key_without_effect", span, message);
                entry.help("take it out: of a cluster its own accounting tells");
            }
            (JobsExecutor::Slurm, Some(id)) => match known.get(id) {
                Some(cluster) => self.of_cluster(jobs, span, cluster),
                None => {
                    let message = format!("`cluster` names no jobs.slurm: \"{}\"", brief(id));
                    let entry = self.report.error("reference_unknown", span, message);
                    let all: Vec<&str> = known.keys().copied().collect();
                    match all.as_slice() {
                        [] => entry.help("there is no [[jobs.slurm]] yet; add one with this id"),
                        all => entry.help(format!("there are: {}", all.join(", "))),
                    };
                }
            },
        }
    }

    /// The address of what measures this machine.
    fn dcgm(&mut self, jobs: &NodesJobs, span: &Range<usize>) {
        let is_url = |url: &str| {
            let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"));
            let sound = |rest: &str| !rest.is_empty() && !rest.contains([' ', '?', '#']);
            url.len() <= 208 && rest.is_some_and(sound)
        };
        if let Some(url) = jobs.dcgm_url.as_deref().filter(|url| !is_url(url)) {
            let message = format!("`dcgm_url` is no address: \"{}\"", brief(url));
            let entry = self.report.error("url_invalid", span, message);
            entry.help("write it without the path: \"http://127.0.0.1:9400\"");
        }
    }

    fn says_nothing_here(&mut self, key: &str, span: &Range<usize>) {
        let message = format!("`{key}` says nothing where `executor` is \"local\"");
        let entry = self.report.error("key_without_effect", span, message);
        entry.help("take it out, or let `executor` be \"slurm\"");
    }

    /// What machines say of themselves for their cluster.
    fn of_cluster(&mut self, jobs: &NodesJobs, span: &Range<usize>, cluster: &SlurmCluster) {
        if let Some(gres) = &jobs.gres
            && !is_gres(gres)
        {
            let message = format!("`gres` is no name of Slurm's: \"{}\"", brief(gres));
            let entry = self.report.error("name_invalid", span, message);
            entry.help("write it as in Slurm's gres.conf, name and type: \"gpu:h200\"");
        }
        let id = brief(&cluster.id);
        match (&cluster.power_licence, jobs.watts) {
            (Some(_), None) => {
                let message = format!(
                    "the cluster \"{id}\" has `power_licence`, and these machines do not say `watts`"
                );
                let entry = self.report.error("missing_key", span, message);
                entry.help("add `watts`: what one accelerator draws with its part of the machine");
            }
            (None, Some(_)) => {
                let message = format!(
                    "`watts` says nothing while the cluster \"{id}\" has no `power_licence`"
                );
                let entry = self.report.error("key_without_effect", span, message);
                entry.help("take it out, or give the cluster a `power_licence`");
            }
            _ => {}
        }
    }
}

/// A name of Slurm's for accelerators: `gpu` or `gpu:h200`.
fn is_gres(text: &str) -> bool {
    let (name, kind) = text.split_once(':').unwrap_or((text, "any"));
    let plain = |text: &str, more: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !text.is_empty() && text.len() <= 64 && text.chars().all(fits)
    };
    plain(name, "_") && plain(kind, "_.-")
}
