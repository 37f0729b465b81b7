//! The bank as tables: what is asked of it at one time is one transaction, which writes the ledger alone.

mod grants;
mod leases;
mod suspense;
mod teller;

pub(super) use suspense::cover;
pub(super) use teller::{Question, Teller};

use super::ledger::page::Turn;
use super::{PostgresStore, stopped};
use crate::StoreError;
use crate::bank::{About, Answer, Counter, GatewayRow, RateBooks};
use async_trait::async_trait;
use madang_ledger::{AcceleratorPrice, Exchange, Price};
use madang_types::{Allocation, Micros, ProgrammeBudget, ProgrammeId, TenantId};
use tokio::sync::oneshot;
use tokio::time::timeout;

async fn perform(turn: &mut Turn<'_>, (about, at): (&About, Micros)) -> Result<Answer, StoreError> {
    match about {
        About::RunBegin(gateway) => leases::run_begin(turn, (gateway, at))
            .await
            .map(Answer::Run),
        About::RunSeen(holder) => leases::run_seen(&turn.tx, (holder, at))
            .await
            .map(Answer::Seen),
        About::Order(holder, order) => leases::order(turn, (holder, order, at))
            .await
            .map(Answer::Moved),
        About::GiveUp(gateway) => leases::give_up(turn, (gateway, at)).await,
        About::Release(gateway) => suspense::release(turn, (gateway, at)).await,
        About::Ceiling(id, limit) => grants::ceiling_fill(turn, (id, *limit, at)).await,
        About::Left(purse, unit) => leases::left_of(turn, (purse, *unit))
            .await
            .map(Answer::Left),
        About::Budget(budget) => grants::budget_put(turn, (budget, at)).await,
        About::Allocation(allocation) => grants::allocation_insert(turn, allocation).await,
        About::Recall(id, ends_at) => grants::allocation_recall(turn, (id, *ends_at, at)).await,
        About::Sweep => grants::sweep(turn, at).await.map(Answer::Count),
        About::Price(price) => grants::price_insert(&turn.tx, (price, at)).await,
        About::AcceleratorPrice(price) => {
            grants::accelerator_price_insert(&turn.tx, (price, at)).await
        }
        About::Exchange(exchange) => grants::exchange_insert(&turn.tx, (exchange, at)).await,
    }
}

#[async_trait]
impl Counter for PostgresStore {
    async fn ask(&self, about: About, at: Micros) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        let questions = self.server.questions.as_ref().ok_or_else(stopped)?;
        let asked = async {
            let question = Question { about, at, reply };
            let queued = questions.send(question).await;
            queued.map_err(|_| stopped())?;
            answer.await.map_err(|_| stopped())?
        };
        let asked = timeout(self.confirm_wait_max, asked).await;
        asked.unwrap_or_else(|_| Err(self.unconfirmed()))
    }

    fn notice_ms(&self) -> u64 {
        grants::NOTICE_MS
    }

    fn rate_books(&self) -> Option<&dyn RateBooks> {
        Some(self)
    }

    async fn gateways(&self) -> Result<Vec<GatewayRow>, StoreError> {
        PostgresStore::ask(self, |client| {
            Box::pin(async { leases::gateways(client).await })
        })
        .await
    }

    async fn budgets(&self) -> Result<Vec<ProgrammeBudget>, StoreError> {
        PostgresStore::ask(self, |client| {
            Box::pin(async { grants::budgets(client).await })
        })
        .await
    }

    async fn allocations(
        &self,
        of: (Option<ProgrammeId>, Option<TenantId>),
    ) -> Result<Vec<Allocation>, StoreError> {
        PostgresStore::ask(self, move |client| {
            Box::pin(
                async move { grants::allocations(client, (of.0.as_ref(), of.1.as_ref())).await },
            )
        })
        .await
    }

    async fn prices(&self) -> Result<Vec<Price>, StoreError> {
        PostgresStore::ask(self, |client| {
            Box::pin(async { grants::prices(client).await })
        })
        .await
    }

    async fn accelerator_prices(&self) -> Result<Vec<AcceleratorPrice>, StoreError> {
        PostgresStore::ask(self, |client| {
            Box::pin(async { grants::accelerator_prices(client).await })
        })
        .await
    }

    async fn exchanges(&self) -> Result<Vec<Exchange>, StoreError> {
        PostgresStore::ask(self, |client| {
            Box::pin(async { grants::exchanges(client).await })
        })
        .await
    }
}
