//! Runs that go on again: they draw at once, and no meter shows it yet.

use super::{FREEZES_US, Load, Scene, is_shown};
use madang_types::{Micros, RunId};
use std::collections::BTreeMap;

/// Runs that were let go on.
#[derive(Clone, Debug, Default)]
pub(super) struct Backs(BTreeMap<RunId, Back>);

#[derive(Clone, Copy, Debug)]
struct Back {
    at: Micros,
    /// What it may draw more, and what was drawn before, in watts at the meter.
    watts: u64,
    drawn_before: u64,
}

impl Backs {
    /// A run goes on, and may draw so much more, in watts at the meter.
    pub fn add(&mut self, now: Micros, scene: &Scene, (run, watts): (RunId, u64)) {
        let back = Back {
            at: now,
            watts,
            drawn_before: scene.drawn_watts,
        };
        self.0.insert(run, back);
    }

    /// It stands still again.
    pub fn remove(&mut self, run: RunId) {
        self.0.remove(&run);
    }

    /// Those that are over are forgotten, and those that the meter shows.
    pub fn follow(&mut self, now: Micros, scene: &Scene, runs: &BTreeMap<RunId, &Load>) {
        self.0.retain(|run, back| {
            runs.contains_key(run) && !is_shown(now, scene, back.at.plus_us(FREEZES_US))
        });
    }

    /// What they may draw that is not drawn yet, in watts at the meter.
    pub fn unseen_watts(&self, scene: &Scene) -> u64 {
        let backs = self.0.values();
        unseen_watts(scene, backs.map(|back| (back.watts, back.drawn_before)))
    }
}

/// What those may draw that no meter shows yet, each with what was drawn before it: less what more is drawn than before the first of them.
pub(super) fn unseen_watts(scene: &Scene, each: impl Iterator<Item = (u64, u64)>) -> u64 {
    let (mut watts, mut first) = (0_u64, u64::MAX);
    for (more, before) in each {
        (watts, first) = (watts.saturating_add(more), first.min(before));
    }
    watts.saturating_sub(scene.drawn_watts.saturating_sub(first))
}
