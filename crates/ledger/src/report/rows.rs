//! What a report is made of: sums that a store reads in one look at its books.

use crate::Account;
use madang_types::{MicroWon, MilliJoules, ModelId, SiteId, TenantId, Unit};

/// The most rows, and the most sums of legs, of one [`Extract`]: what is beyond it is refused, not cut off.
pub const EXTRACT_ROWS_MAX: usize = 100_000;

/// What the books say of a span, as they stand at one instant. A request and its entry are of the span in which the request arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extract {
    /// The tenants whose records these are.
    pub tenants: Vec<TenantId>,
    /// Sums over their records.
    pub rows: Vec<Row>,
    /// Sums over the legs, of entries about requests, that name an account of theirs or a grant to them or by their programme.
    pub legs: Vec<LegSum>,
    /// The same of entries about jobs. A run is of the span in which it ended.
    pub job_legs: Vec<LegSum>,
    /// The same of entries about energy, by their span's beginning; where neither a programme nor a tenant was asked for, all of them.
    pub energy_legs: Vec<LegSum>,
}

/// Sums over the records of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Who is billed.
    pub tenant: TenantId,
    /// The model asked for, where it is known.
    pub model: Option<ModelId>,
    /// The site or upstream of the last attempt.
    pub site: Option<SiteId>,
    /// The civil day of the arrival: days since 1970-01-01 at the offset that was asked for.
    pub day: i64,
    /// What the ledger says of them.
    pub booked: Booked,
    /// The sums.
    pub sums: Sums,
}

/// What the ledger says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Booked {
    /// Its entry moved what it used and what it cost; or it used nothing, and has none.
    Won,
    /// Its entry moved what it used, and took tokens of a grant for it: no won.
    Tokens,
    /// It has none: nothing had a price or a budget when it was served.
    Unmetered,
    /// It has none, though it has a cost: a fault.
    Missing,
}

/// Sums over records. One that does not fit stands at the end of its type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Records.
    pub requests: u64,
    /// Records of complete answers.
    pub finished: u64,
    /// Records whose counts are estimates.
    pub estimated: u64,
    /// Prompt tokens computed.
    pub uncached_tokens: u64,
    /// Prompt tokens from caches.
    pub cached_tokens: u64,
    /// Tokens made.
    pub output_tokens: u64,
    /// What they cost.
    pub cost: MicroWon,
    /// Energy, of those that have it.
    pub energy: MilliJoules,
}

impl Sums {
    /// All tokens.
    pub fn tokens(&self) -> u64 {
        self.uncached_tokens
            .saturating_add(self.cached_tokens)
            .saturating_add(self.output_tokens)
    }

    /// With another's added.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests.saturating_add(other.requests),
            finished: self.finished.saturating_add(other.finished),
            estimated: self.estimated.saturating_add(other.estimated),
            uncached_tokens: self.uncached_tokens.saturating_add(other.uncached_tokens),
            cached_tokens: self.cached_tokens.saturating_add(other.cached_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            cost: self.cost.saturating_add(other.cost),
            energy: self.energy.saturating_add(other.energy),
        }
    }
}

/// All that moved of a unit from one account to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegSum {
    /// Of what.
    pub unit: Unit,
    /// Who has less.
    pub from: Account,
    /// Who has more.
    pub to: Account,
    /// How much; held at the end of its type.
    pub amount: i64,
}
