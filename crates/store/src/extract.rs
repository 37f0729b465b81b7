//! What the databases share of reading what a report is made of.

use crate::StoreError;
use madang_ledger::Account;
use madang_ledger::report::EXTRACT_ROWS_MAX;
use madang_types::{AllocationId, TenantId};
use std::collections::BTreeSet;

/// Whose books are read.
pub(crate) struct Owners {
    /// The tenants.
    pub tenants: BTreeSet<TenantId>,
    /// What was granted to them, or by their programme.
    pub allocations: BTreeSet<AllocationId>,
}

impl Owners {
    /// Whether an account is theirs.
    pub(crate) fn has(&self, account: &Account) -> bool {
        let tenant = account.tenant();
        let allocation = account.allocation();
        tenant.is_some_and(|id| self.tenants.contains(id))
            || allocation.is_some_and(|id| self.allocations.contains(id))
    }
}

/// Refuses what is longer than may be.
pub(crate) fn check_count(count: usize, what: &str) -> Result<(), StoreError> {
    if count > EXTRACT_ROWS_MAX {
        return Err(StoreError::Invalid(format!(
            "there are more than {EXTRACT_ROWS_MAX} {what}: ask for the costs of one tenant at a time"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extract_has_an_end() {
        assert_eq!(check_count(EXTRACT_ROWS_MAX, "rows"), Ok(()));
        let refused = check_count(EXTRACT_ROWS_MAX + 1, "rows").unwrap_err();
        assert!(
            matches!(&refused, StoreError::Invalid(why) if why.contains("100000 rows")),
            "{refused}"
        );
    }

    #[test]
    fn an_account_is_its_owners() {
        let owners = Owners {
            tenants: ["kma".parse().unwrap()].into(),
            allocations: ["kma-2026".parse().unwrap()].into(),
        };
        let check = |account: &str, theirs: bool| {
            assert_eq!(owners.has(&account.parse().unwrap()), theirs, "{account}");
        };
        check("tenant:kma", true);
        check("project:kma:web", true);
        check("allocation:kma-2026", true);
        check("lease:gw:1:allocation:kma-2026", true);
        check("suspense:allocation:kma-2026", true);
        check("tenant:hanbit", false);
        check("lease:gw:1:allocation:hanbit-2026", false);
        check("lease:gw:1:ceiling:kma-2026", false);
        check("site:kma", false);
        check("world", false);
    }
}
