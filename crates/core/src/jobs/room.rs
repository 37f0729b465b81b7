//! Where those run that are to start, and who is stopped for them.

use super::ask::JobKey;
use super::nodes::{Floor, Placement};
use super::place::Wanted;
use super::queue::{Job, State};
use super::walk::{Chosen, Kind, Start};
use super::{JobEffect, Jobs};
use madang_types::Micros;
use std::collections::BTreeSet;

/// How often it is asked anew who is to run, because somebody who was found no place.
const WALKS_MAX: usize = 8;

/// What is free once those have stopped that were told to.
struct Room {
    /// Free now, and kept for nobody.
    here: Floor,
    /// The same, and what becomes free.
    soon: Floor,
    /// The same, and what all hold who may be stopped.
    at_most: Floor,
    /// What may be drawn besides on each feed once those have stopped, in watts.
    soon_watts: Vec<u64>,
}

impl Room {
    fn take(&mut self, placements: &[Placement]) {
        self.here.take(placements);
        self.soon.take(placements);
        self.at_most.take(placements);
    }
}

impl Jobs {
    /// Says who starts and who stops, as things stand at `now`.
    pub fn pass(&mut self, now: Micros, effects: &mut Vec<JobEffect>) {
        let now = self.present(now);
        self.promote(now);
        self.clear(now, effects);
        self.forget_offers();
        let mut dead = BTreeSet::new();
        for _ in 0..WALKS_MAX {
            if self.queues.lines.is_empty() {
                return;
            }
            let chosen = self.walk(now, &dead);
            let known = dead.len();
            self.find_room(now, chosen, &mut dead, effects);
            if dead.len() == known {
                return;
            }
        }
    }

    fn find_room(
        &mut self,
        now: Micros,
        Chosen {
            start,
            mut loose,
            held,
            mut crowds,
            ..
        }: Chosen,
        dead: &mut BTreeSet<Kind>,
        effects: &mut Vec<JobEffect>,
    ) {
        self.hold(held);
        let mut room: Option<Room> = None;
        let mut headroom_watts = self.headroom_watts();
        for Start { job: key, kind, at } in start {
            if dead.contains(&kind) {
                continue;
            }
            let here = room.as_ref().map_or(&self.floor, |room| &room.here);
            let costs = self.costs(now, key);
            if let Some(placements) = self.placer.place(here, &at, &costs) {
                self.draws(key, &placements, &mut headroom_watts);
                if let Some(room) = &mut room {
                    room.take(&placements);
                    self.draws(key, &placements, &mut room.soon_watts);
                }
                if let Some(nodes) = self.floor.nodes_of(&placements) {
                    self.offer(now, (key, nodes), &mut crowds);
                }
                self.start(now, key, placements.clone());
                effects.push(JobEffect::Start {
                    job: key,
                    placements,
                });
                continue;
            }
            if !self.rule.preempts() {
                dead.insert(kind);
                continue;
            }
            let room = room.get_or_insert_with(|| self.room(&loose, &headroom_watts));
            if !self.make_room((key, &at, &costs), room, &mut loose, effects) {
                dead.insert(kind);
            }
        }
    }

    fn room(&self, loose: &[JobKey], headroom_watts: &[u64]) -> Room {
        let mut soon = self.floor.clone();
        let mut soon_watts = headroom_watts.to_vec();
        for job in self.running.iter().filter_map(|key| self.jobs.get(key)) {
            if let State::Running {
                placements,
                stopping: true,
                ..
            } = &job.state
            {
                soon.give(placements);
                self.spare(job.ask.job, &mut soon_watts);
            }
        }
        let mut at_most = soon.clone();
        for placements in loose.iter().filter_map(|key| self.placements(*key)) {
            at_most.give(placements);
        }
        Room {
            here: self.floor.clone(),
            soon,
            at_most,
            soon_watts,
        }
    }

    /// Keeps a place that becomes free, and stops as many of the last in line as it takes; false, and nobody is stopped, where all of them
    /// do not suffice, or where the power would not that is free then.
    fn make_room(
        &mut self,
        (key, wanted, costs): (JobKey, &Wanted, &[u128]),
        room: &mut Room,
        loose: &mut Vec<JobKey>,
        effects: &mut Vec<JobEffect>,
    ) -> bool {
        if self.placer.place(&room.at_most, wanted, costs).is_none() {
            return false;
        }
        let mut soon_watts = room.soon_watts.clone();
        let mut left = loose.len();
        let found = loop {
            let found = self.placer.place(&room.soon, wanted, costs);
            let Some(last) = left.checked_sub(1).filter(|_| found.is_none()) else {
                break found;
            };
            left = last;
            if let Some(placements) = self.placements(loose[last]) {
                room.soon.give(placements);
                self.spare(loose[last], &mut soon_watts);
            }
        };
        let fed = found.filter(|found| self.draws(key, found, &mut soon_watts));
        let Some(placements) = fed else {
            let stay = loose[left..].iter();
            for placements in stay.filter_map(|key| self.placements(*key)) {
                room.soon.take(placements);
            }
            return false;
        };
        room.soon_watts = soon_watts;
        room.take(&placements);
        for last in loose.drain(left..).rev() {
            self.stop(last, effects);
        }
        true
    }

    /// A job that starts on `placements` draws from their feed; false where that has less, and then nothing is left of it.
    fn draws(&self, key: JobKey, placements: &[Placement], headroom_watts: &mut [u64]) -> bool {
        let (job, nodes) = (self.jobs.get(&key), self.floor.nodes_of(placements));
        job.zip(nodes)
            .is_none_or(|(job, nodes)| self.draw(job, nodes, headroom_watts))
    }

    /// A job that stops draws nothing any more.
    fn spare(&self, key: JobKey, headroom_watts: &mut [u64]) {
        let nodes = self.placements(key).and_then(|at| self.floor.nodes_of(at));
        if let Some((job, nodes)) = self.jobs.get(&key).zip(nodes) {
            self.undraw(job, nodes, headroom_watts);
        }
    }

    /// A job that runs is told to stop.
    pub(super) fn stop(&mut self, job: JobKey, effects: &mut Vec<JobEffect>) {
        self.stopping(job);
        effects.push(JobEffect::Stop { job });
    }

    pub(super) fn placements(&self, key: JobKey) -> Option<&[Placement]> {
        match &self.jobs.get(&key)?.state {
            State::Running { placements, .. } => Some(placements),
            State::Waiting { .. } => None,
        }
    }

    /// A job has those machines from now on.
    pub(super) fn start(&mut self, now: Micros, key: JobKey, placements: Vec<Placement>) {
        self.floor.take(&placements);
        let nodes = self.floor.nodes_of(&placements);
        let milli = self.jobs.get(&key).map_or(0, Job::milli);
        let counts_milli = self.counts(nodes, milli);
        if let Some(job) = self.jobs.get_mut(&key) {
            self.queues.remove(job);
            job.state = State::Running {
                at: now,
                placements,
                counts_milli,
                stopping: false,
            };
            let milli = i64::try_from(counts_milli).unwrap_or(i64::MAX);
            self.accounts.hold(job.ask.account, milli, now);
            self.running.insert(key);
        }
    }
}
