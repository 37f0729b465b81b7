//! Stop switches: in force at once, kept in the books, and in the audit log.

use crate::gateway::Gateway;
use madang_audit::AuditError;
use madang_audit::leaf::StopSwitch;
use madang_core::Input;
use madang_store::StoreError;
use madang_types::{KeyId, Stop, StopScope};

/// Why a stop was not wholly set or lifted.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// The books cannot be written. A stop that was to be set is in force until the next start all the same.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The audit log cannot be written. A stop that was to be set is in force all the same, one to be lifted is not lifted.
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl Gateway {
    /// Stops a place: first in force, then kept and logged, so that a failing disk holds nothing up.
    ///
    /// # Errors
    /// [`StopError`]; the stop is in force until the next start even then.
    pub async fn stop_set(&self, stop: Stop) -> Result<Stop, StopError> {
        self.stop_apply(stop.scope.clone(), true);
        let stop = self.books.store().stop_put(stop).await?;
        self.stop_log(&stop.scope, true, &stop.set_by).await?;
        Ok(stop)
    }

    /// Lifts a stop: logged first, since what was stopped goes out again from then on.
    ///
    /// # Errors
    /// [`StopError`]; the stop stays in force. [`StoreError::Absent`] where there is none.
    pub async fn stop_lift(&self, scope: StopScope, by: &KeyId) -> Result<Stop, StopError> {
        let stops = self.books.store().stop_list().await?;
        if !stops.iter().any(|stop| stop.scope == scope) {
            return Err(StoreError::Absent(format!("the stop {scope}")).into());
        }
        self.stop_log(&scope, false, by).await?;
        let stop = self.books.store().stop_delete(scope).await?;
        self.stop_apply(stop.scope.clone(), false);
        Ok(stop)
    }

    pub(crate) fn stop_apply(&self, scope: StopScope, on: bool) {
        self.driver.apply(Input::StopSet { scope, on });
    }

    async fn stop_log(&self, scope: &StopScope, set: bool, key: &KeyId) -> Result<(), AuditError> {
        let switch = StopSwitch {
            scope: scope.to_string(),
            set,
            key: key.clone(),
        };
        self.audit.stop(switch).await
    }
}
