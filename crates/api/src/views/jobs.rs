//! Batch jobs.

use super::instant;
use crate::params::JobSubmit;
use madang_control::jobs::{Counts, Lack, Standing, Waits};
use madang_types::{Job, MilliJoules, RunCandidate, RunOutcome, RunPiece, RunRecord};
use serde::Serialize;
use utoipa::ToSchema;

/// A batch job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobView {
    /// Its number.
    id: String,
    /// What it is called.
    name: String,
    /// Who pays.
    tenant: String,
    /// For which of its projects.
    project: Option<String>,
    /// The tenant's programme when it came.
    programme: Option<String>,
    /// The key that submitted it, by its public part.
    key: Option<String>,
    /// `pending`, `held`, `running`, `completed`, `failed`, `cancelled` or `timed_out`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Somebody holds it back.
    held: bool,
    /// When somebody withdrew it.
    #[schema(format = DateTime)]
    cancelled_at: Option<String>,
    /// What went wrong, where something did.
    why: Option<String>,
    /// What its owner is to know though it runs: nothing pays for it any more, or it is being stopped though nobody withdrew it.
    warning: Option<String>,
    /// Why it, or the first task of it that waits, does not run; null where nothing of it waits, or another gateway drives jobs.
    waits: Option<WaitsView>,
    /// Machines that take jobs and on which it may not be, 32 at most; empty in lists, once it is over, and where another gateway drives.
    closed: Vec<ClosedView>,
    /// How its tasks stand; null once it is over, or where another gateway drives jobs.
    tasks: Option<TasksView>,
    /// When it came.
    #[schema(format = DateTime)]
    submitted_at: String,
    /// When it was over.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// What was asked for, as it counts.
    #[schema(value_type = JobSubmit)]
    spec: madang_types::JobSpec,
}

/// Why something does not run, and when it will.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WaitsView {
    /// Why, in a line.
    why: String,
    /// Tasks of anybody that are before it.
    ahead: Option<usize>,
    /// When it will start, as things stand.
    #[schema(format = DateTime)]
    starts_at: Option<String>,
    /// Machines on which it may be and what that would cost, the cheapest first; empty where it has no choice.
    candidates: Vec<CandidateView>,
}

/// Machines on which a job may not be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClosedView {
    /// Which.
    #[schema(example = "busan-h200")]
    nodes: String,
    /// Where they stand.
    site: String,
    /// Why: what they lack, or what keeps it away.
    #[schema(example = "policy keeps its data away")]
    why: String,
}

impl From<Lack> for ClosedView {
    fn from(Lack { nodes, site, what }: Lack) -> Self {
        Self {
            nodes: nodes.to_string(),
            site: site.to_string(),
            why: what,
        }
    }
}

/// Machines on which a run may be, and what that would cost: all terms in won add up to the last.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CandidateView {
    /// Which.
    #[schema(example = "pohang-h200")]
    nodes: String,
    /// Where they stand.
    site: String,
    /// What they lack for a run that begins at once: `room`, or `power` at their site.
    #[schema(value_type = Option<String>)]
    lacks: Option<&'static str>,
    /// How long it waits there for its turn, in milliseconds; null where nobody asked, as they cost more all the same.
    wait_ms: Option<u64>,
    /// How long it waits there as the site's own scheduler says, in milliseconds; null where there is none or it was not asked.
    foretold_ms: Option<u64>,
    /// How long until it begins there, as it counts: with what others wait in the site's own queue, in milliseconds.
    starts_ms: u64,
    /// For how long its data is moved there, in milliseconds.
    data_ms: u64,
    /// What it draws there beside what its accelerators draw idle, in watts at the site's meter; null where nobody says.
    draws_watts: Option<u64>,
    /// What may be drawn besides at its site.
    headroom_watts: Option<u64>,
    /// What its accelerators cost for as long as its like runs, in millionths of a won.
    run_micro_won: i64,
    /// The electricity of that, at the prices of the hours in which it would run.
    energy_micro_won: i64,
    /// What it costs to move its data, with what that time is worth.
    data_micro_won: i64,
    /// What the wait is worth.
    wait_micro_won: i64,
    /// What others save there who get dearer machines instead, while more is wanted than there is.
    congestion_micro_won: i64,
    /// All of it.
    total_micro_won: i64,
}

impl From<RunCandidate> for CandidateView {
    fn from(candidate: RunCandidate) -> Self {
        let total = candidate.total();
        let RunCandidate {
            nodes,
            site,
            lacks,
            wait_ms,
            foretold_ms,
            run,
            energy,
            data,
            wait,
            congestion,
            data_ms,
            starts_ms,
            watts,
        } = candidate;
        Self {
            nodes: nodes.to_string(),
            site: site.to_string(),
            lacks: lacks.map(|lacks| lacks.as_str()),
            wait_ms,
            foretold_ms,
            starts_ms,
            data_ms,
            draws_watts: watts.map(|[draws, _]| draws),
            headroom_watts: watts.map(|[_, left]| left),
            run_micro_won: run.0,
            energy_micro_won: energy.0,
            data_micro_won: data.0,
            wait_micro_won: wait.0,
            congestion_micro_won: congestion.0,
            total_micro_won: total.0,
        }
    }
}

/// How many tasks stand how.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TasksView {
    /// They wait.
    pending: u32,
    /// They have machines.
    running: u32,
    /// They ended well.
    completed: u32,
    /// They ended otherwise.
    failed: u32,
}

impl JobView {
    pub fn new(job: Job, standing: Option<Standing>) -> Self {
        let Job {
            id,
            tenant,
            project,
            programme,
            key,
            spec,
            state,
            held,
            cancelled_at,
            why,
            submitted_at,
            ended_at,
        } = job;
        let (mut tasks, mut warning, mut waits, mut closed) = (None, None, None, Vec::new());
        if let Some(standing) = standing {
            tasks = Some(standing.tasks);
            (warning, waits, closed) = (standing.warning, standing.waits, standing.closed);
        }
        Self {
            id: id.to_string(),
            name: spec.name.clone(),
            tenant: tenant.to_string(),
            project: project.map(|id| id.to_string()),
            programme: programme.map(|id| id.to_string()),
            key: key.map(|id| id.to_string()),
            state: state.as_str(),
            held,
            cancelled_at: cancelled_at.map(instant),
            why,
            warning,
            waits: waits.map(Into::into),
            closed: closed.into_iter().map(Into::into).collect(),
            tasks: tasks.map(Into::into),
            submitted_at: instant(submitted_at),
            ended_at: ended_at.map(instant),
            spec,
        }
    }
}

impl From<Waits> for WaitsView {
    fn from(
        Waits {
            why,
            ahead,
            starts_at,
            candidates,
        }: Waits,
    ) -> Self {
        Self {
            why,
            ahead,
            starts_at: starts_at.map(instant),
            candidates: candidates.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Counts> for TasksView {
    fn from(counts: Counts) -> Self {
        let Counts {
            pending,
            running,
            completed,
            failed,
        } = counts;
        Self {
            pending,
            running,
            completed,
            failed,
        }
    }
}

/// One run of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobRunView {
    /// Its id, as `1042.7-1`.
    id: String,
    /// The task.
    task: String,
    /// The machines.
    nodes: String,
    /// Where they stand; null of a run from before that was kept.
    site: Option<String>,
    /// Their kind of accelerator.
    accelerator: Option<String>,
    /// Machines on which it could have been and what that would have cost, its own first; empty where it had no choice.
    candidates: Vec<CandidateView>,
    /// What of which of them.
    pieces: Vec<JobPieceView>,
    /// `starting`, `running`, `stopping` or `ended`.
    #[schema(value_type = String)]
    state: &'static str,
    /// When it was given its machines.
    #[schema(format = DateTime)]
    created_at: String,
    /// When its program began.
    #[schema(format = DateTime)]
    started_at: Option<String>,
    /// When it was over.
    #[schema(format = DateTime)]
    ended_at: Option<String>,
    /// Since when its machines' cluster cannot be asked how it stands; null while it can. It stays where the run was given up for that.
    #[schema(format = DateTime)]
    unseen_since: Option<String>,
    /// Of one that was given up: when it was told after all how it ended, and what it used until then was booked, or when nobody asks any more.
    #[schema(format = DateTime)]
    unseen_until: Option<String>,
    /// Why it was told to stop, where it was: `withdrawn`, `requeued`, `room`, `budget`, `switch`, `power` or `price`.
    #[schema(value_type = Option<String>)]
    stopped_for: Option<&'static str>,
    /// `completed`, `failed`, `timed_out`, `stopped`, `cancelled`, `not_started`, `not_kept`, `refused` or `lost`.
    #[schema(value_type = Option<String>)]
    outcome: Option<&'static str>,
    /// Its program's exit code, where it failed.
    exit_code: Option<i32>,
    /// What else is known of its end.
    why: Option<String>,
    /// Accelerator time, in milliseconds of one.
    accelerator_ms: Option<u64>,
    /// Energy in thousandths of a joule at its site's meter, where somebody says what its machines draw.
    milli_joules: Option<i64>,
    /// What it cost, in millionths of a won.
    micro_won: Option<i64>,
}

/// What a run has of one machine.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobPieceView {
    /// The machine, from 0.
    node: u32,
    /// Its accelerators, from 0.
    accelerators: Vec<u16>,
    /// How much of each, in thousandths.
    share_milli: u32,
}

impl From<RunRecord> for JobRunView {
    fn from(record: RunRecord) -> Self {
        let accelerator_ms = record.accelerator_ms();
        let RunRecord {
            run,
            nodes,
            place,
            pieces,
            accelerator_milli: _,
            state,
            stop,
            created_at,
            started_at,
            unseen_since,
            unseen_until,
            end,
            charge,
            candidates,
        } = record;
        let outcome = end.as_ref().map(|end| &end.outcome);
        Self {
            id: run.to_string(),
            task: run.task.to_string(),
            nodes: nodes.to_string(),
            site: place.as_ref().map(|place| place.site.to_string()),
            accelerator: place.map(|place| place.accelerator),
            candidates: candidates.into_iter().map(Into::into).collect(),
            pieces: pieces.into_iter().map(Into::into).collect(),
            state: state.as_str(),
            created_at: instant(created_at),
            started_at: started_at.map(instant),
            ended_at: end.as_ref().map(|end| instant(end.ended_at)),
            unseen_since: unseen_since.map(instant),
            unseen_until: unseen_until.map(instant),
            stopped_for: stop.map(|stop| stop.why.as_str()),
            outcome: outcome.map(RunOutcome::as_str),
            exit_code: outcome.and_then(RunOutcome::exit_code),
            why: outcome.and_then(RunOutcome::why).map(str::to_owned),
            accelerator_ms,
            milli_joules: end
                .and_then(|end| end.energy)
                .map(|MilliJoules(energy)| energy),
            micro_won: charge.map(|charge| charge.0),
        }
    }
}

impl From<RunPiece> for JobPieceView {
    fn from(piece: RunPiece) -> Self {
        let RunPiece {
            node,
            accelerators,
            share_milli,
            cpu_milli: _,
            memory_mib: _,
        } = piece;
        Self {
            node,
            accelerators,
            share_milli,
        }
    }
}

/// How to get into a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobShellView {
    /// The run.
    pub run: String,
    /// A program and its arguments, to be run on the server's machine as its user.
    pub command: Vec<String>,
}
