//! The ledger as tables: entries and legs in the order of writing, and balances beside them.

pub(super) mod page;
mod rows;
#[cfg(test)]
mod tests;
mod verify;

use super::connect::{self, Settings};
use super::writer::{Write, Written};
use super::{BUSY_WAIT_MS_MAX, SqliteStore};
use crate::ledger::check_count;
use crate::{BalanceRow, EntryFilter, EntryRow, Ledger, StoreError};
use async_trait::async_trait;
use madang_ledger::{Account, Applied, Balance, Entry, EntryId, Fault, Report};
use madang_types::Unit;
use rusqlite::Connection;
use std::path::Path;

#[async_trait]
impl Ledger for SqliteStore {
    async fn entries_append(
        &self,
        entries: Vec<Entry>,
    ) -> Result<Vec<Result<Applied, Fault>>, StoreError> {
        check_count(entries.len())?;
        match self.write(Write::Entries(entries)).await? {
            Written::Entries(applied) => Ok(applied),
            _ => Err(StoreError::Damaged(
                "the write said nothing of its entries".into(),
            )),
        }
    }

    async fn balance(&self, account: Account) -> Result<Vec<(Unit, Balance)>, StoreError> {
        self.settle().await?;
        self.lookups
            .read(move |conn| rows::balances_of(conn, &account))
            .await
    }

    async fn balances(
        &self,
        prefix: String,
        after: Option<(Account, Unit)>,
        count_max: u32,
    ) -> Result<Vec<BalanceRow>, StoreError> {
        self.settle().await?;
        self.reports
            .read(move |conn| rows::balances(conn, &prefix, after, count_max))
            .await
    }

    async fn entries(
        &self,
        filter: EntryFilter,
        before: Option<u64>,
        count_max: u32,
    ) -> Result<Vec<EntryRow>, StoreError> {
        self.settle().await?;
        self.reports
            .read(move |conn| rows::list(conn, &filter, before, count_max))
            .await
    }

    async fn entries_of(&self, ids: Vec<EntryId>) -> Result<Vec<EntryRow>, StoreError> {
        check_count(ids.len())?;
        self.settle().await?;
        self.lookups
            .read(move |conn| rows::of_ids(conn, &ids))
            .await
    }

    async fn ledger_verify(&self) -> Result<Report, StoreError> {
        self.settle().await?;
        let path = self.path.clone();
        // It may read for minutes, which no reader of others has.
        tokio::task::spawn_blocking(move || SqliteLedger::open(&path)?.verify())
            .await
            .map_err(|e| {
                StoreError::Unavailable(format!("the ledger was not read to its end: {e}"))
            })?
    }
}

/// The ledger of a file, to be read beside whoever writes it. Blocks.
pub struct SqliteLedger {
    conn: Connection,
}

impl SqliteLedger {
    /// Opens the books at `path` for reading.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] where they cannot be read, or are of another schema than this program's.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let settings = Settings {
            busy_wait_ms_max: BUSY_WAIT_MS_MAX,
            file_pages_max: None,
        };
        let conn = connect::open_finished(path, settings)?;
        Ok(Self { conn })
    }

    /// As [`Ledger::balances`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub fn balances(
        &self,
        prefix: &str,
        after: Option<(Account, Unit)>,
        count_max: u32,
    ) -> Result<Vec<BalanceRow>, StoreError> {
        rows::balances(&self.conn, prefix, after, count_max)
    }

    /// As [`Ledger::entries`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Damaged`].
    pub fn entries(
        &self,
        filter: &EntryFilter,
        before: Option<u64>,
        count_max: u32,
    ) -> Result<Vec<EntryRow>, StoreError> {
        rows::list(&self.conn, filter, before, count_max)
    }

    /// As [`Ledger::ledger_verify`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub fn verify(&self) -> Result<Report, StoreError> {
        verify::verify(&self.conn)
    }
}
