//! One Slurm cluster.

use super::{Check, Row};
use crate::model::SlurmCluster;
use crate::shape::brief;
use madang_types::TenantId;
use std::collections::BTreeMap;

impl Check<'_, '_> {
    pub(super) fn cluster(&mut self, cluster: &SlurmCluster, row: Row<'_>) {
        self.way_in(cluster, row);
        self.users(cluster, row);
        self.management(cluster, row);
        self.power(cluster, row);
    }

    fn way_in(&mut self, cluster: &SlurmCluster, row: Row<'_>) {
        let id = brief(&cluster.id);
        let tokens = [&cluster.rest_token_file, &cluster.rest_key_file];
        let tokens = tokens.into_iter().flatten().count();
        // Of who has users for tenants tokens are made for these.
        let has_user = cluster.rest_user.is_some() || !cluster.users.is_empty();
        let (code, message) = match (&cluster.rest_url, has_user, tokens) {
            (None, _, _) if cluster.shell.is_some() => return,
            (Some(_), true, 1) => return,
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

    /// Each tenant's user has a way in and a folder of its own, and is no other tenant's too.
    fn users(&mut self, cluster: &SlurmCluster, row: Row<'_>) {
        const USER: &str = "{user}";
        let shell = cluster.shell.as_ref();
        let in_shell = shell.is_some_and(|words| words.iter().any(|word| word.contains(USER)));
        let in_folder = cluster.folder.contains(USER);
        if cluster.users.is_empty() {
            let keys = [(in_shell, "shell"), (in_folder, "folder")];
            for (_, key) in keys.into_iter().filter(|(is, _)| *is) {
                let message = format!("`{key}` names {USER}, and there are no `users`");
                let entry = self.report.error("missing_key", &row.key(key), message);
                entry.help("add `users`, such as { hanbit = \"hanbit-hpc\" }: by tenant");
            }
            return;
        }
        let for_all = [
            (
                !in_shell,
                "shell",
                "name {user} in it, such as [\"ssh\", \"{user}@login.example.kr\"]",
            ),
            (
                !in_folder,
                "folder",
                "name {user} in it, such as \"/shared/madang/{user}\"",
            ),
            (
                cluster.mounted.is_some(),
                "mounted",
                "take it out: files there are written as each user, by `shell`",
            ),
            (
                cluster.rest_token_file.is_some(),
                "rest_token_file",
                "take `rest_key_file`, with which tokens of each user are made",
            ),
            (
                cluster.manages,
                "manages",
                "take it out: the site says which users may charge which accounts",
            ),
        ];
        for (_, key, help) in for_all.into_iter().filter(|(is, ..)| *is) {
            let message =
                format!("tenants have `users` of their own, and `{key}` is for all of them");
            let entry = self.report.error("choose_one", &row.key(key), message);
            entry.help(help);
        }
        self.user_names(cluster, row);
    }

    fn user_names(&mut self, cluster: &SlurmCluster, row: Row<'_>) {
        let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
        for (tenant, user) in &cluster.users {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c);
            let begins = user.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
            if !begins || user.len() > 32 || !user.chars().all(plain) || user == "root" {
                let message = format!("\"{}\" cannot be the user of a tenant's jobs", brief(user));
                let entry = self
                    .report
                    .error("name_invalid", &row.key("users"), message);
                entry.help(
                    "write a user of the cluster: a-z, 0-9, _ and -, 32 at most, and not root",
                );
            }
            if TenantId::new(tenant).is_err() {
                let message = format!("\"{}\" is no tenant's name", brief(tenant));
                let entry = self
                    .report
                    .error("name_invalid", &row.key("users"), message);
                entry.help("write a tenant's id: a-z, A-Z, 0-9, '.', '_' and '-'");
            }
            if let Some(other) = seen.insert(user, tenant) {
                let message = format!(
                    "\"{}\" is the user of both {} and {}",
                    brief(user),
                    brief(other),
                    brief(tenant)
                );
                let entry = self
                    .report
                    .error("id_duplicate", &row.key("users"), message);
                entry.help(
                    "give each tenant a user of its own: who shares one reads what the other has",
                );
            }
        }
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
