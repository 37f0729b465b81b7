//! Power that is short at a site, as far as requests meet it; and what people said of it, in the audit log.

use crate::gateway::Gateway;
use madang_audit::AuditError;
use madang_audit::leaf::PowerChange;
use madang_core::Input;
use madang_core::power::governor::PowerTerms;
use madang_types::{KeyId, PowerEvent, SiteId};

impl Gateway {
    /// What requests meet at a site from now on.
    pub fn power_set(&self, site: SiteId, terms: PowerTerms) {
        self.driver.apply(Input::PowerSet { site, terms });
    }

    /// Logs that somebody set a cap or an event of power, or ended one; durable when it returns `Ok`.
    ///
    /// # Errors
    /// The log cannot be written.
    pub async fn power_log(
        &self,
        event: &PowerEvent,
        set: bool,
        key: &KeyId,
    ) -> Result<(), AuditError> {
        let change = PowerChange {
            event: (event.id > 0).then_some(event.id),
            site: event.site.clone(),
            cap_watts: event.kind.cap_watts(),
            cut_milli: event.kind.cut_milli(),
            from_us: event.from,
            until_us: event.until,
            set,
            key: key.clone(),
        };
        self.audit.power(change).await
    }
}
