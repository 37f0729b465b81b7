//! What those who are in force, and their programmes, say of batch jobs.

use super::Keyring;
use madang_types::{Micros, ProgrammeId, ProgrammeJobs, TenantId};

impl Keyring {
    /// Why nothing may begin for a tenant in a programme at `now`, if so, and what that programme says of its tenants' batch jobs.
    pub fn jobs_of(
        &self,
        programme: Option<&ProgrammeId>,
        tenant: &TenantId,
        now: Micros,
    ) -> (Option<String>, ProgrammeJobs) {
        let book = self.book.load();
        let row = programme.and_then(|id| book.programmes.get(id));
        let jobs = row.map(|row| row.terms.jobs).unwrap_or_default();
        let tenant_row = book.tenants.get(tenant);
        let closed = if tenant_row.is_none_or(|row| row.disabled_at.is_some()) {
            Some(format!("the tenant '{tenant}' was removed"))
        } else {
            programme.and_then(|id| {
                if !book.programme_open(Some(id)) {
                    return Some(format!("the programme '{id}' was removed"));
                }
                let is_open = book.period_of(Some(id)).contains(now);
                (!is_open).then(|| format!("the programme '{id}' is closed"))
            })
        };
        (closed, jobs)
    }
}
