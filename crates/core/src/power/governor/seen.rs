//! What acts brought, as the meter shows it: each watt by which less is drawn is credited once.

use super::told::PowerDeed;
use super::{Act, Governor, Scene, Taken, is_shown, signed};
use madang_ledger::shared;
use madang_types::Micros;
use std::collections::BTreeMap;

impl Governor {
    /// What those acts brought whose effect the meter shows by now. By how much less is drawn than before the first of them is shared by
    /// what each was thought to save; to those that follow what is drawn now is what was drawn before.
    pub(super) fn see(&mut self, now: Micros, scene: &Scene) {
        if scene.doubted {
            // What is taken in place of a reading shows nothing of what was done.
            return;
        }
        let is_due = |taken: &Taken| {
            !taken.is_seen && is_shown(now, scene, taken.at.plus_us(taken.takes_us))
        };
        let due: BTreeMap<usize, &Taken> = (0..)
            .zip(&self.taken)
            .filter(|(_, taken)| is_due(taken))
            .collect();
        let Some(before) = due.values().next().map(|taken| taken.drawn_before) else {
            return;
        };
        let fell_watts = signed(before) - signed(scene.drawn_watts);
        let saved = parts(fell_watts, &due);
        for (at, taken) in (0..).zip(&mut self.taken) {
            if saved.contains_key(&at) {
                taken.is_seen = true;
            } else if !taken.is_seen {
                let fell_before = taken.drawn_before.saturating_sub(before);
                taken.drawn_before = scene.drawn_watts.saturating_add(fell_before);
            }
        }
        for (at, saved_watts) in saved {
            let taken = &mut self.taken[at];
            // What requests leave is a guess before it is seen: no less comes back than went.
            if is_met_by_requests(&taken.act) {
                let saved = u64::try_from(saved_watts).unwrap_or(0);
                taken.saves_watts = taken.saves_watts.max(saved);
            }
            let act = taken.act.clone();
            self.say(now, scene, PowerDeed::Seen { act, saved_watts });
        }
    }
}

fn is_met_by_requests(act: &Act) -> bool {
    match act {
        Act::Batch(_) | Act::Divert | Act::Slots(_) | Act::Shed(_) => true,
        Act::Pause(_) | Act::Slow(_) | Act::Clock(_) => false,
    }
}

/// A fall in parts that go as what acts were thought to save; where all of them only bound what might rise, as they do that. Their sum is
/// the fall.
fn parts(fell_watts: i64, acts: &BTreeMap<usize, &Taken>) -> BTreeMap<usize, i64> {
    let by = |watts: fn(&Taken) -> u64| -> BTreeMap<usize, u64> {
        acts.iter().map(|(at, taken)| (*at, watts(taken))).collect()
    };
    let mut claims = by(|taken| taken.saves_watts);
    if claims.values().all(|watts| *watts == 0) {
        claims = by(|taken| taken.bounds_watts.max(1));
    }
    let parts = shared(fell_watts.unsigned_abs(), &claims).into_iter();
    let part = |watts: u64| signed(watts) * fell_watts.signum();
    parts.map(|(at, watts)| (at, part(watts))).collect()
}
