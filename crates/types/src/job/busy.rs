//! How busy the accelerators of a run were, as far as somebody measured it.

use super::RunId;
use crate::class::words;
use crate::{Micros, NodesId};
use std::fmt;
use std::str::FromStr;

/// From so much of its time on an accelerator counts as at work, in thousandths.
pub const AT_WORK_PERMILLE: u32 = 50;

/// What was measured of one run so far: sums, however long it is. Times of accelerators are in milliseconds of a whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunBusy {
    /// Which.
    pub run: RunId,
    /// When its program began.
    pub began_at: Micros,
    /// When it was last measured.
    pub measured_at: Micros,
    /// When it was last seen at work ([`AT_WORK_PERMILLE`]); `None` where it never was.
    pub at_work_at: Option<Micros>,
    /// Of what it held, so much was measured.
    pub measured_ms: u64,
    /// Of that, so much was busy.
    pub busy_ms: u64,
    /// How often it was measured.
    pub samples: u32,
    /// What told it last; `None` where nothing did, or that was not kept yet.
    pub source: Option<BusySource>,
}

/// One measurement of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    /// How busy its accelerators are now, on the mean, in thousandths.
    Now(u32),
    /// How busy they were since its program began, on the mean, in thousandths.
    SoFar(u32),
}

/// What told how busy a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusySource {
    /// NVIDIA's own library.
    Nvml,
    /// A DCGM exporter.
    Dcgm,
    /// Slurm's accounting: `gres/gpuutil`.
    SlurmGpu,
    /// Slurm's accounting: processor time used, of what was given. For accelerators that is a hint alone.
    SlurmCpu,
}

words!(BusySource, BusySourceError, "what tells how busy a run is, is one of nvml, dcgm, slurm_gpuutil, slurm_cpu_time",
    "nvml" => BusySource::Nvml, "dcgm" => BusySource::Dcgm, "slurm_gpuutil" => BusySource::SlurmGpu,
    "slurm_cpu_time" => BusySource::SlurmCpu);

/// What was held of the accelerators of some `[[nodes]]`, in milliseconds of a whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodesHeld {
    /// Which.
    pub nodes: NodesId,
    /// So much there was while it was looked at.
    pub capacity_ms: u64,
    /// So much of it runs held.
    pub held_ms: u64,
}

impl RunBusy {
    /// Nothing was measured yet.
    pub fn new(run: RunId, began_at: Micros) -> Self {
        Self {
            run,
            began_at,
            measured_at: began_at,
            at_work_at: None,
            measured_ms: 0,
            busy_ms: 0,
            samples: 0,
            source: None,
        }
    }

    /// Notes a measurement at `at` of a run that holds so many thousandths of accelerators. One of now stands for the time since the last
    /// one, but for no more than `span_ms_max`: what was before that nobody saw. One of an instant before the last changes nothing.
    pub fn note(&mut self, measured: Measured, (at, span_ms_max): (Micros, u64), milli: u64) {
        if at <= self.measured_at {
            return;
        }
        let (before_measured, before_busy) = (self.measured_ms, self.busy_ms);
        match measured {
            Measured::Now(permille) => {
                let span_us = at.since_us(self.measured_at).min(span_ms_max * 1_000);
                let ms = accelerator_ms(milli, span_us);
                self.measured_ms = self.measured_ms.saturating_add(ms);
                self.busy_ms = self.busy_ms.saturating_add(part(ms, permille));
            }
            Measured::SoFar(permille) => {
                self.measured_ms = accelerator_ms(milli, at.since_us(self.began_at));
                self.busy_ms = part(self.measured_ms, permille);
            }
        }
        let more = self.measured_ms.saturating_sub(before_measured);
        let more_busy = self.busy_ms.saturating_sub(before_busy);
        if more_busy > 0 && more_busy >= part(more, AT_WORK_PERMILLE) {
            self.at_work_at = Some(at);
        }
        self.measured_at = at;
        self.samples = self.samples.saturating_add(1);
    }

    /// How busy it was, in thousandths of what was measured; `None` where nothing was.
    pub fn busy_permille(&self) -> Option<u32> {
        let permille = u128::from(self.busy_ms) * 1_000 / u128::from(self.measured_ms).max(1);
        (self.measured_ms > 0).then(|| u32::try_from(permille).unwrap_or(1_000).min(1_000))
    }

    /// What it held and did not use, of what was measured.
    pub fn idle_ms(&self) -> u64 {
        self.measured_ms.saturating_sub(self.busy_ms)
    }

    /// Since when it is not at work any more.
    pub fn idle_since(&self) -> Micros {
        self.at_work_at.unwrap_or(self.began_at)
    }
}

/// So many thousandths of accelerators for so long, in milliseconds of a whole one.
pub fn accelerator_ms(milli: u64, span_us: u64) -> u64 {
    let milli_us = u128::from(milli) * u128::from(span_us);
    u64::try_from(milli_us / 1_000_000).unwrap_or(u64::MAX)
}

fn part(ms: u64, permille: u32) -> u64 {
    let part = u128::from(ms) * u128::from(permille.min(1_000)) / 1_000;
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobId, TaskId};

    const S: i64 = 1_000_000;

    /// Two accelerators, from second 10 on: each measurement is of a second, and stands for 60 at most.
    #[track_caller]
    fn check(noted: &[(i64, Measured)], expected: (u64, u64, u32, Option<i64>)) {
        let task = TaskId::from(JobId(1));
        let mut busy = RunBusy::new(RunId { task, number: 1 }, Micros(10 * S));
        for (at_s, measured) in noted {
            busy.note(*measured, (Micros(at_s * S), 60_000), 2_000);
        }
        let at_work_s = busy.at_work_at.map(|at| at.0 / S);
        let found = (busy.measured_ms, busy.busy_ms, busy.samples, at_work_s);
        assert_eq!(found, expected, "{noted:?}");
    }

    #[test]
    fn what_nobody_saw_is_not_measured() {
        use Measured::{Now, SoFar};
        check(&[], (0, 0, 0, None));
        check(&[(40, Now(500))], (60_000, 30_000, 1, Some(40)));
        check(
            &[(40, Now(500)), (70, Now(0))],
            (120_000, 30_000, 2, Some(40)),
        );
        check(&[(40, Now(49))], (60_000, 2_940, 1, None));
        // An hour in which nobody looked.
        check(
            &[(40, Now(0)), (3_640, Now(1_000))],
            (180_000, 120_000, 2, Some(3_640)),
        );
        check(
            &[(40, Now(9_999)), (40, Now(0)), (30, Now(0))],
            (60_000, 60_000, 1, Some(40)),
        );
        check(&[(110, SoFar(250))], (200_000, 50_000, 1, Some(110)));
        // As much was busy before: nothing since.
        check(
            &[(110, SoFar(250)), (210, SoFar(125))],
            (400_000, 50_000, 2, Some(110)),
        );
    }

    #[test]
    fn how_busy_it_was_is_told_of_what_was_measured_alone() {
        let mut busy = RunBusy::new(
            RunId {
                task: TaskId::from(JobId(1)),
                number: 1,
            },
            Micros(0),
        );
        assert_eq!((busy.busy_permille(), busy.idle_since()), (None, Micros(0)));
        busy.note(Measured::Now(300), (Micros(10 * S), 60_000), 500);
        assert_eq!((busy.busy_permille(), busy.idle_ms()), (Some(300), 3_500));
        assert_eq!(busy.idle_since(), Micros(10 * S));
    }
}
