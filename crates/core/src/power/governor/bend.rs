//! More is drawn than may be, or soon may be: acts are taken in their order, as many as are needed.

use super::Act;
use super::ladder::{self, Rung};
use super::told::PowerDeed;
use super::{Governor, Scene, Taken};
use madang_types::{Micros, RunId};
use std::collections::BTreeSet;

impl Governor {
    /// Bends until what is needed is saved in time; what is missing in the end. For what one look alone says nobody loses work or an
    /// answer: if it is true the next look says it again.
    pub(super) fn bend(&mut self, now: Micros, scene: &Scene, need_watts: u64) -> u64 {
        let deadline = self.deadline(now);
        // What is needed by then, and in the long run: what takes longer is begun too, and others bridge the time.
        let (mut soon, mut ever) = (need_watts, need_watts);
        ever = ever.saturating_sub(self.slow_watts(now, deadline));
        let in_force = self.in_force();
        // Whoever stands still saves no more by another act.
        let mut stand: BTreeSet<RunId> = in_force.iter().filter_map(Act::run).collect();
        let mut orders = self.orders();
        let ending = self.ending(now, scene);
        let rungs = ladder::rungs(scene, &self.terms, &self.standing(&orders, &ending));
        let mut rises = self.may_rise(now, scene, &orders);
        for rung in rungs {
            if soon == 0 {
                break;
            }
            let in_time = now.plus_us(rung.takes_us) <= deadline;
            let run = rung.act.run();
            let is_done =
                in_force.contains(&rung.act) || run.is_some_and(|run| stand.contains(&run));
            // A level of clocks is a bound to what may rise, too.
            let mut bounds = 0;
            if let Act::Clock(level) = rung.act
                && level < orders.level_milli
            {
                orders.level_milli = level;
                let left = self.may_rise(now, scene, &orders);
                bounds = rises.saturating_sub(left);
                rises = left;
            }
            let saves_watts = rung.saves_watts.saturating_add(bounds);
            let needed = if in_time { soon } else { ever };
            let is_proved = needed > scene.sudden_watts;
            let is_wanted = (is_proved || rung.is_light) && !(rung.is_scarce && needed <= rises);
            if is_done || saves_watts == 0 || needed == 0 || !is_wanted {
                continue;
            }
            ever = ever.saturating_sub(saves_watts);
            stand.extend(run);
            if in_time {
                soon = soon.saturating_sub(saves_watts);
            }
            self.take(now, scene, (rung, bounds), is_proved);
        }
        soon.saturating_sub(scene.sudden_watts)
    }

    fn take(
        &mut self,
        now: Micros,
        scene: &Scene,
        (rung, bounds_watts): (Rung, u64),
        is_proved: bool,
    ) {
        let Rung {
            act,
            saves_watts,
            takes_us,
            ..
        } = rung;
        let took = PowerDeed::Took {
            act: act.clone(),
            saves_watts: saves_watts.saturating_add(bounds_watts),
        };
        self.say(now, scene, took);
        self.changed_at = Some(now);
        if let Some(run) = act.run() {
            self.backs.remove(run);
        }
        self.taken.push(Taken {
            act,
            at: now,
            saves_watts,
            bounds_watts,
            takes_us,
            drawn_before: scene.drawn_watts.saturating_sub(scene.sudden_watts),
            is_seen: false,
            is_unproved: !is_proved,
            ends_at: None,
        });
    }

    /// What acts will save that are under way and hold after the deadline alone.
    fn slow_watts(&self, now: Micros, deadline: Micros) -> u64 {
        let slow = self.taken.iter().filter(|taken| {
            let holds_at = taken.at.plus_us(taken.takes_us);
            now < holds_at && holds_at > deadline
        });
        slow.map(|taken| taken.saves_watts).sum()
    }

    fn in_force(&self) -> BTreeSet<Act> {
        self.taken.iter().map(|taken| taken.act.clone()).collect()
    }
}
