//! What a look through a whole trace shows, and what in it may not be meant.

/// A time without requests that is worth a word, in microseconds.
const HOLE_US: u64 = 3_600_000_000;
/// More requests in a second than that, where times count milliseconds: they may be seconds.
const DOUBTED_PER_S: u64 = 1_000;
/// Of fewer requests no rate is worth a word.
const DOUBTED_MIN: u64 = 1_000;

/// What a look through a whole trace shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Requests.
    pub requests: u64,
    /// From the first to the last, in microseconds.
    pub span_us: u64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Prompt and answer of the longest request, in tokens.
    pub tokens_max: u64,
    /// The longest time without a request, and when it began, in microseconds.
    pub hole_us: (u64, u64),
    /// Its times are numbers that are taken as milliseconds.
    pub counts_ms: bool,
}

/// What may not be meant in a trace that is run as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// What was seen.
    pub what: String,
    /// What becomes of it, and what would be done about it.
    pub help: &'static str,
}

impl TraceSummary {
    /// What may not be meant.
    pub fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        let (hole_us, from_us) = self.hole_us;
        if hole_us > HOLE_US {
            doubts.push(Doubt {
                what: format!(
                    "nobody asks for {} s of the trace, from second {}",
                    hole_us / 1_000_000,
                    from_us / 1_000_000
                ),
                help: "it is run as it is; where the recording has a hole, take a part without one",
            });
        }
        let is_many = self.requests >= DOUBTED_MIN
            && self.requests.saturating_mul(1_000_000) > self.span_us * DOUBTED_PER_S;
        if self.counts_ms && is_many {
            doubts.push(Doubt {
                what: format!(
                    "{} requests in {} ms of the trace are more than {DOUBTED_PER_S} a second",
                    self.requests,
                    self.span_us / 1_000
                ),
                help: "its times are taken as milliseconds; where they are seconds, multiply them by 1000",
            });
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubts(summary: TraceSummary) -> Vec<String> {
        let doubts = summary.doubts().into_iter();
        doubts.map(|doubt| doubt.what).collect()
    }

    #[test]
    fn holes_and_times_that_may_be_seconds_are_doubted() {
        let hour = TraceSummary {
            requests: 10_000,
            span_us: 7_200_000_000,
            hole_us: (3_600_000_000, 5),
            counts_ms: true,
            ..TraceSummary::default()
        };
        assert_eq!(doubts(hour.clone()), [""; 0]);
        let holed = TraceSummary {
            hole_us: (3_601_000_000, 5_000_000),
            ..hour.clone()
        };
        assert_eq!(
            doubts(holed),
            ["nobody asks for 3601 s of the trace, from second 5"]
        );
        let seconds = TraceSummary {
            span_us: 7_200_000,
            ..hour
        };
        assert_eq!(
            doubts(seconds.clone()),
            ["10000 requests in 7200 ms of the trace are more than 1000 a second"]
        );
        let dated = TraceSummary {
            counts_ms: false,
            ..seconds.clone()
        };
        assert_eq!(doubts(dated), [""; 0]);
        let few = TraceSummary {
            requests: 999,
            span_us: 0,
            ..seconds
        };
        assert_eq!(doubts(few), [""; 0]);
    }
}
