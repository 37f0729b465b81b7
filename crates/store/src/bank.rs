//! The bank: what may be spent, and which gateway holds how much of it.

use crate::StoreError;
use async_trait::async_trait;
use madang_ledger::{Exchange, Holder, Order, Price, Purse};
use madang_types::{
    Allocation, AllocationId, CeilingId, GatewayId, MicroWon, Micros, ProgrammeBudget, ProgrammeId,
    TenantId, Unit,
};

/// What came of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Rights that were moved to the gateway.
    pub moved: i64,
    /// What there is of the purse elsewhere: nobody's yet, or another gateway's.
    pub left: i64,
}

/// What stands in the way of a grant; each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The books failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rules do not allow it; the words are for whoever asked.
    #[error("{0}")]
    Refused(String),
}

/// Who may spend how much, and who holds it. Every method is one transaction.
#[async_trait]
pub trait Bank: Send + Sync + 'static {
    /// A run of a gateway begins. What earlier runs held goes back: whatever they spent is in the books by now.
    async fn run_begin(&self, gateway: GatewayId, at: Micros) -> Result<Holder, StoreError>;
    /// A run is alive. `false` where a later one has begun: it holds nothing any more.
    async fn run_seen(&self, holder: Holder, at: Micros) -> Result<bool, StoreError>;
    /// Carries an order out: once, however often it comes. What of an allocation has not come at `at` stays where it is.
    async fn order(&self, holder: Holder, order: Order, at: Micros) -> Result<Moved, StoreError>;

    /// Fills a ceiling up to its limit: from then on so much may be spent under it in all. A higher limit raises it by the difference,
    /// one as high or lower changes nothing.
    async fn ceiling_fill(
        &self,
        id: CeilingId,
        limit: MicroWon,
        at: Micros,
    ) -> Result<(), StoreError>;
    /// What of a purse nobody has spent: what no gateway holds, and what each holds as far as it has reported.
    async fn purse_left(&self, purse: Purse, unit: Unit) -> Result<i64, StoreError>;

    /// Sets what a programme has to allocate in a unit: the first time, or to another amount.
    async fn budget_put(&self, budget: ProgrammeBudget, at: Micros) -> Result<(), GrantError>;
    /// All budgets, by programme and unit.
    async fn budget_list(&self) -> Result<Vec<ProgrammeBudget>, StoreError>;
    /// Grants a part of a programme's budget to a tenant.
    async fn allocation_insert(&self, allocation: Allocation) -> Result<(), GrantError>;
    /// Allocations by id; of one programme or tenant where given.
    async fn allocation_list(
        &self,
        of: (Option<ProgrammeId>, Option<TenantId>),
    ) -> Result<Vec<Allocation>, StoreError>;
    /// Takes back what is not spent; what gateways hold follows as they return it.
    async fn allocation_recall(
        &self,
        id: AllocationId,
        at: Micros,
    ) -> Result<Allocation, GrantError>;
    /// Moves what is left of allocations that are over back to their programmes; says how many that was.
    async fn allocations_sweep(&self, at: Micros) -> Result<u64, StoreError>;

    /// Adds a price; it may not begin before `at`.
    async fn price_insert(&self, price: Price, at: Micros) -> Result<(), GrantError>;
    /// All prices, past ones too.
    async fn price_list(&self) -> Result<Vec<Price>, StoreError>;
    /// Adds a rate of exchange; it may not begin before `at`.
    async fn exchange_insert(&self, exchange: Exchange, at: Micros) -> Result<(), GrantError>;
    /// All rates of exchange, past ones too.
    async fn exchange_list(&self) -> Result<Vec<Exchange>, StoreError>;
}
