//! The trait behind which the ledger is kept: entries by the rules of `madang-ledger`, and the balances that follow from them.

pub(crate) mod checksum;
pub(crate) mod codes;
pub(crate) mod known;
pub(crate) mod verify;

use crate::StoreError;
use async_trait::async_trait;
use madang_ledger::{Account, Applied, Balance, Entry, EntryId, Fault, Purse, Report, Subject};
use madang_types::{Micros, Unit};

/// The most entries that one [`Ledger::entries_append`] takes.
pub const ENTRIES_APPEND_COUNT_MAX: usize = 512;
/// The most rows that one list of entries or balances gives.
pub const LEDGER_LIST_COUNT_MAX: u32 = 1000;

/// Which entries. All that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryFilter {
    /// Only those of which a leg names this account.
    pub account: Option<Account>,
    /// Only those that are about this.
    pub subject: Option<Subject>,
    /// What happened at or after.
    pub from: Option<Micros>,
    /// What happened before.
    pub until: Option<Micros>,
}

/// An entry as it stands in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Its place in the order of writing, from 1.
    pub seq: u64,
    /// What was written.
    pub entry: Entry,
}

/// What an account has of a unit, as it stands in the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceRow {
    /// Whose.
    pub account: Account,
    /// Of what.
    pub unit: Unit,
    /// How much.
    pub balance: Balance,
}

/// Refuses more entries, or ids of entries, than are taken at once.
///
/// # Errors
/// [`StoreError::Invalid`].
pub(crate) fn check_count(count: usize) -> Result<(), StoreError> {
    if count <= ENTRIES_APPEND_COUNT_MAX {
        return Ok(());
    }
    Err(StoreError::Invalid(format!(
        "{count} entries at once; {ENTRIES_APPEND_COUNT_MAX} at most are taken"
    )))
}

/// How the names of accounts begin where parts wait whose gateway was given up.
pub(crate) const SUSPENSE: &str = "suspense:";

impl BalanceRow {
    /// The purse of which a part waits here in suspense.
    pub(crate) fn suspended(self) -> Option<Purse> {
        let Self {
            account: Account::Suspense(purse),
            unit: _,
            balance,
        } = self
        else {
            return None;
        };
        (balance.available() > 0).then_some(purse)
    }
}

/// The ledger of a store. Its writes are durable and visible to every later read when they return.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Writes entries in this order, in one transaction, each whole or not at all, and says of each what became of it. One that
    /// the rules refuse does not take the others with it; one that stands there already changes nothing.
    ///
    /// # Errors
    /// None was written: [`StoreError::Invalid`] for more than [`ENTRIES_APPEND_COUNT_MAX`]; [`StoreError::Unavailable`],
    /// [`StoreError::Damaged`].
    async fn entries_append(
        &self,
        entries: Vec<Entry>,
    ) -> Result<Vec<Result<Applied, Fault>>, StoreError>;
    /// What an account has, by unit; no unit of which it never had any.
    async fn balance(&self, account: Account) -> Result<Vec<(Unit, Balance)>, StoreError>;
    /// The balances of the accounts whose name begins with `prefix` (`lease:`, or nothing for all), by name and unit. `after`
    /// continues a page; at most `count_max`, and never more than [`LEDGER_LIST_COUNT_MAX`].
    async fn balances(
        &self,
        prefix: String,
        after: Option<(Account, Unit)>,
        count_max: u32,
    ) -> Result<Vec<BalanceRow>, StoreError>;
    /// Entries, the last written first. Those written before `before` (an [`EntryRow::seq`]) continue a page; at most
    /// `count_max`, and never more than [`LEDGER_LIST_COUNT_MAX`].
    async fn entries(
        &self,
        filter: EntryFilter,
        before: Option<u64>,
        count_max: u32,
    ) -> Result<Vec<EntryRow>, StoreError>;
    /// All entries of these ids, in the order of writing.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for more ids than [`ENTRIES_APPEND_COUNT_MAX`].
    async fn entries_of(&self, ids: Vec<EntryId>) -> Result<Vec<EntryRow>, StoreError>;
    /// All entries of an id, in the order of writing.
    async fn entry(&self, id: EntryId) -> Result<Vec<EntryRow>, StoreError> {
        self.entries_of(vec![id]).await
    }
    /// Reads all of it as it stands at this moment, in memory that grows with accounts and open reservations only, and says
    /// what breaks a rule.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]. What is read and wrong is a finding of the report.
    async fn ledger_verify(&self) -> Result<Report, StoreError>;
}
