//! Where one that waits is to start, or that it has to wait.

use super::{Kind, Start, Walk};
use crate::jobs::ask::{Ground, Need, NodesKey};
use crate::jobs::place::Wanted;
use crate::jobs::plan::{Backfill, Plan};
use crate::jobs::queue::Job;
use crate::jobs::reserve::Kept;
use std::cmp::Reverse;

/// So many are looked at behind those that are planned, where they are many.
const BEHIND_MAX: usize = 2_000;

impl Walk<'_> {
    /// A job that waits is to start where there is enough for it; false where those behind it must wait for it.
    pub(super) fn start(&mut self, job: &Job, closed: Kept) -> bool {
        if self.start_on_own(job, closed) {
            return true;
        }
        let milli = job.milli();
        let ends_at = self.jobs.ends_at(self.now, job);
        let makes_room = self.jobs.rule.preempts() && job.ask.preemptible;
        let promises = self.jobs.promises();
        let (plan, kept) = (self.plan.as_ref(), &self.kept);
        let lets = |nodes| plan.is_none_or(|plan| plan.lets(nodes, milli, ends_at));
        let open = |nodes: NodesKey, left: u64| {
            let left = left.saturating_sub(kept.closed_milli(nodes, closed));
            job.ask.need.ground.has(nodes) && left >= milli
        };
        let roomy = (0u8..)
            .zip(&self.left_milli)
            .map(|(nodes, left)| (NodesKey(nodes), *left))
            .filter(|(nodes, left)| open(*nodes, *left));
        let has_room = roomy.clone().next().is_some();
        let best = roomy
            .filter(|(nodes, _)| makes_room || lets(*nodes))
            // What is promised to those behind counts on the same choice each time.
            .max_by_key(|(nodes, left)| {
                let light = Reverse(self.jobs.placer.cost_ms(*nodes));
                (light, if promises { 0 } else { *left }, Reverse(*nodes))
            });
        let Some((nodes, _)) = best else {
            return self.wait(job, closed, has_room);
        };
        // Who makes room is in nobody's way later.
        let stays = lets(nodes);
        if let Some(plan) = self.plan.as_mut().filter(|_| stays) {
            plan.take(nodes, milli, ends_at);
        }
        self.ends.push((ends_at, job.ask.job, nodes, milli));
        let ground = if promises {
            Ground::of([nodes])
        } else {
            job.ask.need.ground
        };
        self.choose(job, nodes, (closed, 0), ground);
        true
    }

    /// Where machines are kept for a job's account it starts there, in nobody's way.
    fn start_on_own(&mut self, job: &Job, closed: Kept) -> bool {
        let own = self.jobs.own(self.now, job.ask.account) & !closed;
        if own == 0 {
            return false;
        }
        let mut nodes = self.jobs.floor.nodes_in(job.ask.need.ground);
        let found = nodes.find(|nodes| self.kept.take_own(*nodes, job.milli(), own));
        let Some(nodes) = found else {
            return false;
        };
        self.choose(job, nodes, (closed, own), Ground::of([nodes]));
        true
    }

    /// A job is to start on `nodes`.
    fn choose(&mut self, job: &Job, nodes: NodesKey, (closed, own): (Kept, Kept), ground: Ground) {
        self.give(nodes, job.milli());
        self.grant(job, nodes);
        self.hold(job);
        let need = job.ask.need;
        self.chosen.start.push(Start {
            job: job.ask.job,
            kind: (need, closed),
            at: Wanted {
                need: Need { ground, ..need },
                closed,
                own,
            },
        });
    }

    /// A job has to wait: it is planned, where it is among those that are. False where those behind it must wait for it.
    fn wait(&mut self, job: &Job, closed: Kept, has_room: bool) -> bool {
        let need = &job.ask.need;
        let Some(backfill) = self.jobs.rule.backfill(&self.jobs.terms) else {
            self.gives_up((*need, closed));
            return false;
        };
        let plan = self.plan.take();
        let mut plan = plan.unwrap_or_else(|| self.begin_plan(backfill));
        let was_full = plan.is_full();
        let mut planned = None;
        if !was_full {
            let run_us = self.jobs.ends_at(self.now, job).since_us(self.now).max(1);
            let ground = self.jobs.floor.nodes_in(need.ground);
            let ground = ground.map(|nodes| (nodes, self.jobs.placer.cost_ms(nodes)));
            planned = plan.put(job.ask.job, (job.milli(), run_us), ground);
        }
        let is_full = plan.is_full();
        self.plan = Some(plan);
        if let Some(nodes) = planned.filter(|_| self.jobs.promises()) {
            self.grant(job, nodes);
        }
        if !has_room && (is_full || planned.is_none()) {
            self.gives_up((*need, closed));
        }
        self.behind += usize::from(was_full && self.jobs.promises());
        self.behind < BEHIND_MAX
    }

    /// The time to come, as far as it is known.
    fn begin_plan(&mut self, backfill: Backfill) -> Plan {
        let mut plan = Plan::new(backfill, self.now, &self.left_milli, &mut self.ends);
        for (reservation, bit) in self.jobs.to_come(self.now) {
            for (nodes, left) in (0u8..).zip(&self.left_milli) {
                let nodes = NodesKey(nodes);
                let milli = if reservation.from <= self.now {
                    self.kept.closed_milli(nodes, bit).min(*left)
                } else {
                    self.jobs.floor.kept_milli(nodes, bit)
                };
                plan.keep(nodes, milli, (reservation.from, reservation.until));
            }
        }
        plan
    }

    /// None of that kind can be had.
    fn gives_up(&mut self, kind: Kind) {
        match kind {
            (need, 0) => drop(self.alive.remove(&need)),
            kind => drop(self.dead.insert(kind)),
        }
    }
}
