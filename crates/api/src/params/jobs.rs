//! Bodies and query strings about batch jobs.

use madang_types::{
    After, DataClass, DataFlags, JobArray, JobCheckpoint, JobFlex, JobId, JobResources, JobSpec,
    JobStage, JobState, Priority, ProjectId, RunId, TaskId, TenantId,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// The most jobs in one page.
const LIST_COUNT_MAX: u32 = 1000;
/// The most bytes of output in one answer.
pub(crate) const LOG_BYTES_MAX: u32 = 1 << 20;

/// A job to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobSubmit {
    /// What it is called, for people.
    #[schema(max_length = 128)]
    name: String,
    /// The program and its arguments; left out where a script is given.
    #[serde(default)]
    command: Vec<String>,
    /// A script; its first line may name its interpreter (`#!`), `/bin/sh` runs it else.
    #[serde(default)]
    #[schema(max_length = 65_536)]
    script: Option<String>,
    /// The container image in which it runs.
    #[serde(default)]
    image: Option<String>,
    /// What it needs.
    #[schema(value_type = JobNeeds)]
    resources: JobResources,
    /// The longest that one run may take, in milliseconds.
    #[schema(minimum = 1_000, maximum = 7_776_000_000_u64)]
    time_limit_ms: u64,
    /// How sensitive its data is; the floors of the tenant and the key count too.
    #[serde(default)]
    #[schema(value_type = String, default = "open")]
    data_class: DataClass,
    /// What its data is besides.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    data_flags: DataFlags,
    /// What is brought into its folder first.
    #[serde(default)]
    #[schema(value_type = Vec<JobStaged>)]
    inputs: Vec<JobStage>,
    /// What is taken out of its folder once it has ended with 0.
    #[serde(default)]
    #[schema(value_type = Vec<JobStaged>)]
    outputs: Vec<JobStage>,
    /// It is many of one kind; each finds its number in `MADANG_TASK`.
    #[serde(default)]
    #[schema(value_type = Option<JobTasks>)]
    array: Option<JobArray>,
    /// Jobs of the same tenant that it waits for.
    #[serde(default)]
    #[schema(value_type = Vec<JobAfter>)]
    after: Vec<After>,
    /// It writes a checkpoint when it is told, and may be stopped for others.
    #[serde(default)]
    #[schema(value_type = Option<JobStop>)]
    checkpoint: Option<JobCheckpoint>,
    /// How urgent it is among its tenant's own: `critical`, `standard` or `batch`.
    #[serde(default)]
    #[schema(value_type = String, default = "standard")]
    priority: Priority,
    /// Its class, of those that the operator defines.
    qos: Option<String>,
    /// How it may be bent where power is short.
    #[serde(default)]
    #[schema(value_type = JobBend)]
    flex: JobFlex,
    /// How often it is tried again after it failed.
    #[serde(default)]
    #[schema(maximum = 100)]
    retries_max: u32,
    /// Variables of its environment.
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// Variables whose values are secrets of the tenant or the project, by the secrets' names.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
}

impl From<JobSubmit> for JobSpec {
    fn from(asked: JobSubmit) -> Self {
        let JobSubmit {
            name,
            command,
            script,
            image,
            resources,
            time_limit_ms,
            data_class,
            data_flags,
            inputs,
            outputs,
            array,
            after,
            checkpoint,
            priority,
            qos,
            flex,
            retries_max,
            env,
            secrets,
        } = asked;
        Self {
            name,
            command,
            script,
            image,
            resources,
            time_limit_ms,
            data_class,
            data_flags,
            inputs,
            outputs,
            array,
            after,
            checkpoint,
            priority,
            qos,
            flex,
            retries_max,
            env,
            secrets,
        }
    }
}

/// What a job, or each task of an array, needs, all at once.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "read by the document alone; the type itself is JobResources"
)]
pub(crate) struct JobNeeds {
    /// Kinds of accelerator that will do, such as `h200`; any where left out.
    #[schema(required = false)]
    accelerator: Vec<String>,
    /// Accelerators in all; 1 where left out, 0 for processors alone.
    #[schema(required = false)]
    count: u32,
    /// How many of them are on one machine; it divides `count`.
    per_node: Option<u32>,
    /// How much of each, in thousandths; 1000 where left out.
    #[schema(required = false, minimum = 1, maximum = 1000)]
    share_milli: u32,
    /// Each has at least so much memory of its own, in MiB.
    accelerator_memory_mib_min: Option<u64>,
    /// Processor time for each piece, in thousandths of a core.
    #[schema(required = false)]
    cpu_milli: u64,
    /// Memory of the machine for each piece, in MiB.
    #[schema(required = false)]
    memory_mib: u64,
}

/// A file that is brought or kept.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "read by the document alone; the type itself is JobStage"
)]
pub(crate) struct JobStaged {
    /// From where: of an input a path of the machine or a URL, of an output a path in the job's folder. `{task}` in it stands for the
    /// task's number.
    from: String,
    /// To where, likewise.
    to: String,
    /// SHA-256 that an input has to have, in hex.
    sha256: Option<String>,
    /// How large it is, about, in bytes: a site is chosen by it.
    bytes: Option<u64>,
}

/// Tasks of an array.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "read by the document alone; the type itself is JobArray"
)]
pub(crate) struct JobTasks {
    /// How many.
    #[schema(minimum = 1, maximum = 100_000)]
    tasks: u32,
    /// How many run at once at most.
    at_once_max: Option<u32>,
}

/// A job that is waited for.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "read by the document alone; the type itself is After"
)]
pub(crate) struct JobAfter {
    /// Its number.
    job: String,
    /// How it has to have ended: `completed`, `failed` or `ended`; `completed` where left out.
    #[schema(required = false)]
    when: String,
}

/// How a job is told to write a checkpoint.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "read by the document alone; the type itself is JobCheckpoint"
)]
pub(crate) struct JobStop {
    /// `TERM`, `INT`, `HUP`, `USR1` or `USR2`; `TERM` where left out.
    #[schema(required = false)]
    signal: String,
    /// It is killed so long after it, in milliseconds.
    #[schema(maximum = 3_600_000)]
    grace_ms: u64,
}

/// How a job may be bent.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "read by the document alone; the type itself is JobFlex"
)]
pub(crate) struct JobBend {
    /// Slowed by so much, in thousandths of its pace.
    #[schema(required = false, maximum = 1000)]
    slow_milli: u32,
    /// Put off by so long, in milliseconds.
    #[schema(required = false)]
    shift_ms: u64,
    /// Stopped for so long in all, in milliseconds.
    #[schema(required = false)]
    pause_ms: u64,
}

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobQuery {
    /// Only this tenant's.
    #[param(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// Only of projects of this name.
    #[param(value_type = Option<String>)]
    pub project: Option<ProjectId>,
    /// Only those that stand so: `pending`, `held`, `running`, `completed`, `failed`, `cancelled` or `timed_out`.
    #[param(value_type = Option<String>)]
    pub state: Option<JobState>,
    /// Continues after this job of the page before.
    #[param(value_type = Option<String>)]
    pub before: Option<JobId>,
    /// Jobs in the page.
    #[serde(default = "limit", deserialize_with = "limited")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: u32,
}

/// Which runs of a job.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobRunsQuery {
    /// Continues after this run of the page before, as `1042.7-1`.
    #[param(value_type = Option<String>)]
    pub after: Option<RunId>,
    /// Runs in the page.
    #[serde(default = "limit", deserialize_with = "limited")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: u32,
}

fn limit() -> u32 {
    100
}

fn limited<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    super::ranged(from, 1..=LIST_COUNT_MAX)
}

/// Which output, from where on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobLogQuery {
    /// A task of an array, as `1042.7`; the only one, or the first, where left out.
    #[param(value_type = Option<String>)]
    pub task: Option<TaskId>,
    /// Which run of it, from 1; the last where left out.
    pub run: Option<u32>,
    /// From this byte on.
    #[serde(default)]
    #[param(default = 0)]
    pub from: u64,
}

/// Which task is to be entered.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobShellQuery {
    /// A task of an array, as `1042.7`; the only one, or the first, where left out.
    #[param(value_type = Option<String>)]
    pub task: Option<TaskId>,
}
