//! What a governor does with runs, and what whoever drives a replay step by step asks of it.

use super::{Replay, key};
use crate::experiment::jobs::{JobsReport, report};

/// A run that holds accelerators.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holding {
    /// Its row.
    pub(crate) index: usize,
    /// Which of its runs, from 1.
    pub(crate) number: u32,
    pub(crate) accelerators: u32,
    /// It stands still.
    pub(crate) stands: bool,
}

impl Replay<'_> {
    /// What came of all that ended by now.
    pub(crate) fn report(self) -> JobsReport {
        let (rows, options) = (self.rows, self.options);
        report(rows, options, &self.past())
    }

    /// Whether some run was not let begin since this was asked last.
    pub(crate) fn take_refused(&mut self) -> bool {
        std::mem::take(&mut self.refused)
    }

    /// Most accelerators that were held at once.
    pub(crate) fn held_max(&self) -> u32 {
        self.held.1
    }

    /// Whether all jobs have come.
    pub(crate) fn has_come(&self) -> bool {
        self.next >= self.rows.len()
    }

    /// Of each row whether it ended.
    pub(crate) fn ended(&self) -> impl Iterator<Item = bool> + '_ {
        self.past.ended_us.iter().map(Option::is_some)
    }

    /// Whether no job runs, waits, or is still to come.
    pub(crate) fn is_over(&self) -> bool {
        self.has_come() && self.on.is_empty() && self.jobs.waiting() == 0
    }

    /// Runs that hold accelerators, by their rows.
    pub(crate) fn holding(&self) -> impl Iterator<Item = Holding> + '_ {
        self.on.keys().map(|index| Holding {
            index: *index,
            number: self.runs[*index].began,
            accelerators: self.rows[*index].accelerators,
            stands: self.runs[*index].stands,
        })
    }

    /// A run stands still, or goes on: with its checkpoint where it was writing that.
    pub(crate) fn stand(&mut self, now_us: u64, index: usize, still: bool) {
        let ends = !self.on.contains_key(&index) || self.is_due(now_us, index);
        let run = &mut self.runs[index];
        if run.stands == still || ends {
            return;
        }
        run.rest(now_us);
        run.stands = still;
        run.goes_us = now_us;
        if !still {
            self.goes(now_us, index);
        }
    }

    /// Whether what is due to a run that gets on happens by itself until then.
    fn is_due(&self, now_us: u64, index: usize) -> bool {
        let run = &self.runs[index];
        let left_us = run.stops_us.unwrap_or_else(|| run.takes_us());
        !run.stands && run.goes_us + left_us <= now_us
    }

    /// A run writes its checkpoint and ends, by somebody else's word.
    pub(crate) fn stop_run(&mut self, now_us: u64, index: usize) {
        let runs = self.on.contains_key(&index) && !self.is_due(now_us, index);
        if runs && self.runs[index].stops_us.is_none() {
            self.go_to(now_us.max(self.now_us));
            self.jobs.stopping(key(index));
            self.stop(index);
        }
    }
}
