//! One Slurm cluster.

use super::{Check, Row};
use crate::model::SlurmCluster;
use crate::shape::brief;

impl Check<'_, '_> {
    pub(super) fn cluster(&mut self, cluster: &SlurmCluster, row: Row<'_>) {
        self.way_in(cluster, row);
        self.management(cluster, row);
        self.power(cluster, row);
    }

    fn way_in(&mut self, cluster: &SlurmCluster, row: Row<'_>) {
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
        self.report.error(code, &row.span(), message).help(help);
    }

    /// Who manages needs a shell, and something to manage.
    fn management(&mut self, cluster: &SlurmCluster, row: Row<'_>) {
        if !cluster.manages {
            return;
        }
        let id = brief(&cluster.id);
        if cluster.shell.is_none() {
            let message =
                format!("Madang is to manage the cluster \"{id}\", and no `shell` leads there");
            let entry = self
                .report
                .error("missing_key", &row.key("manages"), message);
            entry.help("add `shell`: its user is an administrator of the cluster's accounting");
        }
        let fixed = cluster.account.is_some() && cluster.qos.is_some();
        if fixed && cluster.power_tokens.is_none() {
            let message = "`manages` says nothing where `account` and `qos` are given";
            let entry = self
                .report
                .error("key_without_effect", &row.key("manages"), message);
            entry.help("take one of the three out: Madang makes accounts of tenants, and QOS of programmes");
        }
    }

    fn power(&mut self, cluster: &SlurmCluster, row: Row<'_>) {
        let given = [
            ("power_token_watts", cluster.power_token_watts.is_some()),
            ("power_tokens", cluster.power_tokens.is_some()),
        ];
        let Some(licence) = &cluster.power_licence else {
            for (key, _) in given.into_iter().filter(|(_, given)| *given) {
                let message = format!("`{key}` says nothing without `power_licence`");
                let entry = self
                    .report
                    .error("key_without_effect", &row.key(key), message);
                entry.help("take it out, or add `power_licence`, such as \"kw@pohang\"");
            }
            return;
        };
        let part = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            !text.is_empty() && text.len() <= 64 && text.chars().all(plain)
        };
        let sound = licence.split_once('@');
        if !sound.is_some_and(|(name, server)| part(name) && part(server)) {
            let message = format!("`power_licence` is no licence: \"{}\"", brief(licence));
            let entry = self
                .report
                .error("name_invalid", &row.key("power_licence"), message);
            entry.help("write name@server, such as \"kw@pohang\"");
        }
        if cluster.power_tokens.is_some() && !cluster.manages {
            let message = "`power_tokens` says nothing while Madang does not manage the cluster";
            let entry = self
                .report
                .error("key_without_effect", &row.key("power_tokens"), message);
            entry.help("take it out, or add `manages = true`");
        }
    }
}
