//! A page in Prometheus's text format: the DCGM exporter's, the node exporter's, Kepler's, `madang engine`'s own.

use super::{MeterError, Page, PowerMeter, watts};
use crate::probe::metrics::{Sample, samples};
use async_trait::async_trait;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What is looked for where the fleet file names nothing: the first that the page has. Those that end with `_joules_total` count energy,
/// and power is what came since the last look.
const KNOWN: [&str; 6] = [
    "DCGM_FI_DEV_POWER_USAGE",
    "kepler_node_cpu_watts",
    "kepler_node_platform_joules_total",
    "node_hwmon_power_average_watt",
    "node_power_supply_power_watt",
    "node_rapl_package_joules_total",
];
const COUNTS: &str = "_joules_total";

/// Reads a gauge of power, or a counter of energy, from a page.
pub struct PrometheusMeter {
    page: Page,
    metric: Option<String>,
    /// When a counter was read last, and how far it was.
    last: Mutex<Option<(Instant, f64)>>,
}

impl PrometheusMeter {
    /// Of that page, the metric of that name.
    pub fn new(page: Page, metric: Option<String>) -> Self {
        Self {
            page,
            metric,
            last: Mutex::default(),
        }
    }

    /// Power from a counter of energy: what came since the last look.
    fn rate(&self, now: Instant, joules: f64) -> Result<f64, MeterError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = last.replace((now, joules));
        let silent = |why: &str| Err(MeterError::Silent(why.to_owned()));
        match before {
            None => silent("it counts energy, and was read for the first time"),
            Some((_, before)) if joules < before => silent("its count began anew"),
            Some((at, _)) if now <= at => silent("it was read twice at once"),
            Some((at, before)) => Ok((joules - before) / (now - at).as_secs_f64()),
        }
    }
}

#[async_trait]
impl PowerMeter for PrometheusMeter {
    async fn read(&self) -> Result<u64, MeterError> {
        let page = self.page.get().await?;
        let now = Instant::now();
        let text = String::from_utf8_lossy(&page);
        let names: Vec<&str> = match &self.metric {
            Some(metric) => vec![metric],
            None => KNOWN.to_vec(),
        };
        for name in names {
            let found: Vec<f64> = samples(&text)
                .filter(|Sample { name: found, .. }| *found == name)
                .map(|sample| sample.value)
                .collect();
            if found.is_empty() {
                continue;
            }
            // A series that is no number makes the sum none.
            let sum: f64 = found.iter().sum();
            return match name.ends_with(COUNTS) {
                true => watts(self.rate(now, sum)?),
                false => watts(sum),
            };
        }
        Err(MeterError::Silent(match &self.metric {
            Some(metric) => format!("there is no {metric}"),
            None => format!("there is none of {}", KNOWN.join(", ")),
        }))
    }
}
