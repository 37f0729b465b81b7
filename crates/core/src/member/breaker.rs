//! The circuit breaker: failures in a row take a member out, one request tries it again, success brings it back slowly.

use madang_types::Micros;

/// Failed attempts in a row after which a member is left out, whatever its probes say.
const OPEN_AFTER_FAILURES: u32 = 3;
/// For how long; doubled for each time in a row that its trial fails.
const OPEN_MS: u64 = 5_000;
const OPEN_DOUBLINGS_MAX: u32 = 4;
/// Sequences of a member that is on its way back; each answer adds one, until all of its slots are free again.
const TRIAL_SLOTS: u32 = 1;

/// A member's standing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    open_until: Option<Micros>,
    /// It fails, and stays in as the last of its pool: until then whoever may have another model goes there.
    failing_until: Option<Micros>,
    /// Times in a row that it was opened.
    opened: u32,
    /// While it comes back: sequences that it may have. `None`: all.
    ramp: Option<u32>,
}

impl Breaker {
    /// Takes nothing now.
    pub fn is_open(&self, now: Micros) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }

    /// The last of its pool, and failing: who can go elsewhere should.
    pub fn is_failing(&self, now: Micros) -> bool {
        self.failing_until.is_some_and(|until| now < until)
    }

    /// Of `slots`, those that may be used.
    pub fn slots(&self, slots: u32) -> u32 {
        self.ramp.map_or(slots, |ramp| ramp.min(slots)).max(1)
    }

    /// It serves (again): a few at first.
    pub fn begin_slowly(&mut self, slots: u32) {
        *self = Self {
            ramp: Some((slots / 8).max(TRIAL_SLOTS)),
            ..Self::default()
        };
    }

    /// Everything is forgotten: a probe says that it is another engine now, or that it is down.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// An answer came.
    pub fn succeeded(&mut self, slots: u32) {
        self.failures = 0;
        self.opened = 0;
        self.open_until = None;
        self.failing_until = None;
        // Two more for each answer: as fast as answers prove it, all within a doubling or so of its slots.
        self.ramp = self
            .ramp
            .map(|ramp| ramp.saturating_add(2))
            .filter(|ramp| *ramp < slots);
    }

    /// An attempt failed by the engine's fault. `last`: its pool has no other that serves; then it is never left out.
    pub fn failed(&mut self, now: Micros, last: bool) {
        self.failures = self.failures.saturating_add(1);
        let on_trial = self.opened > 0;
        if self.failures < OPEN_AFTER_FAILURES && (last || !on_trial) {
            return;
        }
        if last {
            self.failing_until = Some(now.plus_ms(OPEN_MS));
            return;
        }
        let span_ms = OPEN_MS << self.opened.min(OPEN_DOUBLINGS_MAX);
        self.open_until = Some(now.plus_ms(span_ms));
        self.opened = self.opened.saturating_add(1);
        self.failures = 0;
        self.ramp = Some(TRIAL_SLOTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_open_it_a_failed_trial_doubles_the_rest_and_success_ramps() {
        let mut breaker = Breaker::default();
        let now = Micros(0);
        breaker.failed(now, false);
        breaker.failed(now, false);
        assert!(!breaker.is_open(now));
        breaker.failed(now, false);
        assert!(breaker.is_open(now.plus_ms(4_999)) && !breaker.is_open(now.plus_ms(5_000)));
        assert_eq!(breaker.slots(64), 1);
        breaker.failed(now.plus_ms(5_000), false);
        assert!(breaker.is_open(now.plus_ms(14_999)) && !breaker.is_open(now.plus_ms(15_000)));
        breaker.succeeded(64);
        assert_eq!(breaker.slots(64), 3);
        for _ in 0..31 {
            breaker.succeeded(64);
        }
        assert_eq!(breaker.slots(64), 64);
    }

    #[test]
    fn the_last_of_a_pool_is_never_left_out() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            breaker.failed(Micros(0), true);
        }
        let after = Micros(0).plus_ms(5_000);
        assert!(!breaker.is_open(Micros(0)));
        assert!(breaker.is_failing(Micros(0)) && !breaker.is_failing(after));
        breaker.failed(after, true);
        assert!(breaker.is_failing(after));
        breaker.succeeded(1);
        assert!(!breaker.is_failing(after));
    }
}
