//! The iteration that an engine computes next, as it can be told from outside.

use madang_types::Micros;

/// First tokens of one iteration come within this.
const TOGETHER_US: u64 = 5_000;

/// Prompts that were sent since the iteration under way began: they share the next one, and get their first tokens at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NextIteration {
    work_us: u64,
    /// When first tokens came, and the iteration under way began.
    began_at: Micros,
    /// When the first of them was sent, if no prompt was under way: the iteration that was is over when one without prompts is.
    quiet_at: Option<Micros>,
}

impl NextIteration {
    /// Their work, where an iteration without prompts takes so long.
    pub fn work_us(&self, now: Micros, iteration_us: u64) -> u64 {
        if self.began_since(now, iteration_us) {
            0
        } else {
            self.work_us
        }
    }

    fn began_since(&self, now: Micros, iteration_us: u64) -> bool {
        self.quiet_at
            .is_some_and(|at| now.since_us(at) >= iteration_us)
    }

    /// A prompt is sent, to an engine that computes none, or some.
    pub fn sent(&mut self, now: Micros, work_us: u64, (quiet, iteration_us): (bool, u64)) {
        if quiet {
            (self.quiet_at, self.work_us) = (Some(now), 0);
        } else if self.began_since(now, iteration_us) {
            (self.quiet_at, self.work_us) = (None, 0);
        }
        self.work_us = self.work_us.saturating_add(work_us);
    }

    /// A prompt was answered or gave up: what was sent before is under way, unless it was sent after another's first token of the
    /// same iteration.
    pub fn answered(&mut self, now: Micros, none_left: bool) {
        if none_left || now.since_us(self.began_at) > TOGETHER_US {
            *self = Self {
                began_at: now,
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITERATION_US: u64 = 15_000;

    #[test]
    fn what_is_sent_during_an_iteration_shares_the_next() {
        let mut next = NextIteration::default();
        let at = |ms: i64| Micros(1_000_000 + ms * 1_000);
        let work = |next: &NextIteration, ms| next.work_us(at(ms), ITERATION_US) / 1_000;
        next.sent(at(0), 100_000, (true, ITERATION_US));
        // The iteration of answers alone is not over yet.
        next.sent(at(10), 50_000, (false, ITERATION_US));
        assert_eq!(work(&next, 14), 150);
        assert_eq!(work(&next, 15), 0);
        next.sent(at(20), 70_000, (false, ITERATION_US));
        assert_eq!(work(&next, 160), 70);
        next.answered(at(165), false);
        assert_eq!(work(&next, 165), 0);
        next.sent(at(165), 30_000, (false, ITERATION_US));
        // Another first token of the iteration that just ended.
        next.answered(at(166), false);
        assert_eq!(work(&next, 166), 30);
        next.answered(at(240), false);
        assert_eq!(work(&next, 240), 0);
        next.sent(at(241), 40_000, (false, ITERATION_US));
        next.answered(at(242), true);
        assert_eq!(work(&next, 242), 0);
    }
}
