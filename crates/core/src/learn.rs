//! Averages that forget. They use addition, multiplication, division and square roots only, which IEEE 754 defines to the last
//! bit: a replay gives the same numbers on every machine.

/// A mean in which each new value weighs `part`, and which begins at a prior.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mean {
    pub value: f64,
    /// Values seen.
    pub count: u64,
}

impl Mean {
    pub fn new(prior: f64) -> Self {
        Self {
            value: prior,
            count: 0,
        }
    }

    /// Takes a value. The first ones weigh more, so that the prior is forgotten soon.
    pub fn add(&mut self, value: f64, part: f64) {
        self.count = self.count.saturating_add(1);
        let seen = whole(self.count);
        let weight = (1.0 / (seen + 1.0)).max(part);
        self.value += (value - self.value) * weight;
    }
}

/// A sum that loses its content evenly over time: the amount per second of late, over about `SPAN` seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate<const SPAN_MS: u64> {
    sum: f64,
    at_us: i64,
}

impl<const SPAN_MS: u64> Rate<SPAN_MS> {
    pub fn add(&mut self, now_us: i64, amount: f64) {
        self.fade(now_us);
        self.sum += amount;
    }

    /// The amount per second. Looking changes nothing: fading in two steps is not to the last bit fading in one, and who looks
    /// at a status must not change what is decided.
    pub fn per_second(&self, now_us: i64) -> f64 {
        let mut faded = *self;
        faded.fade(now_us);
        faded.sum * 1000.0 / whole(SPAN_MS)
    }

    /// The amount per second since `since_us`, of a sum that was empty then: what of the span was before is not counted, but for
    /// half of it, lest one large amount at the beginning look like many.
    pub fn per_second_since(&self, now_us: i64, since_us: i64) -> f64 {
        let half_us = i64::try_from(SPAN_MS * 500).unwrap_or(i64::MAX);
        let mut missing = Self {
            sum: 1.0,
            at_us: since_us.min(now_us.saturating_sub(half_us)),
        };
        missing.fade(now_us);
        self.per_second(now_us) / (1.0 - missing.sum).max(f64::EPSILON)
    }

    /// Exponential decay by halves of small steps: exact products only.
    fn fade(&mut self, now_us: i64) {
        let elapsed = now_us.saturating_sub(self.at_us);
        if elapsed <= 0 {
            return;
        }
        self.at_us = now_us;
        let span_us = whole(SPAN_MS) * 1000.0;
        let mut parts = signed(elapsed) / span_us;
        if parts > 20.0 {
            self.sum = 0.0;
            return;
        }
        // (1 − x/8)^8 is e^−x within 7 % for x ≤ 1.
        while parts > 0.0 {
            let part = parts.min(1.0);
            let eighth = 1.0 - part / 8.0;
            let quarter = eighth * eighth;
            let half = quarter * quarter;
            self.sum *= half * half;
            parts -= part;
        }
    }
}

/// The greatest value of late: what was seen fades over about `SPAN`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak<const SPAN_MS: u64> {
    value: f64,
    at_us: i64,
}

impl<const SPAN_MS: u64> Peak<SPAN_MS> {
    /// Takes a value; the greatest of late, that one among them.
    pub fn follow(&mut self, now_us: i64, value: f64) -> f64 {
        let elapsed_us = signed(now_us.saturating_sub(self.at_us).max(0));
        let kept = (1.0 - elapsed_us / (whole(SPAN_MS) * 1000.0)).max(0.0);
        self.value = value.max(self.value * kept);
        self.at_us = now_us;
        self.value
    }

    /// What it was when it was followed last.
    pub fn value(&self) -> f64 {
        self.value
    }
}

/// As a double; exact below 2^53, which no count or span here reaches.
pub(crate) fn whole(number: u64) -> f64 {
    number as f64
}

/// As a double; exact where [`whole`] is.
pub(crate) fn signed(number: i64) -> f64 {
    number as f64
}

/// As a whole number, held at the type's ends (`as` does so; no number is zero).
pub(crate) fn rounded(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_leaves_its_prior_and_then_moves_slowly() {
        let mut mean = Mean::new(100.0);
        mean.add(10.0, 0.1);
        assert!((mean.value - 55.0).abs() < 1e-9, "{mean:?}");
        for _ in 0..100 {
            mean.add(10.0, 0.1);
        }
        assert!((mean.value - 10.0).abs() < 0.1, "{mean:?}");
    }

    #[test]
    fn a_rate_fades_and_a_clock_that_goes_back_does_nothing() {
        let mut rate = Rate::<10_000>::default();
        for second in 0..100 {
            rate.add(second * 1_000_000, 5.0);
        }
        assert!((rate.per_second(99_000_000) - 5.0).abs() < 0.5, "{rate:?}");
        let before = rate.per_second(99_000_000);
        assert!((rate.per_second(50_000_000) - before).abs() < 1e-9);
        assert!(rate.per_second(400_000_000) < 1e-9);
    }
}
