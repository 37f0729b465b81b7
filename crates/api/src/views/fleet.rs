//! The fleet and what runs of it.

use super::{PoolView, ProblemView, instant};
use madang_control::jobs::{ClusterState, Totals};
use madang_control::probe::metrics::EngineLoad;
use madang_control::view;
use madang_ledger::Holder;
use madang_store::GatewayRow;
use madang_types::{Micros, RunState};
use serde::Serialize;
use utoipa::ToSchema;

/// How the server stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusView {
    /// Madang's version.
    #[schema(value_type = String)]
    pub version: &'static str,
    /// Counts fleets loaded; 0 before the first.
    pub generation: u64,
    /// Where the fleet comes from.
    pub fleet: String,
    /// Seconds since the API began to serve.
    pub uptime_s: u64,
    /// Requests that wait or run.
    pub requests_count: usize,
    /// Whether the books can be written.
    pub books_writable: bool,
    /// How batch jobs stand; null where another gateway drives them.
    pub jobs: Option<JobsStatusView>,
    /// Replicas that serve the same model, model by model.
    pub pools: Vec<PoolView>,
    /// Slurm clusters whose accounts, QOS and limits are set from here.
    pub clusters: Vec<ClusterView>,
}

/// A Slurm cluster that is set up from here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ClusterView {
    /// Its name in the fleet file.
    id: String,
    /// When it was last looked at and set up by this gateway; absent where it never was.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    set_up_at: Option<String>,
    /// What is not as it should be, and why; jobs that need it wait.
    faults: Vec<String>,
}

impl From<ClusterState> for ClusterView {
    fn from(state: ClusterState) -> Self {
        let ClusterState {
            id,
            set_up_at,
            faults,
        } = state;
        Self {
            id,
            set_up_at: set_up_at.map(instant),
            faults,
        }
    }
}

/// How all batch jobs stand that are not over.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct JobsStatusView {
    /// Tasks that wait, those that are held back too.
    waiting: u64,
    /// Runs that have machines and have not begun.
    starting: u64,
    /// Runs that run.
    running: u64,
    /// Runs that were told to stop.
    stopping: u64,
}

impl From<Totals> for JobsStatusView {
    fn from(Totals { waiting, runs }: Totals) -> Self {
        let of = |asked| {
            let those = runs.iter().filter(|((_, state), _)| *state == asked);
            those.map(|(_, count)| *count).sum()
        };
        Self {
            waiting,
            starting: of(RunState::Starting),
            running: of(RunState::Running),
            stopping: of(RunState::Stopping),
        }
    }
}

/// A gateway that has served from these books.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GatewayView {
    /// Its name, drawn at its first start and kept in its data folder.
    id: String,
    /// Counts its runs.
    run: u32,
    /// When the latest one began.
    #[schema(format = DateTime)]
    begun_at: String,
    /// When it was last heard of, while anything has a price or a budget; absent once it was given up, until it comes back.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_at: Option<String>,
    /// Allocations and ceilings of which it holds, or has held, a part.
    purses_count: u64,
}

impl From<GatewayRow> for GatewayView {
    fn from(row: GatewayRow) -> Self {
        let GatewayRow {
            holder: Holder { gateway, epoch },
            begun_at,
            seen_at,
            purses,
        } = row;
        Self {
            id: gateway.to_string(),
            run: epoch,
            begun_at: instant(begun_at),
            seen_at: (seen_at > Micros(0)).then(|| instant(seen_at)),
            purses_count: purses,
        }
    }
}

/// One running engine.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplicaView {
    /// Its id.
    id: String,
    /// Where it runs.
    site: String,
    /// What it serves.
    model: String,
    /// `up`, `down`, or a launched engine's `starting`, `backoff`, `hung`, `stopping`, `stopped`.
    #[schema(value_type = String)]
    state: &'static str,
    /// Why it is not up, or what is odd.
    reason: Option<String>,
    /// Whether Madang started it.
    launched: bool,
    /// Process id of a launched engine.
    pid: Option<u32>,
    /// Starts so far.
    starts_count: u64,
    /// Where it listens.
    address: Option<String>,
    /// Requests of ours that run there.
    running: u32,
    /// Sequences at once.
    slots: u32,
    /// The engine's own figures.
    load: Option<LoadView>,
    /// The last lines of its log when it ended.
    last_lines: Vec<String>,
}

impl From<view::ReplicaView> for ReplicaView {
    fn from(replica: view::ReplicaView) -> Self {
        let view::ReplicaView {
            id,
            site,
            model,
            state,
            reason,
            launched,
            pid,
            starts_count,
            address,
            running,
            slots,
            load,
            last_lines,
        } = replica;
        Self {
            id: id.to_string(),
            site: site.to_string(),
            model: model.to_string(),
            state,
            reason,
            launched,
            pid,
            starts_count,
            address,
            running,
            slots,
            load: load.map(LoadView::from),
            last_lines,
        }
    }
}

/// An engine's own figures; null where it does not tell.
#[derive(Debug, Serialize, ToSchema)]
struct LoadView {
    /// Sequences being computed.
    running: Option<u64>,
    /// Sequences that wait inside the engine.
    waiting: Option<u64>,
    /// Used part of the KV cache, 0 to 1.
    kv_used_ratio: Option<f64>,
    /// Prompt tokens since the engine's start.
    prompt_tokens: Option<u64>,
    /// Generated tokens since the engine's start.
    output_tokens: Option<u64>,
    /// Prompt tokens that the prefix cache was asked for.
    prefix_query_tokens: Option<u64>,
    /// Prompt tokens that the prefix cache had.
    prefix_hit_tokens: Option<u64>,
    /// Part of recent prompt tokens that the prefix cache had, 0 to 1.
    prefix_hit_ratio: Option<f64>,
    /// Requests thrown out of the batch for want of memory, since the engine's start.
    preemptions: Option<u64>,
    /// When the engine's process began, in seconds since 1970.
    started_s: Option<u64>,
}

impl From<EngineLoad> for LoadView {
    fn from(load: EngineLoad) -> Self {
        let EngineLoad {
            running,
            waiting,
            kv_used_ratio,
            prompt_tokens,
            output_tokens,
            prefix_query_tokens,
            prefix_hit_tokens,
            prefix_hit_ratio,
            preemptions,
            started_s,
        } = load;
        Self {
            running,
            waiting,
            kv_used_ratio,
            prompt_tokens,
            output_tokens,
            prefix_query_tokens,
            prefix_hit_tokens,
            prefix_hit_ratio,
            preemptions,
            started_s,
        }
    }
}

/// The newest lines of a replica's log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogView {
    /// The replica.
    pub replica: String,
    /// Oldest first.
    pub lines: Vec<String>,
}

/// A data centre.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SiteView {
    /// Its id.
    pub id: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// Country of the operator's seat.
    pub operator_country: String,
    /// Greatest power drawn at its meter.
    pub power_cap_kw: Option<f64>,
    /// Power usage effectiveness.
    pub pue: Option<f64>,
    /// Its machines.
    pub nodes: Vec<NodesView>,
    /// Replicas of the fleet that run there.
    pub replicas_count: usize,
}

/// Machines of one kind.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodesView {
    /// Their id.
    pub id: String,
    /// Kind of accelerator; `cpu` for none.
    pub accelerator: String,
    /// Accelerators in one machine.
    pub per_node: u32,
    /// Machines.
    pub count: u32,
    /// They take batch jobs.
    pub takes_jobs: bool,
}

/// A served model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelView {
    /// The name to ask for.
    pub id: String,
    /// Longest prompt and answer together, where known.
    pub context_tokens: Option<u64>,
    /// Its class, for which tokens may be granted.
    pub model_class: Option<String>,
    /// The doors that it serves.
    pub endpoints: Vec<String>,
    /// Sites and upstreams where it is served.
    pub sites: Vec<String>,
    /// Of a name that leads to one of several models: those, best first.
    pub candidates: Vec<String>,
    /// Whether something would serve it now.
    pub available: bool,
}

/// A fleet file that was loaded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReloadView {
    /// Where the fleet comes from.
    pub file: String,
    /// Counts fleets loaded.
    pub generation: u64,
    /// Replicas that start.
    pub started: usize,
    /// Replicas that leave or start anew.
    pub leaving: usize,
    /// What the operator should know all the same.
    pub warnings: Vec<ProblemView>,
}
