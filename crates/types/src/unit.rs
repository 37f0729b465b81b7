//! Integer units. Money and energy are exact; time is microseconds since the Unix epoch (UTC).

use crate::class::words;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! unit {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The sum, or `None` where it does not fit.
            pub fn checked_add(self, other: Self) -> Option<Self> {
                self.0.checked_add(other.0).map(Self)
            }

            /// The sum, held at the type's end where it does not fit.
            #[must_use]
            pub fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// The difference, held at the type's end where it does not fit.
            #[must_use]
            pub fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }
    };
}

unit!(
    /// An instant: microseconds since the Unix epoch. A span of time is the difference of two.
    Micros(i64)
);
unit!(
    /// A count of model tokens.
    Tokens(u64)
);
unit!(
    /// Money in millionths of a won. ₩9.2 trillion is the greatest value.
    MicroWon(i64)
);
impl MicroWon {
    /// So many won; the greatest value where that is more.
    pub fn of_won(won: u64) -> Self {
        let won = i64::try_from(won).unwrap_or(i64::MAX);
        Self(won.saturating_mul(1_000_000))
    }
}
unit!(
    /// Energy in thousandths of a joule.
    MilliJoules(i64)
);

/// What an amount in the ledger counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Millionths of a won.
    MicroWon,
    /// Tokens of any kind, as rights to spend.
    Tokens,
    /// Prompt tokens that an engine computed.
    UncachedTokens,
    /// Prompt tokens from a cache.
    CachedTokens,
    /// Tokens that a model made.
    OutputTokens,
    /// Milliseconds of one accelerator.
    AcceleratorMs,
    /// Thousandths of a joule.
    MilliJoules,
}

words!(Unit, UnitError,
    "a unit is one of micro_won, tokens, uncached_tokens, cached_tokens, output_tokens, accelerator_ms, milli_joules",
    "micro_won" => Unit::MicroWon, "tokens" => Unit::Tokens, "uncached_tokens" => Unit::UncachedTokens,
    "cached_tokens" => Unit::CachedTokens, "output_tokens" => Unit::OutputTokens,
    "accelerator_ms" => Unit::AcceleratorMs, "milli_joules" => Unit::MilliJoules);

impl Micros {
    /// The instant `ms` milliseconds later (held at the end of time).
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        self.plus_us(ms.saturating_mul(1000))
    }

    /// The instant `us` microseconds later (held at the end of time).
    #[must_use]
    pub fn plus_us(self, us: u64) -> Self {
        Self(self.0.saturating_add_unsigned(us))
    }

    /// Microseconds from `earlier` to here; zero where the clock went backwards.
    pub fn since_us(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_back_gives_a_span_of_zero() {
        assert_eq!(Micros(5).since_us(Micros(9)), 0);
        assert_eq!(Micros(9).since_us(Micros(5)), 4);
        assert_eq!(Micros(i64::MAX).plus_ms(u64::MAX), Micros(i64::MAX));
    }

    #[test]
    fn sums_that_do_not_fit_are_refused() {
        assert_eq!(MicroWon(i64::MAX).checked_add(MicroWon(1)), None);
        assert_eq!(Tokens(u64::MAX).saturating_add(Tokens(1)), Tokens(u64::MAX));
    }
}
