//! A job as Slurm tells of it, whichever way, and what that says of the run.

use crate::jobs::{RunStatus, StopHow};
use madang_types::{Micros, RunEnd, RunOutcome};
use serde::{Deserialize, Serialize};

/// The batch script's own words: it ends by one of these signals where the end is not its program's, whose signals it tells as 128 and
/// more.
pub(super) mod word {
    /// It could not begin.
    pub(crate) const NOT_STARTED: (&str, u8) = ("PROF", 27);
    /// Its outputs could not be kept.
    pub(crate) const NOT_KEPT: (&str, u8) = ("VTALRM", 26);
    /// It was told that its time ends, or ended at our word.
    pub(crate) const ENDED: (&str, u8) = ("ALRM", 14);
    /// To it: end now. Whoever else gets that signal ignores it.
    pub(crate) const END: &str = "URG";
    /// To it: have the program stand still (WINCH, of which 22.05 knows the number alone), and go on. Who else gets the first ignores it.
    pub(crate) const STILL: &str = "28";
    pub(crate) const GO: &str = "CONT";
    /// To it alone: the time limit comes.
    pub(crate) const LIMIT: &str = "XCPU";
    /// Slurm's own, where it cannot open a job's output.
    pub(crate) const NO_OUTPUT: u8 = 53;
}

/// What Slurm calls the state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlurmState {
    Waiting,
    Configuring,
    Running,
    Completing,
    Completed,
    Failed,
    Cancelled,
    TimedOut,
    Preempted,
    NodeFailed,
    OutOfMemory,
}

impl SlurmState {
    /// From its words: one in the accounting and in the old shape, several in the new. A word that says that it is not over yet counts
    /// more than the one that says how it will have ended.
    pub(super) fn read<'a>(words: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut state = None;
        for text in words {
            // In the accounting: "CANCELLED by 1000".
            let known = match text.split(' ').next().unwrap_or_default() {
                "COMPLETING" | "SIGNALING" | "STAGE_OUT" | "STOPPED" => Self::Completing,
                "CONFIGURING" | "POWER_UP_NODE" => Self::Configuring,
                "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT"
                | "RESV_DEL_HOLD" => Self::Waiting,
                "RUNNING" | "SUSPENDED" | "RESIZING" => Self::Running,
                "COMPLETED" => Self::Completed,
                "FAILED" | "LAUNCH_FAILED" | "RECONFIG_FAIL" => Self::Failed,
                "CANCELLED" | "REVOKED" => Self::Cancelled,
                "TIMEOUT" | "DEADLINE" => Self::TimedOut,
                "PREEMPTED" => Self::Preempted,
                "NODE_FAIL" | "BOOT_FAIL" => Self::NodeFailed,
                "OUT_OF_MEMORY" => Self::OutOfMemory,
                _ => continue,
            };
            let under_way = matches!(known, Self::Completing | Self::Configuring | Self::Waiting);
            if state.is_none() || under_way {
                state = Some(known);
            }
        }
        state
    }

    pub(super) fn is_over(self) -> bool {
        match self {
            Self::Waiting | Self::Configuring | Self::Running | Self::Completing => false,
            Self::Completed
            | Self::Failed
            | Self::Cancelled
            | Self::TimedOut
            | Self::Preempted
            | Self::NodeFailed
            | Self::OutOfMemory => true,
        }
    }
}

/// One job. Times are seconds since 1970, as Slurm keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlurmJob {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) state: SlurmState,
    /// Why it waits, or ended.
    pub(super) reason: String,
    pub(super) submitted_s: u64,
    /// When it began; of one that waits, when it is expected to.
    pub(super) started_s: Option<u64>,
    pub(super) ended_s: Option<u64>,
    /// It has or had machines.
    pub(super) had_nodes: bool,
    /// Of the batch script: its exit code and the signal that ended it.
    pub(super) exit: (u8, u8),
}

/// What it was told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stop {
    /// It was withdrawn; else it makes room.
    pub(super) cancel: bool,
    /// It is ended by force then, in milliseconds since 1970.
    pub(super) force_at_ms: u64,
    /// Its script was told to end it.
    pub(super) forced: bool,
}

impl Stop {
    pub(super) fn new(how: StopHow, now_ms: u64) -> Self {
        match how {
            StopHow::Checkpoint(checkpoint) => Self {
                cancel: false,
                force_at_ms: now_ms.saturating_add(checkpoint.grace_ms),
                forced: false,
            },
            // The script is told at once, and ends its program by force; this is for a script that does not.
            StopHow::Cancel => Self {
                cancel: true,
                force_at_ms: now_ms.saturating_add(2 * crate::jobs::STOP_MS),
                forced: true,
            },
        }
    }
}

impl SlurmJob {
    /// How the run stands.
    pub(super) fn status(&self, stop: Option<Stop>) -> RunStatus {
        let since = self.began();
        if self.state.is_over() {
            return RunStatus::Ended(self.end(stop));
        }
        match (stop, self.state, since) {
            (Some(_), _, since) => RunStatus::Stopping { since },
            (None, SlurmState::Running | SlurmState::Completing, Some(since)) => {
                RunStatus::Running { since }
            }
            (None, ..) => RunStatus::Preparing { why: self.waits() },
        }
    }

    fn began(&self) -> Option<Micros> {
        let runs = !matches!(self.state, SlurmState::Waiting | SlurmState::Configuring);
        let started_s = self.started_s.filter(|_| runs && self.had_nodes);
        started_s.map(micros)
    }

    fn waits(&self) -> String {
        let why = match self.reason.as_str() {
            "" | "None" => "in the site's queue",
            reason => reason,
        };
        let expected = self.started_s.and_then(|at_s| {
            let at = jiff::Timestamp::from_second(i64::try_from(at_s).ok()?).ok()?;
            Some(format!("{why}; expected to begin at {at}"))
        });
        match self.state {
            SlurmState::Configuring => "its machines are made ready".to_owned(),
            _ => expected.unwrap_or_else(|| why.to_owned()),
        }
    }

    fn end(&self, stop: Option<Stop>) -> RunEnd {
        let outcome = self.outcome(stop);
        let ran = !matches!(outcome, RunOutcome::NotStarted { .. });
        let ended_s = self.ended_s.or(self.started_s).unwrap_or(self.submitted_s);
        RunEnd {
            started_at: self.began().filter(|_| ran),
            ended_at: micros(ended_s),
            outcome,
            energy: None,
        }
    }

    fn outcome(&self, stop: Option<Stop>) -> RunOutcome {
        let stopped = stop.map(|stop| match stop.cancel {
            true => RunOutcome::Cancelled,
            false => RunOutcome::Stopped,
        });
        match self.state {
            SlurmState::Completed => RunOutcome::Completed,
            SlurmState::NodeFailed if stopped != Some(RunOutcome::Cancelled) => RunOutcome::Lost {
                why: "a machine of it failed".to_owned(),
            },
            _ if stopped.is_some() => stopped.unwrap_or(RunOutcome::Cancelled),
            SlurmState::TimedOut => RunOutcome::TimedOut,
            SlurmState::Preempted => RunOutcome::Stopped,
            SlurmState::Failed => self.failed(),
            // Linux ends by SIGKILL who takes more memory than he was given.
            SlurmState::OutOfMemory => RunOutcome::Failed { exit_code: 137 },
            SlurmState::Waiting
            | SlurmState::Configuring
            | SlurmState::Running
            | SlurmState::Completing
            | SlurmState::Cancelled
            | SlurmState::NodeFailed => RunOutcome::Cancelled,
        }
    }

    fn failed(&self) -> RunOutcome {
        let (code, signal) = self.exit;
        if !self.had_nodes {
            let why = format!("Slurm did not begin it: {}", self.reason);
            return RunOutcome::NotStarted { why };
        }
        let told = |what: &str| format!("{what}; its log says why");
        match signal {
            0 => RunOutcome::Failed {
                // The old REST shape has lost it once the controller has forgotten the job.
                exit_code: i32::from(code.max(1)),
            },
            s if s == word::ENDED.1 => RunOutcome::TimedOut,
            s if s == word::NOT_STARTED.1 => RunOutcome::NotStarted {
                why: told("it could not begin"),
            },
            s if s == word::NOT_KEPT.1 => RunOutcome::NotKept {
                why: told("its outputs could not be kept"),
            },
            word::NO_OUTPUT => RunOutcome::NotStarted {
                why: "its machine cannot write in the folder of the runs".to_owned(),
            },
            signal => RunOutcome::Failed {
                exit_code: 128 + i32::from(signal),
            },
        }
    }
}

pub(super) fn micros(seconds: u64) -> Micros {
    let us = seconds.saturating_mul(1_000_000);
    Micros(i64::try_from(us).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
