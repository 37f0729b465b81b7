//! What is submitted.

use super::{JobId, JobResources, MILLI};
use crate::class::words;
use crate::{DataClass, DataFlags, Priority};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The most tasks of an array.
pub const ARRAY_TASKS_MAX: u32 = 100_000;
/// The longest time limit: 90 days.
pub const TIME_LIMIT_MS_MAX: u64 = 90 * 86_400_000;
/// The longest time from a checkpoint signal to the kill: an hour.
pub const GRACE_MS_MAX: u64 = 3_600_000;
/// Stands for a task's number in the names of its files.
pub const STAGE_TASK: &str = "{task}";
/// The most of inputs, of outputs, of variables, of secrets, and of jobs that are waited for.
pub const LIST_COUNT_MAX: usize = 128;
/// The most bytes of a script, and of all of a command's words.
pub const PROGRAM_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of a name, a variable, a place of a file.
pub const TEXT_BYTES_MAX: usize = 4096;
/// The most tries after the first.
pub const RETRIES_MAX: u32 = 100;

/// A job as it is submitted, and as the books keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// What it is called, for people.
    pub name: String,
    /// The program that is run, and its arguments; empty where a script is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The script that is run; its first line may name its interpreter (`#!`), `/bin/sh` runs it else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// The container image in which it runs; on the machine itself where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// What it needs.
    pub resources: JobResources,
    /// The longest that one run of it may take, in milliseconds.
    pub time_limit_ms: u64,
    /// How sensitive its data is.
    #[serde(default)]
    pub data_class: DataClass,
    /// What its data is besides.
    #[serde(default, skip_serializing_if = "no_flags")]
    pub data_flags: DataFlags,
    /// What is fetched before it begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<JobStage>,
    /// What is kept of it once it has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<JobStage>,
    /// It is many of one kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array: Option<JobArray>,
    /// Jobs that it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<After>,
    /// It writes a checkpoint when it is told, and goes on from there when it is started again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<JobCheckpoint>,
    /// How urgent it is.
    #[serde(default)]
    pub priority: Priority,
    /// Its class, of those that the operator defines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// How it may be bent where power is short.
    #[serde(default)]
    pub flex: JobFlex,
    /// How often it is tried again after it failed.
    #[serde(default)]
    pub retries_max: u32,
    /// Variables of its environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Variables whose values are secrets of the tenant or the project, by the secrets' names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
}

/// A file that is brought or kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobStage {
    /// From where: of an input a path of the site or a URL (`s3://`, `https://`), of an output a path in the job's folder. [`STAGE_TASK`] in it
    /// stands for the task's number.
    pub from: String,
    /// To where: of an input a path in the job's folder, of an output a path of the site or a URL. Likewise.
    pub to: String,
    /// What its SHA-256 has to be, in hex; for inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// How large it is, about, in bytes: a site is chosen by it. Not known where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl JobStage {
    /// The file of one task.
    pub fn of_task(&self, index: u32) -> Self {
        let number = index.to_string();
        Self {
            from: self.from.replace(STAGE_TASK, &number),
            to: self.to.replace(STAGE_TASK, &number),
            ..self.clone()
        }
    }
}

/// Many tasks of one kind; each finds its number in `MADANG_TASK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobArray {
    /// How many.
    pub tasks: u32,
    /// How many of them run at once at most; `None` where nothing but room bounds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once_max: Option<u32>,
}

/// A job that another one waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct After {
    /// Which.
    pub job: JobId,
    /// How it has to have ended. Where it ends otherwise, who waits is cancelled.
    #[serde(default)]
    pub when: AfterWhen,
}

/// How a job has to have ended for another one to begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterWhen {
    /// Well.
    #[default]
    Completed,
    /// Not well.
    Failed,
    /// In any way.
    Ended,
}

words!(AfterWhen, AfterWhenError, "a job is waited for until it has completed, failed or ended",
    "completed" => AfterWhen::Completed, "failed" => AfterWhen::Failed, "ended" => AfterWhen::Ended);

/// How a job is told to write a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobCheckpoint {
    /// By which signal.
    #[serde(default)]
    pub signal: StopSignal,
    /// It is killed so long after it, in milliseconds.
    pub grace_ms: u64,
}

/// What is wrong with a grace that is longer than a whole run.
const GRACE_TOO_LONG: &str =
    "a grace is not longer than the time limit: a run would be stopped before it began";

/// A signal that a job may ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StopSignal {
    /// `SIGTERM`.
    #[default]
    Term,
    /// `SIGINT`.
    Int,
    /// `SIGHUP`.
    Hup,
    /// `SIGUSR1`.
    Usr1,
    /// `SIGUSR2`.
    Usr2,
}

words!(StopSignal, StopSignalError, "a checkpoint signal is one of TERM, INT, HUP, USR1, USR2",
    "TERM" => StopSignal::Term, "INT" => StopSignal::Int, "HUP" => StopSignal::Hup,
    "USR1" => StopSignal::Usr1, "USR2" => StopSignal::Usr2);

/// How a job may be bent where power is short or dear. Nothing, where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JobFlex {
    /// It may be slowed by so much, in thousandths of its pace: of any stretch of time it stands still for that part at most.
    pub slow_milli: u32,
    /// Its start may be put off by so long, in milliseconds.
    pub shift_ms: u64,
    /// It may stand still for so long in all, in milliseconds.
    pub pause_ms: u64,
}

/// Something in a job that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct JobSpecError {
    /// Where, as a path of names: `resources.count`.
    pub field: String,
    /// What is wrong, and what would be right.
    pub what: String,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn no_flags(flags: &DataFlags) -> bool {
    flags.is_empty()
}

impl JobSpec {
    /// Tasks: 1 where it is no array.
    pub fn tasks(&self) -> u32 {
        self.array.map_or(1, |array| array.tasks)
    }

    /// Whether it says nothing impossible of itself, wherever it would run.
    ///
    /// # Errors
    /// The first thing that is.
    pub fn check(&self) -> Result<(), JobSpecError> {
        self.check_texts()?;
        self.check_program()?;
        self.check_resources()?;
        self.check_numbers()?;
        self.check_stages()
    }

    fn check_texts(&self) -> Result<(), JobSpecError> {
        let named = !self.name.trim().is_empty() && !self.name.chars().any(char::is_control);
        expect(
            named && self.name.len() <= 128,
            "name",
            "it has 1 to 128 bytes, none of them a control character",
        )?;
        let qos = self.qos.as_deref().unwrap_or("x");
        expect(
            !qos.is_empty() && qos.len() <= 128,
            "qos",
            "it is the name of a class, of 1 to 128 bytes",
        )?;
        let image = self.image.as_deref().unwrap_or("x");
        let sound =
            !image.is_empty() && !image.starts_with('-') && !image.contains(char::is_whitespace);
        expect(
            sound && image.len() <= TEXT_BYTES_MAX,
            "image",
            "it is a reference such as docker.io/library/debian:12",
        )?;
        let variables = self.env.iter().chain(&self.secrets);
        expect(
            self.env.len() <= LIST_COUNT_MAX && self.secrets.len() <= LIST_COUNT_MAX,
            "env",
            format!("it has at most {LIST_COUNT_MAX} variables, and as many secrets"),
        )?;
        for (name, value) in variables {
            let first = name
                .bytes()
                .next()
                .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
            let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let sound = first && rest && !name.starts_with("MADANG_") && name.len() <= 128;
            expect(
                sound,
                format!("env.{name}"),
                "a variable's name is letters, digits and '_', and does not begin with MADANG_",
            )?;
            let fits = value.len() <= TEXT_BYTES_MAX && !value.contains('\0');
            expect(
                fits,
                format!("env.{name}"),
                format!("its value has at most {TEXT_BYTES_MAX} bytes, none of them zero"),
            )?;
        }
        let twice = self
            .secrets
            .keys()
            .find(|name| self.env.contains_key(*name));
        expect(
            twice.is_none(),
            "secrets",
            "a variable is a secret or is not: one of these stands in env too",
        )
    }

    fn check_program(&self) -> Result<(), JobSpecError> {
        let (field, words) = match &self.script {
            Some(script) => ("script", std::slice::from_ref(script)),
            None => ("command", self.command.as_slice()),
        };
        let one = self.script.is_none() || self.command.is_empty();
        expect(one, "script", "a job has a command or a script, not both")?;
        let some = words.first().is_some_and(|word| !word.trim().is_empty());
        expect(some, field, "there is nothing to run")?;
        let bytes: usize = words.iter().map(|word| word.len() + 1).sum();
        let clean = words.iter().all(|word| !word.contains('\0'));
        let what = format!("it has at most {PROGRAM_BYTES_MAX} bytes, none of them zero");
        expect(clean && bytes <= PROGRAM_BYTES_MAX, field, what)
    }

    fn check_resources(&self) -> Result<(), JobSpecError> {
        let resources = &self.resources;
        let whole = (1..=MILLI).contains(&resources.share_milli);
        expect(
            whole,
            "resources.share_milli",
            "it is 1 to 1000 thousandths of each accelerator",
        )?;
        expect(
            resources.count <= 1_000_000,
            "resources.count",
            "it is at most 1,000,000",
        )?;
        if let Some(per_node) = resources.per_node {
            let even = (1..=1024).contains(&per_node) && resources.count.is_multiple_of(per_node);
            expect(
                even,
                "resources.per_node",
                "it is 1 to 1024, and divides resources.count",
            )?;
        }
        expect(
            resources.accelerator.len() <= 32,
            "resources.accelerator",
            "it names at most 32 kinds",
        )?;
        let some = resources.count > 0 || resources.cpu_milli > 0;
        expect(
            some,
            "resources.count",
            "a job without accelerators says how much of a processor it needs (cpu_milli)",
        )
    }

    fn check_numbers(&self) -> Result<(), JobSpecError> {
        let limit = (1_000..=TIME_LIMIT_MS_MAX).contains(&self.time_limit_ms);
        expect(
            limit,
            "time_limit_ms",
            format!("it is 1,000 ms to {TIME_LIMIT_MS_MAX} ms (90 days)"),
        )?;
        if let Some(array) = self.array {
            let tasks = (1..=ARRAY_TASKS_MAX).contains(&array.tasks);
            expect(
                tasks,
                "array.tasks",
                format!("an array has 1 to {ARRAY_TASKS_MAX} tasks"),
            )?;
            expect(
                array.at_once_max != Some(0),
                "array.at_once_max",
                "at least 1 runs at once",
            )?;
        }
        if let Some(checkpoint) = self.checkpoint {
            let grace = checkpoint.grace_ms <= GRACE_MS_MAX;
            expect(
                grace,
                "checkpoint.grace_ms",
                format!("it is at most {GRACE_MS_MAX} (an hour)"),
            )?;
            expect(
                checkpoint.grace_ms <= self.time_limit_ms,
                "checkpoint.grace_ms",
                GRACE_TOO_LONG,
            )?;
        }
        expect(
            self.flex.slow_milli <= MILLI,
            "flex.slow_milli",
            "it is at most 1000",
        )?;
        expect(
            self.retries_max <= RETRIES_MAX,
            "retries_max",
            format!("it is at most {RETRIES_MAX}"),
        )?;
        let few = self.after.len() <= LIST_COUNT_MAX;
        expect(
            few,
            "after",
            format!("it waits for at most {LIST_COUNT_MAX} jobs"),
        )
    }

    fn check_stages(&self) -> Result<(), JobSpecError> {
        for (field, stages) in [("inputs", &self.inputs), ("outputs", &self.outputs)] {
            expect(
                stages.len() <= LIST_COUNT_MAX,
                field,
                format!("there are at most {LIST_COUNT_MAX}"),
            )?;
            for (at, stage) in stages.iter().enumerate() {
                let inner = if field == "inputs" {
                    &stage.to
                } else {
                    &stage.from
                };
                let outer = if field == "inputs" {
                    &stage.from
                } else {
                    &stage.to
                };
                let inside = is_inside(inner);
                expect(
                    inside,
                    format!("{field}[{at}]"),
                    format!(
                        "'{inner}' is no path inside the job's folder: it is relative and has no '..'"
                    ),
                )?;
                expect(
                    !outer.is_empty() && outer.len() <= TEXT_BYTES_MAX,
                    format!("{field}[{at}]"),
                    "the other end is a path or a URL",
                )?;
                let own = self.tasks() == 1 || field == "inputs" || outer.contains(STAGE_TASK);
                expect(
                    own,
                    format!("{field}[{at}]"),
                    format!(
                        "each task of the array would put its own over '{outer}': {STAGE_TASK} in it stands for the task's number"
                    ),
                )?;
                if let Some(digest) = &stage.sha256 {
                    let hex = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
                    expect(
                        hex,
                        format!("{field}[{at}].sha256"),
                        "it is 64 hexadecimal digits",
                    )?;
                }
            }
        }
        Ok(())
    }
}

fn is_inside(path: &str) -> bool {
    let parts = || path.split('/');
    !path.is_empty()
        && path.len() <= TEXT_BYTES_MAX
        && !path.contains('\0')
        && parts().all(|part| !part.is_empty() && part != "." && part != "..")
}

fn expect(
    holds: bool,
    field: impl Into<String>,
    what: impl Into<String>,
) -> Result<(), JobSpecError> {
    if holds {
        return Ok(());
    }
    Err(JobSpecError {
        field: field.into(),
        what: what.into(),
    })
}

#[cfg(test)]
mod tests;
