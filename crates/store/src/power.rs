//! Caps and events of power, as the books keep them.

use crate::StoreError;
use async_trait::async_trait;
use madang_types::{Micros, PowerEvent, PowerEventKind};

/// Events of all sites that are not over and can be kept at once.
pub const POWER_EVENTS_MAX: usize = 1_000;

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
