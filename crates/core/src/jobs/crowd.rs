//! What machines are worth to one job that others want too.

use super::Jobs;
use super::ask::{Ground, NodesKey};
use super::queue::{Job, State};
use super::site::SiteCost;
use crate::learn::{rounded, whole};
use madang_types::Micros;
use std::collections::BTreeMap;

/// What jobs want of some machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Crowd {
    /// So many accelerators there are, free or not, in thousandths.
    pub(super) all_milli: u64,
    /// So many are wanted at once by those that run there and those that wait, in thousandths.
    pub(super) wanted_milli: u64,
    /// What these will hold until they end, as their like did, in milli-accelerator-µs.
    pub(super) work: u128,
    /// What part of all machines was in use of late, in thousandths, as others will come.
    pub(super) load_milli: u64,
}

impl Crowd {
    /// How much of what a job saves by cheaper machines others save there who get dearer ones instead, in the unit of `saved`.
    ///
    /// `saved` is for all of the job's run, of `run_us` microseconds on `milli` thousandths of accelerators. While more is wanted than there
    /// is no machine stays free for a want of jobs: whoever takes a cheap one leaves a dear one to somebody else, and both together save
    /// nothing. This is the implied cost of what is taken (Kelly, "Routing in Circuit-Switched Networks: Optimization, Shadow Prices and
    /// Decentralization", 1988): what those lose who are displaced. It lasts until the work `V` of all others is done on `C` accelerators, and
    /// that of those who come meanwhile, who bring work for a part `ρ` of them: `V ÷ C ÷ (1 − ρ)` (the busy period that work begins: Kleinrock,
    /// "Queueing Systems" I, 1975, 5.8). So others have `min(1, V ÷ C ÷ (1 − ρ) ÷ run)` of `saved`; nothing where there is enough for all.
    pub(super) fn others_part(&self, saved: u128, (milli, run_us): (u64, u64)) -> u128 {
        if self.wanted_milli <= self.all_milli {
            return 0;
        }
        let run_us = u128::from(run_us.max(1));
        let own = u128::from(milli).saturating_mul(run_us);
        let others = self.work.saturating_sub(own);
        let idle_milli = 1_000_u64.saturating_sub(self.load_milli).max(1);
        let free_milli = u128::from(self.all_milli.max(1)).saturating_mul(idle_milli.into());
        let busy_us = others.saturating_mul(1_000) / free_milli;
        if busy_us >= run_us {
            return saved;
        }
        saved.saturating_mul(busy_us) / run_us
    }
}

/// What is wanted of machines, as far as that was asked at one time.
pub(super) type Crowds = BTreeMap<Ground, Crowd>;

/// Those who want the machines too on which a job may be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rivals {
    crowd: Crowd,
    /// What it costs the job to hold those that are dearest.
    dearest: u128,
    /// What it needs, in thousandths of accelerators, and for how long, in microseconds.
    run: (u64, u64),
}

impl Rivals {
    /// What a job costs on machines, with what those lose by it who would have them otherwise.
    pub(super) fn cost(&self, cost: SiteCost) -> SiteCost {
        let saved = self.dearest.saturating_sub(cost.held());
        SiteCost {
            congestion: self.crowd.others_part(saved, self.run),
            ..cost
        }
    }
}

impl Jobs {
    /// Those who want the machines too on which a job may be, where `crowd` is what is wanted of these.
    pub(super) fn rivals(&self, now: Micros, job: &Job, crowd: Crowd) -> Rivals {
        let nodes = self.floor.nodes_in(job.ask.need.ground);
        let held = nodes.map(|nodes| self.cost(now, job, nodes, 0).held());
        Rivals {
            crowd,
            dearest: held.max().unwrap_or(0),
            run: (job.milli(), self.left_us(now, job)),
        }
    }

    /// The same, of who has a choice; of who has none, nobody.
    pub(super) fn rivals_of(&self, now: Micros, job: &Job, crowds: &mut Crowds) -> Rivals {
        let ground = job.ask.need.ground;
        let has_choice = self.floor.nodes_in(ground).nth(1).is_some();
        if !has_choice || !self.weighs(job) {
            return Rivals::default();
        }
        let crowd = crowds.entry(ground);
        let crowd = crowd.or_insert_with(|| self.crowd(now, ground));
        self.rivals(now, job, *crowd)
    }

    /// What is wanted of those of `ground`: by those that run there, and by those that wait and may be on one of them.
    pub(super) fn crowd(&self, now: Micros, ground: Ground) -> Crowd {
        let all = (0u8..).zip(self.floor.all_milli());
        let all = all.filter(|(nodes, _)| ground.has(NodesKey(*nodes)));
        let mut crowd = Crowd {
            all_milli: all.map(|(_, all)| *all).sum(),
            load_milli: self.load_milli(now),
            ..Crowd::default()
        };
        for job in self.running.iter().filter_map(|key| self.jobs.get(key)) {
            let State::Running { placements, .. } = &job.state else {
                continue;
            };
            let nodes = self.floor.nodes_of(placements);
            if nodes.is_some_and(|nodes| ground.has(nodes)) {
                crowd.join(job.milli(), self.left_us(now, job), 1);
            }
        }
        for ((need, _), kind) in self.queues.lines.values().flatten() {
            let mut shared = self.floor.nodes_in(need.ground);
            let first = kind.first().and_then(|(_, key)| self.jobs.get(key));
            if let Some(first) = first.filter(|_| shared.any(|nodes| ground.has(nodes))) {
                // One account's of one size are foretold alike.
                let count = u64::try_from(kind.len()).unwrap_or(u64::MAX);
                crowd.join(need.milli(), self.estimates.left_us(&first.ask, 0), count);
            }
        }
        crowd
    }

    /// What part of all machines was in use of late, as far as that has not faded, in thousandths.
    fn load_milli(&self, now: Micros) -> u64 {
        let all = (0u8..).zip(self.floor.all_milli());
        let all = all.map(|(nodes, milli)| self.counts(Some(NodesKey(nodes)), *milli));
        let used_milli = self.accounts.used_milli(Self::ROOT, now);
        let part = used_milli / whole(all.sum::<u64>().max(1));
        // More than all is in use where machines were taken away.
        rounded(part.min(1.0) * 1_000.0)
    }

    /// For how long a job is to be paid for yet, in microseconds, as its like ran.
    pub(super) fn left_us(&self, now: Micros, job: &Job) -> u64 {
        let ran_us = job.used_at(now) / u128::from(job.milli().max(1));
        let ran_us = u64::try_from(ran_us).unwrap_or(u64::MAX);
        self.estimates.left_us(&job.ask, ran_us)
    }
}

impl Crowd {
    /// So many more want `milli` each, for `left_us`.
    fn join(&mut self, milli: u64, left_us: u64, count: u64) {
        let milli = milli.saturating_mul(count);
        self.wanted_milli = self.wanted_milli.saturating_add(milli);
        let work = u128::from(milli).saturating_mul(u128::from(left_us));
        self.work = self.work.saturating_add(work);
    }
}
