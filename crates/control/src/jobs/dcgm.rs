//! How busy the accelerators of this machine are, as NVIDIA's DCGM exporter tells it.

use crate::probe::ProbeHttp;
use crate::probe::metrics::{METRICS_BYTES_MAX, Sample, samples};
use crate::probe_client::ProbeClient;
use async_trait::async_trait;
use madang_executor::jobs::{JobsError, RunMeter, of_devices};
use madang_gateway::client::{EngineAddress, EngineClient};
use madang_types::{BusySource, Measured, RunId, RunRecord};
use std::collections::BTreeMap;

/// How busy a whole accelerator is, in percent.
const NAME: &str = "DCGM_FI_DEV_GPU_UTIL";
const PATH: &str = "/metrics";

/// One exporter.
pub(super) struct Dcgm {
    pub(super) client: EngineClient,
    pub(super) url: String,
}

#[async_trait]
impl RunMeter for Dcgm {
    async fn measure(&self, runs: &[RunRecord]) -> Result<Vec<(RunId, Measured)>, JobsError> {
        let url = &self.url;
        let away = |why: String| JobsError::Unavailable(format!("the DCGM exporter {url}: {why}"));
        let address = EngineAddress::parse(url).map_err(|error| away(error.to_string()))?;
        let http = ProbeClient {
            client: &self.client,
            address: &address,
            credential: None,
        };
        let (status, page) = http.get(PATH).await.map_err(away)?;
        if status != 200 {
            return Err(away(format!("{PATH} answers {status}")));
        }
        Ok(of_devices(runs, &devices(&page)))
    }

    fn source(&self, _measured: Measured) -> BusySource {
        BusySource::Dcgm
    }
}

/// How busy each accelerator is, by its number, in thousandths. Parts of one (`GPU_I_ID`) are not the whole, and are left out.
fn devices(page: &[u8]) -> BTreeMap<u16, u32> {
    let text = String::from_utf8_lossy(&page[..page.len().min(METRICS_BYTES_MAX)]);
    let ours = samples(&text).filter(|sample| sample.name == NAME);
    ours.filter_map(device).collect()
}

fn device(sample: Sample<'_>) -> Option<(u16, u32)> {
    let label = |name: &str| {
        let value = sample
            .labels
            .split(',')
            .find_map(|one| one.trim().strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"'))
    };
    if label("GPU_I_ID").is_some_and(|part| !part.is_empty()) {
        return None;
    }
    let percent = sample.value;
    let is_percent = (0.0..=100.0).contains(&percent);
    is_percent.then_some((label("gpu")?.parse().ok()?, (percent * 10.0) as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_accelerators_are_told_by_their_numbers() {
        let page = r#"# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-0f",pci_bus_id="00000000:04:00.0",device="nvidia0",modelName="NVIDIA H200",Hostname="n, 1"} 97
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-1f",device="nvidia1"} 0 1795748873000
DCGM_FI_DEV_GPU_UTIL{gpu="2",GPU_I_ID="3",GPU_I_PROFILE="1g.18gb"} 12
DCGM_FI_DEV_GPU_UTIL{gpu="3"} NaN
DCGM_FI_DEV_GPU_UTIL{gpu="4"} 101
DCGM_FI_DEV_GPU_UTIL{UUID="GPU-5f"} 5
DCGM_FI_DEV_GPU_UTIL_OTHER{gpu="6"} 6
DCGM_FI_DEV_GPU_UTIL{gpu="7",GPU_I_ID=""} 12.5
"#;
        let expected = BTreeMap::from([(0, 970), (1, 0), (7, 125)]);
        assert_eq!(devices(page.as_bytes()), expected);
    }
}
