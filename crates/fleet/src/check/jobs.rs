//! What the file says of batch jobs: clusters by name, and a way into each.

use super::{Check, rows};
use crate::at::At;
use crate::model::{JobsExecutor, JobsTerms, NodesJobs, SlurmCluster};
use crate::shape::brief;
use std::collections::BTreeSet;
use std::ops::Range;

impl Check<'_, '_> {
    /// Machines name a cluster that is there, and each cluster can be reached.
    pub(super) fn jobs(&mut self) {
        let mut clusters = BTreeSet::new();
        if let Some(At { value, span }) = &self.raw.jobs {
            let JobsTerms { slurm, .. } = value;
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
