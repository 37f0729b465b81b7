//! What one transaction knows of the ledger: what it has read, and what came of the entries that it writes.

use madang_ledger::{Account, Applied, Balance, Entry, EntryId, Fault, apply};
use madang_types::Unit;
use std::collections::{BTreeMap, BTreeSet};

/// Accounts and earlier entries as the transaction has read them, after all that it has written. Whatever an entry's rules ask for
/// must be put in before it is judged.
#[derive(Default)]
pub(crate) struct Known {
    accounts: BTreeMap<Account, Held>,
    earlier: BTreeMap<EntryId, Vec<Entry>>,
}

/// An account as the transaction knows it.
struct Held {
    /// `None` until an entry that is written names it.
    number: Option<i64>,
    balances: BTreeMap<Unit, Balance>,
    changed: BTreeSet<Unit>,
}

impl Known {
    /// Whether an account has been put in.
    pub fn has_account(&self, account: &Account) -> bool {
        self.accounts.contains_key(account)
    }

    /// Whether the entries of an id have been put in.
    pub fn has_id(&self, id: EntryId) -> bool {
        self.earlier.contains_key(&id)
    }

    /// Whether any entry of an id stands in the books, or was judged and is new.
    pub fn has_entry(&self, id: EntryId) -> bool {
        self.earlier
            .get(&id)
            .is_some_and(|earlier| !earlier.is_empty())
    }

    /// An account as it stands in the books; one without a number does not stand there yet.
    pub fn put_account(
        &mut self,
        account: Account,
        number: Option<i64>,
        balances: BTreeMap<Unit, Balance>,
    ) {
        let held = Held {
            number,
            balances,
            changed: BTreeSet::new(),
        };
        self.accounts.insert(account, held);
    }

    /// All entries of an id as they stand in the books.
    pub fn put_earlier(&mut self, id: EntryId, entries: Vec<Entry>) {
        self.earlier.insert(id, entries);
    }

    /// The accounts that the rules ask for with this entry.
    pub fn accounts_of<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = &'a Account> {
        let earlier = self.earlier.get(&entry.id).map_or(&[][..], Vec::as_slice);
        let legs = earlier.iter().chain([entry]).flat_map(|entry| &entry.legs);
        legs.flat_map(|leg| [&leg.from, &leg.to])
    }

    /// Judges an entry. What it changes is known from then on; it is to be written where it is new.
    ///
    /// # Errors
    /// Why it may not be written.
    pub fn judge(&mut self, entry: &Entry) -> Result<Applied, Fault> {
        let earlier = self.earlier.get(&entry.id).map_or(&[][..], Vec::as_slice);
        let applied = apply(entry, earlier, |account, unit| self.balance(account, unit))?;
        if let Applied::New(changes) = &applied {
            for change in changes {
                if let Some(held) = self.accounts.get_mut(&change.account) {
                    held.balances.insert(change.unit, change.balance);
                    held.changed.insert(change.unit);
                }
            }
            let of_id = self.earlier.entry(entry.id).or_default();
            of_id.push(entry.clone());
        }
        Ok(applied)
    }

    /// What an account has of a unit.
    pub fn balance(&self, account: &Account, unit: Unit) -> Balance {
        let held = self.accounts.get(account);
        held.and_then(|held| held.balances.get(&unit))
            .copied()
            .unwrap_or_default()
    }

    /// An account's number, where it has one.
    pub fn number(&self, account: &Account) -> Option<i64> {
        self.accounts.get(account)?.number
    }

    /// Gives an account its number.
    pub fn set_number(&mut self, account: &Account, number: i64) {
        if let Some(held) = self.accounts.get_mut(account) {
            held.number = Some(number);
        }
    }

    /// The balances that have changed, by account and unit.
    pub fn changed(&self) -> impl Iterator<Item = (&Account, Unit, Balance)> {
        self.accounts.iter().flat_map(|(account, held)| {
            let changed = held.changed.iter();
            changed.filter_map(move |unit| Some((account, *unit, *held.balances.get(unit)?)))
        })
    }
}
