//! How long to wait before the next start. Pure: no clock.

use std::time::Duration;

/// Bounds of the waits between starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffOptions {
    /// The first wait, in milliseconds.
    pub first_ms: u64,
    /// The longest wait, in milliseconds.
    pub wait_ms_max: u64,
    /// An engine that was ready for this long starts the waits anew, in milliseconds.
    pub reset_after_ms: u64,
}

impl Default for BackoffOptions {
    fn default() -> Self {
        Self {
            first_ms: 1_000,
            wait_ms_max: 60_000,
            reset_after_ms: 60_000,
        }
    }
}

/// Counts failures in a row and gives the wait after each.
#[derive(Clone, Debug)]
pub struct Backoff {
    options: BackoffOptions,
    failures_count: u32,
}

impl Backoff {
    /// No failure yet.
    pub fn new(options: BackoffOptions) -> Self {
        Self {
            options,
            failures_count: 0,
        }
    }

    /// Failures in a row so far.
    pub fn failures_count(&self) -> u32 {
        self.failures_count
    }

    /// The wait after an engine ended that had been ready for `ready_for` (zero: never was).
    pub fn on_end(&mut self, ready_for: Duration) -> Duration {
        if ready_for >= Duration::from_millis(self.options.reset_after_ms) {
            self.failures_count = 0;
        }
        // 2^16 first waits is beyond any sensible longest wait, so the shift cannot overflow.
        let doublings = self.failures_count.min(16);
        self.failures_count = self.failures_count.saturating_add(1);
        let wait_ms = self.options.first_ms.saturating_mul(1 << doublings);
        Duration::from_millis(wait_ms.min(self.options.wait_ms_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_longest_and_start_anew_after_health() {
        let mut backoff = Backoff::new(BackoffOptions::default());
        // seconds ready before the end, seconds to wait
        let cases = [
            (0, 1),
            (0, 2),
            (5, 4),
            (59, 8),
            (0, 16),
            (0, 32),
            (0, 60),
            (0, 60),
            (60, 1),
            (0, 2),
            (3600, 1),
        ];
        for (step, (ready_s, wait_s)) in cases.into_iter().enumerate() {
            let wait = backoff.on_end(Duration::from_secs(ready_s));
            assert_eq!(wait, Duration::from_secs(wait_s), "step {step}");
        }
    }

    #[test]
    fn a_hundred_thousand_failures_overflow_nothing() {
        let mut backoff = Backoff::new(BackoffOptions {
            first_ms: u64::MAX / 2,
            wait_ms_max: 7,
            reset_after_ms: 1,
        });
        for _ in 0..100_000 {
            assert_eq!(backoff.on_end(Duration::ZERO), Duration::from_millis(7));
        }
        assert_eq!(backoff.failures_count(), 100_000);
    }
}
