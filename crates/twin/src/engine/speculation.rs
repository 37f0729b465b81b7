//! Tokens guessed ahead by a draft and verified together.
//!
//! How many of them hold is not drawn: all sequences go on at the mean pace, whole tokens at a time.

/// Parts of a token that a pace is counted in.
const WHOLE: u64 = 1_000_000;

/// How an engine guesses ahead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speculation {
    /// Tokens that are guessed in each iteration.
    pub draft_tokens: u32,
    /// Part of the guesses that hold, where those before them do.
    pub acceptance: f64,
    /// Time of guessing one token of each sequence, beside that of an iteration which makes one of each.
    pub draft_part: f64,
}

impl Speculation {
    /// Tokens that a sequence makes in an iteration, the mean: (1 − a^(k + 1)) ÷ (1 − a) of Leviathan et al., "Fast Inference from
    /// Transformers via Speculative Decoding" (2023), summed up so that a may be 1.
    pub fn tokens(&self) -> f64 {
        let held = (0..self.draft_tokens).scan(1.0, |held, _| {
            *held *= self.acceptance;
            Some(*held)
        });
        1.0 + held.sum::<f64>()
    }
}

/// How many tokens each decoding sequence has made after so many iterations of its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Tokens of an iteration, in millionths.
    micro: u64,
}

impl Pace {
    pub fn of(speculation: Option<&Speculation>) -> Self {
        let tokens = speculation.map_or(1.0, Speculation::tokens);
        Self {
            micro: (tokens * WHOLE as f64).round().max(WHOLE as f64) as u64,
        }
    }

    fn is_plain(self) -> bool {
        self.micro == WHOLE
    }

    /// Tokens made after so many iterations.
    pub fn tokens(self, iterations: u64) -> u64 {
        if self.is_plain() {
            return iterations;
        }
        narrow(u128::from(iterations) * u128::from(self.micro) / u128::from(WHOLE))
    }

    /// The first iteration after which so many tokens are made.
    pub fn reaches(self, tokens: u64) -> u64 {
        if self.is_plain() {
            return tokens;
        }
        narrow((u128::from(tokens) * u128::from(WHOLE)).div_ceil(u128::from(self.micro)))
    }

    /// The last iteration after which no more than so many tokens are made.
    pub fn within(self, tokens: u64) -> u64 {
        self.reaches(tokens.saturating_add(1)).saturating_sub(1)
    }

    /// Tokens that a sequence has made since iteration `from` when each of `count` iterations begins, added up.
    pub fn sum(self, from: u64, count: u64) -> u64 {
        if self.is_plain() {
            return count.saturating_mul(count.saturating_sub(1)) / 2;
        }
        let part = u128::from(from) * u128::from(self.micro) % u128::from(WHOLE);
        narrow(sum_of_floors(
            count.into(),
            WHOLE.into(),
            (self.micro.into(), part),
        ))
    }
}

fn narrow(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX / 4)
}

/// The sum of (slope × j + start) ÷ whole, rounded down, for j from 0 to count − 1, in as many steps as Euclid's algorithm takes: whole
/// parts are taken out, then lines and columns change places.
fn sum_of_floors(mut count: u128, mut whole: u128, (mut slope, mut start): (u128, u128)) -> u128 {
    let mut sum = 0;
    loop {
        sum += count * count.saturating_sub(1) / 2 * (slope / whole) + count * (start / whole);
        (slope, start) = (slope % whole, start % whole);
        let top = slope * count + start;
        if top < whole {
            return sum;
        }
        (count, start) = (top / whole, top % whole);
        (whole, slope) = (slope, whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_are_those_of_the_paper() {
        let tokens = |draft_tokens, acceptance| {
            let speculation = Speculation {
                draft_tokens,
                acceptance,
                draft_part: 0.1,
            };
            speculation.tokens()
        };
        assert!((tokens(4, 0.8) - (1.0 - 0.8_f64.powi(5)) / 0.2).abs() < 1e-9);
        assert_eq!(tokens(3, 1.0), 4.0);
        assert_eq!(tokens(3, 0.0), 1.0);
    }

    proptest! {
        #[test]
        fn a_pace_is_what_counting_says(
            draft_tokens in 0_u32..8, acceptance in 0.0_f64..=1.0, from in 0_u64..1_000_000, count in 0_u64..300
        ) {
            let pace = Pace::of(Some(&Speculation { draft_tokens, acceptance, draft_part: 0.0 }));
            let counted: u64 = (0..count).map(|at| pace.tokens(from + at) - pace.tokens(from)).sum();
            prop_assert_eq!(pace.sum(from, count), counted);
            let tokens = pace.tokens(from);
            let first = pace.reaches(tokens + 1);
            prop_assert!(pace.tokens(first) > tokens && pace.tokens(first - 1) <= tokens);
            prop_assert_eq!(pace.within(tokens), first - 1);
        }
    }
}
