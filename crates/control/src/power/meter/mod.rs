//! What says how much power is drawn: one trait, behind which each way to read it stands. Every way passes the suite in `tests.rs`.
//!
//! A meter tells what it was told, or why it was told nothing; what of that to believe is the core's to say
//! ([`madang_core::power::gauge`]).

mod nvml;
mod prometheus;
mod redfish;
#[cfg(test)]
mod tests;

pub use nvml::NvmlPowerMeter;
pub use prometheus::PrometheusMeter;
pub use redfish::RedfishMeter;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use madang_fleet::{Meter, MeterKind};
use madang_gateway::client::{EngineAddress, EngineClient};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::timeout;

/// Bytes of an answer that are taken.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a key file that are read.
const KEY_BYTES_MAX: usize = 4 * 1024;
/// The time of one reading.
pub(super) const READ_TIME_MAX: Duration = Duration::from_secs(3);
/// More than any site draws, in watts: a reading above is none.
const WATTS_MAX: f64 = 1e10;

/// Something that says how much power is drawn.
#[async_trait]
pub trait PowerMeter: Send + Sync {
    /// What is drawn now, within a bound of its own.
    ///
    /// # Errors
    /// Why nobody knows, in words for the operator.
    async fn read(&self) -> Result<MeterReading, MeterError>;
}

/// What a meter tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeterReading {
    /// What is drawn now, in watts.
    pub watts: u64,
    /// What was drawn since some instant of its own, in thousandths of a joule, where it counts that: over a time in which nobody looked it
    /// tells what was drawn all the same.
    pub millijoules: Option<u64>,
}

impl From<u64> for MeterReading {
    fn from(watts: u64) -> Self {
        Self {
            watts,
            millijoules: None,
        }
    }
}

/// Why a meter told nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MeterError {
    /// It did not answer, or not in time.
    #[error("it cannot be read: {0}")]
    Away(String),
    /// It answered with a refusal.
    #[error("it answers {0}")]
    Refused(u16),
    /// Its answer says nothing of power.
    #[error("its answer says nothing of power: {0}")]
    Silent(String),
    /// What it says is no number of watts.
    #[error("it says {0}, which is no number of watts")]
    NoNumber(String),
}

/// A meter that cannot be asked, and why.
pub(super) struct NoMeter(pub MeterError);

#[async_trait]
impl PowerMeter for NoMeter {
    async fn read(&self) -> Result<MeterReading, MeterError> {
        Err(self.0.clone())
    }
}

/// The meter that the fleet file names.
///
/// # Errors
/// Its address is none.
pub fn meter_of(meter: &Meter, client: &EngineClient) -> Result<Box<dyn PowerMeter>, MeterError> {
    let page = || Page::new(meter, client.clone());
    Ok(match meter.kind {
        MeterKind::Prometheus => Box::new(PrometheusMeter::new(page()?, meter.metric.clone())),
        MeterKind::Redfish => Box::new(RedfishMeter::new(page()?)),
        MeterKind::Nvml => Box::new(NvmlPowerMeter::new(meter.accelerators.clone())),
    })
}

/// A page that is asked for again and again.
pub struct Page {
    client: EngineClient,
    address: EngineAddress,
    path: String,
    key_file: Option<PathBuf>,
}

impl Page {
    fn new(meter: &Meter, client: EngineClient) -> Result<Self, MeterError> {
        let away = |why: String| MeterError::Away(why);
        let url = meter.url.as_deref().unwrap_or_default();
        let (_, rest) = url
            .split_once("://")
            .ok_or_else(|| away("it has no URL".to_owned()))?;
        let path_at = rest
            .find('/')
            .map_or(url.len(), |at| url.len() - rest.len() + at);
        let (base, path) = url.split_at(path_at);
        Ok(Self {
            client,
            address: EngineAddress::parse(base).map_err(|error| away(error.to_string()))?,
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            key_file: meter.key_file.clone(),
        })
    }

    async fn get(&self) -> Result<Bytes, MeterError> {
        let late = |_| MeterError::Away(format!("no answer within {} s", READ_TIME_MAX.as_secs()));
        timeout(READ_TIME_MAX, self.ask()).await.map_err(late)?
    }

    async fn ask(&self) -> Result<Bytes, MeterError> {
        let mut request = Request::new(Vec::new());
        let path = self.path.parse();
        *request.uri_mut() = path.map_err(|_| MeterError::Away("its path is none".to_owned()))?;
        if let Some(credential) = self.credential().await? {
            request.headers_mut().insert(AUTHORIZATION, credential);
        }
        let answer = self.client.request(&self.address, request).await;
        let answer = answer.map_err(|error| MeterError::Away(error.to_string()))?;
        if answer.status() != StatusCode::OK {
            return Err(MeterError::Refused(answer.status().as_u16()));
        }
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
        let cut = |_| MeterError::Away("its answer broke off or is too large".to_owned());
        Ok(body.await.map_err(cut)?.to_bytes())
    }

    /// `user:password` or a token.
    async fn credential(&self) -> Result<Option<HeaderValue>, MeterError> {
        let Some(path) = &self.key_file else {
            return Ok(None);
        };
        // The path is told, what stands in it is not.
        let wrong = || MeterError::Away(format!("its key file {} cannot be used", path.display()));
        let text = key_text(path).await.ok_or_else(wrong)?;
        let value = match text.contains(':') {
            true => format!("Basic {}", STANDARD.encode(&text)),
            false => format!("Bearer {text}"),
        };
        let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// A key as its file has it now: it may be changed while Madang runs. `None` where it cannot be read, is empty or too long.
pub(super) async fn key_text(path: &Path) -> Option<String> {
    let text = tokio::fs::read_to_string(path).await.ok()?;
    let text = text.trim();
    (1..=KEY_BYTES_MAX)
        .contains(&text.len())
        .then(|| text.to_owned())
}

/// A number as watts.
fn watts(value: f64) -> Result<u64, MeterError> {
    if value.is_finite() && (0.0..=WATTS_MAX).contains(&value) {
        return Ok(value.round() as u64);
    }
    Err(MeterError::NoNumber(value.to_string()))
}
