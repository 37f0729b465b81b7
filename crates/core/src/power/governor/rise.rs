//! By how much more a site may draw before an act of now holds.

use super::act::{Bend, Load};
use super::{Act, Governor, Orders, REACT_US, Scene};
use crate::power::model::{WHOLE_MILLI, at_meter};
use madang_types::{Micros, RunId};
use std::collections::BTreeSet;

impl Governor {
    /// By how much more may be drawn by the time that an act of now holds, in watts: no more than all loads can.
    pub(super) fn may_rise(&self, now: Micros, scene: &Scene, orders: &Orders) -> u64 {
        self.may_rise_awake(now, scene, (orders, 0))
    }

    /// What may be drawn besides once an act is over by which engines rest: those that wake have nothing to do yet, and may be full within
    /// a second. In watts at the meter.
    pub(super) fn wakes_watts(&self, now: Micros, scene: &Scene, at: usize) -> u64 {
        if !matches!(self.taken[at].act, Act::Slots(_)) {
            return 0;
        }
        let others = self.taken.iter().enumerate();
        let others = others.filter(|(other, _)| *other != at);
        let after = Orders::of(others.map(|(_, taken)| &taken.act));
        let wakes = wakes(scene, after.terms.slots_milli);
        let rises = self.may_rise_awake(now, scene, (&after, wakes));
        rises.saturating_sub(self.may_rise(now, scene, &self.orders()))
    }

    /// The same where so many of the engines that rest do so no more.
    fn may_rise_awake(
        &self,
        now: Micros,
        scene: &Scene,
        (orders, mut wakes): (&Orders, usize),
    ) -> u64 {
        let risen_watts = |us: u64| {
            let watts = u128::from(scene.rise_watts_per_s) * u128::from(us) / 1_000_000;
            u64::try_from(watts).unwrap_or(u64::MAX)
        };
        // Whoever is told to write its checkpoint goes on until that is written.
        let told = self
            .taken
            .iter()
            .filter(|taken| now.since_us(taken.at) < taken.takes_us);
        let goes_on: BTreeSet<RunId> = told.filter_map(|taken| taken.act.run()).collect();
        let (mut drawn, mut most) = (0_u64, 0);
        for load in &scene.loads {
            drawn += load.watts;
            most += if load.id.run().is_some_and(|run| goes_on.contains(&run)) {
                load.profile.full_watts.saturating_sub(load.watts)
            } else if load.rests() && wakes > 0 {
                wakes -= 1;
                load.rises_awake_watts(orders)
            } else {
                load.rises_watts(orders)
            };
        }
        let at_meter = |watts| at_meter(watts, scene.pue_milli);
        // What loads draw now may have risen since the site was read.
        let grown = at_meter(drawn).saturating_sub(scene.drawn_watts);
        let grown = grown.min(risen_watts(scene.age_us));
        let us = self.terms.react_us.saturating_add(scene.age_us);
        risen_watts(us).min(at_meter(most).saturating_add(grown))
    }
}

/// How fast a site may rise by itself, in watts a second at its meter: so many thousandths of what lies between idle and full of all. Of few
/// engines one alone is more: whoever has nothing to do may be full before an act holds. Nothing where it is said that nothing rises.
pub fn rise_watts_per_s(loads: &[Load], rise_milli_per_s: u32, pue_milli: u32) -> u64 {
    if rise_milli_per_s == 0 {
        return 0;
    }
    let dynamic: u64 = loads.iter().map(|load| load.profile.dynamic_watts()).sum();
    let engines = loads.iter().filter(|load| is_engine(load));
    let one = engines.map(|load| load.profile.dynamic_watts()).max();
    let one = one.unwrap_or(0).saturating_mul(1_000_000) / REACT_US;
    let rise = dynamic.saturating_mul(u64::from(rise_milli_per_s)) / u64::from(WHOLE_MILLI);
    at_meter(rise.max(one), pue_milli)
}

fn is_engine(load: &Load) -> bool {
    matches!(load.bend, Bend::Engine { .. })
}

/// Of the engines that rest those that do so no more where all have so many thousandths of their slots, as if all served the same.
fn wakes(scene: &Scene, slots_milli: u32) -> usize {
    let engines = scene.loads.iter().filter(|load| is_engine(load)).count();
    let rest = scene.loads.iter().filter(|load| load.rests()).count();
    let serve = (engines * slots_milli as usize).div_ceil(WHOLE_MILLI as usize);
    serve.saturating_sub(engines - rest).min(rest)
}
