//! How busy NVIDIA's accelerators of this machine are, as their own library (NVML) tells it.

use super::{JobsError, RunMeter, of_devices};
use async_trait::async_trait;
use madang_types::{Measured, RunId, RunRecord};
use nvml_wrapper::Nvml;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;

/// What the driver brings; the name without a number comes with tools for developers only.
const LIBRARY: &str = "libnvidia-ml.so.1";

/// The library, where the driver is there. Numbers are those of the bus (`CUDA_DEVICE_ORDER=PCI_BUS_ID`).
pub struct NvmlMeter {
    nvml: Arc<Nvml>,
}

impl NvmlMeter {
    /// `None` on a machine without NVIDIA's driver.
    pub fn find() -> Option<Self> {
        let nvml = Nvml::builder().lib_path(OsStr::new(LIBRARY)).init().ok()?;
        Some(Self {
            nvml: Arc::new(nvml),
        })
    }
}

#[async_trait]
impl RunMeter for NvmlMeter {
    async fn measure(&self, runs: &[RunRecord]) -> Result<Vec<(RunId, Measured)>, JobsError> {
        let nvml = Arc::clone(&self.nvml);
        // It waits for the driver.
        let busy = tokio::task::spawn_blocking(move || devices(&nvml)).await;
        let busy = busy.map_err(|error| JobsError::Unavailable(error.to_string()))?;
        Ok(of_devices(runs, &busy))
    }
}

/// How busy each accelerator is, in thousandths; those that do not tell (in parts, by MIG) are left out.
fn devices(nvml: &Nvml) -> BTreeMap<u16, u32> {
    let count = nvml.device_count().unwrap_or(0);
    let device = |number: u32| {
        let device = nvml.device_by_index(number).ok()?;
        let percent = device.utilization_rates().ok()?.gpu;
        Some((u16::try_from(number).ok()?, percent.min(100) * 10))
    };
    (0..count).filter_map(device).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_the_driver_measures_nothing_and_one_with_it_each_accelerator() {
        let Some(meter) = NvmlMeter::find() else {
            assert!(Nvml::init().is_err(), "there is no library by any name");
            return;
        };
        let busy = devices(&meter.nvml);
        assert!(busy.values().all(|permille| *permille <= 1_000), "{busy:?}");
    }
}
