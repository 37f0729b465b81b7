//! A page in Prometheus's text format: the DCGM exporter's, the node exporter's, Kepler's, `madang engine`'s own.

use super::{MeterError, MeterReading, Page, PowerMeter, watts};
use crate::probe::metrics::{Sample, samples};
use async_trait::async_trait;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What is looked for where the fleet file names nothing: the first that the page has. Those that end with `_joules_total` count energy,
/// and power is what came since the last look.
const KNOWN: [&str; 6] = [
    DCGM_WATTS,
    "kepler_node_cpu_watts",
    "kepler_node_platform_joules_total",
    "node_hwmon_power_average_watt",
    "node_power_supply_power_watt",
    "node_rapl_package_joules_total",
];
const COUNTS: &str = "_joules_total";
/// What the DCGM exporter says of power, and what it counts beside it, in thousandths of a joule.
const DCGM_WATTS: &str = "DCGM_FI_DEV_POWER_USAGE";
const DCGM_COUNT: &str = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION";
/// A count is kept as a whole number below this, where every such number is one of a float's.
const COUNT_MAX: f64 = 9e15;

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

/// The sum of a metric's series; `None` where the page has none. A series that is no number makes the sum none.
fn sum_of(page: &str, metric: &str) -> Option<f64> {
    let found: Vec<f64> = samples(page)
        .filter(|Sample { name, .. }| *name == metric)
        .map(|sample| sample.value)
        .collect();
    (!found.is_empty()).then(|| found.iter().sum())
}

fn count(millijoules: f64) -> Option<u64> {
    (0.0..COUNT_MAX)
        .contains(&millijoules)
        .then_some(millijoules as u64)
}

#[async_trait]
impl PowerMeter for PrometheusMeter {
    async fn read(&self) -> Result<MeterReading, MeterError> {
        let page = self.page.get().await?;
        let now = Instant::now();
        let text = String::from_utf8_lossy(&page);
        let names: Vec<&str> = match &self.metric {
            Some(metric) => vec![metric],
            None => KNOWN.to_vec(),
        };
        for name in names {
            let Some(sum) = sum_of(&text, name) else {
                continue;
            };
            let (watts, millijoules) = match name.ends_with(COUNTS) {
                true => (watts(self.rate(now, sum)?)?, count(sum * 1_000.0)),
                false if name == DCGM_WATTS => {
                    let counted = sum_of(&text, DCGM_COUNT);
                    (watts(sum)?, counted.and_then(count))
                }
                false => (watts(sum)?, None),
            };
            return Ok(MeterReading { watts, millijoules });
        }
        Err(MeterError::Silent(match &self.metric {
            Some(metric) => format!("there is no {metric}"),
            None => format!("there is none of {}", KNOWN.join(", ")),
        }))
    }
}
