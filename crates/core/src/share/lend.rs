//! How much of the engines' time those under their share can lend to those over it: as much as leaves their first tokens in time.

use crate::learn::{rounded, whole};

/// A first token that comes later than this is late: the queue's order goes by the same.
pub(crate) const LATE_US: u64 = 550_000;
/// That part of them may be late: while fewer are, more is lent, and less while more are.
const LATE_PART: f64 = 0.01;
/// By how much less is lent for each late one. It takes minutes until another measure is found: late ones come together.
const STEP: f64 = 0.02;
/// Of one tenant no more first tokens count in a second: many small requests of one would hide that the others are late.
const COUNTED_EACH_S: f64 = 3.0;
/// What is lent is never changed by more than these parts of it.
const LEAST: f64 = -0.7;
const MOST: f64 = 1.5;

/// By what part more is lent than where nothing is known, or less.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lend {
    more: f64,
}

impl Lend {
    /// Beside a flood a first token came after so long, of a tenant under its share whose requests come so often in a second.
    pub fn first_token(&mut self, took_us: u64, arrivals: f64) {
        let late = if took_us > LATE_US { 1.0 } else { 0.0 };
        let counts = COUNTED_EACH_S / arrivals.max(COUNTED_EACH_S);
        let more = self.more + (LATE_PART - late) * STEP * counts;
        self.more = more.clamp(LEAST, MOST);
    }

    /// What is lent of something of which `amount` is lent where nothing is known.
    pub fn of(self, amount: u64) -> u64 {
        rounded(whole(amount) * (1.0 + self.more))
    }

    /// The same, changed by half as much.
    pub fn half_of(self, amount: u64) -> u64 {
        rounded(whole(amount) * (1.0 + self.more / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_lent_while_less_than_one_in_a_hundred_is_late() {
        let after = |count: u32, late_each: u32| {
            let mut lend = Lend::default();
            for number in 1..=count {
                let late = number % late_each == 0;
                lend.first_token(if late { LATE_US + 1 } else { LATE_US }, 2.0);
            }
            lend.of(1_000)
        };
        // First tokens, of which one in so many is late; what is lent in thousandths, to within two.
        let cases = [
            ((0, 1), 1_000),
            ((10_000, 100), 1_000),
            ((2_000, 200), 1_200),
            ((2_000, 50), 600),
            ((100_000, 1_000), 2_500),
            ((100_000, 20), 300),
        ];
        for ((count, late_each), expected) in cases {
            let lent = after(count, late_each);
            assert!(
                lent.abs_diff(expected) <= 20,
                "{lent}: {count}, one in {late_each} late"
            );
        }
    }

    #[test]
    fn many_small_requests_of_one_do_not_hide_that_others_are_late() {
        let mut lend = Lend::default();
        // In each second three of one, of which one in twenty is late, and 150 of another.
        for second in 0..100 {
            for number in 0..3 {
                let late = (second * 3 + number) % 20 == 0;
                lend.first_token(if late { LATE_US + 1 } else { 0 }, 3.0);
            }
            (0..150).for_each(|_| lend.first_token(0, 150.0));
        }
        assert!(lend.of(1_000) < 900, "{}", lend.of(1_000));
    }
}
