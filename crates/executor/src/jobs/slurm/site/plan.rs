//! What differs between a cluster as it should be and as it was found, as lines of `sacctmgr`. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// By this organization an account, and by this description a QOS, is known as Madang's own: no other is changed.
pub(super) const MARK: &str = "madang";
/// A limit is set above what is needed by so much of it at most, so that it need not be set again for each run.
const SPARE_PART: u64 = 16;

/// How a cluster should be. What it does not name stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlurmWish {
    /// Accounts, with their weights among each other (`fairshare`).
    pub accounts: BTreeMap<String, u32>,
    /// QOS.
    pub qos: BTreeMap<String, SlurmQosWish>,
    /// How many licences for power all runs together may hold, as `name@server` and their number.
    pub power: Option<(String, u64)>,
}

/// How a QOS should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlurmQosWish {
    /// In which accounts our user may name it.
    pub accounts: BTreeSet<String>,
    /// The minutes that its runs may still take, beside those that Slurm has counted, of each TRES such as `gres/gpu`. A TRES that is
    /// not named has no limit.
    pub left_minutes: BTreeMap<String, u64>,
}

/// How a cluster was found, as far as it is Madang's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlurmFound {
    /// The name by which the accounting knows it.
    pub(super) cluster: String,
    /// Accounts by name, those of others too.
    pub(super) accounts: BTreeMap<String, FoundAccount>,
    /// QOS by name, those of others too.
    pub(super) qos: BTreeMap<String, FoundQos>,
    /// The number of the licences for power, and the hundredths of them that are this cluster's.
    pub(super) power: Option<(u64, Option<u64>)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FoundAccount {
    pub(super) is_ours: bool,
    /// `fairshare`, where it is on this cluster.
    pub(super) weight: Option<u32>,
    /// What our user may name in it, where he may charge it.
    pub(super) qos: Option<BTreeSet<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FoundQos {
    pub(super) is_ours: bool,
    /// What it has used does not fade.
    pub(super) keeps: bool,
    /// `GrpTRESMins`.
    pub(super) limits: BTreeMap<String, u64>,
    /// The minutes that Slurm has counted of it; of each TRES that it counts at all.
    pub(super) used: BTreeMap<String, u64>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// What waits for it: as [`account_named`], [`qos_named`] or [`licence_named`] say.
    pub(super) of: String,
    /// The words after `sacctmgr -i`; why it cannot be, where there are none.
    pub(super) words: Result<Vec<String>, String>,
}

/// What an account is called among what is set up.
pub fn account_named(account: &str) -> String {
    format!("account {account}")
}

/// What a QOS is called among what is set up.
pub fn qos_named(qos: &str) -> String {
    format!("QOS {qos}")
}

/// What a licence is called among what is set up.
pub fn licence_named(licence: &str) -> String {
    format!("licence {licence}")
}

impl SlurmFound {
    /// Accounts that Madang made.
    pub fn accounts(&self) -> impl Iterator<Item = &str> {
        let ours = self.accounts.iter().filter(|(_, found)| found.is_ours);
        ours.map(|(name, _)| name.as_str())
    }

    /// QOS that Madang made.
    pub fn qos(&self) -> impl Iterator<Item = &str> {
        let ours = self.qos.iter().filter(|(_, found)| found.is_ours);
        ours.map(|(name, _)| name.as_str())
    }

    /// What is to be done so that it is as it should be; nothing where it is.
    pub(super) fn steps(&self, user: &str, wish: &SlurmWish) -> Vec<Step> {
        let mut steps = Vec::new();
        for (account, weight) in &wish.accounts {
            self.account_steps((user, account), *weight, &mut steps);
        }
        for (name, qos) in &wish.qos {
            if self.qos_steps(name, qos, &mut steps) {
                self.qos_user_steps((user, name), qos, &mut steps);
            }
        }
        if let Some((licence, count)) = &wish.power {
            self.power_steps(licence, *count, &mut steps);
        }
        steps
    }

    fn account_steps(&self, (user, account): (&str, &str), weight: u32, steps: &mut Vec<Step>) {
        let of = account_named(account);
        let on = format!("cluster={}", self.cluster);
        let share = format!("fairshare={weight}");
        let found = self.accounts.get(account);
        let (has_weight, has_user) = match found {
            Some(found) if !found.is_ours => {
                steps.push(Step::never(&of, "organization"));
                return;
            }
            Some(found) => (found.weight, found.qos.is_some()),
            None => (None, false),
        };
        let (marked, told) = (
            format!("organization={MARK}"),
            format!("description={MARK}"),
        );
        match has_weight {
            None => steps.push(Step::new(
                &of,
                &["add", "account", account, &told, &marked, &share, &on],
            )),
            Some(has) if has != weight => {
                let whose = format!("name={account}");
                let words = ["modify", "account", "where", &whose, &on, "set", &share];
                steps.push(Step::new(&of, &words));
            }
            Some(_) => {}
        }
        if !has_user {
            let whose = format!("account={account}");
            steps.push(Step::new(&of, &["add", "user", user, &whose, &on]));
        }
    }

    /// False where it can never be.
    fn qos_steps(&self, name: &str, wish: &SlurmQosWish, steps: &mut Vec<Step>) -> bool {
        let of = qos_named(name);
        let found = self.qos.get(name);
        if found.is_some_and(|found| !found.is_ours) {
            steps.push(Step::never(&of, "description"));
            return false;
        }
        let counted: BTreeSet<&str> = self
            .qos
            .values()
            .flat_map(|qos| qos.used.keys().map(String::as_str))
            .collect();
        let uncounted = wish
            .left_minutes
            .keys()
            .find(|tres| !counted.contains(tres.as_str()));
        if let Some(tres) = uncounted {
            let why = format!(
                "the cluster does not count {tres}, by which the awards of {name} are limited: add it to AccountingStorageTRES in slurm.conf"
            );
            steps.push(Step {
                of,
                words: Err(why),
            });
            return false;
        }
        let none = FoundQos::default();
        let before = found.unwrap_or(&none);
        let mut words = Vec::new();
        if found.is_none() {
            words.push(format!("description={MARK}"));
        }
        // What fades with the shares would be granted again and again.
        if !before.keeps {
            words.push(
                if found.is_none() {
                    "flags=NoDecay"
                } else {
                    "flags+=NoDecay"
                }
                .to_owned(),
            );
        }
        let limits = limits(before, &wish.left_minutes);
        if !limits.is_empty() {
            words.push(format!("GrpTRESMins={}", limits.join(",")));
        }
        if words.is_empty() {
            return true;
        }
        let head: &[&str] = match found {
            None => &["add", "qos", name],
            Some(_) => &["modify", "qos", name, "set"],
        };
        let words: Vec<&str> = head
            .iter()
            .copied()
            .chain(words.iter().map(String::as_str))
            .collect();
        steps.push(Step::new(&of, &words));
        true
    }

    fn qos_user_steps(
        &self,
        (user, name): (&str, &str),
        wish: &SlurmQosWish,
        steps: &mut Vec<Step>,
    ) {
        let on = format!("cluster={}", self.cluster);
        let (whose, more) = (format!("name={user}"), format!("qos+={name}"));
        for account in &wish.accounts {
            let found = self
                .accounts
                .get(account)
                .and_then(|found| found.qos.as_ref());
            if found.is_some_and(|qos| qos.contains(name)) {
                continue;
            }
            let inside = format!("account={account}");
            let words = [
                "modify", "user", "where", &whose, &inside, &on, "set", &more,
            ];
            steps.push(Step::new(&account_named(account), &words));
        }
    }

    fn power_steps(&self, licence: &str, count: u64, steps: &mut Vec<Step>) {
        let of = licence_named(licence);
        let Some((name, server)) = licence.split_once('@') else {
            let why = format!("{licence}: a licence for power is name@server, such as kw@seoul");
            steps.push(Step {
                of,
                words: Err(why),
            });
            return;
        };
        let (name, server) = (format!("name={name}"), format!("server={server}"));
        let (on, number) = (
            format!("cluster={}", self.cluster),
            format!("count={count}"),
        );
        let all = "percentallowed=100";
        let resource = ["add", "resource", &name, &server];
        match self.power {
            None => {
                let more = ["type=license", &number, &on, all];
                steps.push(Step::new(&of, &[&resource[..], &more].concat()));
                return;
            }
            Some((has, _)) if has != count => {
                let words = [
                    "modify", "resource", "where", &name, &server, "set", &number,
                ];
                steps.push(Step::new(&of, &words));
            }
            Some(_) => {}
        }
        if self.power.is_some_and(|(_, allowed)| allowed.is_none()) {
            steps.push(Step::new(&of, &[&resource[..], &[&on, all]].concat()));
        }
    }
}

/// The limits that have to change, as `sacctmgr` takes them.
fn limits(found: &FoundQos, left_minutes: &BTreeMap<String, u64>) -> Vec<String> {
    let mut words = Vec::new();
    for (tres, left) in left_minutes {
        let used = found.used.get(tres).copied().unwrap_or(0);
        let needed = used.saturating_add(*left);
        let fits = found
            .limits
            .get(tres)
            .is_some_and(|has| (needed..=with_spare(needed)).contains(has));
        if !fits {
            words.push(format!("{tres}={}", with_spare(needed)));
        }
    }
    let gone = found
        .limits
        .keys()
        .filter(|tres| !left_minutes.contains_key(*tres));
    words.extend(gone.map(|tres| format!("{tres}=-1")));
    words
}

/// Rounded up, by a sixteenth at most.
fn with_spare(minutes: u64) -> u64 {
    let step = (minutes / SPARE_PART).max(1);
    let step = 1 << step.ilog2();
    minutes.div_ceil(step) * step
}

impl Step {
    fn new(of: &str, words: &[&str]) -> Self {
        let words = words.iter().map(ToString::to_string).collect();
        Self {
            of: of.to_owned(),
            words: Ok(words),
        }
    }

    fn never(of: &str, mark: &str) -> Self {
        let why = format!(
            "the {of} is there and is not Madang's, so it is left as it is: give it the {mark} {MARK}, or the tenant or programme another name"
        );
        Self {
            of: of.to_owned(),
            words: Err(why),
        }
    }
}

#[cfg(test)]
mod tests;
