//! The order in which a site bends: who said that they bend most come first, who is asked last are people who wait for an answer.
//!
//! 1. Runs stand still: those that may stand longest first; then of those that may be slowed as many as can keep it up in turns; then
//!    those that write checkpoints though they said nothing of standing.
//! 2. Clocks of engines are lowered, level by level; then more of those that may be slowed stand still, for as long as they may: while
//!    they have half of their turns left together. The other half is for the end: it keeps up those that can keep it up.
//! 3. Requests of the batch class get less of engines, then nothing.
//! 4. Requests go to other sites, where there are any.
//! 5. Engines have fewer slots: of those that serve the same some rest.
//! 6. Requests are refused: of the batch class, then of the standard one. Critical ones are never.
//! 7. Runs that may be slowed stand still for what is left of their turns.
//!
//! It is the order of POLCA (ASPLOS 2024: low priority first, clocks before service) and of Emerald's trials (arXiv 2507.00909: jobs that
//! said that they are flexible first).

use super::Act;
use super::act::{Bend, FREEZES_US, Load, Pause, PauseHow};
use super::orders::Orders;
use super::turns::Turns;
use super::{GovernorTerms, Scene};
use crate::power::model::{WHOLE_MILLI, at_meter};
use madang_types::{Priority, RunId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Between two levels of clocks, in thousandths.
const LEVEL_STEP_MILLI: u32 = 50;
/// From the order until clocks are lower, in microseconds.
const CLOCKS_US: u64 = 1_000_000;
/// From a word to the gateway until it shows in what engines draw: those that run end first, in microseconds.
const REQUESTS_US: u64 = 10_000_000;

/// An act that may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rung {
    pub act: Act,
    /// At the meter, in watts.
    pub saves_watts: u64,
    pub takes_us: u64,
    /// It is undone in a moment, and costs nobody work or an answer.
    pub is_light: bool,
    /// It takes what others need who keep the cap up: it is for what is drawn, not for what may be.
    pub is_scarce: bool,
}

/// How runs stand and stood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    /// For how long in all before, in microseconds.
    pub stood: &'a BTreeMap<RunId, u64>,
    pub turns: &'a Turns,
    /// What is in force.
    pub orders: &'a Orders,
    /// Who goes on soon.
    pub ending: &'a BTreeSet<RunId>,
}

/// All that may be done, in its order.
pub(super) fn rungs(scene: &Scene, terms: &GovernorTerms, standing: &Standing<'_>) -> Vec<Rung> {
    let (mut rungs, unasked) = pauses(scene, standing.stood);
    let sum = TurnsSum::of(scene, terms, standing);
    let (lasting, mut brief) = slows(scene, standing, &sum);
    rungs.extend(lasting);
    rungs.extend(unasked);
    let mut before = WHOLE_MILLI;
    for level in levels(terms) {
        let saves = clock_saves(scene, level).saturating_sub(clock_saves(scene, before));
        rungs.push(rung(scene, Act::Clock(level), (saves, CLOCKS_US)));
        before = level;
    }
    if !sum.are_scarce() {
        rungs.append(&mut brief);
    }
    let mut add = |act, saves| rungs.push(rung(scene, act, (saves, REQUESTS_US)));
    let batch = engines_milli(scene, |batch_milli| batch_milli);
    add(Act::Batch(500), batch / 2);
    add(Act::Batch(0), batch / 2);
    // What the others leave is not known before it is seen: a quarter of what engines draw above idle is counted on for each.
    let quarter = engines_milli(scene, |_| WHOLE_MILLI) / 4;
    if scene.elsewhere {
        add(Act::Divert, quarter * 2);
    }
    for milli in [750, 500, 250] {
        add(Act::Slots(milli), quarter);
    }
    add(Act::Shed(Priority::Batch), batch);
    add(Act::Shed(Priority::Standard), quarter);
    rungs.extend(brief.into_iter().map(|rung| Rung {
        is_scarce: true,
        ..rung
    }));
    rungs
}

fn rung(scene: &Scene, act: Act, (saves, takes_us): (u64, u64)) -> Rung {
    let is_light = match act {
        Act::Slow(_) | Act::Clock(_) => true,
        Act::Pause(_) | Act::Batch(_) | Act::Divert | Act::Slots(_) | Act::Shed(_) => false,
    };
    Rung {
        act,
        saves_watts: at_meter(saves, scene.pue_milli),
        takes_us,
        is_light,
        is_scarce: false,
    }
}

/// Levels of clocks, the highest first.
fn levels(terms: &GovernorTerms) -> impl Iterator<Item = u32> {
    let least = terms.level_milli_min.clamp(1, WHOLE_MILLI);
    let steps =
        (1..WHOLE_MILLI / LEVEL_STEP_MILLI).map(|step| WHOLE_MILLI - step * LEVEL_STEP_MILLI);
    steps.take_while(move |level| *level >= least)
}

/// Runs that may stand still, those that bend most first; apart those whose owners said nothing of it.
fn pauses(scene: &Scene, stood: &BTreeMap<RunId, u64>) -> (Vec<Rung>, Vec<Rung>) {
    let mut able: Vec<(&Load, RunId, Pause)> = scene
        .loads
        .iter()
        .filter_map(|load| Some((load, load.id.run()?, load.pause()?)))
        .filter(|(_, run, pause)| !pause.is_over(stood.get(run).copied().unwrap_or(0)))
        .collect();
    // Of those that bend alike the newest: it has had least that it could lose.
    able.sort_by_key(|(_, run, pause)| {
        let freezes = matches!(pause.how, PauseHow::Freeze { .. });
        (Reverse(pause.us_max()), !freezes, Reverse(*run))
    });
    let (asked, unasked) = able.into_iter().partition(|(.., pause)| pause.us_max() > 0);
    let rungs = |able: Vec<(&Load, RunId, Pause)>| {
        let rungs = able.into_iter().map(|(load, run, pause)| {
            let saves = load.watts.saturating_sub(pause.left_watts);
            Rung {
                // One that writes a checkpoint ends, and begins anew.
                is_light: matches!(pause.how, PauseHow::Freeze { .. }),
                ..rung(scene, Act::Pause(run), (saves, pause.takes_us()))
            }
        });
        rungs.collect()
    };
    (rungs(asked), rungs(unasked))
}

/// The turns of all runs together that do not stand still otherwise, each by what it saves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TurnsSum {
    /// What all together save on average, and what those save that stand and do not go on soon, in thousandths of watts.
    lasts: u64,
    stands: u64,
    /// What is left of their turns, and whole ones, in watts for a microsecond.
    left: u64,
    whole: u64,
}

impl TurnsSum {
    pub fn of(scene: &Scene, terms: &GovernorTerms, standing: &Standing<'_>) -> Self {
        let Standing { turns, orders, .. } = standing;
        let mut sum = Self::default();
        let runs = scene.loads.iter();
        for (load, run) in runs.filter_map(|load| Some((load, load.id.run()?))) {
            let Some(whole_us) = Turns::whole(load).filter(|_| !orders.paused.contains(&run))
            else {
                continue;
            };
            let span = load.profile.dynamic_watts();
            sum.lasts += span * turns.part_milli(load, run, terms.stands_in_us());
            sum.left = (sum.left).saturating_add(span.saturating_mul(turns.left_us(load, run)));
            sum.whole = (sum.whole).saturating_add(span.saturating_mul(whole_us));
            if orders.slowed.contains(&run) && !standing.ending.contains(&run) {
                sum.stands += span * u64::from(WHOLE_MILLI);
            }
        }
        sum
    }

    /// Less than half of all is left: who stood for longer than can be kept up would take it from those that can.
    fn are_scarce(&self) -> bool {
        self.left < self.whole / 2
    }

    /// What those save that stand though that cannot be kept up, where turns are scarce, at the machines, in watts: it is over soon.
    pub fn brief_watts(&self) -> u64 {
        match self.are_scarce() {
            true => self.stands.saturating_sub(self.lasts) / u64::from(WHOLE_MILLI),
            false => 0,
        }
    }
}

/// Runs that may be slowed: those that may stand for longest now first, of those alike who stood least, so that all take turns. Apart
/// those that are more than can be kept up: who stands for no more than its part of the time is missing in the rest of it.
fn slows(scene: &Scene, standing: &Standing<'_>, sum: &TurnsSum) -> (Vec<Rung>, Vec<Rung>) {
    let Standing { turns, orders, .. } = standing;
    let mut able: Vec<(&Load, RunId, u64)> = Vec::new();
    let runs = scene.loads.iter();
    for (load, run) in runs.filter_map(|load| Some((load, load.id.run()?))) {
        let stands = orders.paused.contains(&run) || orders.slowed.contains(&run);
        if let Some(left_us) = turns.turn(load, run).filter(|_| !stands) {
            able.push((load, run, left_us));
        }
    }
    able.sort_by_key(|(_, run, left_us)| (Reverse(*left_us), turns.stood_us(*run), Reverse(*run)));
    let (mut lasting, mut brief) = (Vec::new(), Vec::new());
    let mut stands = sum.stands;
    for (load, run, _) in able {
        let span = load.profile.dynamic_watts() * u64::from(WHOLE_MILLI);
        let saves = load.watts.saturating_sub(load.profile.idle_watts);
        let rung = rung(scene, Act::Slow(run), (saves, FREEZES_US));
        if stands + span <= sum.lasts {
            stands += span;
            lasting.push(rung);
        } else {
            brief.push(rung);
        }
    }
    (lasting, brief)
}

/// What a run that stands still may draw once it goes on, at its machines, in watts.
pub(super) fn pause_frees(scene: &Scene, run: RunId) -> u64 {
    let load = scene.loads.iter().find(|load| load.id.run() == Some(run));
    load.map_or(0, |load| load.profile.full_watts.saturating_sub(load.watts))
}

/// What is drawn at the meter where all that bends is bent as far as it goes, in watts.
pub(super) fn least_watts(scene: &Scene) -> u64 {
    let least = |load: &Load| match load.bend {
        Bend::Engine { .. } => load.profile.idle_watts,
        Bend::Run {
            slow_milli: 1.., ..
        } => load.profile.idle_watts,
        Bend::Run { .. } => load.pause().map_or(load.watts, |pause| pause.left_watts),
        Bend::Rigid => load.watts,
    };
    at_meter(scene.loads.iter().map(least).sum(), scene.pue_milli)
}

/// What is drawn above the limits of a level of clocks, at the machines, in watts.
pub(super) fn clock_saves(scene: &Scene, level_milli: u32) -> u64 {
    let over = |load: &Load| {
        let limit = load.limit_watts(level_milli)?;
        Some(load.watts.saturating_sub(limit))
    };
    scene.loads.iter().filter_map(over).sum()
}

/// So many thousandths of what engines draw above idle, in watts.
fn engines_milli(scene: &Scene, milli: impl Fn(u32) -> u32) -> u64 {
    let part = |load: &Load| match load.bend {
        Bend::Engine { batch_milli, .. } => {
            let above = load.watts.saturating_sub(load.profile.idle_watts);
            above.saturating_mul(u64::from(milli(batch_milli))) / u64::from(WHOLE_MILLI)
        }
        Bend::Rigid | Bend::Run { .. } => 0,
    };
    scene.loads.iter().map(part).sum()
}
