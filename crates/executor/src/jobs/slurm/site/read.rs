//! What `sacctmgr` and `scontrol` print of a cluster's accounts, QOS, limits and licences.

use super::plan::{FoundAccount, FoundQos, MARK};
use std::collections::BTreeMap;

/// `hanbit|madang` each: accounts and their organizations.
pub(super) fn accounts(text: &str) -> BTreeMap<String, FoundAccount> {
    let line = |line: &str| {
        let (name, organization) = line.split_once('|')?;
        let found = FoundAccount {
            is_ours: organization == MARK,
            ..FoundAccount::default()
        };
        Some((name.to_owned(), found))
    };
    text.lines().filter_map(line).collect()
}

/// `hanbit||10|normal` for an account, `hanbit|madang|1|centre,normal` for a user in it.
pub(super) fn associations(text: &str, user: &str, accounts: &mut BTreeMap<String, FoundAccount>) {
    for line in text.lines() {
        let mut fields = line.split('|');
        let mut next = || fields.next().unwrap_or_default();
        let (account, whose, weight, qos) = (next(), next(), next(), next());
        let Some(found) = accounts.get_mut(account) else {
            continue;
        };
        if whose.is_empty() {
            // A whole number, or `parent`, which no weight of ours is.
            found.weight = weight.parse().ok().or(Some(0));
        } else if whose == user {
            found.qos = Some(qos.split(',').map(str::to_owned).collect());
        }
    }
}

/// `centre|madang|NoDecay|gres/gpu=600` each: name, description, flags, `GrpTRESMins`.
pub(super) fn qos(text: &str) -> BTreeMap<String, FoundQos> {
    let line = |line: &str| {
        let mut fields = line.split('|');
        let mut next = || fields.next();
        let (name, description, flags, limits) = (next()?, next()?, next()?, next()?);
        let limits = limits.split(',').filter_map(|limit| {
            let (tres, minutes) = limit.split_once('=')?;
            Some((tres.to_owned(), minutes.parse().ok()?))
        });
        let found = FoundQos {
            is_ours: description == MARK,
            keeps: flags.split(',').any(|flag| flag == "NoDecay"),
            limits: limits.collect(),
            used: BTreeMap::new(),
        };
        Some((name.to_owned(), found))
    };
    text.lines().filter_map(line).collect()
}

/// `QOS=centre(2) … GrpTRESMins=cpu=N(12),gres/gpu=600(3) …`: limits as the controller has them, and what it has counted.
pub(super) fn used(text: &str, qos: &mut BTreeMap<String, FoundQos>) {
    for line in text.lines() {
        let field = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name));
        let name = field("QOS=").and_then(|name| name.split('(').next());
        let Some(found) = name.and_then(|name| qos.get_mut(name)) else {
            continue;
        };
        let counted = field("GrpTRESMins=").unwrap_or_default().split(',');
        found.used = counted
            .filter_map(|tres| {
                let (name, rest) = tres.split_once('=')?;
                let minutes = rest.split_once('(')?.1.strip_suffix(')')?;
                Some((name.to_owned(), minutes.parse().ok()?))
            })
            .collect();
    }
}

/// `12|madang|100` each: the number of a licence, a cluster, and the hundredths of it that are that cluster's.
pub(super) fn licence(text: &str, cluster: &str) -> Option<(u64, Option<u64>)> {
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.split('|');
        let mut next = || fields.next();
        let (count, whose, part) = (next()?.parse().ok()?, next()?, next()?);
        Some((count, part.parse().ok().filter(|_| whose == cluster)))
    });
    lines.max_by_key(|(_, part): &(u64, Option<u64>)| part.is_some())
}

/// Of `ClusterName             = madang`.
pub(super) fn cluster(text: &str) -> Option<String> {
    let line = |line: &str| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "ClusterName").then(|| value.trim().to_owned())
    };
    text.lines().find_map(line)
}
