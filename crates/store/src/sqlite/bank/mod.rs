//! The bank as tables: each thing that is asked of it is one write in the writer's transaction, beside the entries that it makes.

mod grants;
mod leases;
mod suspense;

pub(super) use suspense::cover;

use super::SqliteStore;
use super::ledger::page::Page;
use super::writer::{Write, Written};
use crate::StoreError;
use crate::bank::{About, Answer, Counter, GatewayRow};
use async_trait::async_trait;
use madang_ledger::{AcceleratorPrice, Entry, Exchange, Fault, Price};
use madang_types::{Allocation, Micros, ProgrammeBudget, ProgrammeId, TenantId};
use rusqlite::Connection;

pub(super) fn perform(
    conn: &Connection,
    page: &mut Page,
    (about, at): (&About, Micros),
) -> Result<Answer, StoreError> {
    match about {
        About::RunBegin(gateway) => leases::run_begin(conn, page, (gateway, at)).map(Answer::Run),
        About::RunSeen(holder) => leases::run_seen(conn, (holder, at)).map(Answer::Seen),
        About::Order(holder, order) => {
            leases::order(conn, page, (holder, order, at)).map(Answer::Moved)
        }
        About::GiveUp(gateway) => leases::give_up(conn, page, (gateway, at)),
        About::Release(gateway) => suspense::release(conn, page, (gateway, at)),
        About::Ceiling(id, limit) => grants::ceiling_fill(conn, page, (id, *limit, at)),
        About::Left(purse, unit) => leases::left_of(conn, page, (purse, *unit)).map(Answer::Left),
        About::Budget(budget) => grants::budget_put(conn, page, (budget, at)),
        About::Allocation(allocation) => grants::allocation_insert(conn, page, allocation),
        About::Recall(id, ends_at) => grants::allocation_recall(conn, page, (id, *ends_at, at)),
        About::Sweep => grants::sweep(conn, page, at).map(Answer::Count),
        About::Price(price) => grants::price_insert(conn, (price, at)),
        About::AcceleratorPrice(price) => grants::accelerator_price_insert(conn, (price, at)),
        About::Exchange(exchange) => grants::exchange_insert(conn, (exchange, at)),
    }
}

/// Writes one entry; says why where the rules refuse it.
fn enter(
    conn: &Connection,
    page: &mut Page,
    entry: &Entry,
) -> Result<Result<(), Fault>, StoreError> {
    Ok(page.append_one(conn, entry)?.map(drop))
}

#[async_trait]
impl Counter for SqliteStore {
    async fn ask(&self, about: About, at: Micros) -> Result<Answer, StoreError> {
        match self.write(Write::Bank(Box::new(about), at)).await? {
            Written::Bank(answer) => Ok(answer),
            _ => Err(StoreError::Damaged(
                "the write said nothing of the bank".into(),
            )),
        }
    }

    async fn gateways(&self) -> Result<Vec<GatewayRow>, StoreError> {
        self.lookups.read(leases::gateways).await
    }

    async fn budgets(&self) -> Result<Vec<ProgrammeBudget>, StoreError> {
        self.lookups.read(grants::budgets).await
    }

    async fn allocations(
        &self,
        of: (Option<ProgrammeId>, Option<TenantId>),
    ) -> Result<Vec<Allocation>, StoreError> {
        self.lookups
            .read(move |conn| grants::allocations(conn, (of.0.as_ref(), of.1.as_ref())))
            .await
    }

    async fn prices(&self) -> Result<Vec<Price>, StoreError> {
        self.lookups.read(grants::prices).await
    }

    async fn accelerator_prices(&self) -> Result<Vec<AcceleratorPrice>, StoreError> {
        self.lookups.read(grants::accelerator_prices).await
    }

    async fn exchanges(&self) -> Result<Vec<Exchange>, StoreError> {
        self.lookups.read(grants::exchanges).await
    }
}
