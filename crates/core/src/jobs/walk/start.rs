//! Where one that waits is to start, or that it has to wait.

use super::{Kind, Start, Walk};
use crate::jobs::ask::{Ground, Need, NodesKey};
use crate::jobs::crowd::Rivals;
use crate::jobs::place::Wanted;
use crate::jobs::plan::{Backfill, Plan};
use crate::jobs::queue::Job;
use crate::jobs::reserve::Kept;
use crate::jobs::site::Held;
use std::cmp::Reverse;

/// So many are looked at behind those that are planned, where they are many.
const BEHIND_MAX: usize = 2_000;
/// Behind more who wait nobody waits for cheaper machines: when these are free nobody could say.
const AHEAD_MAX: usize = 32;

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
        let ground = self.jobs.powered(job, &self.headroom_watts);
        let (plan, kept) = (self.plan.as_ref(), &self.kept);
        let lets = |nodes| plan.is_none_or(|plan| plan.lets(nodes, milli, ends_at));
        let open = |nodes: NodesKey, left: u64| {
            let left = left.saturating_sub(kept.closed_milli(nodes, closed));
            ground.has(nodes) && left >= milli
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
                let cheap = Reverse(self.cost(job, *nodes, 0));
                (cheap, if promises { 0 } else { *left }, Reverse(*nodes))
            });
        let Some((nodes, _)) = best else {
            return self.wait(job, closed, has_room);
        };
        // Who makes room is in nobody's way later.
        let stays = lets(nodes);
        if self.holds_out(job, nodes, ground) {
            return true;
        }
        if let Some(plan) = self.plan.as_mut().filter(|_| stays) {
            plan.take(nodes, milli, ends_at);
        }
        if let Some(outlook) = &mut self.outlook {
            outlook.take(nodes, milli, ends_at);
        }
        self.ends.push((ends_at, job.ask.job, nodes, milli));
        let ground = if promises {
            Ground::of([nodes])
        } else {
            ground
        };
        self.choose(job, nodes, (closed, 0), ground);
        true
    }

    /// What a job costs on `nodes` that waits for so long, all of it; nothing where no machines cost it more than others.
    fn cost(&self, job: &Job, nodes: NodesKey, wait_us: u64) -> u128 {
        match self.jobs.weighs(job) {
            true => self.jobs.cost(self.now, job, nodes, wait_us).total(),
            false => 0,
        }
    }

    /// Whether a job that could start on `nodes` waits for others, as these are worth the wait: it costs less there, with the wait and
    /// with what it has waited for such machines before.
    fn holds_out(&mut self, job: &Job, nodes: NodesKey, ground: Ground) -> bool {
        let here = self.cost(job, nodes, 0);
        let is_cheaper = |other: &NodesKey| self.cost(job, *other, 0) < here;
        let others: Vec<NodesKey> = self
            .jobs
            .floor
            .nodes_in(ground)
            .filter(is_cheaper)
            .collect();
        if others.is_empty() {
            return false;
        }
        let (now, milli, key) = (self.now, job.milli(), job.ask.job);
        let before = self.jobs.held(key);
        let since = before.map_or(now, |held| held.since);
        let waited_us = now.since_us(since);
        let run_us = self.jobs.ends_at(now, job).since_us(now).max(1);
        let (jobs, rivals) = (self.jobs, self.rivals(job));
        let cost = |nodes, wait_us| rivals.cost(jobs.cost(now, job, nodes, wait_us)).total();
        let here = cost(nodes, 0);
        self.look_ahead();
        let Some(outlook) = self.outlook.as_ref().filter(|outlook| !outlook.is_full()) else {
            return false;
        };
        let worth = |other: NodesKey| {
            let at = outlook.earliest(other, milli, run_us)?;
            let cost = cost(other, at.since_us(now).saturating_add(waited_us));
            (at > now && cost < here).then_some((cost, at, other))
        };
        let Some((cost, starts_at, other)) = others.into_iter().filter_map(worth).min() else {
            return false;
        };
        let until = starts_at.plus_us(self.jobs.worth_us(job, here - cost));
        let outlook = self.outlook.as_mut();
        let one = std::iter::once(other);
        outlook.map(|outlook| outlook.put(key, (milli, run_us), one, |_, _| 0));
        if self.jobs.promises() {
            // It has its place in the plan, as those have that must wait.
            self.plan_for(job, Some(other));
        }
        let held = Held {
            nodes: other,
            since,
            starts_at,
            until,
        };
        self.chosen.held.insert(key, held);
        true
    }

    /// Those who want the machines too on which a job may be.
    fn rivals(&mut self, job: &Job) -> Rivals {
        let (jobs, now, ground) = (self.jobs, self.now, job.ask.need.ground);
        let crowd = self.crowds.entry(ground);
        let crowd = crowd.or_insert_with(|| jobs.crowd(now, ground));
        jobs.rivals(now, job, *crowd)
    }

    /// The time to come, with all that were looked at before.
    fn look_ahead(&mut self) {
        if self.outlook.is_none() {
            let plan = self.begin_plan(Backfill::Conservative);
            self.outlook = Some(plan.at_most(AHEAD_MAX));
        }
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
        self.jobs.draw(job, nodes, &mut self.headroom_watts);
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
        if self.jobs.weighs(job) {
            self.look_ahead();
        }
        let plan = self.plan.take();
        self.plan = Some(plan.unwrap_or_else(|| self.begin_plan(backfill)));
        let was_full = self.plan.as_ref().is_some_and(Plan::is_full);
        let planned = self.plan_for(job, None);
        let is_full = self.plan.as_ref().is_some_and(Plan::is_full);
        if let Some(nodes) = planned.filter(|_| self.jobs.promises()) {
            self.grant(job, nodes);
        }
        if !has_room && (is_full || planned.is_none()) {
            self.gives_up((*need, closed));
        }
        self.behind += usize::from(was_full && self.jobs.promises());
        self.behind < BEHIND_MAX
    }

    /// Plans a job, on those machines where some are named: in the plan and in the outlook, as far as these are there and not full. Where
    /// by the plan.
    fn plan_for(&mut self, job: &Job, on: Option<NodesKey>) -> Option<NodesKey> {
        let run_us = self.jobs.ends_at(self.now, job).since_us(self.now).max(1);
        let (jobs, now) = (self.jobs, self.now);
        let rivals = jobs.weighs(job).then(|| self.rivals(job));
        let cost = |nodes, wait_us| match &rivals {
            Some(rivals) => rivals.cost(jobs.cost(now, job, nodes, wait_us)).total(),
            None => u128::from(wait_us),
        };
        let put = |plan: &mut Plan| {
            let ground = on.map_or(job.ask.need.ground, |nodes| Ground::of([nodes]));
            let ground = jobs.floor.nodes_in(ground);
            plan.put(job.ask.job, (job.milli(), run_us), ground, cost)
        };
        if let Some(outlook) = self.outlook.as_mut().filter(|plan| !plan.is_full())
            && on.is_none()
        {
            put(outlook);
        }
        let plan = self.plan.as_mut().filter(|plan| !plan.is_full())?;
        put(plan)
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
