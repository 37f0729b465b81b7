//! What NVIDIA's accelerators of this machine draw, as their own library tells it.

use super::{MeterError, MeterReading, PowerMeter, READ_TIME_MAX};
use async_trait::async_trait;
use madang_executor::jobs::nvml::{NvmlDraw, NvmlMeter};
use tokio::time::timeout;

/// Reads the library where the driver brought it.
pub struct NvmlPowerMeter {
    library: Option<NvmlMeter>,
    accelerators: Vec<u32>,
}

impl NvmlPowerMeter {
    /// Of those accelerators; of all where none is named. A machine without the driver says so at each reading.
    pub fn new(accelerators: Vec<u32>) -> Self {
        Self::of(NvmlMeter::find(), accelerators)
    }

    /// The same, by that library.
    pub fn of(library: Option<NvmlMeter>, accelerators: Vec<u32>) -> Self {
        Self {
            library,
            accelerators,
        }
    }
}

#[async_trait]
impl PowerMeter for NvmlPowerMeter {
    async fn read(&self) -> Result<MeterReading, MeterError> {
        let none = || MeterError::Away("NVIDIA's driver is not on this machine".to_owned());
        let library = self.library.as_ref().ok_or_else(none)?;
        let draw = timeout(READ_TIME_MAX, library.draw(self.accelerators.clone())).await;
        let late = |_| MeterError::Away("the driver does not answer in time".to_owned());
        let NvmlDraw {
            milliwatts,
            millijoules,
        } = draw.map_err(late)?.map_err(MeterError::Away)?;
        Ok(MeterReading {
            watts: milliwatts.saturating_add(500) / 1_000,
            millijoules,
        })
    }
}
