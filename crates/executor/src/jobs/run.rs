//! One run, with everything filled in.

use madang_types::{
    JobCheckpoint, JobStage, NodesId, Priority, ProgrammeId, ProjectId, RunId, RunPiece, TenantId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What an executor is told of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSpec {
    /// Which.
    pub run: RunId,
    /// Whose: their programme, tenant and project, by which a site may keep its own shares.
    pub owner: (Option<ProgrammeId>, TenantId, Option<ProjectId>),
    /// What the job is called.
    pub name: String,
    /// How urgent it is.
    pub priority: Priority,
    /// What is run.
    pub program: RunProgram,
    /// In which container image, if any.
    pub image: Option<String>,
    /// Its variables, beside those that every run has ([`RunSpec::variables`]).
    pub env: BTreeMap<String, String>,
    /// Variables that no log, no error and no list shows.
    pub secrets: BTreeMap<String, SecretText>,
    /// On which machines.
    pub nodes: NodesId,
    /// Their kind of accelerator.
    pub accelerator: String,
    /// The variable by which a program is told its accelerators, such as `CUDA_VISIBLE_DEVICES`.
    pub device_variable: Option<String>,
    /// What of which of them; at least one. Where the site's own scheduler chooses, the machines' numbers say nothing.
    pub pieces: Vec<RunPiece>,
    /// Stopped after so long, in milliseconds from the start of its program.
    pub time_limit_ms: u64,
    /// How it is told to write a checkpoint; it is told so before its time limit too.
    pub checkpoint: Option<JobCheckpoint>,
    /// What is brought into its folder first.
    pub inputs: Vec<JobStage>,
    /// What is taken out of its folder afterwards, where its program ended with 0.
    pub outputs: Vec<JobStage>,
    /// Tasks of its array; 1 where it is none.
    pub tasks: u32,
    /// The most bytes of output that are kept; what comes later replaces what came first.
    pub log_bytes_max: u64,
}

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunProgram {
    /// A program and its arguments.
    Command(Vec<String>),
    /// A script with or without `#!`.
    Script(String),
}

/// A secret: shown by nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(pub String);

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl RunSpec {
    /// The variables that every run has, beside its own: `MADANG_JOB`, `MADANG_TASK` (its place in the array, from 0), `MADANG_TASKS`,
    /// `MADANG_RUN` (from 1; above 1 there may be a checkpoint), `MADANG_ACCELERATORS` (their numbers on the first machine),
    /// `MADANG_SHARE_MILLI` (how much of each) and the one that its kind of accelerator is told by.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let task = self.run.task;
        let first = self.pieces.first();
        let here = |piece: &&RunPiece| Some(piece.node) == first.map(|first| first.node);
        let accelerators = self.pieces.iter().filter(here);
        let devices: Vec<String> = accelerators
            .flat_map(|piece| piece.accelerators.iter().map(ToString::to_string))
            .collect();
        let devices = devices.join(",");
        let share = first.map_or(0, |piece| piece.share_milli);
        let mut variables = self.env.clone();
        let own = [
            ("MADANG_JOB", task.job.to_string()),
            ("MADANG_TASK", task.index.unwrap_or(0).to_string()),
            ("MADANG_TASKS", self.tasks.to_string()),
            ("MADANG_RUN", self.run.number.to_string()),
            ("MADANG_ACCELERATORS", devices.clone()),
            ("MADANG_SHARE_MILLI", share.to_string()),
        ];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
        if let Some(name) = &self.device_variable {
            variables.insert(name.clone(), devices);
        }
        variables
    }
}
