//! Writing: what one transaction does to the ledger.

use super::rows;
use crate::StoreError;
use crate::ledger::checksum::checksum;
use crate::ledger::codes::{about_code, phase_code, unit_code};
use crate::sqlite::convert::medium;
use madang_ledger::{Account, Applied, Balance, Entry, EntryId, Fault, apply};
use madang_types::Unit;
use rusqlite::{Connection, params};
use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet};

/// The part of the ledger that one transaction touches: what it needs is read once, and a balance that many entries change is
/// written once, by [`Page::finish`]. After an error the transaction must be undone.
#[derive(Default)]
pub(crate) struct Page {
    accounts: BTreeMap<Account, Held>,
    earlier: BTreeMap<EntryId, Vec<Entry>>,
    /// The place of the last entry, once it was looked up.
    last_seq: Option<i64>,
}

/// An account as the transaction knows it.
struct Held {
    /// `None` until an entry that is written names it.
    number: Option<i64>,
    balances: BTreeMap<Unit, Balance>,
    changed: BTreeSet<Unit>,
}

impl Page {
    /// Writes entries in this order; each is written whole or refused.
    pub(crate) fn append(
        &mut self,
        conn: &Connection,
        entries: &[Entry],
    ) -> Result<Vec<Result<Applied, Fault>>, StoreError> {
        entries
            .iter()
            .map(|entry| self.append_one(conn, entry))
            .collect()
    }

    fn append_one(
        &mut self,
        conn: &Connection,
        entry: &Entry,
    ) -> Result<Result<Applied, Fault>, StoreError> {
        // Before anything is read for it: what is not well formed may be of any length.
        if let Err(error) = entry.check() {
            return Ok(Err(error.into()));
        }
        self.read(conn, entry)?;
        let earlier = self.earlier.get(&entry.id).map_or(&[][..], Vec::as_slice);
        let applied = apply(entry, earlier, |account, unit| self.balance(account, unit));
        if let Ok(Applied::New(changes)) = &applied {
            self.write(conn, entry)?;
            for change in changes {
                if let Some(held) = self.accounts.get_mut(&change.account) {
                    held.balances.insert(change.unit, change.balance);
                    held.changed.insert(change.unit);
                }
            }
            self.earlier
                .entry(entry.id)
                .or_default()
                .push(entry.clone());
        }
        Ok(applied)
    }

    /// What the rules will ask for.
    fn read(&mut self, conn: &Connection, entry: &Entry) -> Result<(), StoreError> {
        let earlier = match self.earlier.entry(entry.id) {
            MapEntry::Occupied(known) => known.into_mut(),
            MapEntry::Vacant(unknown) => {
                let rows = rows::of_id(conn, entry.id)?;
                unknown.insert(rows.into_iter().map(|row| row.entry).collect())
            }
        };
        for leg in earlier.iter().chain([entry]).flat_map(|entry| &entry.legs) {
            hold(&mut self.accounts, conn, &leg.from)?;
            hold(&mut self.accounts, conn, &leg.to)?;
        }
        Ok(())
    }

    /// What an account has and nobody set aside, after all that was written here.
    pub(crate) fn available(
        &mut self,
        conn: &Connection,
        (account, unit): (&Account, Unit),
    ) -> Result<i64, StoreError> {
        hold(&mut self.accounts, conn, account)?;
        Ok(self.balance(account, unit).available())
    }

    fn balance(&self, account: &Account, unit: Unit) -> Balance {
        let held = self.accounts.get(account);
        held.and_then(|held| held.balances.get(&unit))
            .copied()
            .unwrap_or_default()
    }

    fn write(&mut self, conn: &Connection, entry: &Entry) -> Result<(), StoreError> {
        let failed = |e: rusqlite::Error| medium("write an entry", &e);
        let seq = match self.last_seq {
            Some(last) => last + 1,
            None => rows::last_seq(conn)? + 1,
        };
        conn.prepare_cached(
            "INSERT INTO ledger_entries (seq, id, phase, at, about, subject, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )
        .and_then(|mut insert| {
            insert.execute(params![
                seq,
                entry.id.0.to_be_bytes(),
                phase_code(entry.phase),
                entry.at.0,
                about_code(&entry.subject),
                rows::subject_value(entry),
                checksum(seq, entry),
            ])
        })
        .map_err(failed)?;
        let mut named = BTreeSet::new();
        for (place, leg) in (0_i64..).zip(&entry.legs) {
            let from = self.number(conn, &leg.from)?;
            let to = self.number(conn, &leg.to)?;
            conn.prepare_cached(
                "INSERT INTO ledger_legs (seq, leg, unit, amount, from_account, to_account) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .and_then(|mut insert| {
                insert.execute(params![seq, place, unit_code(leg.unit), leg.amount, from, to])
            })
            .map_err(failed)?;
            named.extend([from, to]);
        }
        for account in named {
            conn.prepare_cached(
                "INSERT INTO ledger_account_entries (block, account, seq) VALUES (?1, ?2, ?3)",
            )
            .and_then(|mut insert| insert.execute([seq / rows::BLOCK_ENTRIES, account, seq]))
            .map_err(failed)?;
        }
        self.last_seq = Some(seq);
        Ok(())
    }

    /// An account's number, given to it now if need be.
    fn number(&mut self, conn: &Connection, account: &Account) -> Result<i64, StoreError> {
        let held = self.accounts.get_mut(account);
        if let Some(number) = held.as_ref().and_then(|held| held.number) {
            return Ok(number);
        }
        conn.prepare_cached("INSERT INTO ledger_accounts (name) VALUES (?1)")
            .and_then(|mut insert| insert.insert([account.to_string()]))
            .inspect(|number| {
                if let Some(held) = held {
                    held.number = Some(*number);
                }
            })
            .map_err(|e| medium("write an account", &e))
    }

    /// Writes the balances that changed.
    pub(crate) fn finish(self, conn: &Connection) -> Result<(), StoreError> {
        for (account, held) in self.accounts {
            for (unit, balance) in held.balances {
                if held.changed.contains(&unit) {
                    balance_put(conn, &account, unit, balance)?;
                }
            }
        }
        Ok(())
    }
}

/// Reads an account, once.
fn hold(
    accounts: &mut BTreeMap<Account, Held>,
    conn: &Connection,
    account: &Account,
) -> Result<(), StoreError> {
    if !accounts.contains_key(account) {
        let held = Held {
            number: rows::account_number(conn, account)?,
            balances: rows::balances_of(conn, account)?.into_iter().collect(),
            changed: BTreeSet::new(),
        };
        accounts.insert(account.clone(), held);
    }
    Ok(())
}

fn balance_put(
    conn: &Connection,
    account: &Account,
    unit: Unit,
    balance: Balance,
) -> Result<(), StoreError> {
    let Balance {
        total_in,
        total_out,
        reserved_out,
    } = balance;
    conn.prepare_cached(
        "INSERT INTO ledger_balances (account, unit, total_in, total_out, reserved_out) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (account, unit) DO UPDATE
         SET total_in = excluded.total_in, total_out = excluded.total_out, reserved_out = excluded.reserved_out",
    )
    .and_then(|mut put| {
        put.execute(params![
            account.to_string(),
            unit_code(unit),
            total_in,
            total_out,
            reserved_out
        ])
    })
    .map(drop)
    .map_err(|e| medium("write a balance", &e))
}
