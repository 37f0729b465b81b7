//! Tenants and request sizes that experiments share.

use crate::random::Random;
use crate::trace::{Request, Requests, TraceError};
use madang_core::Payer;
use madang_types::{KeyId, NameError, TenantId};
use std::sync::Arc;

/// A second, in nanoseconds.
pub const SECOND_NS: u64 = 1_000_000_000;
/// From the gateway to an engine and back.
pub const ROUND_TRIP_NS: u64 = 500_000;
/// More credit, or debt, than the cap lets stand: in microseconds of one accelerator.
pub const PLENTY_US: i64 = 1_000 * 3_600 * 1_000_000;
/// Steady tenants of an experiment.
pub const TENANTS: u64 = 9;

/// Sizes of the Azure 2023 conversation trace, drawn at random.
#[derive(Clone, Debug)]
pub struct Sizes(Arc<[Request]>);

impl Sizes {
    /// The built-in trace.
    ///
    /// # Errors
    /// None: it is a part of the program.
    pub fn azure() -> Result<Self, TraceError> {
        let (requests, _) = Requests::azure_conversation()?.all()?;
        Ok(Self(requests.into()))
    }

    /// Prompt and output tokens of one request.
    pub fn draw(&self, random: &mut Random) -> (u64, u64) {
        let count = u64::try_from(self.0.len()).unwrap_or(1);
        let at = usize::try_from(random.below(count)).unwrap_or(0);
        self.0
            .get(at)
            .map_or((1, 1), |row| (row.input_tokens, row.output_tokens))
    }
}

/// The steady tenants, each with its only key.
///
/// # Errors
/// None: the names are names.
pub fn payers() -> Result<Vec<Payer>, NameError> {
    let names = (0..TENANTS).map(|tenant| format!("tenant-{tenant}"));
    names.map(|name| named_payer(&name)).collect()
}

/// A tenant of that name and its only key.
///
/// # Errors
/// The name is no name.
pub fn named_payer(name: &str) -> Result<Payer, NameError> {
    Ok(Payer {
        tenant: TenantId::new(name)?,
        project: None,
        key: KeyId::new(name)?,
    })
}

/// Of counts far below 2^53.
pub(crate) fn ratio(count: u64, by: u64) -> f64 {
    count as f64 / by as f64
}
