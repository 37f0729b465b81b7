//! What an engine draws, as a meter beside it sees it, and a limit that slows it.
//!
//! Watts are those of the last second on the wall; energy is counted on the wall's clock too, whatever the speed of the model's.

use super::power::Spent;
use super::server::Engine;
use madang_core::power::model::{PowerProfile, Stretch, millijoules};
use std::collections::VecDeque;

/// Time over which power is told, on the wall, in nanoseconds.
const WINDOW_NS: u64 = 1_000_000_000;
/// Least time between two marks, on the wall, in nanoseconds.
const MARK_NS: u64 = 50_000_000;

/// What it draws, and may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// In the last second, in watts.
    pub watts: u64,
    /// Since the start, in thousandths of a joule.
    pub millijoules: u64,
    /// At most, in watts.
    pub limit_watts: u64,
}

/// Counts what an engine draws.
#[derive(Debug)]
pub struct Meter {
    profile: PowerProfile,
    speed: f64,
    limit_watts: u64,
    millijoules: u64,
    /// What was spent at instants of the model's clock, the newest last; the first is about a window old.
    marks: VecDeque<(u64, Spent)>,
}

impl Meter {
    /// Of an engine that draws so, whose time goes `speed` times as fast as that on the wall.
    pub fn new(profile: PowerProfile, speed: f64) -> Self {
        Self {
            profile,
            speed,
            limit_watts: profile.full_watts,
            millijoules: 0,
            marks: VecDeque::from([(0, Spent::default())]),
        }
    }

    /// So many watts at most from now on; `None` lifts the limit.
    pub fn limit(&mut self, watts: Option<u64>) -> Stretch {
        let full_watts = self.profile.full_watts;
        self.limit_watts = watts.map_or(full_watts, |watts| watts.min(full_watts));
        self.profile.stretch(self.limit_watts)
    }

    /// Looks at the engine, where the last look was a while ago.
    pub fn look(&mut self, now_ns: u64, engine: &Engine) {
        let last_ns = self.marks.back().map_or(0, |(at_ns, _)| *at_ns);
        if self.wall(now_ns.saturating_sub(last_ns)) >= MARK_NS {
            self.mark(now_ns, engine.spent(now_ns));
        }
    }

    /// What it draws now.
    pub fn read(&mut self, now_ns: u64, engine: &Engine) -> Drawn {
        let spent = engine.spent(now_ns);
        self.mark(now_ns, spent);
        let (at_ns, before) = self.marks.front().copied().unwrap_or_default();
        Drawn {
            watts: self.watts((at_ns, before), (now_ns, spent)),
            millijoules: self.millijoules,
            limit_watts: self.limit_watts,
        }
    }

    fn mark(&mut self, now_ns: u64, spent: Spent) {
        let (last_ns, last) = self.marks.back().copied().unwrap_or_default();
        if now_ns <= last_ns {
            return;
        }
        let watts = self.watts((last_ns, last), (now_ns, spent));
        let span_us = self.wall(now_ns - last_ns) / 1_000;
        self.millijoules = self.millijoules.saturating_add(millijoules(watts, span_us));
        self.marks.push_back((now_ns, spent));
        while let Some((second_ns, _)) = self.marks.get(1)
            && self.wall(now_ns - second_ns) >= WINDOW_NS
        {
            self.marks.pop_front();
        }
    }

    fn watts(&self, (from_ns, before): (u64, Spent), (now_ns, spent): (u64, Spent)) -> u64 {
        let mix = spent.mix(&before, now_ns.saturating_sub(from_ns));
        let watts = self.profile.watts(self.profile.used_milli(mix));
        watts.min(self.limit_watts.max(self.profile.idle_watts))
    }

    /// Time on the wall of a span of the model's.
    fn wall(&self, span_ns: u64) -> u64 {
        (span_ns as f64 / self.speed) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineRequest, Profile, rated};
    use std::sync::Arc;

    const S_NS: u64 = 1_000_000_000;

    #[test]
    fn what_is_drawn_is_that_of_the_last_second_and_no_more_than_the_limit() {
        let profile = Profile::named("h100-8b").unwrap();
        let power = rated(profile);
        let mut engine = Engine::new(profile.clone()).stepwise();
        let mut meter = Meter::new(power, 10.0);
        let idle = meter.read(50 * S_NS, &engine);
        assert_eq!(idle.watts, power.idle_watts);
        assert_eq!(idle.millijoules, power.idle_watts * 5_000);
        for tag in 0..32 {
            let request = EngineRequest {
                tag,
                prompt_tokens: 2_000,
                output_tokens: 20_000,
                blocks: Arc::new([]),
                block_tokens: 16,
            };
            engine.submit(50 * S_NS, request);
        }
        let step = |engine: &mut Engine, meter: &mut Meter, until_ns| {
            while let Some(at_ns) = engine.next_at_ns().filter(|at| *at < until_ns) {
                engine.advance(at_ns, &mut Vec::new());
                meter.look(at_ns, engine);
            }
            meter.read(until_ns, engine)
        };
        let busy = step(&mut engine, &mut meter, 80 * S_NS);
        assert!(
            busy.watts > power.idle_watts + power.dynamic_watts() / 2,
            "{busy:?}"
        );
        assert_eq!(busy.limit_watts, power.full_watts);
        let limit = power.limit_watts(600);
        let stretch = meter.limit(Some(limit));
        engine.stretch(80 * S_NS, stretch);
        let bound = step(&mut engine, &mut meter, 110 * S_NS);
        assert!(bound.watts <= limit, "{bound:?}");
        assert_eq!(bound.limit_watts, limit);
        let spent = bound.millijoules - busy.millijoules;
        assert!(
            spent <= limit * 3_000 && spent > power.idle_watts * 3_000,
            "{spent}"
        );
        assert_eq!(meter.limit(None), Stretch::NONE);
    }
}
