//! Flags of `madang twin`.

pub mod fidelity;

use crate::numbers::{list, real, whole};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use madang_core::jobs::{Backfill, JobRule};
use madang_core::{RouteRule, ShareRule};
use madang_twin::experiment::jobs::{Maintenance, OtherKind};
use madang_twin::experiment::noisy::Flood;
use std::path::PathBuf;

/// `madang twin`.
#[derive(Debug, Subcommand)]
pub enum TwinCommand {
    /// A scenario: sites, engines, tenants and their demand, through hours or days, with latency, energy, money and carbon.
    Run(RunArgs),
    /// Tenants that flood beside tenants that ask steadily: how much later do the latter's first tokens come?
    Noisy(NoisyArgs),
    /// A trace over a pool of engines: how many first tokens come within five seconds?
    Route(RouteArgs),
    /// A load above what the fleet can do, with clients that ask again five times.
    Overload(OverloadArgs),
    /// A month of tenants that want more at some times and nothing at others: does each get what it was promised?
    Month(MonthArgs),
    /// A trace of batch jobs over a number of accelerators, by Madang's rule and by first come, backfill and shortest first.
    Jobs(JobsArgs),
    /// Tasks of a trace on the machines of a fleet, until more was asked for than there is: how much of it can be given away?
    Place(PlaceArgs),
    /// Chips, models and engines that the twin knows, with the trust that each figure deserves.
    Catalog(fidelity::ListArgs),
    /// Fits the coefficients of engines on measured rows.
    Calibrate(fidelity::CalibrateArgs),
    /// Times of engines at a concurrency, with the band that holds nine of ten.
    Predict(fidelity::PredictArgs),
    /// Fits an engine on a log of requests, and predicts each request of another run.
    Requests(fidelity::RequestsArgs),
    /// A grid wants less for hours: how soon is it met, who stands still, and do first tokens come later?
    Power(PowerArgs),
    /// How many requests the twin simulates in a second of processor time.
    Speed(SpeedArgs),
}

/// Who is next, the best known for its faults last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Share {
    /// Hierarchical virtual tokens, with part of each batch kept for those under their share.
    Madang,
    /// Virtual token counter: input + 2 × output tokens.
    Vtc,
    /// Deficit round robin on prompt tokens.
    Drr,
    /// One request of each tenant in turn.
    #[value(alias = "round_robin", alias = "rr")]
    RoundRobin,
    /// First come, first served.
    Fcfs,
}

impl Share {
    /// The core's rule.
    pub fn rule(self) -> ShareRule {
        match self {
            Self::Madang => ShareRule::Madang,
            Self::Vtc => ShareRule::Vtc,
            Self::Drr => ShareRule::Drr,
            Self::RoundRobin => ShareRule::RoundRobin,
            Self::Fcfs => ShareRule::Fcfs,
        }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Route {
    /// Least predicted time to first token, caches counted.
    #[value(alias = "predicted_ttft", alias = "madang")]
    PredictedTtft,
    /// The same without caches.
    #[value(alias = "predicted_ttft_no_cache")]
    PredictedTtftNoCache,
    /// Any, by lot.
    Random,
    /// Each in turn.
    #[value(alias = "round_robin")]
    RoundRobin,
    /// Fewest requests.
    #[value(alias = "least_request")]
    LeastRequest,
    /// The better of two by lot.
    #[value(alias = "power_of_two")]
    PowerOfTwo,
    /// Rendezvous hash of the prompt's beginning.
    #[value(alias = "prefix_hash")]
    PrefixHash,
    /// Consistent hashing with bounded loads.
    Chwbl,
    /// Longest match over 0.3, else the smallest cache; shortest queue where loads are uneven.
    #[value(alias = "cache_aware")]
    CacheAware,
    /// Uncached prefill blocks plus decode blocks.
    #[value(alias = "block_cost")]
    BlockCost,
}

impl Route {
    /// The core's rule.
    pub fn rule(self) -> RouteRule {
        match self {
            Self::PredictedTtft => RouteRule::PredictedTtft,
            Self::PredictedTtftNoCache => RouteRule::PredictedTtftNoCache,
            Self::Random => RouteRule::Random,
            Self::RoundRobin => RouteRule::RoundRobin,
            Self::LeastRequest => RouteRule::LeastRequest,
            Self::PowerOfTwo => RouteRule::PowerOfTwo,
            Self::PrefixHash => RouteRule::PrefixHash,
            Self::Chwbl => RouteRule::Chwbl,
            Self::CacheAware => RouteRule::CacheAware,
            Self::BlockCost => RouteRule::BlockCost,
        }
    }
}

/// The fleet of an experiment.
#[derive(Debug, ClapArgs)]
pub struct FleetArgs {
    /// What each engine and its accelerators can do.
    #[arg(long, value_name = "NAME", default_value = "h100x2-32b", value_parser = crate::args::profiles())]
    pub profile: String,
    /// Of the arrivals: the same seed gives the same ones.
    #[arg(long, default_value_t = 1, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: u64,
    /// Print JSON: one object for one rule, a list for several.
    #[arg(long)]
    pub json: bool,
}

/// `madang twin noisy`.
#[derive(Debug, ClapArgs)]
pub struct NoisyArgs {
    /// A tenant that floods: requests a second, prompt tokens, output tokens. Without any, three known floods run one after another.
    #[arg(long, value_name = "RATE,IN,OUT")]
    pub flood: Vec<Flood>,
    /// Who is next; without any, all are run and printed side by side.
    #[arg(long, value_enum)]
    pub policy: Vec<Share>,
    /// Engines.
    #[arg(long, default_value_t = 4, value_parser = whole::<u32>(1..=10_000))]
    pub replicas: u32,
    /// The first flood has credit in full, and everybody else is in debt as deep.
    #[arg(long, conflicts_with = "live")]
    pub credit: bool,
    /// Over real sockets instead: a gateway of its own, modelled engines, and clients, on this machine.
    #[arg(long)]
    pub live: bool,
    /// With --live: how much faster than real the engines' time goes.
    #[arg(long, value_name = "X", default_value_t = 1.0, requires = "live", value_parser = real(0.001..=1_000.0))]
    pub speed: f64,
    /// With --live: real seconds that are looked at, alone and flooded.
    #[arg(long, default_value_t = 20, requires = "live", value_parser = whole::<u64>(1..=300))]
    pub seconds: u64,
    /// Fleet, seed and form.
    #[command(flatten)]
    pub fleet: FleetArgs,
}

/// `madang twin route`.
#[derive(Debug, ClapArgs)]
pub struct RouteArgs {
    /// Requests with their times, in any form that docs/twin.md lists, plain, gzip or zstd: ours, Azure's, Mooncake's, a recording.
    #[arg(long, value_name = "FILE")]
    pub trace: PathBuf,
    /// Of a gateway's recording, only requests for this model.
    #[arg(long, value_name = "ID")]
    pub model: Option<String>,
    /// Engines.
    #[arg(long, default_value_t = 8, value_parser = whole::<u32>(1..=10_000))]
    pub replicas: u32,
    /// How much faster than recorded requests arrive.
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = real(0.01..=1_000.0))]
    pub speed: f64,
    /// Tokens of prefixes that each engine keeps behind its KV memory.
    #[arg(long, value_name = "TOKENS", default_value_t = 0, value_parser = whole::<u64>(0..=10_000_000_000))]
    pub host_tier: u64,
    /// Every second engine is of this kind instead.
    #[arg(long, value_name = "NAME", value_parser = crate::args::profiles())]
    pub second_profile: Option<String>,
    /// Where requests go; without any, all rules are run and printed side by side.
    #[arg(long, value_enum)]
    pub policy: Vec<Route>,
    /// Fleet, seed and form.
    #[command(flatten)]
    pub fleet: FleetArgs,
}

/// `madang twin overload`.
#[derive(Debug, ClapArgs)]
pub struct OverloadArgs {
    /// Load during the step, as a part of capacity; without any, 1.4 and 3.
    #[arg(long, value_name = "X", value_parser = real(0.1..=20.0))]
    pub step: Vec<f64>,
    /// Who is next; without any, all are run and printed side by side.
    #[arg(long, value_enum)]
    pub policy: Vec<Share>,
    /// Engines.
    #[arg(long, default_value_t = 4, value_parser = whole::<u32>(1..=10_000))]
    pub replicas: u32,
    /// Fleet, seed and form.
    #[command(flatten)]
    pub fleet: FleetArgs,
}

/// `madang twin month`.
#[derive(Debug, ClapArgs)]
pub struct MonthArgs {
    /// How many days.
    #[arg(long, default_value_t = 28, value_parser = whole::<u64>(1..=366))]
    pub days: u64,
    /// Credit and debt fade to half in so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = whole::<u32>(1..=3_650))]
    pub half_life_days: u32,
    /// Neither is more than the tenant's share over so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = whole::<u32>(0..=366))]
    pub cap_days: u32,
    /// Credit raises a share to at most so many times itself.
    #[arg(long, value_name = "X", default_value_t = 4, value_parser = whole::<u32>(1..=100))]
    pub factor_max: u32,
    /// Engines of the minutes that are run request by request.
    #[arg(long, default_value_t = 4, value_parser = whole::<u32>(1..=10_000))]
    pub replicas: u32,
    /// Fleet, seed and form.
    #[command(flatten)]
    pub fleet: FleetArgs,
}

/// Which job is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Next {
    /// First come, first served.
    Fifo,
    /// The same with backfill, run times known.
    Easy,
    /// The same where nobody is delayed who waits.
    Conservative,
    /// Shortest first, run times known.
    Sjf,
    /// The same with backfill.
    SjfBackfill,
    /// Shares that fade; inside one, those that had least first; others make room. Run times are not known.
    Madang,
}

impl Next {
    /// The core's rule.
    pub fn rule(self) -> JobRule {
        match self {
            Self::Fifo => JobRule::Fifo,
            Self::Easy => JobRule::Easy,
            Self::Conservative => JobRule::Conservative,
            Self::Sjf => JobRule::Sjf,
            Self::SjfBackfill => JobRule::SjfBackfill,
            Self::Madang => JobRule::Madang,
        }
    }
}

/// Whose start a job that goes before others may not delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Delays {
    /// That of the first that waits.
    Easy,
    /// That of each that waits.
    Conservative,
}

impl Delays {
    /// The core's word.
    pub fn backfill(self) -> Backfill {
        match self {
            Self::Easy => Backfill::Easy,
            Self::Conservative => Backfill::Conservative,
        }
    }
}

/// Accelerators of an experiment.
const ACCELERATORS_MAX: u32 = 1_000_000;
/// Hours of a trace, with those after it.
const HOURS_MAX: u64 = 100_000;

fn other_kind(text: &str) -> Result<OtherKind, String> {
    let most = u64::from(ACCELERATORS_MAX);
    let [accelerators, worth_milli] = list(text, "N,MILLI", [1..=most, 1..=100_000])?;
    Ok(OtherKind {
        accelerators: small(accelerators),
        worth_milli: small(worth_milli),
    })
}

fn won(text: &str) -> Result<[u64; 2], String> {
    list(text, "WON,WON", [1..=1_000_000_000, 1..=1_000_000_000])
}

fn data(text: &str) -> Result<[u64; 2], String> {
    list(text, "GB,MBIT", [1..=1_000_000_000, 1..=1_000_000_000])
}

fn maintenance(text: &str) -> Result<Maintenance, String> {
    let most = u64::from(ACCELERATORS_MAX);
    let ranges = [1..=most, 0..=HOURS_MAX, 1..=HOURS_MAX];
    let [accelerators, from_h, span_h] = list(text, "N,FROM_H,SPAN_H", ranges)?;
    Ok(Maintenance {
        accelerators: small(accelerators),
        from_h,
        span_h,
    })
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// `madang twin jobs`.
#[derive(Debug, ClapArgs)]
pub struct JobsArgs {
    /// CSV, plain, gzip or zstd: submit_s,vc,gpus,duration_s.
    #[arg(value_name = "TRACE")]
    pub trace: PathBuf,
    /// How many there are; without any, 512 and 640.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=ACCELERATORS_MAX))]
    pub accelerators: Vec<u32>,
    /// Who is next; without any, all are run and printed side by side.
    #[arg(long, value_enum)]
    pub policy: Vec<Next>,
    /// So many accelerators of another kind beside them, and how fast jobs run there, in thousandths; an hour counts so much in shares.
    #[arg(long, value_name = "N,MILLI", value_parser = other_kind)]
    pub other: Option<OtherKind>,
    /// What an hour of one accelerator costs of both kinds, at two sites, in won: Madang's rule chooses between them by one cost, and
    /// beside it as the cheapest that has room.
    #[arg(long, value_name = "WON,WON", value_parser = won, requires = "other")]
    pub won: Option<[u64; 2]>,
    /// What an hour is worth that one accelerator of a job waits, in won.
    #[arg(long, value_name = "WON", default_value_t = 5_000, value_parser = whole::<u64>(1..=1_000_000_000))]
    pub wait_won: u64,
    /// So many gigabytes each job brings, over so many megabits a second: tenants' data stands at the first site and at the second in turn.
    #[arg(long, value_name = "GB,MBIT", value_parser = data, requires = "won")]
    pub data: Option<[u64; 2]>,
    /// With Madang's rule: whose start a job may not delay that goes before it and cannot be stopped.
    #[arg(long, value_enum, default_value_t = Delays::Easy)]
    pub backfill: Delays,
    /// Madang's rule stops nobody: as if no job wrote checkpoints.
    #[arg(long)]
    pub rigid: bool,
    /// So many accelerators are kept for nobody, from an hour of the trace on and for so many hours, as when machines are mended.
    #[arg(long, value_name = "N,FROM_H,SPAN_H", value_parser = maintenance)]
    pub maintenance: Option<Maintenance>,
    /// What a tenant used counts half after so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 7, value_parser = whole::<u64>(1..=3_650))]
    pub half_life_days: u64,
    /// A job that is stopped writes a checkpoint for so many seconds.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = whole::<u64>(0..=86_400))]
    pub checkpoint_s: u64,
    /// A job that goes on reads it for so many seconds.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = whole::<u64>(0..=86_400))]
    pub restore_s: u64,
    /// Print JSON: one object for one run, a list for several.
    #[arg(long)]
    pub json: bool,
}

/// `madang twin place`.
#[derive(Debug, ClapArgs)]
pub struct PlaceArgs {
    /// Tasks, as CSV, plain, gzip or zstd: cpu_milli,mem_mib,gpus,gpu_milli,gpu_spec.
    #[arg(value_name = "TASKS")]
    pub tasks: PathBuf,
    /// Machines, likewise: cpu_milli,mem_mib,gpus,gpu_model.
    #[arg(long, value_name = "FILE")]
    pub nodes: PathBuf,
    /// How much is asked for in the end, as a part of all accelerators.
    #[arg(long, value_name = "X", default_value_t = 1.3, value_parser = real(0.01..=10.0))]
    pub asked: f64,
    /// Every task may go to every kind of accelerator.
    #[arg(long)]
    pub any_kind: bool,
    /// Of the order in which tasks come: the same seed gives the same one; without any, 1, 2 and 3.
    #[arg(long, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: Vec<u64>,
    /// Print JSON: one object for one seed, a list for several.
    #[arg(long)]
    pub json: bool,
}

/// `madang twin run`.
#[derive(Debug, ClapArgs)]
pub struct RunArgs {
    /// A scenario's file, or the name of one that is built in; without it, the JSON Schema of such files is printed.
    #[arg(value_name = "SCENARIO")]
    pub scenario: Option<PathBuf>,
    /// Another seed than the scenario's.
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: Option<u64>,
    /// Its first hours only.
    #[arg(long, value_name = "H", value_parser = whole::<u32>(1..=8_784))]
    pub hours: Option<u32>,
    /// How many threads work; the result is the same. As many as there are cores, if not given.
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_024))]
    pub threads: Option<u32>,
    /// Engines compute every iteration for itself: slower, with the same result.
    #[arg(long)]
    pub step: bool,
    /// Write each table as CSV into that folder, with every combination of site, model, tenant and hour.
    #[arg(long, value_name = "DIR")]
    pub csv: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `madang twin speed`.
#[derive(Debug, ClapArgs)]
pub struct SpeedArgs {
    /// Requests of each run.
    #[arg(long, default_value_t = 300_000, value_parser = whole::<u64>(1_000..=100_000_000))]
    pub requests: u64,
    /// Fleet, seed and form.
    #[command(flatten)]
    pub fleet: FleetArgs,
}

/// `madang twin power`.
#[derive(Debug, ClapArgs)]
pub struct PowerArgs {
    /// What each engine and its accelerators can do.
    #[arg(long, value_name = "NAME", default_value = "h100x2-32b", value_parser = crate::args::profiles())]
    pub profile: String,
    /// Engines.
    #[arg(long, default_value_t = 8, value_parser = whole::<u32>(1..=256))]
    pub engines: u32,
    /// Requests a second for each.
    #[arg(long, value_name = "N", default_value_t = 4.0, value_parser = real(0.01..=1_000.0))]
    pub rate: f64,
    /// Batch jobs, each on eight accelerators.
    #[arg(long, default_value_t = 6, value_parser = whole::<u32>(0..=1000))]
    pub jobs: u32,
    /// Percent of them that may stand still.
    #[arg(long, default_value_t = 70, value_parser = whole::<u32>(0..=100))]
    pub flexible: u32,
    /// Percent of their pace that the others may lose, in turns.
    #[arg(long, default_value_t = 0, value_parser = whole::<u32>(0..=100))]
    pub slow: u32,
    /// Percent that is cut of what is drawn.
    #[arg(long, default_value_t = 25, value_parser = whole::<u32>(1..=99))]
    pub cut: u32,
    /// How long the event lasts, in minutes.
    #[arg(long, default_value_t = 180, value_parser = whole::<u32>(1..=1440))]
    pub minutes: u32,
    /// Time to first token in milliseconds beyond which an answer is of no use, as a fleet file's ttft_ms_max: who cannot be served
    /// within it is refused. 0: whoever waits, waits, for a minute at most
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = whole::<u64>(0..=86_400_000))]
    pub ttft_ms_max: u64,
    /// Of arrivals and lengths.
    #[arg(long, default_value_t = 1, value_parser = whole::<u64>(0..=u64::MAX))]
    pub seed: u64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}
