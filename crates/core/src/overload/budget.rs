//! Further attempts as a part of first ones: a bucket that each first attempt fills a little.

use madang_types::Micros;

/// Thousandths of an attempt.
const ONE: u64 = 1_000;

/// A bucket of attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    level: u64,
    max: u64,
    /// Attempts a second that it gains by itself, so that quiet pools have some.
    per_second: u64,
    filled_at: Micros,
}

impl Budget {
    /// Ten a second beside the part, at most a hundred at once.
    pub fn retries() -> Self {
        Self {
            level: 10 * ONE,
            max: 100 * ONE,
            per_second: 10,
            filled_at: Micros(0),
        }
    }

    /// Nothing beside the part, at most ten at once.
    pub fn hedges() -> Self {
        Self {
            level: ONE,
            max: 10 * ONE,
            per_second: 0,
            filled_at: Micros(0),
        }
    }

    /// A first attempt was made.
    pub fn earn(&mut self, percent: u32) {
        let gain = u64::from(percent) * ONE / 100;
        self.level = (self.level + gain).min(self.max);
    }

    /// Takes one attempt, if there is one.
    pub fn spend(&mut self, now: Micros) -> bool {
        let elapsed_us = now.since_us(self.filled_at).min(10_000_000);
        let gain = elapsed_us * self.per_second * ONE / 1_000_000;
        if gain > 0 {
            self.level = (self.level + gain).min(self.max);
        }
        self.filled_at = self.filled_at.max(now);
        let enough = self.level >= ONE;
        if enough {
            self.level -= ONE;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_part_of_first_attempts_and_ten_a_second() {
        let mut budget = Budget::retries();
        let now = Micros(0);
        let spent = (0..100).filter(|_| budget.spend(now)).count();
        assert_eq!(spent, 10);
        for _ in 0..100 {
            budget.earn(20);
        }
        let spent = (0..100).filter(|_| budget.spend(now)).count();
        assert_eq!(spent, 20);
        let spent = (0..100).filter(|_| budget.spend(Micros(1_000_000))).count();
        assert_eq!(spent, 10);
    }
}
