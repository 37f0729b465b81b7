//! Books in memory: what a ledger in a database must be equal to.

use crate::{Account, Applied, Balance, Entry, EntryId, Fault, apply};
use madang_types::Unit;
use std::collections::BTreeMap;

/// Balances and entries in memory.
#[derive(Clone, Debug, Default)]
pub struct Book {
    balances: BTreeMap<Account, BTreeMap<Unit, Balance>>,
    entries: BTreeMap<EntryId, Vec<Entry>>,
}

impl Book {
    /// Writes an entry, all of it or nothing.
    ///
    /// # Errors
    /// Why it may not be written.
    pub fn enter(&mut self, entry: Entry) -> Result<Applied, Fault> {
        let applied = apply(&entry, self.entry(entry.id), |account, unit| {
            self.balance(account, unit)
        })?;
        if let Applied::New(changes) = &applied {
            for change in changes {
                let units = match self.balances.get_mut(&change.account) {
                    Some(units) => units,
                    None => self.balances.entry(change.account.clone()).or_default(),
                };
                units.insert(change.unit, change.balance);
            }
            self.entries.entry(entry.id).or_default().push(entry);
        }
        Ok(applied)
    }

    /// The entries of an id, in the order of writing.
    pub fn entry(&self, id: EntryId) -> &[Entry] {
        self.entries.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Forgets the entries of an id. What they moved stays moved; whoever forgets an id sees to it that it does not come again.
    pub fn forget(&mut self, id: EntryId) {
        self.entries.remove(&id);
    }

    /// One balance; an account that no entry named has nothing.
    pub fn balance(&self, account: &Account, unit: Unit) -> Balance {
        let units = self.balances.get(account);
        units
            .and_then(|units| units.get(&unit))
            .copied()
            .unwrap_or_default()
    }

    /// All balances that an entry ever changed, by account and unit.
    pub fn balances(&self) -> impl Iterator<Item = (&Account, Unit, Balance)> {
        self.balances.iter().flat_map(|(account, units)| {
            units
                .iter()
                .map(move |(unit, balance)| (account, *unit, *balance))
        })
    }

    /// The accounts that have a balance, or had one.
    pub fn accounts(&self) -> impl Iterator<Item = &Account> {
        self.balances.keys()
    }

    /// The ids whose entries are remembered.
    pub fn ids(&self) -> impl Iterator<Item = EntryId> {
        self.entries.keys().copied()
    }
}
