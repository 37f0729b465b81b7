//! Runs that may be slowed stand still in turns: each for no more of the time than its owner said.
//!
//! No run is stopped and let go many times a second: what it draws would swing between idle and full all the while, so that one run alone
//! never keeps a site below a cap, and what an accelerator was told before a stop goes on in it all the same. Of many runs some stand
//! still at any time, and hand over to others: what all draw together is even. A turn is long enough for that, and shorter than the ten
//! minutes after which programs on several machines give each other up.

use super::act::Load;
use madang_types::{Micros, PowerAct, RunId, RunStood};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A turn is so long at most where a run might stand still all the time, in microseconds; else that part of it.
const TURN_US: u64 = 600_000_000;
/// Nobody stands still for a shorter one: it would be over as soon as it holds.
const TURN_US_MIN: u64 = 20_000_000;
/// Who may be slowed to nothing gets on all the same, for a thousandth of the time.
const SLOW_MILLI_MAX: u32 = 999;
const MILLI: u64 = 1_000;
/// For how long turns should last that are counted on before engines are asked, in microseconds.
const LASTS_US: u64 = 3_600_000_000;
/// Who stands hands over to who has so much more of its turn left: that part of its own turn.
const HAND_OVER_DIVISOR: u64 = 2;

/// How long runs may still stand in their turn: it is used up while they stand, and earned while they get on.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    /// Of those that stood in a turn.
    known: BTreeMap<RunId, Turn>,
    followed_at: Option<Micros>,
}

/// In microseconds.
#[derive(Clone, Copy, Debug)]
struct Turn {
    left_us: u64,
    /// In all turns so far.
    stood_us: u64,
}

impl Turn {
    /// It stood for so long.
    fn stand(&mut self, us: u64) {
        self.left_us = self.left_us.saturating_sub(us);
        self.stood_us = self.stood_us.saturating_add(us);
    }

    /// Its run got on for so long.
    fn earn(&mut self, load: &Load, us: u64) {
        let slow = u64::from(load.slow_milli().min(SLOW_MILLI_MAX));
        let earned_us = us.saturating_mul(slow) / (MILLI - slow);
        self.left_us = self.left_us.saturating_add(earned_us).min(turn_us(load));
    }
}

impl Turns {
    /// Time has gone on, in which those of `slowed` stood for their turn and those of `stand` stood at all.
    pub fn follow(
        &mut self,
        now: Micros,
        runs: &BTreeMap<RunId, &Load>,
        (slowed, stand): (&BTreeSet<RunId>, &BTreeSet<RunId>),
    ) {
        let span_us = self.followed_at.map_or(0, |at| now.since_us(at));
        self.followed_at = Some(now);
        self.known.retain(|run, _| runs.contains_key(run));
        for run in slowed {
            if let Some(load) = runs.get(run) {
                let left_us = turn_us(load);
                let turn = Turn {
                    left_us,
                    stood_us: 0,
                };
                let turn = self.known.entry(*run).or_insert(turn);
                turn.stand(span_us);
            }
        }
        for (run, turn) in &mut self.known {
            if let Some(load) = runs.get(run).filter(|_| !stand.contains(run)) {
                turn.earn(load, span_us);
            }
        }
    }

    /// What whoever governed before noted of a run counts: for `away_us` since then it stood by that act, or got on.
    pub fn take_up(
        &mut self,
        load: &Load,
        (run, mark): (RunId, RunStood),
        (stood, away_us): (Option<&PowerAct>, u64),
    ) {
        let Some(left_us) = mark.turn_left_us else {
            return;
        };
        let mut turn = Turn {
            left_us,
            stood_us: mark.turns_us,
        };
        match stood {
            Some(PowerAct::Slow(_)) => turn.stand(away_us),
            Some(_) => {}
            None => turn.earn(load, away_us),
        }
        let known = self.known.entry(run).or_insert(Turn {
            left_us: u64::MAX,
            stood_us: 0,
        });
        known.left_us = known.left_us.min(turn.left_us);
        known.stood_us = known.stood_us.saturating_add(turn.stood_us);
    }

    /// Runs that stood in a turn, with what is left of it and how long each stood in all turns, in microseconds.
    pub fn known(&self) -> impl Iterator<Item = (RunId, u64, u64)> {
        let known = self.known.iter();
        known.map(|(run, turn)| (*run, turn.left_us, turn.stood_us))
    }

    /// How long a run may stand still yet before it gets on, in microseconds.
    pub fn left_us(&self, load: &Load, run: RunId) -> u64 {
        let whole = turn_us(load);
        self.known
            .get(&run)
            .map_or(whole, |turn| turn.left_us.min(whole))
    }

    /// A whole turn of one that takes turns, in microseconds; `None` of one that may not be slowed, or by next to nothing.
    pub fn whole(load: &Load) -> Option<u64> {
        Some(turn_us(load)).filter(|whole| *whole >= TURN_US_MIN)
    }

    /// How long it stood in all turns so far, in microseconds.
    pub fn stood_us(&self, run: RunId) -> u64 {
        self.known.get(&run).map_or(0, |turn| turn.stood_us)
    }

    /// How long it may stand yet, of one that may begin a turn now; `None` where that would be too short.
    pub fn turn(&self, load: &Load, run: RunId) -> Option<u64> {
        Some(self.left_us(load, run)).filter(|left| *left >= TURN_US_MIN)
    }

    /// For which part of the next hour it may stand in turns: what it may lose of its pace, and what it has left, less the time
    /// `both_us` in which two stand as one hands over; in thousandths.
    pub fn part_milli(&self, load: &Load, run: RunId, both_us: u64) -> u64 {
        let slow = u64::from(load.slow_milli().min(SLOW_MILLI_MAX));
        let part = slow + (MILLI - slow) * self.left_us(load, run) / LASTS_US;
        let stands_us = turn_us(load) / HAND_OVER_DIVISOR;
        part * stands_us / stands_us.saturating_add(both_us)
    }

    /// Which of those that stand should hand over, as others have more of their turn left: so all have some left at any time, and no
    /// turns end together that began together. Who takes over can save as much.
    pub fn over(&self, stand: Vec<(&Load, RunId)>, rest: Vec<(&Load, RunId)>) -> Vec<RunId> {
        let left = |(load, run)| (self.left_us(load, run), load, run);
        let mut stand: Vec<_> = stand.into_iter().map(left).collect();
        let mut rest: Vec<_> = rest.into_iter().map(left).collect();
        stand.sort_by_key(|(left_us, _, run)| (*left_us, *run));
        rest.sort_by_key(|(left_us, _, run)| (Reverse(*left_us), *run));
        let pairs = stand.into_iter().zip(rest);
        let over = pairs.filter(|((stands_us, load, _), (rests_us, other, _))| {
            rests_us.saturating_sub(*stands_us) >= turn_us(load) / HAND_OVER_DIVISOR
                && other.profile.dynamic_watts() >= load.profile.dynamic_watts()
        });
        over.map(|((.., run), _)| run).collect()
    }
}

fn turn_us(load: &Load) -> u64 {
    TURN_US * u64::from(load.slow_milli().min(SLOW_MILLI_MAX)) / MILLI
}
