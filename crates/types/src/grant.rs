//! Who may spend how much: budgets of programmes, and what they grant to tenants.

use crate::{AllocationId, Micros, ProgrammeId, TenantId, Unit};
use serde::{Deserialize, Serialize};

/// What a programme has to allocate, in one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgrammeBudget {
    /// Whose.
    pub programme: ProgrammeId,
    /// In what it is counted: won, tokens, or accelerator time.
    pub unit: Unit,
    /// How much in all, allocated or not.
    pub amount: i64,
    /// The most of it that one tenant may be granted, in thousandths; 1000 for no cap.
    pub concentration_permille_max: u32,
}

/// A grant from a programme to a tenant for a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Its name.
    pub id: AllocationId,
    /// Who grants.
    pub programme: ProgrammeId,
    /// To whom.
    pub tenant: TenantId,
    /// In what it is counted.
    pub unit: Unit,
    /// How much.
    pub amount: i64,
    /// It is never passed, not by one token.
    pub hard: bool,
    /// From when on it may be spent.
    pub from: Micros,
    /// Until when.
    pub until: Micros,
    /// When it was made.
    pub created_at: Micros,
    /// Set once the programme took back what was not spent.
    pub recalled_at: Option<Micros>,
}

impl Allocation {
    /// When nothing more may be spent of it.
    pub fn ends_at(&self) -> Micros {
        self.recalled_at.map_or(self.until, |at| at.min(self.until))
    }
}
