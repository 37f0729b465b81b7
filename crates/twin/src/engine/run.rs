//! A run of iterations that are alike: the same sequences decode, each holding more tokens each time.

use super::speculation::Pace;

/// Iterations under way. Times are picoseconds, so that many at once end when one after the other would; those of the clock are wide, since 64
/// bits hold 213 days.
#[derive(Debug)]
pub(super) struct Run {
    start_ps: u128,
    /// Time of the first iteration.
    first_ps: u64,
    /// How much longer an iteration is for each token that every sequence has made since.
    growth_ps: u64,
    pace: Pace,
    /// Iterations of the engine before them.
    from: u64,
    /// How many.
    pub iterations: u64,
}

/// An instant of the clock, in picoseconds.
pub(super) fn clock_ps(now_ns: u64) -> u128 {
    u128::from(now_ns) * 1000
}

impl Run {
    pub fn new(
        start_ps: u128,
        (first_ps, growth_ps): (u64, u64),
        (pace, from): (Pace, u64),
        iterations: u64,
    ) -> Self {
        Self {
            start_ps,
            first_ps,
            growth_ps,
            pace,
            from,
            iterations,
        }
    }

    /// Time of the first `count` iterations.
    fn span_ps(&self, count: u64) -> u64 {
        let made = self.pace.sum(self.from, count);
        self.first_ps
            .saturating_mul(count)
            .saturating_add(self.growth_ps.saturating_mul(made))
    }

    pub fn end_ps(&self) -> u128 {
        self.start_ps + u128::from(self.span_ps(self.iterations))
    }

    /// Time of it that is over at `now_ps`.
    pub fn elapsed_ps(&self, now_ps: u128) -> u64 {
        let elapsed_ps = now_ps.min(self.end_ps()).saturating_sub(self.start_ps);
        u64::try_from(elapsed_ps).unwrap_or(u64::MAX)
    }

    pub fn end_ns(&self) -> u64 {
        let end_ps = self.end_ps();
        // Wide numbers are slow to divide, and this is asked often.
        match u64::try_from(end_ps) {
            Ok(end_ps) => end_ps.div_ceil(1000),
            Err(_) => u64::try_from(end_ps.div_ceil(1000)).unwrap_or(u64::MAX),
        }
    }

    /// Iterations that are over at `now_ns`.
    pub fn done(&self, now_ns: u64) -> u64 {
        let elapsed_ps = clock_ps(now_ns).saturating_sub(self.start_ps);
        let elapsed_ps = u64::try_from(elapsed_ps).unwrap_or(u64::MAX);
        // The last count whose span fits; a step takes time, so the bound by the first one holds.
        let mut low = 0;
        let mut high = self.iterations.min(elapsed_ps / self.first_ps.max(1));
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.span_ps(middle) <= elapsed_ps {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        low
    }
}
