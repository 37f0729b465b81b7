//! The bank as tables: each thing that is asked of it is one write in the writer's transaction, beside the entries that it makes.

mod grants;
mod leases;

use super::SqliteStore;
use super::ledger::page::Page;
use super::writer::{Write, Written};
use crate::StoreError;
use crate::bank::{Bank, GrantError, Moved};
use async_trait::async_trait;
use madang_ledger::{Entry, Exchange, Fault, Holder, Order, Price, Purse};
use madang_types::{
    Allocation, AllocationId, CeilingId, GatewayId, MicroWon, Micros, ProgrammeBudget, ProgrammeId,
    TenantId, Unit,
};
use rusqlite::Connection;

/// What is asked, and when.
pub(super) struct Ask {
    about: About,
    at: Micros,
}

enum About {
    RunBegin(GatewayId),
    RunSeen(Holder),
    Order(Holder, Order),
    Ceiling(CeilingId, MicroWon),
    Left(Purse, Unit),
    Budget(ProgrammeBudget),
    Allocation(Allocation),
    Recall(AllocationId),
    Sweep,
    Price(Price),
    Exchange(Exchange),
}

/// What came of it.
pub(super) enum Answer {
    Run(Holder),
    Seen(bool),
    Moved(Moved),
    /// The rules do not allow it: why.
    Refused(String),
    Done,
    Allocation(Box<Allocation>),
    Count(u64),
    Left(i64),
}

pub(super) fn perform(conn: &Connection, page: &mut Page, ask: &Ask) -> Result<Answer, StoreError> {
    let at = ask.at;
    match &ask.about {
        About::RunBegin(gateway) => leases::run_begin(conn, page, (gateway, at)).map(Answer::Run),
        About::RunSeen(holder) => leases::run_seen(conn, (holder, at)).map(Answer::Seen),
        About::Order(holder, order) => {
            leases::order(conn, page, (holder, order, at)).map(Answer::Moved)
        }
        About::Ceiling(id, limit) => grants::ceiling_fill(conn, page, (id, *limit, at)),
        About::Left(purse, unit) => leases::left_of(conn, page, (purse, *unit)).map(Answer::Left),
        About::Budget(budget) => grants::budget_put(conn, page, (budget, at)),
        About::Allocation(allocation) => grants::allocation_insert(conn, page, allocation),
        About::Recall(id) => grants::allocation_recall(conn, page, (id, at)),
        About::Sweep => grants::sweep(conn, page, at).map(Answer::Count),
        About::Price(price) => grants::price_insert(conn, (price, at)),
        About::Exchange(exchange) => grants::exchange_insert(conn, (exchange, at)),
    }
}

/// Writes one entry; says why where the rules refuse it.
fn enter(
    conn: &Connection,
    page: &mut Page,
    entry: &Entry,
) -> Result<Result<(), Fault>, StoreError> {
    let applied = page.append(conn, std::slice::from_ref(entry))?;
    Ok(applied
        .into_iter()
        .try_for_each(|applied| applied.map(drop)))
}

impl SqliteStore {
    async fn ask(&self, about: About, at: Micros) -> Result<Answer, StoreError> {
        match self.write(Write::Bank(Ask { about, at })).await? {
            Written::Bank(answer) => Ok(answer),
            _ => Err(unexpected()),
        }
    }

    async fn grant(&self, about: About, at: Micros) -> Result<Answer, GrantError> {
        match self.ask(about, at).await? {
            Answer::Refused(why) => Err(GrantError::Refused(why)),
            answer => Ok(answer),
        }
    }
}

fn unexpected() -> StoreError {
    StoreError::Damaged("the bank answered another question".into())
}

#[async_trait]
impl Bank for SqliteStore {
    async fn run_begin(&self, gateway: GatewayId, at: Micros) -> Result<Holder, StoreError> {
        match self.ask(About::RunBegin(gateway), at).await? {
            Answer::Run(holder) => Ok(holder),
            _ => Err(unexpected()),
        }
    }

    async fn run_seen(&self, holder: Holder, at: Micros) -> Result<bool, StoreError> {
        match self.ask(About::RunSeen(holder), at).await? {
            Answer::Seen(alive) => Ok(alive),
            _ => Err(unexpected()),
        }
    }

    async fn order(&self, holder: Holder, order: Order, at: Micros) -> Result<Moved, StoreError> {
        match self.ask(About::Order(holder, order), at).await? {
            Answer::Moved(moved) => Ok(moved),
            _ => Err(unexpected()),
        }
    }

    async fn ceiling_fill(
        &self,
        id: CeilingId,
        limit: MicroWon,
        at: Micros,
    ) -> Result<(), StoreError> {
        self.ask(About::Ceiling(id, limit), at).await.map(drop)
    }

    async fn purse_left(&self, purse: Purse, unit: Unit) -> Result<i64, StoreError> {
        match self.ask(About::Left(purse, unit), Micros(0)).await? {
            Answer::Left(left) => Ok(left),
            _ => Err(unexpected()),
        }
    }

    async fn budget_put(&self, budget: ProgrammeBudget, at: Micros) -> Result<(), GrantError> {
        self.grant(About::Budget(budget), at).await.map(drop)
    }

    async fn budget_list(&self) -> Result<Vec<ProgrammeBudget>, StoreError> {
        self.lookups.read(grants::budgets).await
    }

    async fn allocation_insert(&self, allocation: Allocation) -> Result<(), GrantError> {
        let at = allocation.created_at;
        self.grant(About::Allocation(allocation), at)
            .await
            .map(drop)
    }

    async fn allocation_list(
        &self,
        of: (Option<ProgrammeId>, Option<TenantId>),
    ) -> Result<Vec<Allocation>, StoreError> {
        self.lookups
            .read(move |conn| grants::allocations(conn, (of.0.as_ref(), of.1.as_ref())))
            .await
    }

    async fn allocation_recall(
        &self,
        id: AllocationId,
        at: Micros,
    ) -> Result<Allocation, GrantError> {
        match self.grant(About::Recall(id), at).await? {
            Answer::Allocation(allocation) => Ok(*allocation),
            _ => Err(unexpected().into()),
        }
    }

    async fn allocations_sweep(&self, at: Micros) -> Result<u64, StoreError> {
        match self.ask(About::Sweep, at).await? {
            Answer::Count(count) => Ok(count),
            _ => Err(unexpected()),
        }
    }

    async fn price_insert(&self, price: Price, at: Micros) -> Result<(), GrantError> {
        self.grant(About::Price(price), at).await.map(drop)
    }

    async fn price_list(&self) -> Result<Vec<Price>, StoreError> {
        self.lookups.read(grants::prices).await
    }

    async fn exchange_insert(&self, exchange: Exchange, at: Micros) -> Result<(), GrantError> {
        self.grant(About::Exchange(exchange), at).await.map(drop)
    }

    async fn exchange_list(&self) -> Result<Vec<Exchange>, StoreError> {
        self.lookups.read(grants::exchanges).await
    }
}
