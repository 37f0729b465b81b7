//! What the fleet file says of batch jobs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `nodes.jobs`: machines that take batch jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodesJobs {
    /// What runs them there.
    pub executor: JobsExecutor,
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
}

/// What runs batch jobs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobsExecutor {
    /// Madang itself, on its own machine.
    Local,
}

/// `[jobs]`: how batch jobs are kept. Read at the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JobsTerms {
    /// Folders of this machine from which jobs may bring inputs; `{tenant}` in one stands for the job's tenant.
    pub stage_roots: Vec<String>,
    /// Those of them to which jobs may take outputs too.
    pub stage_writable: Vec<String>,
    /// Hosts from which jobs may bring inputs over `https`, such as `data.example.kr`; `*` for any.
    pub stage_hosts: Vec<String>,
    /// The program that runs jobs' images: `podman` or `docker`; without it a job with an image cannot be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_program: Option<String>,
    /// Bytes of output that are kept of each run.
    #[schemars(range(min = 1024, max = 10_737_418_240_u64))]
    pub log_bytes_max: u64,
    /// How long the output and the folder of a run are kept after its end, in milliseconds.
    #[schemars(range(min = 1000, max = 31_536_000_000_u64))]
    pub keep_ms: u64,
    /// Jobs of one tenant that are not over.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub open_tenant_max: u32,
}

impl Default for JobsTerms {
    fn default() -> Self {
        Self {
            stage_roots: Vec::new(),
            stage_writable: Vec::new(),
            stage_hosts: Vec::new(),
            container_program: None,
            log_bytes_max: 16 << 20,
            keep_ms: 7 * 86_400_000,
            open_tenant_max: 10_000,
        }
    }
}
