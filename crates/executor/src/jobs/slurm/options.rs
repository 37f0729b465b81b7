//! What a site says of its Slurm.

use crate::jobs::SecretText;
use crate::jobs::local::StageBucket;
use madang_types::{NodesId, TenantId};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The shell of this machine, where Slurm's programs are on it.
pub const SHELL_HERE: [&str; 2] = ["sh", "-c"];

/// How one Slurm cluster is driven.
#[derive(Clone, Debug)]
pub struct SlurmOptions {
    /// The cluster's name, for messages.
    pub cluster: String,
    /// Our own folder, for which run is which job. The control plane alone writes there.
    pub state: PathBuf,
    /// By its REST daemon; by its programs where there is none.
    pub rest: Option<SlurmRest>,
    /// The words before one line of a shell that reaches the cluster's programs: [`SHELL_HERE`], or `ssh`, options, host. Needed where
    /// there is no REST daemon, and for logs and secrets where the folder of the runs is not mounted here.
    pub shell: Option<Vec<String>>,
    /// The folder of the runs on the cluster, an absolute path that all its machines have and its user may write.
    pub folder: String,
    /// Where that folder is on this machine, if it is.
    pub mounted: Option<PathBuf>,
    /// The user of the cluster whose each tenant's runs are; empty where all are one user's. [`super::USER`] stands for it in the shell and
    /// in the folder, and tokens are made for it. A tenant that is not named cannot run there.
    pub users: BTreeMap<TenantId, String>,
    /// The beginning of its jobs' names. Whoever else uses the same user of the cluster has another.
    pub prefix: String,
    /// The Slurm account of all runs; each run's tenant names it where there is none.
    pub account: Option<String>,
    /// The QOS of all runs; each run's programme names it where there is none.
    pub qos: Option<String>,
    /// The partition; the cluster's own choice where there is none.
    pub partition: Option<String>,
    /// The reservation in which runs are.
    pub reservation: Option<String>,
    /// What Slurm calls the accelerators of some machines: `gpu:h200`, `npu:atom`. `gpu:` and their kind where nothing is said.
    pub gres: BTreeMap<NodesId, String>,
    /// Into how many shards (`gres/shard`) each accelerator is cut; a run for a part of one is refused where there are none.
    pub shards: Option<u32>,
    /// The words before the command of a run that names an image, `{image}` for it and `{folder}` for the run's folder:
    /// `apptainer exec --nv docker://{image}`.
    pub container: Vec<String>,
    /// Buckets of S3-compatible stores whose objects runs may bring and keep.
    pub buckets: Vec<StageBucket>,
    /// The licence that stands for power, and the watts of an accelerator.
    pub power: Option<SlurmPower>,
    /// Other Madangs drive the same runs at other times, each with a folder of its own: a run that ours does not know is looked for, and
    /// how one stands is told anew by whoever begins to drive.
    pub shared: bool,
    /// How long an accepted job may be unknown to the accounting, in milliseconds: so long nobody submits a run again whose submission
    /// was not answered.
    pub settle_ms: u64,
    /// How long a run may be unknown to the controller and not over in the accounting until it is lost, in milliseconds.
    pub lost_ms: u64,
}

/// From an accepted submission to its line in the accounting, and more: it is milliseconds while slurmdbd is there.
pub const SETTLE_MS: u64 = 30_000;
/// For the controller's messages to reach slurmdbd.
pub const LOST_MS: u64 = 60_000;

impl SlurmOptions {
    /// A cluster whose programs are on this machine, and whose runs are in that folder of it.
    pub fn here(cluster: &str, state: PathBuf, folder: PathBuf) -> Self {
        Self {
            cluster: cluster.to_owned(),
            state,
            rest: None,
            shell: Some(SHELL_HERE.map(str::to_owned).to_vec()),
            folder: folder.display().to_string(),
            mounted: Some(folder),
            users: BTreeMap::new(),
            prefix: "madang".to_owned(),
            account: None,
            qos: None,
            partition: None,
            reservation: None,
            gres: BTreeMap::new(),
            shards: None,
            container: Vec::new(),
            buckets: Vec::new(),
            power: None,
            shared: false,
            settle_ms: SETTLE_MS,
            lost_ms: LOST_MS,
        }
    }

    /// What Slurm calls the accelerators of these machines.
    pub fn gres(&self, nodes: &NodesId, accelerator: &str) -> String {
        let named = self.gres.get(nodes).cloned();
        named.unwrap_or_else(|| format!("gpu:{accelerator}"))
    }
}

/// A `slurmrestd`.
#[derive(Clone, Debug)]
pub struct SlurmRest {
    /// Its address: `https://slurm.site.example:6820`. The token goes there.
    pub url: String,
    /// Certificates (PEM) of the authority that vouches for it, beside the public ones.
    pub authority: Option<PathBuf>,
    /// The cluster's user who owns the runs.
    pub user: String,
    /// By what it knows us.
    pub token: SlurmToken,
}

/// Where a token comes from.
#[derive(Clone, Debug)]
pub enum SlurmToken {
    /// From a file that somebody else renews; read each time.
    File(PathBuf),
    /// Made with the cluster's own key (`jwt_hs256.key`), for a few minutes each.
    Key(PathBuf),
    /// As it is: for tests and visits.
    Given(SecretText),
}

/// Power as a licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlurmPower {
    /// Its name for jobs, such as `kw@seoul`.
    pub licence: String,
    /// Watts that one of them stands for; at least 1.
    pub token_watts: u64,
    /// Watts of one accelerator with its part of the machine, by machines.
    pub watts: BTreeMap<NodesId, u64>,
}
