//! Budgets, prices and the ledger are kept in SQLite alone as yet. Here nothing has a price and nothing may be granted: whoever tries
//! is told so, and no budget is passed by gateways that each know a part of it.

use super::PostgresStore;
use crate::StoreError;
use crate::bank::{Bank, GrantError, Moved};
use async_trait::async_trait;
use madang_ledger::{Exchange, Holder, Order, Price, Purse};
use madang_types::{
    Allocation, AllocationId, CeilingId, GatewayId, MicroWon, Micros, ProgrammeBudget, ProgrammeId,
    TenantId, Unit,
};

const NOT_KEPT: &str = "budgets, prices and the ledger are not kept in PostgreSQL yet: start without --store, with the books in the data folder";

fn refused<T>() -> Result<T, GrantError> {
    Err(GrantError::Refused(NOT_KEPT.into()))
}

#[async_trait]
impl Bank for PostgresStore {
    async fn run_begin(&self, gateway: GatewayId, _at: Micros) -> Result<Holder, StoreError> {
        Ok(Holder { gateway, epoch: 0 })
    }

    async fn run_seen(&self, _holder: Holder, _at: Micros) -> Result<bool, StoreError> {
        Ok(true)
    }

    async fn order(&self, _: Holder, _: Order, _at: Micros) -> Result<Moved, StoreError> {
        Err(StoreError::Unavailable(NOT_KEPT.into()))
    }

    async fn ceiling_fill(
        &self,
        _id: CeilingId,
        _limit: MicroWon,
        _at: Micros,
    ) -> Result<(), StoreError> {
        Err(StoreError::Unavailable(NOT_KEPT.into()))
    }

    async fn purse_left(&self, _purse: Purse, _unit: Unit) -> Result<i64, StoreError> {
        Ok(0)
    }

    async fn budget_put(&self, _budget: ProgrammeBudget, _at: Micros) -> Result<(), GrantError> {
        refused()
    }

    async fn budget_list(&self) -> Result<Vec<ProgrammeBudget>, StoreError> {
        Ok(Vec::new())
    }

    async fn allocation_insert(&self, _allocation: Allocation) -> Result<(), GrantError> {
        refused()
    }

    async fn allocation_list(
        &self,
        _of: (Option<ProgrammeId>, Option<TenantId>),
    ) -> Result<Vec<Allocation>, StoreError> {
        Ok(Vec::new())
    }

    async fn allocation_recall(
        &self,
        _id: AllocationId,
        _at: Micros,
    ) -> Result<Allocation, GrantError> {
        refused()
    }

    async fn allocations_sweep(&self, _at: Micros) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn price_insert(&self, _price: Price, _at: Micros) -> Result<(), GrantError> {
        refused()
    }

    async fn price_list(&self) -> Result<Vec<Price>, StoreError> {
        Ok(Vec::new())
    }

    async fn exchange_insert(&self, _exchange: Exchange, _at: Micros) -> Result<(), GrantError> {
        refused()
    }

    async fn exchange_list(&self) -> Result<Vec<Exchange>, StoreError> {
        Ok(Vec::new())
    }
}
