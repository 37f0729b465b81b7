//! What the fleet file says of batch jobs.

use super::{JobsData, JobsLink, JobsWait};
use madang_types::Micros;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// `nodes.jobs`: machines that take batch jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodesJobs {
    /// What runs them there.
    pub executor: JobsExecutor,
    /// The Slurm cluster that runs them there, by its `id` in `jobs.slurm`; for `executor = "slurm"`.
    pub cluster: Option<String>,
    /// The gateway whose own machine it is, as `madang gateway list` shows it; for `executor = "local"` where gateways share the books.
    /// Without it a machine of shared books takes no jobs: another gateway could not know what runs there.
    pub gateway: Option<String>,
    /// What an hour of one of its accelerators counts in shares, in thousandths of an hour of the kind by which the operator measures:
    /// the throughput of the same work on both, divided; 1000 where not given.
    #[schemars(range(min = 1, max = 100_000))]
    pub worth_milli: Option<u32>,
    /// Memory of each accelerator, in MiB.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub accelerator_memory_mib: Option<u64>,
    /// Processor time of each machine that jobs share, in thousandths of a core; not counted where not given.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub cpu_milli: Option<u64>,
    /// Memory of each machine that jobs share, in MiB; not counted where not given.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub memory_mib: Option<u64>,
    /// The variable by which a job is told its accelerators, such as `CUDA_VISIBLE_DEVICES`.
    #[schemars(regex(pattern = "^[A-Za-z_][A-Za-z0-9_]{0,127}$"))]
    pub device_variable: Option<String>,
    /// The address of a DCGM exporter on this machine, such as `http://127.0.0.1:9400`, that tells how busy its accelerators are; for
    /// `executor = "local"`. Without it NVIDIA's own library is asked where `device_variable` is `CUDA_VISIBLE_DEVICES`.
    #[schemars(regex(pattern = "^https?://[^ ?#]{1,200}$"))]
    pub dcgm_url: Option<String>,
    /// What the Slurm cluster calls their accelerators, such as `gpu:h200-sxm` or `npu:atom`; `gpu:` and their kind where not given.
    #[schemars(regex(pattern = "^[a-z_]{1,64}(:[A-Za-z0-9_.-]{1,64})?$"))]
    pub gres: Option<String>,
    /// Watts of one accelerator with its part of the machine; needed where the cluster has `power_licence`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub watts: Option<u64>,
}

/// What runs batch jobs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobsExecutor {
    /// Madang itself, on its own machine.
    Local,
    /// A Slurm cluster.
    Slurm,
}

/// Whose start a job may not delay that goes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobsBackfill {
    /// That of the first job that waits.
    #[default]
    Easy,
    /// That of each job that waits: it is promised a start.
    Conservative,
}

/// Machines that are kept for a programme or a tenant for a time; for nobody, as when they are mended, where neither is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobsReservation {
    /// Its name, which those are told from whom machines are kept.
    pub id: String,
    /// Of which `[[nodes]]`.
    pub nodes: String,
    /// Which of these machines, from 0; all where neither these nor `count` are given.
    pub machines: Option<Vec<u32>>,
    /// How many of these machines: the last ones.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub count: Option<u32>,
    /// The programme for whose tenants they are kept.
    pub programme: Option<String>,
    /// The tenant for whom they are kept.
    pub tenant: Option<String>,
    /// From when on, as `2026-12-01T09:00:00+09:00`.
    pub from: String,
    /// Until when, likewise.
    pub until: String,
    /// So long before its beginning jobs are stopped there that write checkpoints, in milliseconds; ten minutes where not given.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub notice_ms: Option<u64>,
}

impl JobsReservation {
    /// Its beginning and its end; `None` where one of them is no instant.
    pub fn span(&self) -> Option<(Micros, Micros)> {
        let instant = |text: &str| {
            let instant: jiff::Timestamp = text.parse().ok()?;
            Some(Micros(instant.as_microsecond()))
        };
        Some((instant(&self.from)?, instant(&self.until)?))
    }

    /// Which machines it keeps, of `count` that there are.
    pub fn machines_of(&self, count: u32) -> BTreeSet<u32> {
        match (&self.machines, self.count) {
            (Some(machines), _) => machines.iter().copied().collect(),
            (None, last) => (count.saturating_sub(last.unwrap_or(count))..count).collect(),
        }
    }
}

/// A class of jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobsQos {
    /// Its name.
    pub id: String,
    /// Among a tenant's own jobs those of the class with the greatest priority are first; 50 where not given, and for jobs without a class.
    #[schemars(range(min = 0, max = 100))]
    pub priority: Option<u8>,
    /// Classes before whose jobs its jobs go, whoever's they are, and before those without a class: whoever of them writes checkpoints
    /// makes room.
    pub preempts: Option<Vec<String>>,
    /// Programmes whose tenants may name it; anybody where not given.
    pub programmes: Option<Vec<String>>,
    /// Accelerators that a tenant may hold at once in its jobs.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub running_accelerators_max: Option<u32>,
    /// The longest time limit of its jobs, in milliseconds.
    #[schemars(range(min = 1000, max = 7_776_000_000_u64))]
    pub time_limit_ms_max: Option<u64>,
}

impl JobsTerms {
    /// How many classes each class has below it, one below the other; `None` where one goes before itself.
    pub fn qos_tiers(&self) -> Option<BTreeMap<&str, u8>> {
        let mut tiers: BTreeMap<&str, u8> = self.qos.iter().map(|qos| (&*qos.id, 0)).collect();
        for _ in 0..=self.qos.len() {
            let mut is_settled = true;
            for qos in &self.qos {
                let below = qos.preempts.iter().flatten();
                let below = below.filter_map(|id| tiers.get(id.as_str()));
                let tier = below.max().map_or(0, |tier| tier.saturating_add(1));
                is_settled &= tiers.insert(&qos.id, tier) == Some(tier);
            }
            if is_settled {
                return Some(tiers);
            }
        }
        None
    }
}

/// A Slurm cluster that runs batch jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlurmCluster {
    /// Its name.
    pub id: String,
    /// The folder of the runs on the cluster: an absolute path that all its machines have and its user may write.
    pub folder: String,
    /// Where that folder is on this machine, if it is.
    pub mounted: Option<PathBuf>,
    /// The address of its REST daemon, such as `https://slurm.example.kr:6820`.
    pub rest_url: Option<String>,
    /// Certificates (PEM) of the authority that vouches for the daemon, beside the public ones.
    pub rest_authority_file: Option<PathBuf>,
    /// The cluster's user who owns the runs; for the REST daemon.
    pub rest_user: Option<String>,
    /// A file with the token for the REST daemon, which somebody else renews.
    pub rest_token_file: Option<PathBuf>,
    /// The cluster's own key (`jwt_hs256.key`), with which tokens for the REST daemon are made.
    pub rest_key_file: Option<PathBuf>,
    /// The words before one line of a shell that reaches the cluster's programs, such as `["ssh", "login.example.kr"]`, or
    /// `["sh", "-c"]` where they are on this machine. Needed where there is no REST daemon, or the folder is not mounted.
    pub shell: Option<Vec<String>>,
    /// Users of the cluster, by tenant: each tenant's runs are its user's, who reads nobody else's, and a tenant that is not named cannot run
    /// there. `{user}` stands for it in `shell` and `folder`; tokens for the REST daemon are made for it. All runs are one user's where not
    /// given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, String>,
    /// The beginning of its jobs' names; `madang` where not given. Whoever else uses the same user of the cluster has another.
    pub prefix: Option<String>,
    /// The Slurm account of all runs; each run's tenant names it where not given.
    pub account: Option<String>,
    /// The QOS of all runs; each run's programme names it where not given.
    pub qos: Option<String>,
    /// The partition; the cluster's own choice where not given.
    pub partition: Option<String>,
    /// The reservation in which runs are.
    pub reservation: Option<String>,
    /// Into how many shards each accelerator is cut; a run for a part of one is refused where not given.
    #[schemars(range(min = 1, max = 1000))]
    pub shards: Option<u32>,
    /// The words before the command of a run that names an image, `{image}` for it and `{folder}` for the run's folder.
    pub container: Option<Vec<String>>,
    /// Madang makes the cluster's accounts and QOS, and sets their limits; the shell's user is an administrator of its accounting. Else the
    /// site makes them.
    #[serde(default)]
    pub manages: bool,
    /// The licence that stands for power there, as `name@server`: each job holds as many as it needs.
    #[schemars(regex(pattern = "^[A-Za-z0-9_.-]{1,64}@[A-Za-z0-9_.-]{1,64}$"))]
    pub power_licence: Option<String>,
    /// Watts that one of them stands for; 1,000 where not given.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub power_token_watts: Option<u64>,
    /// How many of them there are for all jobs of the cluster, which Madang sets where it `manages`; the site sets it where not given.
    /// A change counts at the next reload.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub power_tokens: Option<u64>,
    /// How long a run is waited for while the cluster cannot be asked how it stands, in milliseconds; a day where not given. Then it counts
    /// as lost. A change counts at the next reload.
    #[schemars(range(min = 1000, max = 31_536_000_000_u64))]
    pub away_ms_max: Option<u64>,
}

/// A bucket of an S3-compatible store that is open to jobs, on this machine and on Slurm clusters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobsBucket {
    /// Its name, as in `s3://name/key`.
    pub name: String,
    /// What the keys of its objects have to begin with; `{tenant}` in it stands for the job's tenant.
    #[serde(default)]
    pub prefix: String,
    /// Where it is, such as `https://s3.example.kr`.
    pub endpoint: String,
    /// Its region, which is signed; `us-east-1` where not given.
    pub region: Option<String>,
    /// The bucket's name is a part of the host, not of the path.
    #[serde(default)]
    pub virtual_host: bool,
    /// A file with the access key's name.
    pub access_key_file: PathBuf,
    /// A file with its secret; no job reads it.
    pub secret_key_file: PathBuf,
    /// Jobs may put outputs there too.
    #[serde(default)]
    pub writable: bool,
    /// The site where it stands; a job's site is chosen by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
}

/// `[jobs]`: how batch jobs are kept. Ways to files, images, secrets and clusters are read at the start; bounds, classes, reservations,
/// `measure_ms`, `power_tokens` and `away_ms_max` hold from the next reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JobsTerms {
    /// Folders of this machine from which jobs may bring inputs; `{tenant}` in one stands for the job's tenant.
    pub stage_roots: Vec<String>,
    /// Those of them to which jobs may take outputs too.
    pub stage_writable: Vec<String>,
    /// Hosts from which jobs may bring inputs over `https`, such as `data.example.kr`; `*` for any.
    pub stage_hosts: Vec<String>,
    /// Buckets of S3-compatible stores that jobs may name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bucket: Vec<JobsBucket>,
    /// Certificates (PEM) of the authority that vouches for such hosts and stores, beside the public ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_authority_file: Option<PathBuf>,
    /// The program that runs jobs' images: `podman` or `docker`; without it a job with an image is refused here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_program: Option<String>,
    /// What each container is made with, such as `--init` and `--network=none`.
    pub container_args: Vec<String>,
    /// How a container is given an accelerator, whose number `{device}` stands for, such as `--device=nvidia.com/gpu={device}`.
    pub container_device_args: Vec<String>,
    /// How long it may take until the image of a run is here, in milliseconds; then the run is not started.
    #[schemars(range(min = 1000, max = 86_400_000))]
    pub container_image_ms_max: u64,
    /// A control group (version 2) below which each run has one of its own, that holds it to its memory and processors: Madang may
    /// write there, and no process is in it. Without one nothing holds a program without an image to what it asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<PathBuf>,
    /// Bytes of output that are kept of each run.
    #[schemars(range(min = 1024, max = 10_737_418_240_u64))]
    pub log_bytes_max: u64,
    /// How long the output and the folder of a run are kept after its end, in milliseconds.
    #[schemars(range(min = 1000, max = 31_536_000_000_u64))]
    pub keep_ms: u64,
    /// Whose start a job may not delay that goes before it and cannot be stopped.
    pub backfill: JobsBackfill,
    /// The keys that jobs' secrets are sealed with, an absolute path: needed where gateways share the books, each of which has it. A
    /// file of the data folder, made at the first use, where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets_key_file: Option<PathBuf>,
    /// Slurm clusters that run batch jobs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub slurm: Vec<SlurmCluster>,
    /// Machines that are kept for somebody for a time, or for nobody; at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<JobsReservation>,
    /// Classes that a job may name as its `qos`; at most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub qos: Vec<JobsQos>,
    /// Time between two looks at how busy the accelerators of runs are, in milliseconds.
    #[schemars(range(min = 1000, max = 600_000))]
    pub measure_ms: u64,
    /// Jobs of one tenant that are not over.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub open_tenant_max: u32,
    /// What an hour is worth that one accelerator of a job waits, in won: for so much less a job waits for cheaper machines.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub wait_won_per_hour: u64,
    /// Programmes for whose jobs it is worth something else; at most 256.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<JobsWait>,
    /// Where data stands, beside buckets; at most 256.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<JobsData>,
    /// What lies between sites; at most 1024.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<JobsLink>,
    /// What a job can have between sites of which `links` says nothing, in megabits a second.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub link_mbit_per_s: u64,
    /// What a gigabyte costs that is sent there, in won.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub link_won_per_gb: u64,
}

impl Default for JobsTerms {
    fn default() -> Self {
        Self {
            stage_roots: Vec::new(),
            stage_writable: Vec::new(),
            stage_hosts: Vec::new(),
            bucket: Vec::new(),
            stage_authority_file: None,
            container_program: None,
            container_args: Vec::new(),
            container_device_args: Vec::new(),
            container_image_ms_max: 3_600_000,
            cgroup: None,
            log_bytes_max: 16 << 20,
            keep_ms: 7 * 86_400_000,
            backfill: JobsBackfill::Easy,
            secrets_key_file: None,
            slurm: Vec::new(),
            reservations: Vec::new(),
            qos: Vec::new(),
            measure_ms: 30_000,
            open_tenant_max: 10_000,
            wait_won_per_hour: 5_000,
            waits: Vec::new(),
            data: Vec::new(),
            links: Vec::new(),
            link_mbit_per_s: 1_000,
            link_won_per_gb: 0,
        }
    }
}
