//! Runs that stand still, and for how long they may yet.

use super::Act;
use super::act::{Load, PauseHow};
use super::ladder::{Standing, TurnsSum};
use super::{BEGINS_US, Governor, Orders, Scene, Taken, ladder};
use crate::power::model::at_meter;
use madang_types::{Micros, RunId};
use std::collections::{BTreeMap, BTreeSet};

impl Governor {
    /// Acts upon what is gone are over, runs that stood as long as they may go on, and those that were let begin are there or never come.
    pub(super) fn follow_runs(&mut self, now: Micros, scene: &Scene) {
        let runs: BTreeMap<RunId, &Load> = scene
            .loads
            .iter()
            .filter_map(|load| Some((load.id.run()?, load)))
            .collect();
        self.begins.retain(|run, begin| {
            if runs.contains_key(run) {
                let seen_at = *begin.seen_at.get_or_insert(now);
                return now.since_us(seen_at) < scene.age_us;
            }
            begin.seen_at.is_none() && now.since_us(begin.at) < BEGINS_US
        });
        self.stood.retain(|run, _| runs.contains_key(run));
        self.backs.follow(now, scene, &runs);
        self.take_up(now, &runs);
        let orders = self.orders();
        let stand = orders.paused.union(&orders.slowed).copied().collect();
        self.turns.follow(now, &runs, (&orders.slowed, &stand));
        // From the end, as places before it stay.
        for at in (0..self.taken.len()).rev() {
            let taken = &self.taken[at];
            let Some(run) = taken.act.run() else {
                continue;
            };
            match runs.get(&run) {
                None => drop(self.taken.remove(at)),
                Some(load) if self.stands_us(now, taken, (load, run)) == 0 => {
                    self.give(now, scene, at);
                }
                Some(_) => {}
            }
        }
    }

    /// How long a run that stands still by an act may stand yet, in microseconds.
    fn stands_us(&self, now: Micros, taken: &Taken, (load, run): (&Load, RunId)) -> u64 {
        match (&taken.act, load.pause().map(|pause| pause.how)) {
            (Act::Slow(_), _) => {
                let ends_us = taken.ends_at.map_or(u64::MAX, |at| at.since_us(now));
                self.turns.left_us(load, run).min(ends_us)
            }
            (_, Some(PauseHow::Freeze { us_max })) => {
                let stood = self.stood.get(&run).copied().unwrap_or(0);
                us_max.saturating_sub(stood.saturating_add(now.since_us(taken.at)))
            }
            (_, Some(PauseHow::Checkpoint { .. })) => u64::MAX,
            (_, None) => 0,
        }
    }

    /// Runs that stand in their turn go on soon where others have much more left of theirs: turns that began together would all be
    /// used up together, and too few be left.
    pub(super) fn hand_over(&mut self, now: Micros, scene: &Scene) {
        let orders = self.orders();
        if orders.slowed.is_empty() {
            return;
        }
        let runs = scene.loads.iter();
        let runs = runs.filter_map(|load| Some((load, load.id.run()?)));
        let free = runs.filter(|(load, run)| load.slow_milli() > 0 && !orders.paused.contains(run));
        let (stand, rest): (Vec<_>, Vec<_>) =
            free.partition(|(_, run)| orders.slowed.contains(run));
        let ends_at = now.plus_us(self.terms.stands_in_us());
        for run in self.turns.over(stand, rest) {
            let turn = |taken: &&mut Taken| taken.act == Act::Slow(run) && taken.ends_at.is_none();
            if let Some(taken) = self.taken.iter_mut().find(turn) {
                taken.ends_at = Some(ends_at);
            }
        }
    }

    /// Runs that stand still and go on soon.
    pub(super) fn ending(&self, now: Micros, scene: &Scene) -> BTreeSet<RunId> {
        let soon_us = self.terms.stands_in_us();
        let ends = |taken: &Taken| {
            let run = taken.act.run()?;
            let load = scene.loads.iter().find(|load| load.id.run() == Some(run))?;
            (self.stands_us(now, taken, (load, run)) <= soon_us).then_some(run)
        };
        self.taken.iter().filter_map(ends).collect()
    }

    /// How runs stand and stood.
    pub(super) fn standing<'a>(
        &'a self,
        orders: &'a Orders,
        ending: &'a BTreeSet<RunId>,
    ) -> Standing<'a> {
        Standing {
            stood: &self.stood,
            turns: &self.turns,
            orders,
            ending,
        }
    }

    /// What is saved by runs that stand still in their turn and cannot keep it up, where turns are scarce, at the meter, in watts: what
    /// engines meet does not come back on it.
    pub(super) fn brief_watts(&self, now: Micros, scene: &Scene) -> u64 {
        let (orders, ending) = (self.orders(), self.ending(now, scene));
        let standing = self.standing(&orders, &ending);
        let sum = TurnsSum::of(scene, &self.terms, &standing);
        at_meter(sum.brief_watts(), scene.pue_milli)
    }

    /// Where turns are scarce those that cannot be kept up are over as soon as there is room for it, by what is drawn; what room is left
    /// then.
    pub(super) fn spare_turns(&mut self, now: Micros, scene: &Scene, room_watts: u64) -> u64 {
        let mut brief = self.brief_watts(now, scene);
        let rises = self.may_rise(now, scene, &self.orders());
        let mut room_watts = room_watts.saturating_add(rises);
        // From the end, as places before it stay.
        for at in (0..self.taken.len()).rev() {
            let Act::Slow(run) = self.taken[at].act else {
                continue;
            };
            let frees = at_meter(ladder::pause_frees(scene, run), scene.pue_milli);
            if frees > 0 && frees <= brief.min(room_watts) {
                (brief, room_watts) = (brief - frees, room_watts - frees);
                self.give(now, scene, at);
            }
        }
        room_watts.saturating_sub(rises)
    }

    /// What those may draw, at the meter: another act has to hold by then.
    pub(super) fn ending_watts(&self, now: Micros, scene: &Scene) -> u64 {
        let ending = self.ending(now, scene).into_iter();
        let watts = ending.map(|run| ladder::pause_frees(scene, run)).sum();
        at_meter(watts, scene.pue_milli)
    }
}
