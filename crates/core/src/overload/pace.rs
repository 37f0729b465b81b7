//! How fast those who wait are started: counted only while somebody waits, since an idle pool says nothing of a busy one.

use crate::learn::whole;
use madang_types::Micros;

/// Before so much was seen nothing is said.
const SEEN_US_MIN: u64 = 1_000_000;
const STARTS_MIN: f64 = 3.0;
/// What is older than this counts half.
const HALVED_US: u64 = 10_000_000;

/// Starts from the queue, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    since: Micros,
    starts: f64,
}

impl Pace {
    /// Somebody waits where nobody did.
    pub fn begin(now: Micros) -> Self {
        Self {
            since: now,
            starts: 0.0,
        }
    }

    /// One of those who waited was started.
    pub fn started(&mut self, now: Micros) {
        self.starts += 1.0;
        let elapsed_us = now.since_us(self.since);
        if elapsed_us > HALVED_US {
            let half = i64::try_from(elapsed_us / 2).unwrap_or(0);
            self.since = Micros(self.since.0.saturating_add(half));
            self.starts /= 2.0;
        }
    }

    /// Starts a second; `None` while too little was seen.
    pub fn per_second(&self, now: Micros) -> Option<f64> {
        let elapsed_us = now.since_us(self.since);
        (elapsed_us >= SEEN_US_MIN && self.starts >= STARTS_MIN)
            .then(|| self.starts * 1e6 / whole(elapsed_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_that_of_the_time_in_which_somebody_waited() {
        let mut pace = Pace::begin(Micros(1_000_000_000));
        let at = |ms: i64| Micros(1_000_000_000 + ms * 1000);
        pace.started(at(500));
        pace.started(at(1_000));
        assert_eq!(pace.per_second(at(1_000)), None);
        pace.started(at(1_500));
        assert_eq!(pace.per_second(at(1_500)), Some(2.0));
        for step in 4..200 {
            pace.started(at(step * 250));
        }
        let rate = pace.per_second(at(50_000)).unwrap();
        assert!((3.5..4.5).contains(&rate), "{rate}");
    }
}
