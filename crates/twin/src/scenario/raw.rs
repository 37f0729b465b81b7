//! The scenario file as written: every key optional and with its place, so that one wrong key hides no other problem.
//!
//! Values, the JSON Schema and the check of shapes are read off these structs; their comments are what editors show.

mod gateway;

pub(super) use gateway::{RawLimits, RawRules};

use madang_fleet::text::At;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A text and its place.
pub(super) type Text = Option<At<String>>;
/// The rows of one table.
pub(super) type Rows<T> = Option<Vec<At<T>>>;

/// A scenario of Madang's twin: sites, engines, who asks, and what for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScenario {
    /// What is run, and for how long.
    #[schemars(required)]
    pub run: Option<At<RawRun>>,
    /// What an answer must keep to be a good one, where its model says nothing else.
    pub slo: Option<At<RawSlo>>,
    /// Data centres, or single machines that stand for one.
    #[schemars(required)]
    pub site: Rows<RawSite>,
    /// Served names, and what a good answer of each is.
    pub model: Rows<RawModel>,
    /// Engines of one kind that serve one model at one site.
    pub engine: Rows<RawEngine>,
    /// Engines that fail.
    pub failure: Rows<RawFailure>,
    /// Programmes that grant shares.
    pub programme: Rows<RawProgramme>,
    /// Who is billed.
    pub tenant: Rows<RawTenant>,
    /// Who asks for what, when and how much.
    pub demand: Rows<RawDemand>,
    /// Batch jobs on what power the engines of their site leave.
    pub jobs: Rows<RawJobs>,
    /// When sites have to do with less power.
    pub event: Rows<RawEvent>,
    /// How sites are kept under their caps; as in the fleet file where not given.
    pub power: Option<At<RawPower>>,
    /// By which rules requests are served and routed; Madang's own where not given.
    pub rules: Option<At<RawRules>>,
    /// Bounds of the gateway.
    pub limits: Option<At<RawLimits>>,
}

/// What is run, and for how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRun {
    /// What it is about, in a line.
    pub about: Text,
    /// The first day, as `2026-07-15`; it begins at midnight, local time.
    #[schemars(required)]
    pub start: Text,
    /// How many hours clients ask; what runs then is waited for.
    #[schemars(required, range(min = 1, max = 8_784))]
    pub hours: Option<At<u32>>,
    /// Of everything that is drawn at random: the same seed gives the same run.
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: Option<At<u64>>,
    /// How far forecasts of renewables and of run times may be from what comes, where jobs may be put off: standard deviation beside the
    /// value; 0.2 where not given.
    #[schemars(range(min = 0, max = 1))]
    pub forecast_error: Option<At<f64>>,
    /// What a kilogram of CO2 weighs beside what electricity costs, where jobs may be put off, in won.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub won_per_kg_co2: Option<At<f64>>,
    /// Gateways that share the load, each before its part of every site's engines.
    #[schemars(range(min = 1, max = 4_096))]
    pub cells: Option<At<u32>>,
    /// Time from a gateway to an engine and back, in milliseconds.
    #[schemars(range(min = 0, max = 10_000))]
    pub round_trip_ms: Option<At<f64>>,
    /// Country by whose law data is judged; `KR` where not given.
    #[schemars(extend("pattern" = "^[A-Z]{2}$"))]
    pub home: Text,
}

/// What an answer must keep to be a good one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSlo {
    /// Time to the first token, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub ttft_ms: Option<At<f64>>,
    /// Time for each further token, the mean of the answer, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub tpot_ms: Option<At<f64>>,
}

/// A data centre, or one machine that stands for one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSite {
    /// Its name; letters, digits, `.`, `_` and `-`.
    #[schemars(required)]
    pub id: Text,
    /// Country where it stands: ISO 3166-1 alpha-2, such as `KR`.
    #[schemars(required, extend("pattern" = "^[A-Z]{2}$"))]
    pub country: Text,
    /// Greatest power drawn by the site at its meter, in kW.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 10_000_000))]
    pub power_cap_kw: Option<At<f64>>,
    /// Power usage effectiveness: power at the meter divided by power of the machines.
    #[schemars(range(min = 1, max = 10))]
    pub pue: Option<At<f64>>,
    /// A file with what electricity costs, by dated bands.
    pub tariff: Text,
    /// CO2 of a kilowatt-hour from the grid, in grams.
    #[schemars(range(min = 0, max = 5_000))]
    pub carbon_g_per_kwh: Option<At<f64>>,
    /// What of that counts in each hour of the day, from midnight: 24 parts.
    pub carbon_hours: Option<At<Vec<f64>>>,
    /// A file with the part of their capacity that the site's own renewables give, by month and hour.
    pub renewables: Text,
    /// Capacity of the site's own renewables, in kW.
    #[schemars(range(min = 0, max = 100_000_000))]
    pub renewables_kw: Option<At<f64>>,
    /// What each machine reads weights with where an engine starts, in 10^9 bytes a second; 2 where not given.
    #[schemars(range(min = 0.001, max = 10_000))]
    pub storage_gb_s: Option<At<f64>>,
}

/// A served name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawModel {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// Time to the first token of a good answer, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub ttft_ms: Option<At<f64>>,
    /// Time for each further token of a good answer, in milliseconds.
    #[schemars(range(min = 1, max = 3_600_000))]
    pub tpot_ms: Option<At<f64>>,
    /// What a million prompt tokens cost whoever asks, in won.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub input_won: Option<At<f64>>,
    /// What a million prompt tokens from a cache cost, in won; as `input_won` where not given.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub cached_won: Option<At<f64>>,
    /// What a million tokens of answers cost, in won.
    #[schemars(range(min = 0, max = 1_000_000_000))]
    pub output_won: Option<At<f64>>,
}

/// Engines of one kind that serve one model at one site.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEngine {
    /// Their name.
    #[schemars(required)]
    pub id: Text,
    /// The site where they stand.
    #[schemars(required)]
    pub site: Text,
    /// The model that they serve.
    #[schemars(required)]
    pub model: Text,
    /// How many.
    #[schemars(required, range(min = 1, max = 100_000))]
    pub count: Option<At<u32>>,
    /// What each can do: the name of a profile. Without it, `chip` says on what the model runs.
    pub profile: Text,
    /// Chip of the catalogue that the model runs on, such as `H100-SXM`.
    pub chip: Text,
    /// The model's name in the catalogue, if not the one that it is served by.
    pub weights: Text,
    /// Form of the weights.
    #[schemars(extend("enum" = ["bf16", "fp8", "fp4", "int8", "int4"]))]
    pub precision: Text,
    /// Whose engine it is.
    #[schemars(extend("enum" = ["vllm", "sglang", "trtllm"]))]
    pub server: Text,
    /// Chips of each engine that share each layer.
    #[schemars(range(min = 1, max = 1_024))]
    pub tensor: Option<At<u32>>,
    /// Groups of layers of each engine, one after another.
    #[schemars(range(min = 1, max = 64))]
    pub pipeline: Option<At<u32>>,
    /// Ranks of each engine with whole attention of their own.
    #[schemars(range(min = 1, max = 1_024))]
    pub data: Option<At<u32>>,
    /// Chips among which experts are divided whole.
    #[schemars(range(min = 1, max = 1_024))]
    pub expert: Option<At<u32>>,
    /// Parts of each that compute prompts alone, beside `decode_engines` that make tokens alone: one process does both where neither is given.
    #[schemars(range(min = 1, max = 256))]
    pub prefill_engines: Option<At<u32>>,
    /// Parts of each that make tokens alone, each divided as the keys above say.
    #[schemars(range(min = 1, max = 256))]
    pub decode_engines: Option<At<u32>>,
    /// Chips of each part for prompts that share each layer, if not `tensor`.
    #[schemars(range(min = 1, max = 1_024))]
    pub prefill_tensor: Option<At<u32>>,
    /// Ranks of each part for prompts, if not `data`.
    #[schemars(range(min = 1, max = 1_024))]
    pub prefill_data: Option<At<u32>>,
    /// Chips among which each part for prompts divides experts, if not `expert`.
    #[schemars(range(min = 1, max = 1_024))]
    pub prefill_expert: Option<At<u32>>,
    /// What each part for prompts sends KV with, in 10^9 bytes a second; 50 for each accelerator that holds a part of a sequence where not given.
    #[schemars(range(min = 0.001, max = 100_000))]
    pub kv_link_gb_s: Option<At<f64>>,
    /// Until the first byte has come, in milliseconds; 1 where not given.
    #[schemars(range(min = 0, max = 60_000))]
    pub kv_link_latency_ms: Option<At<f64>>,
    /// The server is tuned for its peak, as far as MLPerf's rows tell; it is as public rows have it where not given.
    pub tuned: Option<At<bool>>,
    /// How fast each is beside its profile, in thousandths.
    #[schemars(range(min = 1, max = 100_000))]
    pub speed_milli: Option<At<u32>>,
    /// Sequences at once, if not the profile's.
    #[schemars(range(min = 1, max = 65_536))]
    pub slots: Option<At<u32>>,
    /// Tokens that the KV memory of each holds, if not the profile's.
    #[schemars(range(min = 1_024, max = 1_000_000_000))]
    pub kv_tokens: Option<At<u64>>,
    /// Tokens of prefixes that each keeps behind its KV memory.
    #[schemars(range(min = 0, max = 100_000_000_000_i64))]
    pub host_kv_tokens: Option<At<u64>>,
    /// Tokens that are guessed ahead in each iteration, and verified in the next; with `acceptance` and `draft_part`.
    #[schemars(range(min = 1, max = 32))]
    pub draft_tokens: Option<At<u32>>,
    /// Part of the guesses that hold, where those before them do.
    #[schemars(range(min = 0, max = 1))]
    pub acceptance: Option<At<f64>>,
    /// Time of guessing one token of each sequence, beside that of an iteration that makes one of each.
    #[schemars(range(min = 0, max = 10))]
    pub draft_part: Option<At<f64>>,
    /// Tokens of prefixes that each keeps on its machine's disk.
    #[schemars(range(min = 0, max = 100_000_000_000_000_i64))]
    pub disk_kv_tokens: Option<At<u64>>,
    /// What that disk gives an engine, in 10^9 bytes a second; 6 where not given.
    #[schemars(range(min = 0.001, max = 10_000))]
    pub disk_gb_s: Option<At<f64>>,
    /// Until the first byte of a read from it comes, in milliseconds; 0.1 where not given.
    #[schemars(range(min = 0, max = 60_000))]
    pub disk_latency_ms: Option<At<f64>>,
    /// From the start of its process until it serves, in seconds, if not what its weights take to be read.
    #[schemars(range(min = 0, max = 86_400))]
    pub load_s: Option<At<f64>>,
    /// Hours after the scenario's begin at which their processes are started; those without it serve from the begin.
    #[schemars(range(min = 0, max = 8_784))]
    pub from_h: Option<At<f64>>,
    /// Kind of accelerator in lower case, such as `h100` or `b200`: how much power it draws; by the data sheet of its `chip` where not given.
    pub accelerator: Text,
    /// Accelerators of each engine, if not those that it is divided among.
    #[schemars(range(min = 1, max = 1_024))]
    pub accelerators: Option<At<u32>>,
    /// Power of each engine with its part of the machine that does nothing, in watts.
    #[schemars(range(min = 0, max = 10_000_000))]
    pub idle_watts: Option<At<u64>>,
    /// Power of each engine with its part of the machine at most, in watts.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub full_watts: Option<At<u64>>,
}

/// Engines that fail: what they hold is lost, and they serve again when their weights are read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFailure {
    /// Which engines.
    #[schemars(required)]
    pub engine: Text,
    /// When, in hours after the scenario's begin.
    #[schemars(required, range(min = 0, max = 8_784))]
    pub at_h: Option<At<f64>>,
    /// How many of them; all where not given.
    #[schemars(range(min = 1, max = 100_000))]
    pub count: Option<At<u32>>,
    /// Minutes until their processes are started again.
    #[schemars(range(min = 0, max = 527_040))]
    pub down_min: Option<At<f64>>,
}

/// A programme that grants shares.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProgramme {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// Its weight beside the other programmes.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: Option<At<u32>>,
}

/// Who is billed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTenant {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// The programme whose share it is in.
    pub programme: Text,
    /// Its weight beside the programme's others.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: Option<At<u32>>,
    /// Tokens that it may use in the whole run, prompts and answers together.
    #[schemars(range(min = 0, max = 1_000_000_000_000_000_i64))]
    pub grant_tokens: Option<At<u64>>,
    /// Instead of tokens: won that it may spend in the whole run, at the prices of the models.
    #[schemars(range(min = 0, max = 1_000_000_000_000_i64))]
    pub grant_won: Option<At<f64>>,
    /// `false`: the grant may be passed by what is under way when it ends.
    pub grant_hard: Option<At<bool>>,
}

/// Who asks for what, when and how much.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDemand {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// The model that is asked for.
    #[schemars(required)]
    pub model: Text,
    /// Who asks, and how much of it: `{ university = 3, city = 1 }`.
    #[schemars(required)]
    pub tenants: Option<At<BTreeMap<String, f64>>>,
    /// How urgent it is.
    #[schemars(extend("enum" = ["critical", "standard", "batch"]))]
    pub priority: Text,
    /// How sensitive its data is.
    #[schemars(extend("enum" = ["open", "sensitive", "classified"]))]
    pub data_class: Text,
    /// Longest wait at the gateway, in seconds.
    #[schemars(range(min = 0, max = 86_400))]
    pub wait_s_max: Option<At<u32>>,
    /// A client leaves where no first token has come by then, in seconds; 0: it stays.
    #[schemars(range(min = 0, max = 86_400))]
    pub patience_s: Option<At<u32>>,
    /// A file of requests with their times; or the name of one that is built in.
    pub trace: Text,
    /// How much faster than recorded a trace goes.
    #[schemars(range(min = 0.01, max = 1_000))]
    pub speed: Option<At<f64>>,
    /// How many ask for each request of a trace.
    #[schemars(range(min = 0.001, max = 10_000))]
    pub copies: Option<At<f64>>,
    /// A trace begins anew at its end.
    pub repeat: Option<At<bool>>,
    /// Requests of a day.
    #[schemars(range(min = 0, max = 100_000_000_000_i64))]
    pub requests_per_day: Option<At<f64>>,
    /// A file of requests a second through time; or the name of one that is built in.
    pub rates: Text,
    /// The row of such a file that is meant, where it has several; of a `trace` that a gateway recorded, the model.
    pub category: Text,
    /// How much of a day's requests come in each of its 24 hours, beside each other.
    pub hours: Option<At<Vec<f64>>>,
    /// A file of requests from which lengths are drawn; or the name of one that is built in.
    pub lengths: Text,
    /// Prompt tokens of a request, the mean of a log-normal distribution.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub input_tokens: Option<At<f64>>,
    /// Standard deviation of prompt tokens, beside their mean; 0: all alike.
    #[schemars(range(min = 0, max = 20))]
    pub input_cv: Option<At<f64>>,
    /// Output tokens of a request, the mean of a log-normal distribution.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub output_tokens: Option<At<f64>>,
    /// Standard deviation of output tokens, beside their mean; 0: all alike.
    #[schemars(range(min = 0, max = 20))]
    pub output_cv: Option<At<f64>>,
    /// Beginnings that prompts share, such as instructions and documents.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub prefix_families: Option<At<u64>>,
    /// Part of each prompt that is such a beginning.
    #[schemars(range(min = 0, max = 1))]
    pub prefix_part: Option<At<f64>>,
}

/// Batch jobs on what power the engines of their site leave.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJobs {
    /// Their name.
    #[schemars(required)]
    pub id: Text,
    /// The site where they run.
    #[schemars(required)]
    pub site: Text,
    /// Kind of accelerator in lower case, such as `h100` or `b200`: how much power it draws.
    #[schemars(required)]
    pub accelerator: Text,
    /// How many there are for jobs, on machines of eight.
    #[schemars(required, range(min = 8, max = 1_000_000))]
    pub accelerators: Option<At<u32>>,
    /// A file of jobs with their times: `submit_s,vc,gpus,duration_s`. Without it, `asks` says how many come.
    pub trace: Text,
    /// How many tenants ask, each for one job.
    #[schemars(range(min = 1, max = 100_000))]
    pub asks: Option<At<u32>>,
    /// Accelerators that all of them ask for together.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub asked_accelerators: Option<At<u32>>,
    /// Hours that a job runs, the mean of an exponential distribution.
    #[schemars(range(min = 0.01, max = 8_784))]
    pub run_h: Option<At<f64>>,
    /// Hours within which they come, each at random.
    #[schemars(range(min = 0, max = 8_784))]
    pub over_h: Option<At<f64>>,
    /// Hours by which each may be put off: they wait for cheap hours, and are apart from those that take turns.
    #[schemars(range(min = 0, max = 168))]
    pub shift_h: Option<At<f64>>,
    /// With `shift_h`: they write checkpoints, and may be stopped where it is dear; what they wait in all is `shift_h` at most.
    pub parts: Option<At<bool>>,
    /// With `shift_h`: each of them is an array of so many tasks, and what is said of its accelerators and its time is so of each task.
    #[schemars(range(min = 1, max = 1_000))]
    pub tasks: Option<At<u32>>,
    /// With `shift_h`: other sites where they may run, with as many accelerators at each.
    pub also_at: Option<At<Vec<At<String>>>>,
    /// Hours that each may stand still in all where power is short: those that may for longest are the first that do.
    #[schemars(range(min = 0, max = 8_784))]
    pub pause_h: Option<At<f64>>,
    /// By what part each may be slowed where power is short: of any stretch of time it stands still for that part at most, in turns.
    #[schemars(range(min = 0, max = 1))]
    pub slow: Option<At<f64>>,
    /// `false`: they write no checkpoints, and are never stopped.
    pub checkpoints: Option<At<bool>>,
}

/// A grid, or a contract, wants less of a site for a while.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEvent {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// Where.
    #[schemars(required)]
    pub site: Text,
    /// When it begins, local time, as `2026-07-15T18:00`.
    #[schemars(required)]
    pub at: Text,
    /// How long it lasts, in hours.
    #[schemars(required, extend("exclusiveMinimum" = 0, "maximum" = 8_784))]
    pub for_h: Option<At<f64>>,
    /// The part that is cut of what the site draws when it begins, in percent.
    #[schemars(range(min = 1, max = 99))]
    pub cut_percent: Option<At<f64>>,
    /// Instead of a part: what the site may draw at its meter, in kW.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 10_000_000))]
    pub to_kw: Option<At<f64>>,
    /// How long before it is told, in minutes; 0: it begins when it is told.
    #[schemars(range(min = 0, max = 10_080))]
    pub notice_min: Option<At<f64>>,
}

/// How sites are kept under their caps: the keys of `[power]` in the fleet file. Everything is looked at once a second.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPower {
    /// From the fall of a cap until it is met at the latest, in milliseconds.
    #[schemars(range(min = 1_000, max = 600_000))]
    pub meet_ms: Option<At<u64>>,
    /// What was bent stays so for so long at least, in milliseconds.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub hold_ms: Option<At<u64>>,
    /// Between two steps of the way back, in milliseconds.
    #[schemars(range(min = 0, max = 86_400_000))]
    pub return_ms: Option<At<u64>>,
    /// Room that must be left beside what a step back needs, in thousandths of the cap.
    #[schemars(range(min = 0, max = 500))]
    pub spare_milli: Option<At<u32>>,
    /// The lowest level to which clocks are brought, in thousandths of what lies between idle and full.
    #[schemars(range(min = 1, max = 1000))]
    pub level_milli_min: Option<At<u32>>,
    /// How fast what is drawn may rise by itself, in thousandths a second of what lies between idle and full of all that draws it.
    #[schemars(range(min = 0, max = 1000))]
    pub rise_milli_per_s: Option<At<u32>>,
}
