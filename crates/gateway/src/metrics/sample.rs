//! Gauges of the fleet as it is at a scrape. Series of removed replicas end with the sample that no longer has them.

use super::label::Label;
use arc_swap::ArcSwap;
use madang_types::{ModelId, ReplicaId, SiteId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::fmt;
use std::sync::Arc;

/// The fleet at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FleetSample {
    /// All models.
    pub models: Vec<ModelSample>,
    /// All replicas.
    pub replicas: Vec<ReplicaSample>,
}

/// A model at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSample {
    /// Its public name.
    pub model: ModelId,
    /// Requests waiting for a replica.
    pub waiting: u64,
}

/// A replica at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaSample {
    /// Its name.
    pub replica: ReplicaId,
    /// Where it runs.
    pub site: SiteId,
    /// What it serves.
    pub model: ModelId,
    /// Whether requests may be sent to it.
    pub up: bool,
    /// Sequences that it may run at once.
    pub slots: u64,
    /// Requests that Madang has sent to it and that have not ended.
    pub running: u64,
    /// How often it was started again.
    pub restarts: u64,
    /// Sequences that the engine says it runs.
    pub engine_running: Option<u64>,
    /// Sequences that the engine says wait in it.
    pub engine_waiting: Option<u64>,
    /// Share of its KV cache that the engine says is used, 0 to 1.
    pub kv_used_ratio: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WaitingLabels {
    model: Label<ModelId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplicaLabels {
    model: Label<ModelId>,
    replica: Label<ReplicaId>,
    site: Label<SiteId>,
}

/// Writes the latest sample.
#[derive(Debug)]
pub(super) struct SampleCollector {
    fleet: Arc<ArcSwap<FleetSample>>,
}

impl SampleCollector {
    pub(super) fn new(fleet: Arc<ArcSwap<FleetSample>>) -> Self {
        Self { fleet }
    }
}

/// A number of a replica, where it is known.
type Read = fn(&ReplicaSample) -> Option<f64>;

const GAUGES: &[(&str, &str, Read)] = &[
    (
        "madang_requests_running",
        "Requests sent to a replica and not ended.",
        |r| count(r.running),
    ),
    (
        "madang_replica_up",
        "1 where requests may be sent to the replica.",
        |r| Some(f64::from(u8::from(r.up))),
    ),
    (
        "madang_replica_slots",
        "Sequences that the replica may run at once.",
        |r| count(r.slots),
    ),
    (
        "madang_engine_requests_running",
        "Sequences that the engine says it runs.",
        |r| r.engine_running.and_then(count),
    ),
    (
        "madang_engine_requests_waiting",
        "Sequences that the engine says wait in it.",
        |r| r.engine_waiting.and_then(count),
    ),
    (
        "madang_engine_kv_used_ratio",
        "Share of the engine's KV cache in use, 0 to 1.",
        |r| r.kv_used_ratio,
    ),
];

/// Gauges are floats; counts of requests are far below 2^53.
fn count(value: u64) -> Option<f64> {
    u32::try_from(value).ok().map(f64::from)
}

fn labels(replica: &ReplicaSample) -> ReplicaLabels {
    ReplicaLabels {
        model: Label::Known(replica.model.clone()),
        replica: Label::Known(replica.replica.clone()),
        site: Label::Known(replica.site.clone()),
    }
}

impl Collector for SampleCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let fleet = self.fleet.load();
        let help = "Requests waiting for a replica.";
        let mut waiting =
            encoder.encode_descriptor("madang_requests_waiting", help, None, MetricType::Gauge)?;
        for model in &fleet.models {
            let labels = WaitingLabels {
                model: Label::Known(model.model.clone()),
            };
            waiting
                .encode_family(&labels)?
                .encode_gauge(&model.waiting)?;
        }
        for (name, help, read) in GAUGES {
            let mut gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for replica in &fleet.replicas {
                if let Some(value) = read(replica) {
                    gauge
                        .encode_family(&labels(replica))?
                        .encode_gauge(&value)?;
                }
            }
        }
        let help = "Times that the replica was started again.";
        let mut restarts = encoder.encode_descriptor(
            "madang_replica_restarts",
            help,
            None,
            MetricType::Counter,
        )?;
        for replica in &fleet.replicas {
            counter(restarts.encode_family(&labels(replica))?, replica.restarts)?;
        }
        Ok(())
    }
}

fn counter(mut encoder: MetricEncoder<'_>, value: u64) -> fmt::Result {
    encoder.encode_counter::<NoLabelSet, u64, f64>(&value, None)
}
