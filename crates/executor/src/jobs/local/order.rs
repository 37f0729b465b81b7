//! What a runner is told, once, through the pipe that is its standard input: it carries secrets, which no file holds.

use super::{Confinement, ContainerEngine, LocalOptions, StageOptions};
use crate::jobs::{RunProgram, RunSpec};
use madang_types::{JobCheckpoint, JobStage, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The greatest order: a program, its variables, its files, and the operator's own settings.
pub(super) const ORDER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A run, as its runner needs it. Shown by nothing.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    pub tenant: TenantId,
    pub program: RunProgram,
    pub image: Option<String>,
    pub env: BTreeMap<String, String>,
    pub secrets: BTreeMap<String, String>,
    pub accelerators: Vec<u16>,
    pub cpu_milli: u64,
    pub memory_mib: u64,
    pub time_limit_ms: u64,
    pub checkpoint: Option<JobCheckpoint>,
    pub inputs: Vec<JobStage>,
    pub outputs: Vec<JobStage>,
    pub log_bytes_max: u64,
    pub stages: StageOptions,
    pub confinement: Option<Confinement>,
    pub cgroup: Option<PathBuf>,
    pub engine: Option<ContainerEngine>,
}

impl Order {
    pub fn new(spec: &RunSpec, options: &LocalOptions) -> Self {
        let secrets = spec.secrets.iter();
        let pieces = || spec.pieces.iter();
        Self {
            tenant: spec.owner.1.clone(),
            program: spec.program.clone(),
            image: spec.image.clone(),
            env: spec.variables(),
            secrets: secrets.map(|(k, v)| (k.clone(), v.0.clone())).collect(),
            accelerators: pieces().flat_map(|p| p.accelerators.clone()).collect(),
            cpu_milli: pieces().map(|piece| piece.cpu_milli).sum(),
            memory_mib: pieces().map(|piece| piece.memory_mib).sum(),
            time_limit_ms: spec.time_limit_ms,
            checkpoint: spec.checkpoint,
            inputs: spec.inputs.clone(),
            outputs: spec.outputs.clone(),
            log_bytes_max: spec.log_bytes_max,
            stages: options.stages.clone(),
            confinement: options.confinement.clone(),
            cgroup: options.cgroup.clone(),
            engine: options.engine.clone(),
        }
    }
}
