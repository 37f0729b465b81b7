//! What Prometheus is told of batch jobs. Where gateways share the books, the one that drives jobs tells it.

use super::Metrics;
use madang_core::desk::Totals;
use madang_types::{RunOutcome, StopWhy};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A pass is to take ten milliseconds at most with the largest queues.
const PASS_SECONDS: &[f64] = &[
    0.0001, 0.0003, 0.001, 0.003, 0.005, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0,
];

/// How jobs stand at a scrape; `None` where another gateway drives them.
pub type JobsSampler = Box<dyn Fn() -> Option<Totals> + Send + Sync>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StopLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RunLabels {
    site: String,
    state: &'static str,
}

/// Counters and the pass's time; what stands is read at a scrape.
pub(super) struct JobMetrics {
    starts: Counter,
    ends: Family<EndLabels, Counter>,
    stops: Family<StopLabels, Counter>,
    pass: Histogram,
    sampler: Arc<OnceLock<JobsSampler>>,
}

impl JobMetrics {
    pub(super) fn new() -> Self {
        Self {
            starts: Counter::default(),
            ends: Family::default(),
            stops: Family::default(),
            pass: Histogram::new(PASS_SECONDS.iter().copied()),
            sampler: Arc::default(),
        }
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "madang_job_starts",
            "Runs of batch jobs that executors were told of",
            self.starts.clone(),
        );
        r.register(
            "madang_job_ends",
            "Runs of batch jobs that are over, by how they ended",
            self.ends.clone(),
        );
        r.register(
            "madang_job_stops",
            "Runs of batch jobs that were told to stop, by why",
            self.stops.clone(),
        );
        r.register_with_unit(
            "madang_job_pass",
            "Time in which it is decided which jobs run",
            Unit::Seconds,
            self.pass.clone(),
        );
        r.register_collector(Box::new(JobsCollector(Arc::clone(&self.sampler))));
    }
}

impl Metrics {
    /// Counts a run of which an executor was told.
    pub fn job_start(&self) {
        self.jobs.starts.inc();
    }

    /// Counts a run that is over.
    pub fn job_end(&self, outcome: &RunOutcome) {
        let outcome = outcome.as_str();
        self.jobs.ends.get_or_create(&EndLabels { outcome }).inc();
    }

    /// Counts a run that was told to stop.
    pub fn job_stop(&self, why: StopWhy) {
        let reason = why.as_str();
        self.jobs.stops.get_or_create(&StopLabels { reason }).inc();
    }

    /// Notes how long it took to decide once which jobs run.
    pub fn job_pass(&self, took: Duration) {
        self.jobs.pass.observe(took.as_secs_f64());
    }

    /// Who says at a scrape how jobs stand. Set once.
    pub fn jobs_sampler_set(&self, sampler: JobsSampler) {
        if self.jobs.sampler.set(sampler).is_err() {
            tracing::warn!("a sampler of jobs is set already");
        }
    }
}

/// What stands at a scrape.
struct JobsCollector(Arc<OnceLock<JobsSampler>>);

impl fmt::Debug for JobsCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobsCollector")
    }
}

impl Collector for JobsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(sampler) = self.0.get() else {
            return Ok(());
        };
        let totals = sampler();
        let help = "1 where this gateway drives jobs.";
        let driving = ConstGauge::new(i64::from(totals.is_some()));
        let told =
            encoder.encode_descriptor("madang_jobs_driving", help, None, MetricType::Gauge)?;
        driving.encode(told)?;
        let Some(Totals { waiting, runs }) = totals else {
            return Ok(());
        };
        let help = "Tasks of batch jobs that wait, those that are held back too.";
        let told =
            encoder.encode_descriptor("madang_job_tasks_waiting", help, None, MetricType::Gauge)?;
        ConstGauge::new(waiting).encode(told)?;
        let help = "Runs of batch jobs that hold machines.";
        let mut told =
            encoder.encode_descriptor("madang_job_runs", help, None, MetricType::Gauge)?;
        for ((site, state), count) in runs {
            let labels = RunLabels {
                // A site of the fleet file, or nothing of a run from before that was kept.
                site: site.map_or_else(String::new, |site| site.to_string()),
                state: state.as_str(),
            };
            ConstGauge::new(count).encode(told.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
