//! The model's time: nanoseconds since the start, `speed` times as fast as the clock on the wall.

use std::time::Duration;
use tokio::time::Instant;

/// Never goes back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScaledClock {
    start: Instant,
    speed: f64,
}

impl ScaledClock {
    pub fn new(speed: f64) -> Self {
        Self {
            start: Instant::now(),
            speed,
        }
    }

    /// The model's time at an instant.
    pub fn ns_at(&self, instant: Instant) -> u64 {
        let real_ns = instant.duration_since(self.start).as_nanos() as f64;
        (real_ns * self.speed) as u64
    }

    /// Time on the wall of a span of the model's.
    pub fn on_wall(&self, span_ns: u64) -> Duration {
        Duration::from_nanos(span_ns).div_f64(self.speed)
    }

    /// The first instant at which the model's time is `ns` or later.
    pub fn instant_of(&self, ns: u64) -> Instant {
        let real_ns = (ns as f64 / self.speed).ceil() as u64;
        self.start + Duration::from_nanos(real_ns.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_instant_is_never_before_its_model_time() {
        for speed in [0.001, 1.0, 3.7, 10.0, 999.9] {
            let clock = ScaledClock::new(speed);
            for ns in [0, 1, 12_345_678, 3_600_000_000_000] {
                assert!(clock.ns_at(clock.instant_of(ns)) >= ns, "{speed} {ns}");
            }
        }
    }
}
