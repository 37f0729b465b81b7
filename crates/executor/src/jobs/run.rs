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

#[cfg(test)]
mod tests {
    use super::*;
    use madang_types::{JobId, TaskId};

    #[test]
    fn accelerators_of_the_first_machine_are_told_whatever_their_pieces() {
        let piece = |node, accelerators: &[u16]| RunPiece {
            node,
            accelerators: accelerators.to_vec(),
            share_milli: 250,
            cpu_milli: 0,
            memory_mib: 0,
        };
        let spec = RunSpec {
            run: RunId {
                task: TaskId::from(JobId(1042)),
                number: 2,
            },
            owner: (None, TenantId::new("hanbit").unwrap(), None),
            name: "a test".to_owned(),
            priority: Priority::default(),
            program: RunProgram::Command(Vec::new()),
            image: None,
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            nodes: NodesId::new("here").unwrap(),
            accelerator: "h200".to_owned(),
            device_variable: Some("CUDA_VISIBLE_DEVICES".to_owned()),
            pieces: vec![piece(3, &[1]), piece(4, &[0]), piece(3, &[5, 6])],
            time_limit_ms: 1,
            checkpoint: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            tasks: 1,
            log_bytes_max: 1,
        };
        let told: Vec<String> = spec
            .variables()
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let expected = [
            "CUDA_VISIBLE_DEVICES=1,5,6",
            "MADANG_ACCELERATORS=1,5,6",
            "MADANG_JOB=1042",
            "MADANG_RUN=2",
            "MADANG_SHARE_MILLI=250",
            "MADANG_TASK=0",
            "MADANG_TASKS=1",
        ];
        assert_eq!(told, expected);
    }
}
