//! Percentiles, medians and spreads.

/// The value below which this share of all values lies; 0 of nothing.
pub fn percentile(sorted: &[u64], share: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank among a few million values"
    )]
    let rank = (share * sorted.len() as f64).ceil() as usize;
    let index = rank.saturating_sub(1).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

/// What the rounds of one measurement say together. All `NaN` of no round.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// The middle value; of an even count the mean of the middle two.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of these values; those that are no numbers do not count: `NaN`, and a ratio to a round that answered nothing.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match (sorted.get(middle), sorted.len() % 2) {
            (Some(value), 1) => *value,
            (Some(value), _) => f64::midpoint(*value, sorted[middle - 1]),
            (None, _) => f64::NAN,
        };
        let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
        Self {
            median,
            min: end(sorted.first()),
            max: end(sorted.last()),
        }
    }

    /// Whether there was nothing to look at.
    pub fn is_nothing(self) -> bool {
        self.median.is_nan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<u64> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.5), 50);
        assert_eq!(percentile(&values, 0.99), 99);
        assert_eq!(percentile(&values, 1.0), 100);
        assert_eq!(percentile(&[7], 0.99), 7);
        assert_eq!(percentile(&[], 0.99), 0);
    }

    #[test]
    fn spreads_of_odd_and_even_counts() {
        let cases: [(&[f64], [f64; 3]); 4] = [
            (&[3.0, 1.0, 2.0], [2.0, 1.0, 3.0]),
            (&[1.0, 2.0], [1.5, 1.0, 2.0]),
            (&[7.0], [7.0; 3]),
            (&[f64::NAN, 4.0, f64::INFINITY], [4.0; 3]),
        ];
        for (values, expected) in cases {
            let spread = Spread::of(values.iter().copied());
            let got = [spread.median, spread.min, spread.max];
            assert_eq!(got.map(f64::to_bits), expected.map(f64::to_bits));
        }
        assert!(Spread::of([]).is_nothing());
    }
}
