//! What Prometheus is told. One registry, made once; one method for each event; gauges from a sample set before a scrape.
//!
//! No label comes from a user's text: models, replicas and sites are those of the fleet, tenants those of the books,
//! and the number of each is bounded.

mod jobs;
mod label;
mod power;
mod process;
mod sample;
#[cfg(test)]
mod tests;

pub use jobs::JobsSampler;
pub use power::{MeterSample, PowerSample, PowerSampler};
pub use sample::{FleetSample, ReplicaSample};

use crate::keyring::IdentifyError;
use arc_swap::ArcSwap;
use jobs::JobMetrics;
use label::{Bounded, Label};
use madang_types::{ModelId, TenantId, UsageRecord};
use power::PowerMetrics;
use process::ProcessCollector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use sample::SampleCollector;
use std::sync::Arc;

/// The `content-type` of what [`Metrics::encode`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Most models and most tenants with series of their own; the rest share the label `other`.
const MODELS_MAX: usize = 1_000;
const TENANTS_MAX: usize = 1_000;

// vLLM's buckets, so that boards for either can be laid beside each other.
const FIRST_TOKEN_SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const PER_TOKEN_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0,
];
const DURATION_SECONDS: &[f64] = &[
    0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0,
    60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0,
];
const QUEUE_SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.05, 0.1, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
    600.0,
];

type ModelLabel = Label<ModelId>;
type TenantLabel = Label<TenantId>;
type Histograms<S> = Family<S, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    endpoint: &'static str,
    model: ModelLabel,
    outcome: &'static str,
    status_class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndpointLabels {
    endpoint: &'static str,
    model: ModelLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: ModelLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PromptLabels {
    model: ModelLabel,
    cached: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantTokenLabels {
    tenant: TenantLabel,
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabels {
    tenant: TenantLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    models: Bounded<ModelId>,
    tenants: Arc<Bounded<TenantId>>,
    fleet: Arc<ArcSwap<FleetSample>>,
    requests: Family<RequestLabels, Counter>,
    prompt_tokens: Family<PromptLabels, Counter>,
    generation_tokens: Family<ModelLabels, Counter>,
    tenant_tokens: Family<TenantTokenLabels, Counter>,
    tenant_requests: Family<TenantLabels, Counter>,
    first_token: Histograms<ModelLabels>,
    per_token: Histograms<ModelLabels>,
    duration: Histograms<EndpointLabels>,
    queue: Histograms<ModelLabels>,
    identify_failures: Family<ReasonLabels, Counter>,
    usage_write_failures: Counter,
    jobs: JobMetrics,
    power: PowerMetrics,
}

impl Metrics {
    /// All metrics at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            models: Bounded::new(MODELS_MAX),
            tenants: Arc::new(Bounded::new(TENANTS_MAX)),
            fleet: Arc::default(),
            requests: Family::default(),
            prompt_tokens: Family::default(),
            generation_tokens: Family::default(),
            tenant_tokens: Family::default(),
            tenant_requests: Family::default(),
            first_token: Family::new_with_constructor(|| {
                Histogram::new(FIRST_TOKEN_SECONDS.iter().copied())
            }),
            per_token: Family::new_with_constructor(|| {
                Histogram::new(PER_TOKEN_SECONDS.iter().copied())
            }),
            duration: Family::new_with_constructor(|| {
                Histogram::new(DURATION_SECONDS.iter().copied())
            }),
            queue: Family::new_with_constructor(|| Histogram::new(QUEUE_SECONDS.iter().copied())),
            identify_failures: Family::default(),
            usage_write_failures: Counter::default(),
            jobs: JobMetrics::new(),
            power: PowerMetrics::new(),
        };
        metrics.register();
        metrics
    }

    /// Names and explains every metric. Counters get `_total` and times `_seconds` behind the name given here.
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register(
            "madang_requests",
            "Requests that ended, by outcome",
            self.requests.clone(),
        );
        r.register(
            "madang_prompt_tokens",
            "Prompt tokens, computed or from cache",
            self.prompt_tokens.clone(),
        );
        r.register(
            "madang_generation_tokens",
            "Tokens made",
            self.generation_tokens.clone(),
        );
        r.register(
            "madang_tenant_tokens",
            "Tokens by tenant and kind",
            self.tenant_tokens.clone(),
        );
        r.register(
            "madang_tenant_requests",
            "Requests by tenant",
            self.tenant_requests.clone(),
        );
        r.register(
            "madang_identify_failures",
            "Requests turned away for want of a good key",
            self.identify_failures.clone(),
        );
        r.register(
            "madang_usage_write_failures",
            "Usage records that could not be written",
            self.usage_write_failures.clone(),
        );
        let mut seconds = |name: &str, help: &str, histogram: Histograms<ModelLabels>| {
            r.register_with_unit(name, help, Unit::Seconds, histogram);
        };
        seconds(
            "madang_time_to_first_token",
            "From arrival to the first byte of a streamed answer",
            self.first_token.clone(),
        );
        seconds(
            "madang_time_per_output_token",
            "Mean time between the tokens of one streamed answer",
            self.per_token.clone(),
        );
        seconds(
            "madang_request_queue",
            "Time waiting for a replica",
            self.queue.clone(),
        );
        let help = "From arrival to the end of the answer";
        r.register_with_unit(
            "madang_request_duration",
            help,
            Unit::Seconds,
            self.duration.clone(),
        );
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register("madang_build", "The program's version", build);
        let sample = SampleCollector::new(Arc::clone(&self.fleet), Arc::clone(&self.tenants));
        r.register_collector(Box::new(sample));
        self.jobs.register(r);
        self.power.register(r);
        r.register_collector(Box::new(ProcessCollector::new()));
    }

    /// Counts a request that ended, from its usage record.
    pub fn request_end(&self, record: &UsageRecord) {
        let endpoint = record.endpoint.as_str();
        let model = match &record.model {
            Some(id) => self.models.label(id),
            None => Label::None,
        };
        let tenant = self.tenants.label(&record.tenant);
        self.requests
            .get_or_create(&RequestLabels {
                endpoint,
                model: model.clone(),
                outcome: record.outcome.as_str(),
                status_class: status_class(record.status),
            })
            .inc();
        self.tenant_requests
            .get_or_create(&TenantLabels {
                tenant: tenant.clone(),
            })
            .inc();
        let total = seconds(record.total_us);
        self.duration
            .get_or_create(&EndpointLabels {
                endpoint,
                model: model.clone(),
            })
            .observe(total);
        let labels = ModelLabels { model };
        self.queue
            .get_or_create(&labels)
            .observe(seconds(record.queued_us));
        // The first byte of a plain answer comes with its last: it would hide what streams are like.
        if let (true, Some(us)) = (record.streamed, record.first_token_us) {
            self.first_token.get_or_create(&labels).observe(seconds(us));
        }
        if let Some(us) = record.per_token_us {
            self.per_token.get_or_create(&labels).observe(seconds(us));
        }
        self.tokens(record, labels, tenant);
    }

    fn tokens(&self, record: &UsageRecord, labels: ModelLabels, tenant: TenantLabel) {
        let tokens = &record.tokens;
        self.generation_tokens
            .get_or_create(&labels)
            .inc_by(tokens.output.0);
        for (cached, count) in [(false, tokens.uncached), (true, tokens.cached)] {
            let labels = PromptLabels {
                model: labels.model.clone(),
                cached,
            };
            self.prompt_tokens.get_or_create(&labels).inc_by(count.0);
        }
        let kinds = [
            ("uncached", tokens.uncached),
            ("cached", tokens.cached),
            ("output", tokens.output),
        ];
        for (kind, count) in kinds {
            let labels = TenantTokenLabels {
                tenant: tenant.clone(),
                kind,
            };
            self.tenant_tokens.get_or_create(&labels).inc_by(count.0);
        }
    }

    /// Counts a request without a good key; it has no usage record.
    pub fn identify_failure(&self, error: IdentifyError) {
        let reason = match error {
            IdentifyError::Missing => "missing",
            IdentifyError::Invalid => "invalid",
            IdentifyError::Expired => "expired",
            IdentifyError::Revoked => "revoked",
        };
        self.identify_failures
            .get_or_create(&ReasonLabels { reason })
            .inc();
    }

    /// Counts a usage record that could not be written.
    pub fn usage_write_failure(&self) {
        self.usage_write_failures.inc();
    }

    /// Sets what the gauges say of the fleet, until the next call.
    pub fn fleet_set(&self, sample: FleetSample) {
        self.fleet.store(Arc::new(sample));
    }

    /// Everything as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = encode(&mut text, &self.registry) {
            tracing::error!(%error, "cannot write the metrics");
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn seconds(us: u64) -> f64 {
    std::time::Duration::from_micros(us).as_secs_f64()
}

fn status_class(status: u16) -> &'static str {
    match status / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        5 => "5xx",
        _ => "other",
    }
}
