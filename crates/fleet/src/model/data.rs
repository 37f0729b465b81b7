//! What the fleet file says of where jobs' data stands, what lies between sites, and what waiting is worth.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where data stands that jobs bring or take away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobsData {
    /// How the names of its files begin: an absolute path, such as `/data/corpus`, or `https://data.example.kr/`; `{tenant}` in it stands
    /// for the job's tenant.
    pub prefix: String,
    /// At which sites. A job that names a file of such a path runs at one of these; a file of such a URL is brought to others too, over
    /// what lies between.
    pub sites: Vec<String>,
}

/// What lies between two sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobsLink {
    /// Two of them; it is the same both ways.
    pub sites: Vec<String>,
    /// What a job can have of it, in megabits a second.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub mbit_per_s: u64,
    /// What a gigabyte costs that is sent over it, in won; nothing where not given.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub won_per_gb: u64,
}

/// What waiting is worth for a programme's jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JobsWait {
    /// Which programme.
    pub programme: String,
    /// What an hour is worth that one accelerator of its tenants' jobs waits, in won.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub won_per_hour: u64,
}
