//! What a scenario says of its gateways.

use madang_core::{RouteRule, ShareRule};
use madang_fleet::text::At;
use schemars::JsonSchema;
use serde::Deserialize;

/// By which rules requests are served and routed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct RawRules {
    /// Who is next.
    #[schemars(extend("enum" = ["madang", "vtc", "drr", "round_robin", "fcfs"]))]
    #[schemars(with = "Option<String>")]
    pub share: Option<At<ShareRule>>,
    /// Where it goes.
    #[schemars(extend("enum" = ["predicted_ttft", "predicted_ttft_no_cache", "random", "round_robin", "least_request", "power_of_two", "prefix_hash", "chwbl", "cache_aware", "block_cost"]))]
    #[schemars(with = "Option<String>")]
    pub route: Option<At<RouteRule>>,
}

/// Bounds of the gateway.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::scenario) struct RawLimits {
    /// Requests waiting for each model and gateway.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub queue_length_max: Option<At<u32>>,
    /// Time for each output token that a batch may reach before fewer sequences share it, in milliseconds.
    #[schemars(range(min = 1, max = 60_000))]
    pub tpot_ms_target: Option<At<u64>>,
    /// Time to first token beyond which an answer is of no use: what cannot be served within it is refused at once, in milliseconds; 0: whoever waits, waits.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub ttft_ms_max: Option<At<u64>>,
}
