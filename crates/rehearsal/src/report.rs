//! What came of the live experiment, for people and for programmes.

use madang_twin::experiment::noisy::{Flood, Ttft};
use serde::Serialize;
use std::fmt;

/// What came of it. Times are the model's: measured ones multiplied by the speed.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// The time scale.
    pub speed: f64,
    /// Of the arrivals.
    pub seed: u64,
    /// The floods.
    pub floods: Vec<Flood>,
    /// Nobody flooding.
    pub alone: LoadSide,
    /// The same arrivals beside the floods.
    pub flooded: LoadSide,
    /// p99 beside the floods ÷ p99 alone.
    pub inflation_p99: f64,
}

/// One of the two runs.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct LoadSide {
    /// Steady tenants' time from a request's due time to its first token.
    pub ttft: Ttft,
    /// Requests sent, floods included.
    pub sent: u64,
    /// Answered to the end.
    pub finished: u64,
    /// Answered with another status than 200.
    pub refused: u64,
    /// No answer, or one that broke off.
    pub failed: u64,
    /// Requests of steady tenants that got no first token.
    pub tenants_unserved: u64,
    /// Not sent because too many were open.
    pub not_sent: u64,
    /// Still open when all steady tenants had their first tokens, or the time was over; given up.
    pub left_open: u64,
    /// Prompt tokens whose first token came in the floods' time, and output tokens that came in it, of all tenants.
    pub total_tokens: u64,
    /// The same a second of the model's time.
    pub tokens_per_second: f64,
    /// The longest time by which a request left late, in real milliseconds: what the load itself lacked.
    pub lag_ms_max: f64,
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, side) in [("alone", &self.alone), ("flooded", &self.flooded)] {
            let Ttft {
                p50_ms,
                p99_ms,
                worst_tenant_p99_ms,
                requests,
            } = side.ttft;
            writeln!(
                f,
                "{name:8} TTFT p50 {p50_ms:.0} ms, p99 {p99_ms:.0} ms, worst tenant's p99 {worst_tenant_p99_ms:.0} ms ({requests} requests of steady tenants)"
            )?;
            writeln!(
                f,
                "         {:.1}k tokens a second; sent {}, finished {}, refused {}, failed {}, not sent {}, left open {}, steady tenants' requests unserved {}; longest lag of the load {:.1} ms",
                side.tokens_per_second / 1e3,
                side.sent,
                side.finished,
                side.refused,
                side.failed,
                side.not_sent,
                side.left_open,
                side.tenants_unserved,
                side.lag_ms_max
            )?;
        }
        write!(
            f,
            "p99 beside the floods is {:.2} times that alone (model time; speed {})",
            self.inflation_p99, self.speed
        )
    }
}
