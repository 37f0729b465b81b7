//! A resource of a Redfish service, by the schemas of the DMTF: a chassis's `Power` (`PowerControl`), an `EnvironmentMetrics`
//! (`PowerWatts`), a `Sensor` of power.

use super::{MeterError, MeterReading, Page, PowerMeter, watts};
use async_trait::async_trait;
use serde_json::Value;

/// Where the reading stands, in the order in which it is looked for.
const PLACES: [&str; 2] = ["/PowerWatts/Reading", "/PowerControl/0/PowerConsumedWatts"];

/// Reads a resource of a Redfish service.
pub struct RedfishMeter {
    page: Page,
}

impl RedfishMeter {
    /// Of that resource.
    pub fn new(page: Page) -> Self {
        Self { page }
    }
}

fn reading(resource: &Value) -> Option<&Value> {
    let placed = PLACES.iter().find_map(|place| resource.pointer(place));
    let is_power = || resource.get("ReadingUnits").and_then(Value::as_str) == Some("W");
    placed.or_else(|| resource.get("Reading").filter(|_| is_power()))
}

#[async_trait]
impl PowerMeter for RedfishMeter {
    async fn read(&self) -> Result<MeterReading, MeterError> {
        let page = self.page.get().await?;
        let resource: Value = serde_json::from_slice(&page)
            .map_err(|_| MeterError::Silent("it is no JSON".to_owned()))?;
        let reading = reading(&resource).ok_or_else(|| {
            MeterError::Silent("it is no Power, EnvironmentMetrics or Sensor in W".to_owned())
        })?;
        match reading.as_f64() {
            Some(value) => watts(value).map(MeterReading::from),
            None => Err(MeterError::NoNumber(reading.to_string())),
        }
    }
}
