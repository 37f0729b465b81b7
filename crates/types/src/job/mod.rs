//! Batch jobs: what is asked for, what became of it, and the single runs that it was carried out in.

mod busy;
mod resources;
mod run;
mod spec;
mod state;

pub use busy::{AT_WORK_PERMILLE, BusySource, Measured, NodesHeld, RunBusy, accelerator_ms};
pub use resources::{JobResources, MILLI, PROCESSORS, RESERVATIONS_MAX};
pub use run::{
    RunCandidate, RunEnd, RunLack, RunOutcome, RunPiece, RunPlace, RunRecord, RunState, RunStop,
    StopWhy,
};
pub use spec::{
    After, AfterWhen, JobArray, JobCheckpoint, JobFlex, JobSpec, JobSpecError, JobStage,
    STAGE_TASK, StopSignal,
};
pub use state::{Job, JobState};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// A job, numbered by the books in the order of coming. In text and JSON its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// One task of a job: `1042` is the only one of a job without an array, `1042.7` the eighth of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId {
    /// The job.
    pub job: JobId,
    /// Its place in the array, from 0; `None` where there is none.
    pub index: Option<u32>,
}

/// One run of a task: `1042-1`, `1042.7-2`. A job that was stopped for others, or is tried again, has several, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// The task.
    pub task: TaskId,
    /// Which run of it, from 1.
    pub number: u32,
}

/// The text is no such id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a job is its number, such as 1042; a task of an array is 1042.7, and a run of it 1042.7-1"
)]
pub struct JobIdError;

impl From<JobId> for TaskId {
    fn from(job: JobId) -> Self {
        Self { job, index: None }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}.{index}", self.job),
            None => self.job.fmt(f),
        }
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.task, self.number)
    }
}

/// Digits and nothing else: no sign, no leading zero.
fn number<T: FromStr>(text: &str) -> Result<T, JobIdError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let plain = text == "0" || !text.starts_with('0');
    if !digits || !plain {
        return Err(JobIdError);
    }
    text.parse().map_err(|_| JobIdError)
}

impl FromStr for JobId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, JobIdError> {
        // The books count in 63 bits.
        let number: u64 = number(text)?;
        i64::try_from(number).map_err(|_| JobIdError)?;
        Ok(Self(number))
    }
}

impl FromStr for TaskId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let Some((job, index)) = text.split_once('.') else {
            return Ok(text.parse::<JobId>()?.into());
        };
        Ok(Self {
            job: job.parse()?,
            index: Some(number(index)?),
        })
    }
}

impl FromStr for RunId {
    type Err = JobIdError;

    fn from_str(text: &str) -> Result<Self, JobIdError> {
        let (task, run) = text.split_once('-').ok_or(JobIdError)?;
        Ok(Self {
            task: task.parse()?,
            number: number(run)?,
        })
    }
}

macro_rules! as_text {
    ($($id:ident),+) => {
        $(impl Serialize for $id {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        })+
    };
}

as_text!(JobId, TaskId, RunId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_nothing_else_does() {
        for text in ["1042-1", "1042.7-2", "1.0-1", "9223372036854775807-1"] {
            let run: RunId = text.parse().unwrap();
            assert_eq!(run.to_string(), text);
            assert_eq!(run.task.to_string().parse(), Ok(run.task));
        }
        for text in [
            "",
            "-1",
            "1-",
            "1.-1",
            ".1-1",
            "+1-1",
            "01-1",
            "1.01-1",
            "1 -1",
            "1-1-1",
            "1.4294967296-1",
            "9223372036854775808-1",
        ] {
            assert_eq!(text.parse::<RunId>(), Err(JobIdError), "{text:?}");
        }
    }
}
