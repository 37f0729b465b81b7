//! Runs of which nobody can be asked how they stand: for how long they are waited for, and what becomes of them then.

use super::Desk;
use super::entry::{self, Running};
use super::steps::running;
use madang_types::{Micros, NodesId, RunEnd, RunId, RunOutcome};

/// How long a run is waited for where nobody says otherwise, in milliseconds: a day.
pub const UNSEEN_MS_MAX: u64 = 86_400_000;
/// How long a run is tried to be begun, in milliseconds; then its machines are free for others.
const UNBEGUN_MS_MAX: u64 = 600_000;
/// What is over sooner is not written down, in microseconds.
const NOTED_US: u64 = 60_000_000;

impl Desk {
    fn running(&mut self, run: RunId) -> Option<&mut Running> {
        let entry = self.entries.get_mut(&run.task.job)?;
        let task = entry.open.get_mut(&run.task.index.unwrap_or(0))?;
        running(task, Some(run))
    }

    /// Its executor has told how a run stands.
    pub(super) fn seen(&mut self, run: RunId) {
        let Some(running) = self.running(run) else {
            return;
        };
        running.unseen_since = None;
        if running.record.unseen_since.take().is_some() {
            let record = Box::new(running.record.clone());
            self.effects.push(super::DeskEffect::Run(record));
        }
    }

    /// Nobody could be asked how a run stands. One that may be there is lost after too long, and is paid until it was last seen; its task is
    /// not begun anew, as nobody is sure that it has ended. One that nobody has begun waits for its turn again.
    pub(super) fn unseen(&mut self, now: Micros, run: RunId, (taken, why): (bool, String)) {
        let Some(running) = self.running(run) else {
            return;
        };
        let since = *running.unseen_since.get_or_insert(now);
        let record = running.record.clone();
        let most_ms = match (taken, self.unseen_ms_max(&record.nodes)) {
            (true, most_ms) => most_ms,
            (false, most_ms) => most_ms.min(UNBEGUN_MS_MAX),
        };
        if now < since.plus_ms(most_ms) {
            if record.unseen_since.is_none() && now.since_us(since) >= NOTED_US {
                self.note_unseen(run, since);
            }
            return;
        }
        let span_s = most_ms / 1_000;
        let started_at = record.started_at.filter(|_| taken);
        let (outcome, ended_at) = match taken {
            true => {
                let why = format!("for {span_s} s nobody could be asked how it stands: {why}");
                (
                    RunOutcome::Lost { why },
                    started_at.unwrap_or(since).max(since),
                )
            }
            false => {
                let why = format!("for {span_s} s nobody could be told to begin it: {why}");
                (RunOutcome::Refused { why }, now)
            }
        };
        self.note_unseen(run, since);
        let end = RunEnd {
            outcome,
            started_at,
            ended_at,
            energy: None,
        };
        self.run_ended(now, run, end);
    }

    fn note_unseen(&mut self, run: RunId, since: Micros) {
        if let Some(running) = self.running(run) {
            running.record.unseen_since = Some(since);
            let record = Box::new(running.record.clone());
            self.effects.push(super::DeskEffect::Run(record));
        }
    }

    /// How long a run on these machines is waited for.
    pub(super) fn unseen_ms_max(&self, nodes: &NodesId) -> u64 {
        let found = self.nodes_named(nodes);
        found.map_or(UNSEEN_MS_MAX, |(_, nodes)| nodes.unseen_ms_max)
    }

    /// What the owner of a job is to know of runs of which nobody can be asked how they stand.
    pub(super) fn warning_unseen(&self, entry: &entry::Entry) -> Option<String> {
        let mut tasks = entry.open.values();
        let record = tasks.find_map(|task| match &task.state {
            entry::TaskState::Running(running) => {
                let record = &running.record;
                record.unseen_since.map(|_| record)
            }
            _ => None,
        })?;
        let span_s = self.unseen_ms_max(&record.nodes) / 1_000;
        Some(format!(
            "{}: its site cannot be asked how it stands; after {span_s} s without an answer it counts as lost",
            record.run
        ))
    }
}
