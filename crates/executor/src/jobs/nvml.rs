//! How busy NVIDIA's accelerators of this machine are and what they draw, as their own library (NVML) tells it.

use super::{JobsError, RunMeter, of_devices};
use async_trait::async_trait;
use madang_types::{BusySource, Measured, RunId, RunRecord};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;
use std::collections::BTreeMap;
use std::path::Path;
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
        Self::open(Path::new(LIBRARY)).ok()
    }

    /// The library at that place.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn open(library: &Path) -> Result<Self, String> {
        let nvml = Nvml::builder().lib_path(library.as_os_str()).init();
        Ok(Self {
            nvml: Arc::new(nvml.map_err(|error| error.to_string())?),
        })
    }

    /// What these accelerators draw together; all of the machine's where none is named.
    ///
    /// # Errors
    /// Which of them does not tell, and why.
    pub async fn draw(&self, accelerators: Vec<u32>) -> Result<NvmlDraw, String> {
        let nvml = Arc::clone(&self.nvml);
        // It waits for the driver.
        let draw = tokio::task::spawn_blocking(move || draw(&nvml, accelerators)).await;
        draw.map_err(|error| error.to_string())?
    }
}

/// What accelerators draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NvmlDraw {
    /// Now, in thousandths of a watt.
    pub milliwatts: u64,
    /// Since the driver was loaded, in thousandths of a joule; `None` where one of them does not count that (before Volta).
    pub millijoules: Option<u64>,
}

fn draw(nvml: &Nvml, accelerators: Vec<u32>) -> Result<NvmlDraw, String> {
    let wrong = |number: u32| move |error: NvmlError| format!("accelerator {number}: {error}");
    let numbers = match accelerators.is_empty() {
        false => accelerators,
        true => {
            let count = nvml.device_count().map_err(|error| error.to_string())?;
            (0..count).collect()
        }
    };
    if numbers.is_empty() {
        return Err("the machine has no accelerator".to_owned());
    }
    let mut all = NvmlDraw {
        milliwatts: 0,
        millijoules: Some(0),
    };
    for number in numbers {
        let device = nvml.device_by_index(number).map_err(wrong(number))?;
        let milliwatts = device.power_usage().map_err(wrong(number))?;
        all.milliwatts = all.milliwatts.saturating_add(milliwatts.into());
        let counted = device.total_energy_consumption().ok();
        let sum = all.millijoules.zip(counted);
        all.millijoules = sum.map(|(all, more)| all.saturating_add(more));
    }
    Ok(all)
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

    fn source(&self, _measured: Measured) -> BusySource {
        BusySource::Nvml
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

    /// The library's calls that are asked, for two accelerators of which the second does not count energy.
    const FAKE: &str = r#"
        typedef struct { int number; } *device;
        static struct { int number; } devices[3] = {{0}, {1}, {2}};
        int nvmlInit_v2(void) { return 0; }
        int nvmlInitWithFlags(unsigned flags) { return 0; }
        int nvmlShutdown(void) { return 0; }
        const char *nvmlErrorString(int code) { return "what the driver says"; }
        int nvmlDeviceGetCount_v2(unsigned *count) { *count = COUNT; return 0; }
        int nvmlDeviceGetHandleByIndex_v2(unsigned number, device *found) {
            if (number >= COUNT) return 2;
            *found = (device)&devices[number];
            return 0;
        }
        int nvmlDeviceGetPowerUsage(device of, unsigned *milliwatts) { *milliwatts = 412406 - 342268 * of->number; return 0; }
        int nvmlDeviceGetTotalEnergyConsumption(device of, unsigned long long *millijoules) {
            if (of->number == COUNTS) return 3;
            *millijoules = 5000000000000ull + of->number;
            return 0;
        }
        int nvmlDeviceGetUtilizationRates(device of, unsigned *rates) { rates[0] = 37; rates[1] = 5; return 0; }
    "#;

    /// Such a library of so many accelerators, of which that one does not count.
    fn fake(folder: &Path, count: u32, counts_not: u32) -> NvmlMeter {
        let (source, library) = (folder.join("nvml.c"), folder.join(LIBRARY));
        std::fs::write(&source, FAKE).unwrap();
        let made = std::process::Command::new("cc")
            .args(["-shared", "-fPIC", "-w"])
            .args([format!("-DCOUNT={count}"), format!("-DCOUNTS={counts_not}")])
            .arg("-o")
            .args([&library, &source])
            .status();
        assert!(made.unwrap().success(), "cc makes the library");
        NvmlMeter::open(&library).unwrap()
    }

    #[tokio::test]
    async fn what_accelerators_draw_is_added_up_and_what_one_does_not_count_no_sum_has() {
        let folder = tempfile::tempdir().unwrap();
        let check = async |(count, counts_not), asked: &[u32], milliwatts, millijoules| {
            let folder = folder.path().join(format!("{count}-{counts_not}"));
            std::fs::create_dir_all(&folder).unwrap();
            let told = fake(&folder, count, counts_not).draw(asked.to_vec()).await;
            let draw = NvmlDraw {
                milliwatts,
                millijoules,
            };
            assert_eq!(told, Ok(draw), "{asked:?} of {count}");
        };
        check((2, 9), &[], 482_544, Some(10_000_000_000_001)).await;
        check((2, 1), &[], 482_544, None).await;
        check((2, 1), &[0], 412_406, Some(5_000_000_000_000)).await;
        check((2, 9), &[1], 70_138, Some(5_000_000_000_001)).await;
        let two = fake(folder.path(), 2, 9);
        let told = two.draw(vec![0, 2]).await.unwrap_err();
        assert!(told.starts_with("accelerator 2: "), "{told}");
        assert_eq!(devices(&two.nvml), [(0, 370), (1, 370)].into());
        let none = folder.path().join("none");
        std::fs::create_dir(&none).unwrap();
        let told = fake(&none, 0, 9).draw(Vec::new()).await.unwrap_err();
        assert_eq!(told, "the machine has no accelerator");
        assert!(NvmlMeter::open(&none.join("libnone.so")).is_err());
    }

    #[tokio::test]
    async fn a_machine_without_the_driver_measures_nothing_and_one_with_it_each_accelerator() {
        let Some(meter) = NvmlMeter::find() else {
            assert!(Nvml::init().is_err(), "there is no library by any name");
            return;
        };
        let busy = devices(&meter.nvml);
        assert!(busy.values().all(|permille| *permille <= 1_000), "{busy:?}");
        let draw = meter.draw(Vec::new()).await.unwrap();
        assert!(draw.milliwatts > 0, "{draw:?}");
    }
}
