//! A site, its governor, and what is written down of both.

use super::record::{SitePower, Stamp};
use crate::scenario::Scenario;
use crate::scenario::event::EventLine;
use crate::scenario::model::GridEvent;
use madang_core::power::caps::{LEAD_US, lowest_until, watts_of};
use madang_core::power::governor::{Governor, Load, Orders, PowerLine, Scene, rise_watts_per_s};
use madang_core::power::model::at_meter;
use madang_types::{KeyId, Micros, NameError, PowerEvent, PowerEventKind, RunId};

/// Everything is looked at so often.
pub(super) const LOOK_US: u64 = 1_000_000;
/// Beside what an act holds and a step back waits, in microseconds: who stood so long without any change waits for nothing.
const STILL_US: u64 = 60_000_000;
const KILO: f64 = 1e3;
const US_PER_S: f64 = 1e6;
const JOULES_PER_KWH: f64 = 3.6e6;
const S_PER_H: f64 = 3_600.0;

/// A site that may come to its cap.
pub(super) struct GovernedSite {
    standing: Option<u64>,
    pub pue_milli: u32,
    elsewhere: bool,
    rise_milli_per_s: u32,
    governor: Governor,
    /// What is to be done since the last look.
    pub orders: Orders,
    events: Vec<Event>,
    /// What was read at the meter at the last look, and when that was.
    read_watts: u64,
    looked_us: Option<u64>,
    /// When something was bent last.
    pub bent_us: Option<u64>,
    /// Since when neither what is drawn nor what is bent has changed.
    still_since_us: u64,
    still_max_us: u64,
    acts: usize,
    power: SitePower,
    stamp: Stamp,
}

/// An event, and what is measured of it.
struct Event {
    /// Its place among the scenario's.
    place: usize,
    event: PowerEvent,
    line: EventLine,
    joules: f64,
    lasted_s: f64,
}

impl GovernedSite {
    pub fn new(scenario: &Scenario, place: usize) -> Result<Self, NameError> {
        let site = &scenario.sites[place];
        let stamp = Stamp::new(scenario.start);
        let own = scenario.events.iter().enumerate();
        let own = own.filter(|(_, event)| event.site == place);
        let events: Result<Vec<Event>, NameError> = own
            .map(|(at, event)| Event::new(scenario, (at, event), &stamp))
            .collect();
        Ok(Self {
            standing: site.cap_watts,
            pue_milli: site.pue_milli,
            elsewhere: is_served_elsewhere(scenario, place),
            rise_milli_per_s: scenario.rise_milli_per_s,
            governor: Governor::new(scenario.governor),
            orders: Orders::default(),
            events: events?,
            read_watts: 0,
            looked_us: None,
            bent_us: None,
            still_since_us: 0,
            still_max_us: (scenario.governor.hold_us)
                .saturating_add(scenario.governor.return_us)
                .saturating_add(STILL_US),
            acts: 0,
            power: SitePower::new(site),
            stamp,
        })
    }

    /// Lets a run begin whose accelerators draw so much beside what they draw idle, where there is power for it.
    pub fn let_begin(&mut self, now_us: u64, run: RunId, watts: u64) -> bool {
        let watts = at_meter(watts, self.pue_milli);
        let allowed = self.governor.let_begin(micros(now_us), run, watts);
        allowed.is_ok()
    }

    /// Something is bent.
    pub fn is_bent(&self) -> bool {
        self.governor.acts().next().is_some()
    }

    /// Too much is drawn, or what is bent has no room to come back, and no event will change that: with engines idle, nothing will.
    pub fn is_short_for_good(&self, now_us: u64) -> bool {
        let over = self.standing.is_some_and(|cap| self.read_watts > cap);
        let still_us = now_us.saturating_sub(self.still_since_us);
        (over || self.is_bent() && still_us > self.still_max_us)
            && self.changes_us(now_us).is_none()
    }

    /// When an event begins to count, or ends, after that instant.
    pub fn changes_us(&self, now_us: u64) -> Option<u64> {
        let lead = u64::try_from(LEAD_US).unwrap_or(0);
        let times = self.events.iter().flat_map(|event| {
            let (from, until) = (us(event.event.from), event.event.until.map_or(0, us));
            [from.saturating_sub(lead), from, until]
        });
        times.filter(|at_us| *at_us > now_us).min()
    }

    /// Looks at what draws power now, `stood` accelerators of it standing still, and decides.
    pub fn look(&mut self, now_us: u64, loads: Vec<Load>, stood: u64) {
        let drawn_watts = at_meter(loads.iter().map(|load| load.watts).sum(), self.pue_milli);
        let since = self.looked_us.replace(now_us);
        let span_us = since.map_or(0, |before| now_us - before);
        // Where nobody looked for longer nothing changed, and what is read is what is drawn.
        let read_watts = match span_us == LOOK_US {
            true => self.read_watts,
            false => drawn_watts,
        };
        if self.read_watts != drawn_watts {
            self.still_since_us = now_us;
        }
        self.read_watts = drawn_watts;
        self.note(now_us, span_us, (drawn_watts, stood));
        self.baselines(now_us, drawn_watts);
        let now = micros(now_us);
        let known: Vec<PowerEvent> = self
            .events
            .iter()
            .filter(|event| event.event.set_at <= now)
            .map(|event| event.event.clone())
            .collect();
        let until = Micros(now.0.saturating_add(LEAD_US));
        let rise_watts_per_s = rise_watts_per_s(&loads, self.rise_milli_per_s, self.pue_milli);
        let scene = Scene {
            cap: lowest_until(self.standing, &known, Some(read_watts), (now, until)),
            drawn_watts: read_watts,
            age_us: LOOK_US,
            sudden_watts: 0,
            doubted: false,
            rise_watts_per_s,
            pue_milli: self.pue_milli,
            loads,
            elsewhere: self.elsewhere,
        };
        self.governor.look(now, &scene);
        self.orders = self.governor.orders();
        let acts = self.governor.acts().count();
        if acts > 0 {
            self.bent_us = Some(now_us);
        }
        if acts != self.acts {
            (self.acts, self.still_since_us) = (acts, now_us);
        }
        let lines = self.governor.log().rev();
        let mut new: Vec<&PowerLine> = lines.take_while(|line| line.at == now).collect();
        new.reverse();
        for line in new {
            self.power.tell(&self.stamp, line);
        }
        self.come_back(now_us, stood);
    }

    /// What was drawn since the last look.
    fn note(&mut self, now_us: u64, span_us: u64, (watts, stood): (u64, u64)) {
        let over = self.standing.map_or(0, |cap| watts.saturating_sub(cap));
        self.power.drawn(span_us, (watts, over), stood);
        let seconds = span_us as f64 / US_PER_S;
        for event in &mut self.events {
            let (from, until) = (us(event.event.from), event.event.until.map_or(0, us));
            if now_us <= from || now_us > until {
                continue;
            }
            event.lasted_s += seconds;
            event.joules += watts as f64 * seconds;
            event.line.stood_accelerator_h += stood as f64 * seconds / S_PER_H;
            let Some(cap) = watts_of(&event.event, None) else {
                continue;
            };
            match event.line.met_after_s {
                None if watts <= cap => {
                    event.line.met_after_s = Some((now_us - from) as f64 / US_PER_S);
                }
                Some(_) if watts > cap => event.line.over_cap_ms += span_us / 1_000,
                _ => {}
            }
        }
    }

    /// What a cut is a part of is what is drawn when it begins to count.
    fn baselines(&mut self, now_us: u64, drawn_watts: u64) {
        let soon = micros(now_us).0.saturating_add(LEAD_US);
        for event in &mut self.events {
            let counts = event.event.set_at.0 <= micros(now_us).0 && event.event.from.0 <= soon;
            if !counts {
                continue;
            }
            if event.line.baseline_kw.is_none() {
                event.line.baseline_kw = Some(drawn_watts as f64 / KILO);
                if let PowerEventKind::Cut { baseline_watts, .. } = &mut event.event.kind {
                    *baseline_watts = Some(drawn_watts);
                }
                let cap = watts_of(&event.event, None);
                event.line.cap_kw = cap.map(|cap| cap as f64 / KILO);
            }
            // It is met at its beginning where it was told in time.
            let is_met = watts_of(&event.event, None).is_some_and(|cap| drawn_watts <= cap);
            if is_met && us(event.event.from) == now_us {
                event.line.met_after_s = Some(0.0);
            }
        }
    }

    /// When all that was bent has come back after an event.
    fn come_back(&mut self, now_us: u64, stood: u64) {
        if self.is_bent() || stood > 0 {
            return;
        }
        for event in &mut self.events {
            let until = event.event.until.map_or(0, us);
            if now_us >= until && event.line.back_after_s.is_none() {
                event.line.back_after_s = Some((now_us - until) as f64 / US_PER_S);
            }
        }
    }

    /// What is written down of it, and of its events by their places.
    pub fn finish(self) -> (SitePower, Vec<(usize, EventLine)>) {
        let lines = self.events.into_iter().map(|event| {
            let Event {
                place,
                mut line,
                joules,
                lasted_s,
                ..
            } = event;
            if lasted_s > 0.0 {
                line.mean_kw = joules / lasted_s / KILO;
                let baseline = line.baseline_kw.unwrap_or(0.0) * KILO;
                line.saved_kwh = (baseline * lasted_s - joules) / JOULES_PER_KWH;
            }
            (place, line)
        });
        (self.power, lines.collect())
    }
}

impl Event {
    fn new(
        scenario: &Scenario,
        (place, event): (usize, &GridEvent),
        stamp: &Stamp,
    ) -> Result<Self, NameError> {
        let site = &scenario.sites[event.site].id;
        let line = EventLine {
            id: event.id.clone(),
            site: site.to_string(),
            told_at: stamp.at(event.set_us),
            begins_at: stamp.at(event.from_us),
            ends_at: stamp.at(event.until_us),
            baseline_kw: None,
            cap_kw: None,
            met_after_s: None,
            over_cap_ms: 0,
            mean_kw: 0.0,
            saved_kwh: 0.0,
            stood_accelerator_h: 0.0,
            back_after_s: None,
            ttft_p99_ms_before: None,
            ttft_p99_ms_during: None,
            ttft_p99_ms_after: None,
            ttft_p99_ratio: None,
            answered: 0,
            refused: 0,
        };
        let event = PowerEvent {
            id: u64::try_from(place).unwrap_or(u64::MAX),
            site: site.clone(),
            kind: event.kind,
            from: micros(event.from_us),
            until: Some(micros(event.until_us)),
            reason: String::new(),
            set_by: KeyId::new("scenario")?,
            set_at: micros(event.set_us),
            order: None,
        };
        Ok(Self {
            place,
            event,
            line,
            joules: 0.0,
            lasted_s: 0.0,
        })
    }
}

/// Whether some other site serves a model that this one serves.
fn is_served_elsewhere(scenario: &Scenario, place: usize) -> bool {
    let mut here = scenario.engines.iter().filter(|group| group.site == place);
    here.any(|group| {
        let mut others = scenario.engines.iter();
        others.any(|other| other.site != place && other.model == group.model)
    })
}

pub(super) fn micros(us: u64) -> Micros {
    Micros(i64::try_from(us).unwrap_or(i64::MAX))
}

fn us(at: Micros) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}
