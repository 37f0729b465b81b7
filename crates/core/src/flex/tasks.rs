//! A job as work that may be put off: its one task, or those of an array, of which so many run at a time.

use super::price::{HOUR_US, after};
use super::shift::Work;
use madang_types::Micros;

/// The tasks of a job, which are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tasks {
    /// How many there are.
    pub count: u64,
    /// How many run at once where there is room; one at least.
    pub at_once: u64,
    /// Accelerators of each, in thousandths.
    pub accelerator_milli: u64,
    /// How long each runs, as far as is known, in microseconds.
    pub each_us: u64,
    /// They write checkpoints, and may be stopped.
    pub checkpoints: bool,
    /// When the first one has to begin at the latest, were none begun.
    pub latest_start: Micros,
}

/// How far tasks have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TasksDone {
    /// How many are over.
    pub over: u64,
    /// How long all of them ran together, in microseconds of one task.
    pub ran_us: u64,
    /// Of that, those that are not over.
    pub open_ran_us: u64,
    /// Some run that would have to stop.
    pub runs: bool,
}

impl Tasks {
    /// What is left of them, as one piece of work. The end of the whole is put off by no more than its start might have been: what ran
    /// moves the last moment at which the rest has to begin.
    ///
    /// Between tasks nothing has to be written: an array of tasks that take no longer than an hour goes by parts without checkpoints too.
    pub fn left(&self, done: &TasksDone) -> Work {
        let at_once = self.at_once.max(1);
        let left = self.count.saturating_sub(done.over);
        let waves_us = self.each_us.saturating_mul(left.div_ceil(at_once));
        Work {
            accelerator_milli: self.accelerator_milli.saturating_mul(at_once),
            left_us: waves_us.saturating_sub(done.open_ran_us / at_once),
            latest_start: after(self.latest_start, done.ran_us / at_once),
            parts: self.checkpoints || (self.count > 1 && self.each_us <= HOUR_US),
            runs: done.runs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_US: u64 = 60_000_000;

    fn tasks(count: u64, at_once: u64, minutes: u64) -> Tasks {
        Tasks {
            count,
            at_once,
            accelerator_milli: 2_000,
            each_us: minutes * MINUTE_US,
            checkpoints: false,
            latest_start: Micros(0),
        }
    }

    #[test]
    fn what_is_left_of_tasks_is_as_wide_as_they_run_and_as_long_as_their_waves() {
        let minutes = |work: &Work| (work.left_us / MINUTE_US, work.latest_start.0 / 60_000_000);
        let row = |of: Tasks, (over, ran, open): (u64, u64, u64), expected| {
            let work = of.left(&TasksDone {
                over,
                ran_us: ran * MINUTE_US,
                open_ran_us: open * MINUTE_US,
                runs: false,
            });
            assert_eq!(work.accelerator_milli, 2_000 * of.at_once, "{of:?}");
            assert_eq!(minutes(&work), expected, "{of:?} {over} {ran} {open}");
        };
        // One task; eight, of which four run at once; ten, whose last wave is not full.
        row(tasks(1, 1, 30), (0, 0, 0), (30, 0));
        row(tasks(1, 1, 30), (0, 10, 10), (20, 10));
        row(tasks(8, 4, 30), (0, 0, 0), (60, 0));
        row(tasks(8, 4, 30), (4, 120, 0), (30, 30));
        row(tasks(8, 4, 30), (4, 160, 40), (20, 40));
        row(tasks(10, 4, 30), (8, 240, 0), (30, 60));
        row(tasks(8, 4, 30), (8, 240, 0), (0, 60));
        assert!(tasks(2, 1, 60).left(&TasksDone::default()).parts);
        assert!(!tasks(2, 1, 61).left(&TasksDone::default()).parts);
        assert!(!tasks(1, 1, 1).left(&TasksDone::default()).parts);
    }
}
