//! What is served, and how.

use crate::fault::FaultPlan;
use madang_twin::engine::{PowerProfile, Profile, rated};
use madang_types::ModelId;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// Slowest time scale.
pub const SPEED_MIN: f64 = 0.001;
/// Fastest: beyond it one millisecond, the finest wake, is longer than whole answers.
pub const SPEED_MAX: f64 = 1_000.0;

/// What an engine is and how it is served.
#[derive(Clone, Debug)]
pub struct Options {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port; 0 for any free one.
    pub port: u16,
    /// The engine.
    pub profile: Profile,
    /// What its accelerators draw.
    pub power: PowerProfile,
    /// The id that it serves.
    pub model: ModelId,
    /// From a start or a restart until it serves, on the model's clock.
    pub load: Duration,
    /// How much faster than real its time goes, [`SPEED_MIN`] to [`SPEED_MAX`].
    pub speed: f64,
    /// Of faults and of drawn lengths.
    pub seed: u64,
    /// What goes wrong, and how often.
    pub faults: FaultPlan,
    /// Mean length of answers that are drawn, in tokens; `None`: as long as the request allows.
    pub output_tokens_mean: Option<u64>,
    /// Requests at once; more are refused with 503.
    pub requests_max: usize,
    /// Connections at once; more are closed.
    pub connections_max: usize,
}

impl Options {
    /// That engine under that name on a free port of the loopback, in real time, without faults.
    pub fn new(profile: Profile, model: ModelId) -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            power: rated(&profile),
            profile,
            model,
            load: Duration::ZERO,
            speed: 1.0,
            seed: 1,
            faults: FaultPlan::default(),
            output_tokens_mean: None,
            requests_max: 8_192,
            connections_max: 16_384,
        }
    }
}
