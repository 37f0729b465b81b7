//! The command line. `MADANG_*` variables mirror the flags that several commands share.

use crate::numbers::{real, whole};
use clap::builder::{PossibleValue, PossibleValuesParser};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use madang_rehearsal::FaultPlan;
use madang_twin::engine::{DISK_BYTES_S, KV_LINK_BYTES_S, PROFILES};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A sovereign public AI cloud: one endpoint over many sites, engines and frontier APIs.
#[derive(Debug, Parser)]
#[command(
    name = "madang",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve: fetch what is missing, start the engines, answer at the endpoint.
    Up(UpArgs),
    /// Check a fleet file and show every problem in it.
    Check(CheckArgs),
    /// Check, compare or explain the policy: what may go where.
    #[command(subcommand)]
    Policy(crate::policy_args::PolicyCommand),
    /// Print the JSON Schema of the fleet file.
    Schema,
    /// Say what is missing on this machine and the command that mends it.
    Doctor(DoctorArgs),
    /// Load the running server's fleet file again.
    Reload(ServerArgs),
    /// Show pools and replicas of the running server.
    Status(ServerArgs),
    /// Show who waits, who has how much beside its share, and how replicas are loaded, live.
    Top(TopArgs),
    /// Show the log of a launched replica.
    Logs(LogsArgs),
    /// List, make or remove tenants.
    #[command(subcommand)]
    Tenant(crate::people_args::TenantCommand),
    /// List, make or remove programmes.
    #[command(subcommand)]
    Programme(crate::people_args::ProgrammeCommand),
    /// List, make or disable a tenant's projects.
    #[command(subcommand)]
    Project(crate::people_args::ProjectCommand),
    /// Sign in by a browser on this machine: the key goes into the data folder, or into --key-file, and is used from then on.
    Login(crate::people_args::LoginArgs),
    /// End the sign-in of this data folder, or of --key-file.
    Logout(ServerArgs),
    /// List, make or revoke keys.
    #[command(subcommand)]
    Key(crate::people_args::KeyCommand),
    /// What programmes have to allocate.
    #[command(subcommand)]
    Budget(crate::money_args::BudgetCommand),
    /// Grants to tenants: list, make or recall them.
    #[command(subcommand)]
    Allocation(crate::money_args::AllocationCommand),
    /// What models cost.
    #[command(subcommand)]
    Price(crate::money_args::PriceCommand),
    /// What foreign currencies are worth.
    #[command(subcommand)]
    Exchange(crate::money_args::ExchangeCommand),
    /// Batch jobs: submit, look, hold, withdraw.
    #[command(subcommand)]
    Job(crate::job_args::JobCommand),
    /// Secrets of jobs: put, list, delete.
    #[command(subcommand)]
    Secret(crate::secret_args::SecretCommand),
    /// Show what was used.
    Usage(UsageArgs),
    /// What programmes promised and delivered in a month, and what it cost.
    #[command(subcommand)]
    Report(crate::report_args::ReportCommand),
    /// Show the record of one request.
    Request(RequestArgs),
    /// Gateways that share the books.
    #[command(subcommand)]
    Gateway(crate::ground_args::GatewayCommand),
    /// Stop a country, an upstream or a site at once; list and lift stops.
    #[command(subcommand)]
    Stop(crate::ground_args::StopCommand),
    /// What sites draw and may: caps, and events in which a grid wants less.
    #[command(subcommand)]
    Power(crate::power_args::PowerCommand),
    /// Say what would become of a request, without sending it.
    Explain(crate::ground_args::ExplainArgs),
    /// Run a recording of the decision core again and compare every effect.
    Replay(ReplayArgs),
    /// Serve a model of an engine that makes filler words, to rehearse a fleet without accelerators.
    Engine(EngineArgs),
    /// The log of what policy decided: verify it, prove from it, report from it.
    #[command(subcommand)]
    Audit(crate::audit_args::AuditCommand),
    /// The books of account: verify them, show balances and entries.
    #[command(subcommand)]
    Ledger(crate::ledger_args::LedgerCommand),
    /// Experiments with the same decisions on a virtual clock.
    #[command(subcommand)]
    Twin(crate::twin_args::TwinCommand),
    /// The cheapest fleet for a goal: accelerators by site, power, money, carbon, years; confirmed by the twin.
    Plan(crate::plan_args::PlanArgs),
    /// Look for personal data in a text.
    #[command(subcommand)]
    Pii(crate::pii_args::PiiCommand),
}

/// `madang up`.
#[derive(Debug, ClapArgs)]
pub struct UpArgs {
    /// Fleet file; without one, a small chat model and an embedding model run on this machine.
    #[arg(long, env = "MADANG_FLEET", conflicts_with = "model")]
    pub fleet: Option<PathBuf>,
    /// Serve this one GGUF file with the built-in engine.
    #[arg(long, env = "MADANG_MODEL", value_name = "PATH.gguf")]
    pub model: Option<PathBuf>,
    /// Address to listen on.
    #[arg(long, env = "MADANG_LISTEN", default_value = "127.0.0.1:7080")]
    pub listen: SocketAddr,
    /// Data folder.
    #[arg(long, env = "MADANG_DATA", default_value = "madang-data")]
    pub data: PathBuf,
    /// Where the books are, for gateways that share them: postgres://USER@HOST/DATABASE. Without it, in the data folder.
    #[arg(long, env = "MADANG_STORE", value_name = "URL", hide_env_values = true)]
    pub store: Option<StoreText>,
    /// Record the decision core's inputs and effects to this new file (ids and sizes, never content).
    #[arg(long, env = "MADANG_RECORD")]
    pub record: Option<PathBuf>,
    /// Form of the log on standard error.
    #[arg(long, env = "MADANG_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// What is logged, as in `info,madang_gateway=debug`.
    #[arg(long, env = "MADANG_LOG", default_value = "warn,madang=info")]
    pub log: String,
    /// Print one JSON object instead of the welcome text.
    #[arg(long)]
    pub json: bool,
}

/// The text of a store's URL. It may hold a password: it is read where errors do not repeat it, and not shown.
#[derive(Clone)]
pub struct StoreText(pub String);

impl From<String> for StoreText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::fmt::Debug for StoreText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreText(…)")
    }
}

/// Forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `madang check`.
#[derive(Debug, ClapArgs)]
pub struct CheckArgs {
    /// The fleet file.
    pub file: PathBuf,
    /// Print the problems as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `madang doctor`.
#[derive(Debug, ClapArgs)]
pub struct DoctorArgs {
    /// Fleet file to look at; without one, what `madang up` serves by default.
    #[arg(long, env = "MADANG_FLEET")]
    pub fleet: Option<PathBuf>,
    /// Address that would be listened on.
    #[arg(long, env = "MADANG_LISTEN", default_value = "127.0.0.1:7080")]
    pub listen: SocketAddr,
    /// Data folder.
    #[arg(long, env = "MADANG_DATA", default_value = "madang-data")]
    pub data: PathBuf,
    /// Read every kept file again and compare its digest.
    #[arg(long)]
    pub deep: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where the running server is.
#[derive(Clone, Debug, ClapArgs)]
pub struct ServerArgs {
    /// Data folder of the server on this machine: its address and the operator key are read there.
    #[arg(long, env = "MADANG_DATA", default_value = "madang-data")]
    pub data: PathBuf,
    /// Address of the server, if not the one in the data folder.
    #[arg(long, env = "MADANG_URL")]
    pub url: Option<String>,
    /// File with the key to use, if not that of a sign-in in the data folder, or its operator key.
    #[arg(long, env = "MADANG_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `madang top`.
#[derive(Debug, ClapArgs)]
pub struct TopArgs {
    /// Show it once and end, as where the output is no terminal.
    #[arg(long)]
    pub once: bool,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `madang logs`.
#[derive(Debug, ClapArgs)]
pub struct LogsArgs {
    /// The replica.
    pub replica: String,
    /// Newest lines to show.
    #[arg(long, short = 'n', default_value_t = 100, value_parser = whole::<u32>(1..=10_000))]
    pub lines: u32,
    /// Go on showing new lines.
    #[arg(long, short = 'f')]
    pub follow: bool,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `madang usage`.
#[derive(Debug, ClapArgs)]
pub struct UsageArgs {
    /// One row per model, tenant, project or day; one row in all without it.
    #[arg(long, value_enum)]
    pub by: Option<UsageBy>,
    /// Only this tenant's.
    #[arg(long)]
    pub tenant: Option<String>,
    /// Only this project's; with `--tenant`, unless the key is a tenant's.
    #[arg(long)]
    pub project: Option<String>,
    /// Only this model's.
    #[arg(long)]
    pub model: Option<String>,
    /// From this instant or day on (RFC 3339, or YYYY-MM-DD in Asia/Seoul).
    #[arg(long)]
    pub from: Option<String>,
    /// Before this instant or day.
    #[arg(long)]
    pub until: Option<String>,
    /// Print CSV.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Groups of usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UsageBy {
    /// Per model.
    Model,
    /// Per tenant.
    Tenant,
    /// Per project, as `tenant/project`.
    Project,
    /// Per day in Asia/Seoul.
    Day,
}

/// `madang request`.
#[derive(Debug, ClapArgs)]
pub struct RequestArgs {
    /// `req_…`, as in the header `x-madang-request-id`.
    pub id: String,
    /// Where the server is.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `madang replay`.
#[derive(Debug, ClapArgs)]
pub struct ReplayArgs {
    /// The recording made with `madang up --record`.
    pub file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `madang engine`.
#[derive(Debug, ClapArgs)]
pub struct EngineArgs {
    /// What the engine and its accelerators can do.
    #[arg(long, value_name = "NAME", default_value = "h100-8b", value_parser = profiles())]
    pub profile: String,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// How much faster than real its time goes: 10 is ten times faster.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = real(0.001..=1_000.0))]
    pub speed: f64,
    /// The served model's id; the profile's name without it.
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,
    /// Sequences at once, if not the profile's.
    #[arg(long, value_parser = whole::<u32>(1..=100_000))]
    pub slots: Option<u32>,
    /// Tokens of its KV memory, if not the profile's.
    #[arg(long, value_parser = whole::<u64>(1..=1_000_000_000))]
    pub kv_tokens: Option<u64>,
    /// Tokens of prefixes kept behind its KV memory, if not the profile's.
    #[arg(long, value_parser = whole::<u64>(0..=10_000_000_000))]
    pub host_kv_tokens: Option<u64>,
    /// Tokens of prefixes kept on its machine's disk.
    #[arg(long, value_parser = whole::<u64>(0..=10_000_000_000_000))]
    pub disk_kv_tokens: Option<u64>,
    /// What that disk gives, in 10^9 bytes a second.
    #[arg(long, value_name = "GB", default_value_t = DISK_BYTES_S / 1e9, value_parser = real(0.001..=10_000.0))]
    pub disk_gb_s: f64,
    /// Tokens that are guessed ahead in each iteration.
    #[arg(long, value_name = "K", requires = "acceptance", value_parser = whole::<u32>(1..=32))]
    pub draft_tokens: Option<u32>,
    /// Part of them that hold, where those before them do.
    #[arg(long, value_name = "PART", requires = "draft_tokens", value_parser = real(0.0..=1.0))]
    pub acceptance: Option<f64>,
    /// Time of guessing one, beside that of an iteration that makes one token.
    #[arg(long, value_name = "PART", default_value_t = 0.05, value_parser = real(0.0..=1.0))]
    pub draft_part: f64,
    /// Parts that compute prompts alone, each as the profile says.
    #[arg(long, value_name = "N", requires = "decode_engines", value_parser = whole::<u32>(1..=256))]
    pub prefill_engines: Option<u32>,
    /// Parts that make tokens alone.
    #[arg(long, value_name = "N", requires = "prefill_engines", value_parser = whole::<u32>(1..=256))]
    pub decode_engines: Option<u32>,
    /// What each part for prompts sends KV with, in 10^9 bytes a second.
    #[arg(long, value_name = "GB", default_value_t = KV_LINK_BYTES_S / 1e9, value_parser = real(0.001..=10_000.0))]
    pub kv_link_gb_s: f64,
    /// Seconds from a start or a restart until it serves, as its weights are read; on its own clock.
    #[arg(long, value_name = "S", default_value_t = 0, value_parser = whole::<u32>(0..=86_400))]
    pub load_s: u32,
    /// Watts that its accelerators draw where they do nothing, if not the profile's.
    #[arg(long, value_name = "W", value_parser = whole::<u64>(0..=1_000_000))]
    pub idle_watts: Option<u64>,
    /// Watts that they draw at most, if not the profile's.
    #[arg(long, value_name = "W", value_parser = whole::<u64>(1..=1_000_000))]
    pub full_watts: Option<u64>,
    /// Of faults and drawn lengths: the same seed gives the same ones.
    #[arg(long, default_value_t = 1, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: u64,
    /// What goes wrong and how often, as in `cut=0.05,stall=0.01`.
    #[arg(
        long,
        value_name = "SPEC",
        default_value = "",
        hide_default_value = true
    )]
    pub fault: FaultPlan,
    /// Draw the lengths of answers around this mean, in tokens; without it they are as long as allowed.
    #[arg(long, value_name = "TOKENS", value_parser = whole::<u64>(1..=1_000_000))]
    pub output_mean: Option<u64>,
}

/// The profiles' names, with what they stand for.
pub fn profiles() -> PossibleValuesParser {
    let values = PROFILES
        .iter()
        .map(|profile| PossibleValue::new(&*profile.name).help(&*profile.about));
    PossibleValuesParser::new(values)
}
