//! Servers of a grid whose orders a site follows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[[vtn]]`: a grid's OpenADR 3 server (VTN), whose events are kept as power events of a site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vtn {
    /// Its name; letters, digits, `.`, `_` and `-`.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,95}$"))]
    pub id: String,
    /// The site that its events are for.
    pub site: String,
    /// Where it is: what stands before `/events`, such as `https://vtn.example.kr/openadr3/3.1.0`.
    #[schemars(length(min = 1, max = 2000))]
    pub url: String,
    /// How often it is asked.
    #[serde(default = "poll_ms")]
    #[schemars(range(min = 500, max = 600_000))]
    pub poll_ms: u64,
    /// The name by which it knows this site. Without it it is asked without a token.
    #[schemars(length(min = 1, max = 200))]
    pub client_id: Option<String>,
    /// File with the secret that goes with `client_id`; relative to the fleet file's folder.
    pub client_secret_file: Option<PathBuf>,
    /// Where tokens are given. Where it is not said the server is asked for it (`/auth/server`), and else it is its own `/auth/token`.
    #[schemars(length(min = 1, max = 2000))]
    pub token_url: Option<String>,
    /// What is asked for with a token, where the server wants that to be said.
    #[schemars(length(min = 1, max = 500))]
    pub scope: Option<String>,
    /// Names of its programs whose events count; all that the server shows where none is given.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    pub programs: Vec<String>,
    /// Of events that have targets, those count that have one of these; all where none is given.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 128)))]
    pub targets: Vec<String>,
    /// What levels 1, 2 and 3 of `SIMPLE` events cut, in thousandths of what the site draws. Without it such an event is not understood.
    #[serde(default)]
    #[schemars(length(max = 3), inner(range(min = 1, max = 999)))]
    pub simple_cut_milli: Vec<u32>,
}

fn poll_ms() -> u64 {
    5_000
}
