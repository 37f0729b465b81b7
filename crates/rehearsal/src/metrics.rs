//! The metrics page, with vLLM's names, labels and buckets, in Prometheus's text format.
//!
//! Times are those of the clock on the wall, as clients see them: multiplied by the speed they are the model's.

use madang_twin::engine::{Cached, Drawn, EngineStatus};
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TTFT_BUCKETS_S: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const TPOT_BUCKETS_S: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
const LATENCY_BUCKETS_S: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];

const TRANSFER_BUCKETS_S: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 5.0,
];

const SUCCESS: &str = "vllm:request_success_total";
/// Of prefixes in tiers behind KV memory; the label `tier` is ours.
const EXTERNAL_HITS: &str = "vllm:external_prefix_cache_hits_total";

/// Counts of values up to each bound, in seconds.
#[derive(Debug)]
struct Histogram {
    bounds_s: &'static [f64],
    /// One for each bound and one beyond them; not yet added up.
    counts: Vec<u64>,
    sum_s: f64,
}

impl Histogram {
    fn new(bounds_s: &'static [f64]) -> Self {
        Self {
            bounds_s,
            counts: vec![0; bounds_s.len() + 1],
            sum_s: 0.0,
        }
    }

    fn observe(&mut self, time: Duration, count: u64) {
        let seconds = time.as_secs_f64();
        let at = self.bounds_s.partition_point(|bound| *bound < seconds);
        if let Some(counter) = self.counts.get_mut(at) {
            *counter += count;
        }
        self.sum_s += seconds * count as f64;
    }
}

/// What the engine has counted since its start.
#[derive(Debug)]
pub(crate) struct Counters {
    started_at: SystemTime,
    prompt_tokens: u64,
    output_tokens: u64,
    prefix_query_tokens: u64,
    prefix_hits: Cached,
    stopped: u64,
    at_limit: u64,
    aborted: u64,
    ttft: Histogram,
    tpot: Histogram,
    latency: Histogram,
    transfer: Histogram,
}

impl Counters {
    pub fn new(started_at: SystemTime) -> Self {
        Self {
            started_at,
            prompt_tokens: 0,
            output_tokens: 0,
            prefix_query_tokens: 0,
            prefix_hits: Cached::default(),
            stopped: 0,
            at_limit: 0,
            aborted: 0,
            ttft: Histogram::new(TTFT_BUCKETS_S),
            tpot: Histogram::new(TPOT_BUCKETS_S),
            latency: Histogram::new(LATENCY_BUCKETS_S),
            transfer: Histogram::new(TRANSFER_BUCKETS_S),
        }
    }

    /// A prompt was computed.
    pub fn first_token(&mut self, prompt_tokens: u64, cached: Cached, after: Duration) {
        self.prompt_tokens += prompt_tokens;
        self.prefix_query_tokens += prompt_tokens;
        self.prefix_hits.add(&cached);
        self.output_tokens += 1;
        self.ttft.observe(after, 1);
    }

    /// KV of a prompt went from the part that computed it to the one that makes tokens.
    pub fn transferred(&mut self, time: Duration) {
        self.transfer.observe(time, 1);
    }

    /// Further tokens were made in that time.
    pub fn tokens(&mut self, count: u64, time: Duration) {
        if let Ok(parts) = u32::try_from(count)
            && parts > 0
        {
            self.output_tokens += count;
            self.tpot.observe(time / parts, count);
        }
    }

    /// An answer is whole.
    pub fn finished(&mut self, at_limit: bool, after: Duration) {
        *(if at_limit {
            &mut self.at_limit
        } else {
            &mut self.stopped
        }) += 1;
        self.latency.observe(after, 1);
    }

    /// A client left.
    pub fn aborted(&mut self) {
        self.aborted += 1;
    }

    /// The page.
    pub fn page(&self, model: &str, status: &EngineStatus, drawn: Drawn) -> String {
        let mut page = Page {
            text: String::with_capacity(8 * 1024),
            labels: format!("engine=\"0\",model_name=\"{model}\""),
        };
        let kv_used = status.kv_tokens_used as f64 / status.kv_tokens.max(1) as f64;
        for (name, value) in [
            ("vllm:num_requests_running", f64::from(status.running)),
            ("vllm:num_requests_waiting", f64::from(status.waiting)),
            ("vllm:kv_cache_usage_perc", kv_used),
            ("vllm:gpu_cache_usage_perc", kv_used),
        ] {
            page.gauge(name, value);
        }
        for (name, value) in [
            ("vllm:num_preemptions_total", status.preemptions),
            ("vllm:prompt_tokens_total", self.prompt_tokens),
            ("vllm:generation_tokens_total", self.output_tokens),
            ("vllm:prefix_cache_queries_total", self.prefix_query_tokens),
            (
                "vllm:prefix_cache_hits_total",
                self.prefix_hits.device_tokens,
            ),
            (
                "vllm:external_prefix_cache_queries_total",
                self.prefix_query_tokens - self.prefix_hits.device_tokens,
            ),
        ] {
            page.counter(name, value);
        }
        page.head(EXTERNAL_HITS, "counter");
        for (tier, tokens) in [
            ("host", self.prefix_hits.host_tokens),
            ("disk", self.prefix_hits.disk_tokens),
        ] {
            page.sample(EXTERNAL_HITS, &format!("tier=\"{tier}\""), tokens as f64);
        }
        page.head(SUCCESS, "counter");
        for (reason, count) in [
            ("stop", self.stopped),
            ("length", self.at_limit),
            ("abort", self.aborted),
        ] {
            let label = format!("finished_reason=\"{reason}\"");
            page.sample(SUCCESS, &label, count as f64);
        }
        page.histogram("vllm:time_to_first_token_seconds", &self.ttft);
        page.histogram("vllm:time_per_output_token_seconds", &self.tpot);
        page.histogram("vllm:e2e_request_latency_seconds", &self.latency);
        page.histogram("vllm:nixl_xfer_time_seconds", &self.transfer);
        page.power(drawn);
        let since_1970 = self.started_at.duration_since(UNIX_EPOCH);
        page.labels.clear();
        page.gauge(
            "process_start_time_seconds",
            since_1970.unwrap_or_default().as_secs_f64(),
        );
        page.text
    }
}

struct Page {
    text: String,
    /// On every sample.
    labels: String,
}

impl Page {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // writing to a String cannot fail
        writeln!(self.text, "{line}").unwrap_or_default();
    }

    fn head(&mut self, name: &str, kind: &str) {
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// Floats are written as Python does: whole ones with `.0`.
    fn sample(&mut self, name: &str, label: &str, value: f64) {
        let labels = std::mem::take(&mut self.labels);
        match (label, labels.as_str()) {
            ("", "") => self.line(format_args!("{name} {value:?}")),
            ("", labels) => self.line(format_args!("{name}{{{labels}}} {value:?}")),
            (label, labels) => self.line(format_args!("{name}{{{labels},{label}}} {value:?}")),
        }
        self.labels = labels;
    }

    fn gauge(&mut self, name: &str, value: f64) {
        self.head(name, "gauge");
        self.sample(name, "", value);
    }

    fn counter(&mut self, name: &str, value: u64) {
        self.head(name, "counter");
        self.sample(name, "", value as f64);
    }

    /// What its accelerators draw, by the names of NVIDIA's DCGM exporter.
    fn power(&mut self, drawn: Drawn) {
        let labels = std::mem::replace(&mut self.labels, "gpu=\"0\"".to_owned());
        self.gauge("DCGM_FI_DEV_POWER_USAGE", drawn.watts as f64);
        self.gauge("DCGM_FI_DEV_POWER_MGMT_LIMIT", drawn.limit_watts as f64);
        // In thousandths of a joule, as there.
        self.counter("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", drawn.millijoules);
        self.labels = labels;
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        self.head(name, "histogram");
        let bounds = histogram
            .bounds_s
            .iter()
            .map(|bound| format!("{bound:?}"))
            .chain(["+Inf".to_owned()]);
        let mut total = 0;
        for (bound, count) in bounds.zip(&histogram.counts) {
            total += count;
            self.sample(
                &format!("{name}_bucket"),
                &format!("le=\"{bound}\""),
                total as f64,
            );
        }
        self.sample(&format!("{name}_count"), "", total as f64);
        self.sample(&format!("{name}_sum"), "", histogram.sum_s);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_vllms() {
        let mut counters = Counters::new(UNIX_EPOCH + Duration::from_millis(1_500));
        let cached = Cached {
            device_tokens: 512,
            ..Cached::default()
        };
        counters.first_token(1_000, cached, Duration::from_millis(30));
        counters.tokens(4, Duration::from_millis(80));
        counters.finished(true, Duration::from_millis(110));
        counters.aborted();
        let status = EngineStatus {
            running: 2,
            waiting: 1,
            kv_tokens_used: 500,
            kv_tokens: 1_000,
            cached_tokens: 0,
            preemptions: 3,
        };
        let drawn = Drawn {
            watts: 812,
            millijoules: 7,
            limit_watts: 1_750,
        };
        let page = counters.page("LGAI/EXAONE-4.0-32B", &status, drawn);
        for line in [
            "# TYPE vllm:num_requests_running gauge",
            "vllm:num_requests_running{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\"} 2.0",
            "vllm:num_requests_waiting{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\"} 1.0",
            "vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\"} 0.5",
            "# TYPE vllm:num_preemptions_total counter",
            "vllm:num_preemptions_total{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\"} 3.0",
            "vllm:generation_tokens_total{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\"} 5.0",
            "vllm:prefix_cache_hits_total{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\"} 512.0",
            "vllm:request_success_total{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\",finished_reason=\"length\"} 1.0",
            "# TYPE vllm:time_to_first_token_seconds histogram",
            "vllm:time_to_first_token_seconds_bucket{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\",le=\"0.02\"} 0.0",
            "vllm:time_to_first_token_seconds_bucket{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\",le=\"0.04\"} 1.0",
            "vllm:time_per_output_token_seconds_bucket{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\",le=\"+Inf\"} 4.0",
            "vllm:time_per_output_token_seconds_sum{engine=\"0\",model_name=\"LGAI/EXAONE-4.0-32B\"} 0.08",
            "DCGM_FI_DEV_POWER_USAGE{gpu=\"0\"} 812.0",
            "DCGM_FI_DEV_POWER_MGMT_LIMIT{gpu=\"0\"} 1750.0",
            "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu=\"0\"} 7.0",
            "process_start_time_seconds 1.5",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }
}
