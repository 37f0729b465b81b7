//! Caps and events, set and ended: in the books, in the audit log, and in force at the next look, which is at once.

use super::PowerPlane;
use madang_gateway::audit::AuditError;
use madang_store::StoreError;
use madang_types::{KeyId, Micros, PowerEvent};

/// Why an event was not set or ended, or not all of that kept.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The books.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl PowerPlane {
    /// Keeps an event, and has it in force at once where it begins now.
    ///
    /// # Errors
    /// As [`madang_store::PowerBook::power_put`]; where the audit log cannot be written the event holds all the same.
    pub async fn event_put(&self, event: PowerEvent) -> Result<PowerEvent, ChangeError> {
        let event = self.book.power_put(event).await?;
        self.wake.notify_one();
        self.gateway.power_log(&event, true, &event.set_by).await?;
        Ok(event)
    }

    /// Ends an event. Logged first, since more is drawn from then on.
    ///
    /// # Errors
    /// As [`madang_store::PowerBook::power_end`]; where the audit log cannot be written it goes on.
    pub async fn event_end(
        &self,
        event: &PowerEvent,
        by: &KeyId,
        at: Micros,
    ) -> Result<PowerEvent, ChangeError> {
        self.gateway.power_log(event, false, by).await?;
        let event = self.book.power_end(event.id, at).await?;
        self.wake.notify_one();
        Ok(event)
    }
}
