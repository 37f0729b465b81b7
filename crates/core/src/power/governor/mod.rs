//! The governor of a site: keeps what it draws under its cap, by bending what bends, in one order, no further than is needed.
//!
//! A driver tells it each second or so what is there ([`Scene`]) and has done what it says ([`Orders`]). The order of acts is in
//! `ladder.rs`. What rises is met before the cap: it acts where what is drawn, and what may be drawn by the time that an act has taken
//! hold, would pass it. Acts are taken back one at a time, each after a while, where there is room for what it frees and some more: those
//! that engines meet, then turns, then runs that stand, of each kind the last first.

mod act;
mod back;
mod bend;
mod ladder;
mod mark;
mod orders;
mod rise;
mod seen;
mod stands;
mod told;
mod turns;

pub use act::{Bend, FREEZES_US, Load, LoadId, Pause, PauseHow};
pub use madang_types::PowerAct as Act;
pub use orders::{Orders, PowerTerms};
pub use rise::rise_watts_per_s;
pub use told::{NoPower, PowerDeed, PowerLine};

use super::caps::Cap;
use super::model::at_meter;
use back::Backs;
use madang_types::{Micros, RunId};
use mark::Noted;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use turns::Turns;

/// Acts and returns that are remembered for people.
pub const LOG_LINES_MAX: usize = 256;
/// How long a run that was let begin may take until it is seen at its site.
const BEGINS_US: u64 = 60_000_000;
/// From what a meter saw until an act that was decided by it holds, in microseconds, as a rule.
const REACT_US: u64 = 3_000_000;
/// The time over which meters tell an average, in microseconds.
const METER_US: u64 = 1_000_000;
/// After power was short so much time passes until runs begin as fast as there is room for them.
const GENTLE_US: u64 = 300_000_000;

/// How it goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GovernorTerms {
    /// From the fall of a cap until it is met, in microseconds.
    pub meet_us: u64,
    /// From what a meter saw until an act that was decided by it holds, in microseconds, beside the reading's own age.
    pub react_us: u64,
    /// An act stands for so long at least, in microseconds.
    pub hold_us: u64,
    /// Between two steps of the way back, in microseconds.
    pub return_us: u64,
    /// Room that must be left beside what a step back needs, in thousandths of the cap.
    pub spare_milli: u32,
    /// The lowest level to which clocks are brought, in thousandths of what lies between idle and full.
    pub level_milli_min: u32,
}

impl GovernorTerms {
    /// Within what time another run stands still that was not thought of before, in microseconds.
    fn stands_in_us(&self) -> u64 {
        self.react_us.saturating_add(FREEZES_US)
    }
}

impl Default for GovernorTerms {
    fn default() -> Self {
        Self {
            // Of the thirty seconds within which grids want an answer.
            meet_us: 25_000_000,
            react_us: REACT_US,
            hold_us: 60_000_000,
            return_us: 15_000_000,
            spare_milli: 20,
            level_milli_min: 700,
        }
    }
}

/// A site as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// What it may draw, or will have to soon; `None` where nobody says.
    pub cap: Option<Cap>,
    /// What it draws at its meter, in watts.
    pub drawn_watts: u64,
    /// How old that is, in microseconds.
    pub age_us: u64,
    /// How much of it came out of nothing, and this look alone says: a second one may say that it was wrong.
    pub sudden_watts: u64,
    /// A meter is not believed, and what it is taken to say errs on the side of the cap.
    pub doubted: bool,
    /// How fast it may rise by itself, in watts a second.
    pub rise_watts_per_s: u64,
    /// Power usage effectiveness, in thousandths.
    pub pue_milli: u32,
    /// What draws it.
    pub loads: Vec<Load>,
    /// Other sites serve what this one does.
    pub elsewhere: bool,
}

/// An act in force.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Taken {
    act: Act,
    at: Micros,
    saves_watts: u64,
    /// What it bounded of what might rise.
    bounds_watts: u64,
    takes_us: u64,
    /// What was drawn before it, less what others were credited with since.
    drawn_before: u64,
    is_seen: bool,
    /// It was taken for what one look alone said, and no other one has yet.
    is_unproved: bool,
    /// When a turn is handed over, where that is before it is used up.
    ends_at: Option<Micros>,
}

/// A run that was let begin.
#[derive(Clone, Copy, Debug)]
struct Begin {
    /// What it may draw at the meter.
    watts: u64,
    at: Micros,
    /// What was drawn at the look before.
    drawn_before: u64,
    /// Since when it is there; what is read may be older.
    seen_at: Option<Micros>,
}

/// A site's governor.
#[derive(Clone, Debug, Default)]
pub struct Governor {
    terms: GovernorTerms,
    /// Acts in force, the first taken first.
    taken: Vec<Taken>,
    /// The cap of the last look, and when a lower one than before came.
    cap: Option<Cap>,
    fell_at: Option<Micros>,
    /// When an act was taken or given back last.
    changed_at: Option<Micros>,
    /// When power was short last, and a run was let begin last while it may still be.
    bent_at: Option<Micros>,
    let_at: Option<Micros>,
    /// What was drawn at the last look.
    drawn_watts: u64,
    /// Runs that were let begin and that no reading shows yet.
    begins: BTreeMap<RunId, Begin>,
    /// Runs that were let go on and that no meter shows yet.
    backs: Backs,
    /// How long runs stood still before, in microseconds.
    stood: BTreeMap<RunId, u64>,
    /// How long runs that may be slowed may stand in their turn.
    turns: Turns,
    /// What whoever governed before this one noted of runs, until they are there.
    noted: Option<Noted>,
    /// What may be drawn once all that was decided holds, and what is missing where nothing is left that bends.
    expected_watts: u64,
    lacks_watts: u64,
    log: VecDeque<PowerLine>,
}

impl Governor {
    /// A governor of a site of which nothing is known.
    pub fn new(terms: GovernorTerms) -> Self {
        Self {
            terms,
            ..Self::default()
        }
    }

    /// Other terms from now on.
    pub fn terms(&mut self, terms: GovernorTerms) {
        self.terms = terms;
    }

    /// Looks at the site, and decides.
    pub fn look(&mut self, now: Micros, scene: &Scene) {
        self.drawn_watts = scene.drawn_watts;
        self.follow_cap(now, scene);
        self.follow_runs(now, scene);
        self.hand_over(now, scene);
        self.see(now, scene);
        let pending = self.expect(now, scene);
        let Some(cap) = scene.cap.as_ref().map(|cap| cap.watts) else {
            self.say_short(now, scene, 0);
            return self.give_back(now, scene, u64::MAX);
        };
        if self.expected_watts > cap {
            let lacks = self.bend(now, scene, self.expected_watts - cap);
            // What acts are thought to save may be more together than there is to save.
            let lacks = lacks.max(ladder::least_watts(scene).saturating_sub(cap));
            self.say_short(now, scene, lacks);
            if scene.sudden_watts == 0 {
                self.taken
                    .iter_mut()
                    .for_each(|taken| taken.is_unproved = false);
            }
        } else {
            self.say_short(now, scene, 0);
            // Nothing comes back by what others are thought to save, or into what others may draw again, and no meter shows yet.
            let unseen = pending.saturating_add(self.backs.unseen_watts(scene));
            let room = (cap - self.expected_watts).saturating_sub(unseen);
            let room = self.undo(now, scene, room);
            let room = self.spare_turns(now, scene, room);
            self.give_back(now, scene, room);
        }
        if !self.taken.is_empty() {
            self.bent_at = Some(now);
        }
    }

    /// What is to be done as things stand: the whole of it, each time.
    pub fn orders(&self) -> Orders {
        Orders::of(self.taken.iter().map(|taken| &taken.act))
    }

    /// Lets a run begin that may draw so much at the meter, where there is room for it beside all else.
    ///
    /// # Errors
    /// What is in its way.
    pub fn let_begin(&mut self, now: Micros, run: RunId, needs_watts: u64) -> Result<(), NoPower> {
        let Some(cap) = self.cap.as_ref().map(|cap| cap.watts) else {
            return self.let_gently(now, run, 0);
        };
        let with_spare = needs_watts.saturating_add(self.spare(cap));
        if !self.taken.is_empty() || self.expected_watts.saturating_add(with_spare) > cap {
            return Err(NoPower::Short {
                drawn_watts: self.expected_watts,
                cap_watts: cap,
                needs_watts,
            });
        }
        self.let_gently(now, run, needs_watts)
    }

    fn let_gently(&mut self, now: Micros, run: RunId, watts: u64) -> Result<(), NoPower> {
        let within = |at: Option<Micros>, us| at.is_some_and(|at| now.since_us(at) < us);
        if within(self.bent_at, GENTLE_US) && within(self.let_at, self.terms.return_us) {
            return Err(NoPower::Returning);
        }
        self.let_at = Some(now);
        let begin = Begin {
            watts,
            at: now,
            drawn_before: self.drawn_watts,
            seen_at: None,
        };
        if self.begins.insert(run, begin).is_none() {
            self.expected_watts = self.expected_watts.saturating_add(watts);
        }
        Ok(())
    }

    /// What runs that begin may draw besides, in watts at the meter: nothing while something is bent. `None` where there is no cap.
    pub fn headroom_watts(&self) -> Option<u64> {
        let cap = self.cap.as_ref()?.watts;
        let taken = self.expected_watts.saturating_add(self.spare(cap));
        match self.taken.is_empty() {
            true => Some(cap.saturating_sub(taken)),
            false => Some(0),
        }
    }

    /// What may be drawn once all that was decided holds, in watts at the meter.
    pub fn expected_watts(&self) -> u64 {
        self.expected_watts
    }

    /// What is over the cap though nothing is left that bends, in watts.
    pub fn lacks_watts(&self) -> u64 {
        self.lacks_watts
    }

    /// Acts in force, since when each, and what each is thought to save, in watts.
    pub fn acts(&self) -> impl Iterator<Item = (&Act, Micros, u64)> {
        let taken = self.taken.iter();
        taken.map(|taken| (&taken.act, taken.at, taken.saves_watts))
    }

    /// What it did, the newest last; at most [`LOG_LINES_MAX`].
    pub fn log(&self) -> impl DoubleEndedIterator<Item = &PowerLine> {
        self.log.iter()
    }

    fn follow_cap(&mut self, now: Micros, scene: &Scene) {
        let watts = |cap: &Option<Cap>| cap.as_ref().map_or(u64::MAX, |cap| cap.watts);
        if watts(&scene.cap) < watts(&self.cap) {
            self.fell_at = Some(now);
        }
        self.cap.clone_from(&scene.cap);
    }

    /// Works out what may be drawn once all that was decided holds; what of it acts are thought to save and no meter shows yet, in watts.
    fn expect(&mut self, now: Micros, scene: &Scene) -> u64 {
        let risen = self.may_rise(now, scene, &self.orders());
        let (comes, coming) = self.promised(scene);
        let pending = self.pending(now, scene);
        let rises = scene.drawn_watts.saturating_add(risen);
        let ending = self.ending_watts(now, scene);
        let all = rises.saturating_add(comes).saturating_add(ending);
        // All that is there draws no more than it can.
        let most = scene.loads.iter().map(|load| load.profile.full_watts).sum();
        let most = at_meter(most, scene.pue_milli).max(rises);
        self.expected_watts = all.min(most).saturating_add(coming).saturating_sub(pending);
        pending
    }

    /// What runs that were let begin may draw that no meter shows yet, in watts: of those that are there, and of those that are not there
    /// yet.
    fn promised(&self, scene: &Scene) -> (u64, u64) {
        let (there, coming): (Vec<&Begin>, Vec<&Begin>) =
            (self.begins.values()).partition(|begin| begin.seen_at.is_some());
        let there = there.iter().map(|begin| (begin.watts, begin.drawn_before));
        let coming = coming.iter().map(|begin| begin.watts).sum();
        (back::unseen_watts(scene, there), coming)
    }

    /// By when what is over the cap must be under it.
    fn deadline(&self, now: Micros) -> Micros {
        let soon = now.plus_us(self.terms.react_us);
        let met = self.fell_at.map(|at| at.plus_us(self.terms.meet_us));
        met.map_or(soon, |met| met.max(soon))
    }

    /// What acts will have saved by the deadline that what is read does not show yet, in watts at the meter.
    fn pending(&self, now: Micros, scene: &Scene) -> u64 {
        let deadline = self.deadline(now);
        let unseen = self.taken.iter().filter(|taken| {
            let holds_at = taken.at.plus_us(taken.takes_us);
            holds_at <= deadline && !is_shown(now, scene, holds_at)
        });
        unseen.map(|taken| taken.saves_watts).sum()
    }

    /// Which act comes back first: the last of those that engines meet, as people wait there; then of turns, which are taken anew all the
    /// while; then of runs that stand.
    fn first_back(&self) -> Option<usize> {
        let last = |is_it: fn(&Act) -> bool| self.taken.iter().rposition(|taken| is_it(&taken.act));
        last(|act| act.run().is_none())
            .or_else(|| last(|act| matches!(act, Act::Slow(_))))
            .or_else(|| self.taken.len().checked_sub(1))
    }

    /// Takes an act back where there is room for what it frees.
    fn give_back(&mut self, now: Micros, scene: &Scene, room_watts: u64) {
        let Some((at, last)) = self
            .first_back()
            .and_then(|at| Some((at, self.taken.get(at)?)))
        else {
            return;
        };
        let since = |at: Option<Micros>| at.map_or(u64::MAX, |at| now.since_us(at));
        if since(self.changed_at) < self.terms.return_us
            || now.since_us(last.at) < self.terms.hold_us
        {
            return;
        }
        let frees = self.frees_watts(now, scene, at);
        let brief = match last.act.run() {
            Some(_) => 0,
            None => self.brief_watts(now, scene),
        };
        let needs = frees.saturating_add(self.spare_of(scene));
        if room_watts < needs.saturating_add(brief) {
            return;
        }
        self.give(now, scene, at);
        self.changed_at = Some(now);
    }

    /// What was done for a reading that no other one bears out is undone as soon as the meter shows that there is room for it; what room is
    /// left then.
    fn undo(&mut self, now: Micros, scene: &Scene, mut room_watts: u64) -> u64 {
        let spare = self.spare_of(scene);
        // From the end, as places before it stay.
        for at in (0..self.taken.len()).rev() {
            let taken = &mut self.taken[at];
            let holds_at = taken.at.plus_us(taken.takes_us);
            if !taken.is_unproved || !is_shown(now, scene, holds_at) {
                continue;
            }
            taken.is_unproved = false;
            let frees = self.frees_watts(now, scene, at);
            if room_watts >= frees.saturating_add(spare) {
                room_watts -= frees;
                self.give(now, scene, at);
            }
        }
        room_watts
    }

    /// An act of `taken` is over: what it frees is expected to be drawn.
    fn give(&mut self, now: Micros, scene: &Scene, at: usize) {
        let frees = self.frees_watts(now, scene, at);
        self.expected_watts = self.expected_watts.saturating_add(frees);
        let Taken { act, at, .. } = self.taken.remove(at);
        if let Act::Pause(run) = &act {
            *self.stood.entry(*run).or_default() += now.since_us(at);
        }
        if let Some(run) = act.run() {
            self.backs.add(now, scene, (run, frees));
        }
        self.say(now, scene, PowerDeed::Gave { act });
    }

    /// What an act that is taken back lets be drawn, at the meter, in watts.
    fn frees_watts(&self, now: Micros, scene: &Scene, at: usize) -> u64 {
        let taken = &self.taken[at];
        match taken.act.run() {
            Some(run) => at_meter(ladder::pause_frees(scene, run), scene.pue_milli),
            None => (taken.saves_watts.saturating_add(taken.bounds_watts))
                .max(self.wakes_watts(now, scene, at)),
        }
    }

    fn spare_of(&self, scene: &Scene) -> u64 {
        scene.cap.as_ref().map_or(0, |cap| self.spare(cap.watts))
    }

    fn spare(&self, cap_watts: u64) -> u64 {
        cap_watts.saturating_mul(u64::from(self.terms.spare_milli)) / 1_000
    }

    fn say_short(&mut self, now: Micros, scene: &Scene, lacks_watts: u64) {
        let before = std::mem::replace(&mut self.lacks_watts, lacks_watts);
        match (before, lacks_watts) {
            (0, 1..) => self.say(now, scene, PowerDeed::Short { lacks_watts }),
            (1.., 0) => self.say(now, scene, PowerDeed::Met),
            _ => {}
        }
    }

    fn say(&mut self, now: Micros, scene: &Scene, what: PowerDeed) {
        if self.log.len() >= LOG_LINES_MAX {
            self.log.pop_front();
        }
        self.log.push_back(PowerLine {
            at: now,
            what,
            drawn_watts: scene.drawn_watts,
            cap_watts: scene.cap.as_ref().map(|cap| cap.watts),
        });
    }
}

/// Whether what is read shows what holds since then: meters tell averages, and readings are old.
fn is_shown(now: Micros, scene: &Scene, holds_at: Micros) -> bool {
    let us = scene.age_us.saturating_add(METER_US);
    now >= holds_at.plus_us(us)
}

fn signed(watts: u64) -> i64 {
    i64::try_from(watts).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
