//! The ledger as tables: entries with their legs in the order of writing, and balances beside them.

pub(super) mod page;
mod rows;
mod verify;

use super::PostgresStore;
use crate::ledger::check_count;
use crate::{BalanceRow, EntryFilter, EntryRow, Ledger, StoreError};
use async_trait::async_trait;
use madang_ledger::{Account, Applied, Balance, Entry, EntryId, Fault, Report};
use madang_types::Unit;
use page::Turn;

#[async_trait]
impl Ledger for PostgresStore {
    async fn entries_append(
        &self,
        entries: Vec<Entry>,
    ) -> Result<Vec<Result<Applied, Fault>>, StoreError> {
        check_count(entries.len())?;
        self.ask(move |client| {
            Box::pin(async move {
                let mut turn = Turn::begin(client).await?;
                let applied = turn.append(&entries).await?;
                turn.commit().await.map(|()| applied)
            })
        })
        .await
    }

    async fn balance(&self, account: Account) -> Result<Vec<(Unit, Balance)>, StoreError> {
        self.settle().await?;
        let name = account.to_string();
        let mut found = self
            .ask(move |client| {
                Box::pin(async move { rows::accounts(client, std::slice::from_ref(&name)).await })
            })
            .await?;
        let standing = found.remove(&account.to_string()).unwrap_or_default();
        Ok(standing.balances.into_iter().collect())
    }

    async fn balances(
        &self,
        prefix: String,
        after: Option<(Account, Unit)>,
        count_max: u32,
    ) -> Result<Vec<BalanceRow>, StoreError> {
        self.report(move |client| {
            Box::pin(async move { rows::balances(client, &prefix, (after, count_max)).await })
        })
        .await
    }

    async fn entries(
        &self,
        filter: EntryFilter,
        before: Option<u64>,
        count_max: u32,
    ) -> Result<Vec<EntryRow>, StoreError> {
        self.report(move |client| {
            Box::pin(async move { rows::list(client, &filter, (before, count_max)).await })
        })
        .await
    }

    async fn entries_of(&self, ids: Vec<EntryId>) -> Result<Vec<EntryRow>, StoreError> {
        check_count(ids.len())?;
        self.settle().await?;
        self.ask(move |client| Box::pin(async move { rows::of_ids(client, &ids).await }))
            .await
    }

    async fn ledger_verify(&self) -> Result<Report, StoreError> {
        self.settle().await?;
        self.ask_within(verify::WAIT_MAX, |client| Box::pin(verify::verify(client)))
            .await
    }
}
