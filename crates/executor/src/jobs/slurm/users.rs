//! Whose runs are whose on a cluster: all are one user's, or each tenant's are a user's of its own, who reads nobody else's.
//!
//! Each such user has its own part of our folder, its own way in and its own folder of runs: what is asked, written and read for a tenant's
//! run is so as its user, and as nobody else.

use super::inner::Inner;
use super::options::SlurmOptions;
use crate::jobs::{JobsError, RunSpec};
use madang_types::{RunId, TenantId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What stands for the user in options.
pub const USER: &str = "{user}";

/// One part of the executor for each user of the cluster.
pub(super) struct Users {
    cluster: String,
    /// By tenant; empty where all runs are one user's.
    named: BTreeMap<TenantId, String>,
    /// By user; of one alone, without a name.
    parts: BTreeMap<String, Arc<Inner>>,
    changes: watch::Receiver<u64>,
}

impl Users {
    /// Takes up what our folder knows, and has each user's runs looked after by a task of `tasks`.
    pub(super) fn open(options: SlurmOptions, tasks: &mut JoinSet<()>) -> Result<Self, JobsError> {
        let (cluster, named) = (options.cluster.clone(), options.users.clone());
        let mut parts = BTreeMap::new();
        if named.is_empty() {
            parts.insert(String::new(), Arc::new(Inner::open(options)?));
        } else {
            let users: BTreeSet<&String> = named.values().collect();
            for user in users {
                let own = options_of(&options, user);
                parts.insert(user.clone(), Arc::new(Inner::open(own)?));
            }
        }
        let (sender, changes) = watch::channel(0);
        for part in parts.values() {
            tasks.spawn(Arc::clone(part).watch());
            tasks.spawn(pass_on(part.changes(), sender.clone()));
        }
        Ok(Self {
            cluster,
            named,
            parts,
            changes,
        })
    }

    /// The part for whoever owns a run.
    ///
    /// # Errors
    /// [`JobsError::Refused`] where its tenant has no user there.
    pub(super) fn of_owner(&self, spec: &RunSpec) -> Result<&Arc<Inner>, JobsError> {
        let (_, tenant, _) = &spec.owner;
        let user = match self.named.is_empty() {
            true => Some(""),
            false => self.named.get(tenant).map(String::as_str),
        };
        user.and_then(|user| self.parts.get(user)).ok_or_else(|| {
            let cluster = &self.cluster;
            JobsError::Refused(format!(
                "the tenant {tenant} has no user of the Slurm cluster {cluster}: `users` of its [[jobs.slurm]] names one for each tenant"
            ))
        })
    }

    /// The part whose folder knows a run.
    pub(super) fn holding(&self, run: RunId) -> Option<&Arc<Inner>> {
        self.parts.values().find(|part| part.has(run))
    }

    /// The part that has a run; all of them, one of which may find it by its name, where none has.
    pub(super) fn of_run(&self, run: RunId) -> Vec<&Arc<Inner>> {
        self.holding(run)
            .map_or_else(|| self.all().collect(), |part| vec![part])
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Inner>> {
        self.parts.values()
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}

/// The options by which a user's runs are driven.
fn options_of(options: &SlurmOptions, user: &str) -> SlurmOptions {
    let named = |text: &String| text.replace(USER, user);
    let shell = options.shell.as_ref();
    let mut own = SlurmOptions {
        state: options.state.join(user),
        shell: shell.map(|words| words.iter().map(named).collect()),
        folder: named(&options.folder),
        ..options.clone()
    };
    if let Some(rest) = &mut own.rest {
        user.clone_into(&mut rest.user);
    }
    own
}

async fn pass_on(mut changes: watch::Receiver<u64>, to: watch::Sender<u64>) {
    while changes.changed().await.is_ok() {
        to.send_modify(|number| *number += 1);
    }
}
