//! What Prometheus is told of power.

use super::Metrics;
use madang_core::power::governor::PowerDeed;
use madang_types::SiteId;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// How power stands at a site, at a scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PowerSample {
    /// Where.
    pub site: SiteId,
    /// What is drawn at its meter, in watts.
    pub watts: u64,
    /// That is measured.
    pub measured: bool,
    /// What may be.
    pub cap_watts: Option<u64>,
    /// What is drawn over the cap that is in force now.
    pub over_watts: u64,
    /// By how much the cap may be passed though nothing is left that bends.
    pub lacks_watts: u64,
    /// Its meters.
    pub meters: Vec<MeterSample>,
    /// Servers of grids that were asked, and whether they answered at the last try.
    pub vtns: Vec<(String, bool)>,
    /// Acts in force, by their kinds.
    pub acts: Vec<&'static str>,
}

/// How far a meter is believed, at a scrape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterSample {
    /// Its name in the fleet file.
    pub meter: String,
    /// Why it is not believed, in a word of a fixed list.
    pub doubt: Option<&'static str>,
    /// For how long it has not been believed, in seconds.
    pub doubted_s: u64,
}

/// How power stands at all sites; `None` once nobody looks any more.
pub type PowerSampler = Box<dyn Fn() -> Option<Vec<PowerSample>> + Send + Sync>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SiteLabels {
    site: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DrawnLabels {
    site: String,
    measured: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ActLabels {
    site: String,
    act: &'static str,
}

/// Acts so far; what stands is read at a scrape.
pub(super) struct PowerMetrics {
    acts: Family<ActLabels, Counter>,
    sampler: Arc<OnceLock<PowerSampler>>,
}

impl PowerMetrics {
    pub(super) fn new() -> Self {
        Self {
            acts: Family::default(),
            sampler: Arc::default(),
        }
    }

    pub(super) fn register(&self, r: &mut Registry) {
        r.register(
            "madang_power_acts",
            "Acts that were taken against power that is short, by kind",
            self.acts.clone(),
        );
        r.register_collector(Box::new(PowerCollector(Arc::clone(&self.sampler))));
    }
}

impl Metrics {
    /// Counts an act that was taken.
    pub fn power_deed(&self, site: &str, deed: &PowerDeed) {
        if let PowerDeed::Took { act, .. } = deed {
            let labels = ActLabels {
                site: site.to_owned(),
                act: act.kind(),
            };
            self.power.acts.get_or_create(&labels).inc();
        }
    }

    /// Who says at a scrape how power stands. Set once.
    pub fn power_sampler_set(&self, sampler: PowerSampler) {
        if self.power.sampler.set(sampler).is_err() {
            tracing::warn!("a sampler of power is set already");
        }
    }
}

/// What stands at a scrape.
struct PowerCollector(Arc<OnceLock<PowerSampler>>);

impl fmt::Debug for PowerCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PowerCollector")
    }
}

impl Collector for PowerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(samples) = self.0.get().and_then(|sampler| sampler()) else {
            return Ok(());
        };
        let help = "Power drawn at a site's meter; measured=\"false\" where a model says so.";
        let mut told =
            encoder.encode_descriptor("madang_site_watts", help, None, MetricType::Gauge)?;
        for sample in &samples {
            let labels = DrawnLabels {
                site: sample.site.to_string(),
                measured: if sample.measured { "true" } else { "false" },
            };
            ConstGauge::new(sample.watts).encode(told.encode_family(&labels)?)?;
        }
        let site = |sample: &PowerSample| SiteLabels {
            site: sample.site.to_string(),
        };
        let help = "Power that may be drawn at a site's meter, where there is a cap.";
        let mut told =
            encoder.encode_descriptor("madang_site_cap_watts", help, None, MetricType::Gauge)?;
        for sample in &samples {
            if let Some(cap) = sample.cap_watts {
                ConstGauge::new(cap).encode(told.encode_family(&site(sample))?)?;
            }
        }
        let help = "Power drawn at a site's meter over the cap that is in force now.";
        let mut told =
            encoder.encode_descriptor("madang_site_over_watts", help, None, MetricType::Gauge)?;
        for sample in &samples {
            ConstGauge::new(sample.over_watts).encode(told.encode_family(&site(sample))?)?;
        }
        let help = "Power by which a site may come over its cap, with what may rise, though nothing is left that bends.";
        let mut told =
            encoder.encode_descriptor("madang_site_lacks_watts", help, None, MetricType::Gauge)?;
        for sample in &samples {
            ConstGauge::new(sample.lacks_watts).encode(told.encode_family(&site(sample))?)?;
        }
        encode_meters(&samples, &mut encoder)?;
        let help = "Whether a grid's server (VTN) answered when it was asked last.";
        let mut told =
            encoder.encode_descriptor("madang_vtn_answers", help, None, MetricType::Gauge)?;
        for sample in &samples {
            for (vtn, answers) in &sample.vtns {
                let labels = [("site", sample.site.as_str()), ("vtn", vtn.as_str())];
                ConstGauge::new(u64::from(*answers)).encode(told.encode_family(&labels)?)?;
            }
        }
        let help = "Acts in force against power that is short, by kind.";
        let mut told =
            encoder.encode_descriptor("madang_site_power_acts", help, None, MetricType::Gauge)?;
        for sample in &samples {
            let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
            for act in &sample.acts {
                *counts.entry(act).or_default() += 1;
            }
            for (act, count) in counts {
                let labels = [("site", sample.site.as_str()), ("act", act)];
                ConstGauge::new(count).encode(told.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// How far meters are believed.
fn encode_meters(samples: &[PowerSample], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let meters = samples.iter().flat_map(|sample| {
        let meters = sample.meters.iter();
        meters.map(|meter| (sample.site.as_str(), meter))
    });
    let help = "Whether what a power meter says is believed.";
    let mut told =
        encoder.encode_descriptor("madang_meter_believed", help, None, MetricType::Gauge)?;
    for (site, sample) in meters.clone() {
        let labels = [("site", site), ("meter", sample.meter.as_str())];
        let believed = u64::from(sample.doubt.is_none());
        ConstGauge::new(believed).encode(told.encode_family(&labels)?)?;
    }
    let help = "For how long a power meter has not been believed, and why now.";
    let mut told = encoder.encode_descriptor(
        "madang_meter_doubted_seconds",
        help,
        None,
        MetricType::Gauge,
    )?;
    for (site, sample) in meters {
        if let Some(doubt) = sample.doubt {
            let labels = [
                ("site", site),
                ("meter", sample.meter.as_str()),
                ("doubt", doubt),
            ];
            ConstGauge::new(sample.doubted_s).encode(told.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
