//! Who may spend how much: budgets of programmes, and what they grant to tenants.

use crate::{AllocationId, Class, Micros, ProgrammeId, TenantId, Unit};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a programme has to allocate, in one unit and perhaps one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgrammeBudget {
    /// Whose.
    pub programme: ProgrammeId,
    /// In what it is counted: won, tokens, or accelerator time.
    pub unit: Unit,
    /// Of tokens: for models of this class alone; of accelerator time: of this kind alone.
    pub class: Option<Class>,
    /// How much in all, allocated or not.
    pub amount: i64,
    /// The most of it that one tenant may be granted, in thousandths; 1000 for no cap.
    pub concentration_permille_max: u32,
}

/// A part of an allocation, and when it comes. What is not spent of it is spent later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tranche {
    /// From when on it may be spent.
    pub from: Micros,
    /// How much, in the allocation's unit.
    pub amount: i64,
}

impl fmt::Display for Tranche {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.from.0, self.amount)
    }
}

/// The text is no tranche.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tranche is its instant in microseconds and its amount, with a ':' between")]
pub struct TrancheError;

impl FromStr for Tranche {
    type Err = TrancheError;
    fn from_str(text: &str) -> Result<Self, TrancheError> {
        let (from, amount) = text.split_once(':').ok_or(TrancheError)?;
        let number = |text: &str| text.parse().map_err(|_| TrancheError);
        Ok(Self {
            from: Micros(number(from)?),
            amount: number(amount)?,
        })
    }
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
    /// Of tokens: they pay for models of this class alone; of accelerator time: for this kind alone.
    pub class: Option<Class>,
    /// How much in all.
    pub amount: i64,
    /// It is never passed, not by one token.
    pub hard: bool,
    /// From when on it may be spent.
    pub from: Micros,
    /// The parts that it comes in, the first of them at its beginning; empty where all of it comes then.
    pub tranches: Vec<Tranche>,
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
