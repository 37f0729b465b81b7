//! Caps and events of power, and notes of energy that are not booked yet, as the books keep them.

use crate::StoreError;
use async_trait::async_trait;
use madang_ledger::{EnergyNote, EnergySpan};
use madang_types::{GatewayId, Micros, PowerEvent, PowerEventKind};

/// Events of all sites that are not over and can be kept at once.
pub const POWER_EVENTS_MAX: usize = 1_000;

/// The most notes of energy that one [`PowerBook::energy_list`] gives, the oldest first.
pub const ENERGY_NOTES_LIST_MAX: usize = 10_000;

/// What a gateway noted of a site's energy in a span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnergyRow {
    /// Of which span.
    pub span: EnergySpan,
    /// Which gateway.
    pub gateway: GatewayId,
    /// What it noted.
    pub note: EnergyNote,
}

/// Caps and events of power.
#[async_trait]
pub trait PowerBook: Send + Sync + 'static {
    /// Keeps an event, and gives it back with its number; that which it came with does not count.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where [`POWER_EVENTS_MAX`] are not over.
    async fn power_put(&self, event: PowerEvent) -> Result<PowerEvent, StoreError>;

    /// Events that are not over at an instant, by number.
    async fn power_list(&self, at: Micros) -> Result<Vec<PowerEvent>, StoreError>;

    /// Notes what a site drew when a cut of it began, and gives the event back: what is there already stays.
    ///
    /// # Errors
    /// [`StoreError::Absent`].
    async fn power_baseline(&self, id: u64, watts: u64) -> Result<PowerEvent, StoreError>;

    /// Ends an event at an instant, and gives it back; one that ended before stays as it was.
    ///
    /// # Errors
    /// [`StoreError::Absent`].
    async fn power_end(&self, id: u64, at: Micros) -> Result<PowerEvent, StoreError>;

    /// Keeps notes, all or none of them. A later one of the same gateway and span replaces the one before.
    async fn energy_put(&self, rows: Vec<EnergyRow>) -> Result<(), StoreError>;

    /// Notes by their span's end, beginning and site, and by gateway; at most [`ENERGY_NOTES_LIST_MAX`].
    async fn energy_list(&self) -> Result<Vec<EnergyRow>, StoreError>;

    /// Drops all notes of a span, once it is booked.
    async fn energy_drop(&self, span: EnergySpan) -> Result<(), StoreError>;
}

/// A note as its column has it.
pub(crate) fn note_text(note: &EnergyNote) -> Result<String, StoreError> {
    serde_json::to_string(note).map_err(|e| StoreError::Invalid(format!("a note of energy: {e}")))
}

pub(crate) fn note_of(text: &str) -> Result<EnergyNote, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Damaged(format!("a note of energy: {e}")))
}

/// What of an event stands in columns of its own: the cap, the cut, and what it is a cut of.
pub(crate) type KindColumns = (Option<i64>, Option<i64>, Option<i64>);

pub(crate) fn columns_of(kind: PowerEventKind) -> Result<KindColumns, StoreError> {
    let count = crate::count::count;
    Ok(match kind {
        PowerEventKind::Cap { watts } => (Some(count("watts", watts)?), None, None),
        PowerEventKind::Cut {
            milli,
            baseline_watts,
        } => {
            let baseline = baseline_watts.map(|watts| count("baseline_watts", watts));
            (None, Some(i64::from(milli)), baseline.transpose()?)
        }
    })
}

pub(crate) fn kind_of(
    (cap, cut, baseline_watts): (Option<u64>, Option<u32>, Option<u64>),
) -> Result<PowerEventKind, StoreError> {
    match (cap, cut) {
        (Some(watts), None) => Ok(PowerEventKind::Cap { watts }),
        (None, Some(milli)) => Ok(PowerEventKind::Cut {
            milli,
            baseline_watts,
        }),
        _ => Err(StoreError::Damaged(
            "a power event is a cap or a cut".into(),
        )),
    }
}

pub(crate) fn absent(id: u64) -> StoreError {
    StoreError::Absent(format!("the power event {id}"))
}

pub(crate) fn too_many() -> StoreError {
    StoreError::Exists(format!("{POWER_EVENTS_MAX} power events that are not over"))
}
