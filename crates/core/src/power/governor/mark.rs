//! Where a governor stands, for whoever governs the site after it: a program that begins anew lets nothing go that has to stand, and asks
//! no run for more than it may lose.

use super::act::Load;
use super::told::PowerDeed;
use super::{Act, BEGINS_US, Governor, Scene, Taken};
use crate::power::caps::Cap;
use madang_types::{Micros, PowerActStand, PowerStand, RunId, RunStood};
use std::collections::{BTreeMap, BTreeSet};

/// What whoever governed before noted of runs that have not been seen yet.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    /// When that was so.
    at: Micros,
    stand: PowerStand,
    /// Since when it is known.
    since: Micros,
}

impl Governor {
    /// Where it stands: all that whoever goes on from here has to know.
    pub fn stand(&self) -> PowerStand {
        let noted = self.noted.as_ref().map(|noted| noted.stand.clone());
        let mut stand = PowerStand {
            cap_watts: self.cap.as_ref().map(|cap| cap.watts),
            fell_at: self.fell_at,
            ..noted.unwrap_or_default()
        };
        for (run, us) in &self.stood {
            stand.runs.entry(*run).or_default().paused_us = *us;
        }
        for (run, left_us, turns_us) in self.turns.known() {
            let mark = stand.runs.entry(run).or_default();
            (mark.turn_left_us, mark.turns_us) = (Some(left_us), turns_us);
        }
        stand.acts.extend(self.taken.iter().map(act_stand));
        stand
    }

    /// Goes on from where whoever governed before stood at `at`.
    pub fn go_on(&mut self, now: Micros, at: Micros, stand: PowerStand) {
        let PowerStand {
            cap_watts,
            fell_at,
            acts,
            runs,
        } = stand;
        if self.cap.is_none() {
            // Who set it is known at the next look.
            self.cap = cap_watts.map(|watts| Cap { watts, event: None });
            self.fell_at = fell_at;
        }
        let of_run = |act: &PowerActStand| act.act.run().is_some();
        let (of_runs, others) = acts.into_iter().partition::<Vec<_>, _>(of_run);
        self.take_again(now, others);
        self.noted = Some(Noted {
            at,
            stand: PowerStand {
                acts: of_runs,
                runs,
                ..PowerStand::default()
            },
            since: now,
        });
    }

    /// Looks at the site, and does as whoever governs it: what that one has in force is in force here, and nothing else is. It sees the
    /// runs, and what they may save; by what is seen here people would be asked for it.
    pub fn follow(&mut self, now: Micros, scene: &Scene, stand: &PowerStand) {
        self.follow_cap(now, scene);
        // That one knows what is missing.
        self.say_short(now, scene, 0);
        let theirs: BTreeSet<&Act> = stand.acts.iter().map(|stand| &stand.act).collect();
        let before = std::mem::take(&mut self.taken);
        for Taken { act, .. } in before.iter().filter(|own| !theirs.contains(&own.act)) {
            let act = act.clone();
            self.say(now, scene, PowerDeed::Gave { act });
            self.changed_at = Some(now);
        }
        let noted = self.noted.iter().flat_map(|noted| &noted.stand.acts);
        let mut known: BTreeSet<Act> = noted.map(|stand| stand.act.clone()).collect();
        known.extend(before.into_iter().map(|own| own.act));
        for stand in &stand.acts {
            if !known.contains(&stand.act) {
                let took = PowerDeed::Took {
                    act: stand.act.clone(),
                    saves_watts: stand.saves_watts.saturating_add(stand.bounds_watts),
                };
                self.say(now, scene, took);
                self.changed_at = Some(now);
            }
            self.taken.push(taken(stand.clone()));
        }
        self.expect(now, scene);
        if !self.taken.is_empty() {
            self.bent_at = Some(now);
        }
    }

    /// What was noted of runs that are there counts from now on. Those that do not come are forgotten after a while.
    pub(super) fn take_up(&mut self, now: Micros, runs: &BTreeMap<RunId, &Load>) {
        let Some(noted) = &mut self.noted else {
            return;
        };
        let away_us = now.since_us(noted.at);
        let is_there = |run: &RunId| runs.contains_key(run);
        let stand = &mut noted.stand;
        let came: Vec<(RunId, RunStood)> =
            stand.runs.extract_if(.., |run, _| is_there(run)).collect();
        let is_of_them = |act: &mut PowerActStand| act.act.run().is_some_and(|run| is_there(&run));
        let acts: Vec<PowerActStand> = stand.acts.extract_if(.., is_of_them).collect();
        let is_done = stand.runs.is_empty() && stand.acts.is_empty();
        if is_done || now.since_us(noted.since) >= BEGINS_US {
            self.noted = None;
        }
        for (run, mark) in came {
            if mark.paused_us > 0 {
                let stood = self.stood.entry(run).or_default();
                *stood = stood.saturating_add(mark.paused_us);
            }
            // Whoever stood still then did so until now.
            let mut stood = acts.iter().map(|stand| &stand.act);
            let stood = stood.find(|act| act.run() == Some(run));
            if let Some(load) = runs.get(&run) {
                self.turns.take_up(load, (run, mark), (stood, away_us));
            }
        }
        self.take_again(now, acts);
    }

    /// Acts that whoever governed before took are in force, as they were and since then.
    fn take_again(&mut self, now: Micros, acts: Vec<PowerActStand>) {
        if acts.is_empty() {
            return;
        }
        for stand in acts {
            let mut own = self.taken.iter_mut();
            match own.find(|taken| taken.act == stand.act) {
                // Taken again by a look that did not know yet that it stands.
                Some(own) => *own = taken(stand),
                None => self.taken.push(taken(stand)),
            }
        }
        self.taken.sort_by_key(|taken| taken.at);
        self.changed_at = Some(now);
    }
}

fn act_stand(taken: &Taken) -> PowerActStand {
    PowerActStand {
        act: taken.act.clone(),
        at: taken.at,
        saves_watts: taken.saves_watts,
        bounds_watts: taken.bounds_watts,
        takes_us: taken.takes_us,
    }
}

fn taken(stand: PowerActStand) -> Taken {
    let PowerActStand {
        act,
        at,
        saves_watts,
        bounds_watts,
        takes_us,
    } = stand;
    Taken {
        act,
        at,
        saves_watts,
        bounds_watts,
        takes_us,
        // What was drawn before it nobody knows any more.
        drawn_before: 0,
        is_seen: true,
        is_unproved: false,
        ends_at: None,
    }
}
