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
            ..
        }: Chosen,
        dead: &mut BTreeSet<Kind>,
        effects: &mut Vec<JobEffect>,
    ) {
        self.hold(held);
        let mut room: Option<Room> = None;
        for Start { job: key, kind, at } in start {
            if dead.contains(&kind) {
                continue;
            }
            let here = room.as_ref().map_or(&self.floor, |room| &room.here);
            let costs = self.costs(now, key);
            if let Some(placements) = self.placer.place(here, &at, &costs) {
                if let Some(room) = &mut room {
                    room.take(&placements);
                }
                if let Some(nodes) = self.floor.nodes_of(&placements) {
                    self.offer(now, key, nodes);
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
            let room = room.get_or_insert_with(|| self.room(&loose));
            if !self.make_room((&at, &costs), room, &mut loose, effects) {
                dead.insert(kind);
            }
        }
    }

    fn room(&self, loose: &[JobKey]) -> Room {
        let mut soon = self.floor.clone();
        for job in self.running.iter().filter_map(|key| self.jobs.get(key)) {
            if let State::Running {
                placements,
                stopping: true,
                ..
            } = &job.state
            {
                soon.give(placements);
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
        }
    }

    /// Keeps a place that becomes free, and stops as many of the last in line as it takes; false where all of them do not suffice.
    fn make_room(
        &mut self,
        (wanted, costs): (&Wanted, &[u128]),
        room: &mut Room,
        loose: &mut Vec<JobKey>,
        effects: &mut Vec<JobEffect>,
    ) -> bool {
        if self.placer.place(&room.at_most, wanted, costs).is_none() {
            return false;
        }
        loop {
            if let Some(placements) = self.placer.place(&room.soon, wanted, costs) {
                room.take(&placements);
                return true;
            }
            let Some(last) = loose.pop() else {
                return false;
            };
            if let Some(placements) = self.placements(last) {
                room.soon.give(placements);
            }
            self.stop(last, effects);
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
