//! When those start that have to wait, and who may go before them: whoever delays none of those that are planned.
//!
//! With one that is planned this is EASY (Lifka, "The ANL/IBM SP Scheduling System", 1995), with many it is conservative backfill
//! (Mu'alem and Feitelson, IEEE TPDS 2001).

use super::ask::{JobKey, NodesKey};
use madang_types::Micros;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When accelerators become free: who ends, where, and how many, in thousandths.
pub(super) type End = (Micros, JobKey, NodesKey, u64);

/// Jobs that are planned in one pass at most: whoever stands behind them is let by where it delays none of them.
const PLANNED_MAX: usize = 256;

/// Whose start nobody may delay who stands behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backfill {
    /// That of the first job that waits.
    #[default]
    Easy,
    /// That of each job that waits, as far down the queue as one plans.
    Conservative,
}

impl Backfill {
    fn planned_max(self) -> usize {
        match self {
            Self::Easy => 1,
            Self::Conservative => PLANNED_MAX,
        }
    }
}

/// What is free of one `[[nodes]]` from now on.
#[derive(Clone, Debug)]
struct Timeline {
    /// How much is free from when on, in thousandths, until the next. Those who end at one instant have a point each.
    points: Vec<(Micros, u64)>,
    /// When less becomes free than before, and how much is free then: only there can it be too little for what begins now.
    drops: BTreeMap<Micros, u64>,
}

/// All that is known of the time to come.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    now: Micros,
    backfill: Backfill,
    /// So many are planned at most.
    planned_max: usize,
    /// By [`NodesKey`].
    lines: Vec<Timeline>,
    /// Who starts when.
    starts: Vec<(JobKey, Micros)>,
}

impl Plan {
    /// `left_milli` is free by [`NodesKey`], and `ends` will be.
    pub(super) fn new(
        backfill: Backfill,
        now: Micros,
        left_milli: &[u64],
        ends: &mut [End],
    ) -> Self {
        ends.sort_unstable();
        let mut lines: Vec<Timeline> = left_milli
            .iter()
            .map(|left| Timeline {
                points: vec![(now, *left)],
                drops: BTreeMap::new(),
            })
            .collect();
        for (at, _, nodes, milli) in ends {
            if let Some(line) = lines.get_mut(usize::from(nodes.0)) {
                line.frees(*at, *milli);
            }
        }
        Self {
            now,
            backfill,
            planned_max: backfill.planned_max(),
            lines,
            starts: Vec::new(),
        }
    }

    /// No more than so many are planned.
    pub(super) fn at_most(self, planned_max: usize) -> Self {
        Self {
            planned_max,
            ..self
        }
    }

    /// As many are planned as may be.
    pub(super) fn is_full(&self) -> bool {
        self.starts.len() >= self.planned_max
    }

    /// Who starts when.
    pub(super) fn into_starts(self) -> Vec<(JobKey, Micros)> {
        self.starts
    }

    /// Whether so much may be taken on `nodes` from now until `ends_at`, and delays nobody.
    pub(super) fn lets(&self, nodes: NodesKey, milli: u64, ends_at: Micros) -> bool {
        let line = self.lines.get(usize::from(nodes.0));
        line.is_some_and(|line| {
            let mut drops = line.drops.range(..ends_at);
            drops.all(|(_, free)| *free >= milli)
        })
    }

    /// So much is taken on `nodes` from now until `ends_at`.
    pub(super) fn take(&mut self, nodes: NodesKey, milli: u64, ends_at: Micros) {
        let now = self.now;
        if let Some(line) = self.lines.get_mut(usize::from(nodes.0)) {
            line.take(now, ends_at, milli);
        }
    }

    /// So much of `nodes` is kept from all, from one instant until another.
    pub(super) fn keep(&mut self, nodes: NodesKey, milli: u64, (from, until): (Micros, Micros)) {
        let from = from.max(self.now);
        let line = self.lines.get_mut(usize::from(nodes.0));
        if let Some(line) = line.filter(|_| milli > 0 && from < until) {
            let free = line.at_instant(from);
            line.take(from, until, milli);
            if from > self.now {
                line.drops.insert(from, free.saturating_sub(milli));
            }
        }
    }

    /// When so much is free on `nodes` for `run_us`, as those who are planned allow; `None` where it never is.
    pub(super) fn earliest(&self, nodes: NodesKey, milli: u64, run_us: u64) -> Option<Micros> {
        let line = self.lines.get(usize::from(nodes.0))?;
        line.earliest(milli, run_us)
    }

    /// Plans a job that needs `milli` for `run_us` on one of `ground`: as early as those before it allow, and there where it costs least,
    /// with the wait until then, which `cost` is told in microseconds. Where; `None` where it never fits.
    pub(super) fn put(
        &mut self,
        job: JobKey,
        (milli, run_us): (u64, u64),
        ground: impl Iterator<Item = NodesKey>,
        cost: impl Fn(NodesKey, u64) -> u128,
    ) -> Option<NodesKey> {
        let now = self.now;
        let earliest = |nodes: NodesKey| {
            let at = self.earliest(nodes, milli, run_us)?;
            Some((cost(nodes, at.since_us(now)), at, nodes))
        };
        let (_, at, nodes) = ground.filter_map(earliest).min()?;
        self.starts.push((job, at));
        let line = &mut self.lines[usize::from(nodes.0)];
        let free = line.free_at(at, self.backfill, milli);
        line.take(at, at.plus_us(run_us), milli);
        if at > self.now {
            line.drops.insert(at, free.saturating_sub(milli));
        }
        Some(nodes)
    }
}

impl Timeline {
    /// So much more is free from `at` on, which is no earlier than all that was told before.
    fn frees(&mut self, at: Micros, milli: u64) {
        let free = self.points.last().map_or(0, |(_, last)| *last);
        let free = free.saturating_add(milli);
        if self.points.len() == 1 && at <= self.points[0].0 {
            self.points[0].1 = free;
        } else {
            self.points.push((at, free));
        }
    }

    /// How much is free at an instant.
    fn at_instant(&self, at: Micros) -> u64 {
        let after = self.points.partition_point(|(from, _)| *from <= at);
        after
            .checked_sub(1)
            .map_or(0, |before| self.points[before].1)
    }

    /// How much is free at an instant at which `milli` are. By EASY's rule no more than it takes of those who end then are counted.
    fn free_at(&self, at: Micros, backfill: Backfill, milli: u64) -> u64 {
        let first = self.points.partition_point(|(from, _)| *from < at);
        let then = self.points[first..]
            .iter()
            .take_while(|(from, _)| *from == at);
        let mut enough = then.map(|(_, free)| *free).filter(|free| *free >= milli);
        let free = match backfill {
            Backfill::Easy => enough.next(),
            Backfill::Conservative => enough.last(),
        };
        free.unwrap_or(milli)
    }

    /// From when on so much is free for `run_us`.
    fn earliest(&self, milli: u64, run_us: u64) -> Option<Micros> {
        let mut start: Option<Micros> = None;
        for (at, free) in &self.points {
            if let Some(start) = start
                && *at >= start.plus_us(run_us)
            {
                return Some(start);
            }
            if *free < milli {
                start = None;
            } else if start.is_none() {
                start = Some(*at);
            }
        }
        start
    }

    fn take(&mut self, from: Micros, until: Micros, milli: u64) {
        if until <= from {
            return;
        }
        let (first, last) = (self.split(from), self.split(until));
        for (_, free) in &mut self.points[first..last] {
            // Who can be stopped may have more than is free then.
            *free = free.saturating_sub(milli);
        }
        for (_, free) in self.drops.range_mut(from..until) {
            *free = free.saturating_sub(milli);
        }
    }

    /// The place of the first point that begins at `at`.
    fn split(&mut self, at: Micros) -> usize {
        let place = self.points.partition_point(|(from, _)| *from < at);
        let is_there = self.points.get(place).is_some_and(|(from, _)| *from == at);
        if place > 0 && !is_there {
            let free = self.points[place - 1].1;
            self.points.insert(place, (at, free));
        }
        place
    }
}
