//! What the fleet file says of power: what things draw, what measures it, and how a site is kept under its cap.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `replica.power`: what an engine's accelerators draw, with their part of the machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplicaPower {
    /// Where it does nothing, in watts.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub idle_watts: u64,
    /// At most, in watts.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub full_watts: u64,
    /// A path of the engine's own server that takes `{"limit_watts": 900}` and keeps its accelerators to it until it is told otherwise,
    /// such as `/rehearsal/power` of `madang engine`. Without it the engine's clocks are left alone.
    #[schemars(regex(pattern = "^/[!-~]{0,199}$"))]
    pub limit_path: Option<String>,
}

/// `nodes.power`: what one accelerator draws with its part of the machine; for `cpu` one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodesPower {
    /// Where it does nothing, in watts.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub idle_watts: u64,
    /// At most, in watts.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub full_watts: u64,
}

/// `[[meter]]`: something that says what is drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Meter {
    /// Its name, for people.
    #[schemars(length(min = 1, max = 96))]
    pub id: String,
    /// The site where it stands. Where neither `replica` nor `nodes` is given it is the site's own: what its cap is held against.
    pub site: String,
    /// The engine whose accelerators it measures.
    pub replica: Option<String>,
    /// The machines that it measures.
    pub nodes: Option<String>,
    /// How it is read.
    pub kind: MeterKind,
    /// Where it is read: a page of metrics, or a resource of a Redfish service. Needed for both.
    #[schemars(length(min = 1, max = 2000))]
    pub url: Option<String>,
    /// What of a page of metrics is read: a gauge in watts, or a counter whose name ends with `_joules_total`; several series are added
    /// up. Where it is not given, the first that the page has of `DCGM_FI_DEV_POWER_USAGE`, `kepler_node_cpu_watts`,
    /// `kepler_node_platform_joules_total`, `node_hwmon_power_average_watt`, `node_power_supply_power_watt` and
    /// `node_rapl_package_joules_total`.
    #[schemars(regex(pattern = "^[A-Za-z_:][A-Za-z0-9_:]{0,199}$"))]
    pub metric: Option<String>,
    /// File with what the service asks for: a bearer's token, or `user:password`; relative to the fleet file's folder.
    pub key_file: Option<PathBuf>,
    /// Of `nvml`, which accelerators of the machine it measures, by their place on the bus; all where not given.
    #[serde(default)]
    #[schemars(length(max = 64), inner(range(min = 0, max = 1023)))]
    pub accelerators: Vec<u32>,
}

/// How a meter is read.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum MeterKind {
    /// A page in Prometheus's text format: the DCGM exporter's, the node exporter's, Kepler's, `madang engine`'s own.
    Prometheus,
    /// A resource of a Redfish service: a chassis's `Power`, an `EnvironmentMetrics`, a sensor.
    Redfish,
    /// NVIDIA's own library (NVML), of the machine that Madang runs on: what accelerators draw, without their machine.
    Nvml,
}

/// `[power]`: how sites are kept under their caps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PowerConfig {
    /// Time between two looks.
    #[schemars(range(min = 100, max = 60_000))]
    pub look_ms: u64,
    /// A reading that is older counts as none.
    #[schemars(range(min = 500, max = 3_600_000))]
    pub stale_ms: u64,
    /// From the fall of a cap until it is met at the latest.
    #[schemars(range(min = 1_000, max = 600_000))]
    pub meet_ms: u64,
    /// What was bent stays so for so long at least.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub hold_ms: u64,
    /// Between two steps of the way back.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub return_ms: u64,
    /// Room that must be left beside what a step back needs, in thousandths of the cap.
    #[schemars(range(min = 0, max = 500))]
    pub spare_milli: u32,
    /// The lowest level to which clocks are brought, in thousandths of what lies between idle and full.
    #[schemars(range(min = 1, max = 1000))]
    pub level_milli_min: u32,
    /// How fast what is drawn may rise by itself, in thousandths a second of what lies between idle and full of all that draws it: no less than one engine, from idle to full, in three seconds. 0: it does not.
    #[schemars(range(min = 0, max = 1000))]
    pub rise_milli_per_s: u32,
    /// What a kilogram of CO2 weighs beside what electricity costs where jobs with `flex.shift` wait for better hours, in won.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub won_per_kg_co2: u32,
    /// What a site drew is booked in the ledger for spans of this length.
    #[schemars(range(min = 5_000, max = 3_600_000))]
    pub span_ms: u64,
}

impl Default for PowerConfig {
    fn default() -> Self {
        Self {
            look_ms: 1_000,
            stale_ms: 5_000,
            meet_ms: 25_000,
            hold_ms: 60_000,
            return_ms: 15_000,
            spare_milli: 20,
            level_milli_min: 700,
            rise_milli_per_s: 20,
            won_per_kg_co2: 0,
            span_ms: 60_000,
        }
    }
}
