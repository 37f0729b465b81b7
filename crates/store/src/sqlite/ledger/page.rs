//! Writing: what one transaction does to the ledger.

use super::rows;
use crate::StoreError;
use crate::ledger::SUSPENSE;
use crate::ledger::checksum::checksum;
use crate::ledger::codes::{about_code, phase_code, unit_code};
use crate::ledger::known::Known;
use crate::sqlite::convert::medium;
use crate::{BalanceRow, EntryFilter, LEDGER_LIST_COUNT_MAX};
use madang_ledger::{Account, Applied, Balance, Entry, EntryId, Fault, Purse};
use madang_types::Unit;
use rusqlite::{Connection, params};
use std::collections::BTreeSet;

/// The part of the ledger that one transaction touches: what it needs is read once, and a balance that many entries change is
/// written once, by [`Page::finish`]. After an error the transaction must be undone.
#[derive(Default)]
pub(crate) struct Page {
    known: Known,
    /// The place of the last entry, once it was looked up.
    last_seq: Option<i64>,
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

    /// Writes one entry.
    pub(crate) fn append_one(
        &mut self,
        conn: &Connection,
        entry: &Entry,
    ) -> Result<Result<Applied, Fault>, StoreError> {
        // Before anything is read for it: what is not well formed may be of any length.
        if let Err(error) = entry.check() {
            return Ok(Err(error.into()));
        }
        self.read(conn, entry)?;
        let applied = self.known.judge(entry);
        if let Ok(Applied::New(_)) = &applied {
            self.write(conn, entry)?;
        }
        Ok(applied)
    }

    /// Whether entries of an id stand in the books, or were written here.
    pub(crate) fn has_entry(&mut self, conn: &Connection, id: EntryId) -> Result<bool, StoreError> {
        self.read_id(conn, id)?;
        Ok(self.known.has_entry(id))
    }

    fn read_id(&mut self, conn: &Connection, id: EntryId) -> Result<(), StoreError> {
        if !self.known.has_id(id) {
            let rows = rows::of_id(conn, id)?;
            let entries = rows.into_iter().map(|row| row.entry).collect();
            self.known.put_earlier(id, entries);
        }
        Ok(())
    }

    /// What the rules will ask for.
    fn read(&mut self, conn: &Connection, entry: &Entry) -> Result<(), StoreError> {
        self.read_id(conn, entry.id)?;
        let unread = self.known.accounts_of(entry);
        let unread = unread.filter(|account| !self.known.has_account(account));
        let unread: BTreeSet<Account> = unread.cloned().collect();
        unread
            .iter()
            .try_for_each(|account| self.hold(conn, account))
    }

    /// Reads an account, once.
    fn hold(&mut self, conn: &Connection, account: &Account) -> Result<(), StoreError> {
        if !self.known.has_account(account) {
            let number = rows::account_number(conn, account)?;
            let balances = rows::balances_of(conn, account)?.into_iter().collect();
            self.known.put_account(account.clone(), number, balances);
        }
        Ok(())
    }

    /// What an account has and nobody set aside, after all that was written here.
    pub(crate) fn available(
        &mut self,
        conn: &Connection,
        (account, unit): (&Account, Unit),
    ) -> Result<i64, StoreError> {
        self.hold(conn, account)?;
        Ok(self.known.balance(account, unit).available())
    }

    /// The purses of which a part waits in suspense.
    pub(crate) fn suspended(conn: &Connection) -> Result<Vec<Purse>, StoreError> {
        let mut purses = Vec::new();
        let mut after = None;
        loop {
            let page = rows::balances(conn, SUSPENSE, after.take(), LEDGER_LIST_COUNT_MAX)?;
            let Some(last) = page.last() else {
                return Ok(purses);
            };
            after = Some((last.account.clone(), last.unit));
            purses.extend(page.into_iter().filter_map(BalanceRow::suspended));
        }
    }

    /// All entries of an account, the last written first.
    pub(crate) fn entries_of(
        conn: &Connection,
        account: &Account,
    ) -> Result<Vec<Entry>, StoreError> {
        let filter = EntryFilter {
            account: Some(account.clone()),
            ..EntryFilter::default()
        };
        let mut entries = Vec::new();
        let mut before = None;
        loop {
            let page = rows::list(conn, &filter, before, LEDGER_LIST_COUNT_MAX)?;
            let Some(last) = page.last() else {
                return Ok(entries);
            };
            before = Some(last.seq);
            entries.extend(page.into_iter().map(|row| row.entry));
        }
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
        if let Some(number) = self.known.number(account) {
            return Ok(number);
        }
        conn.prepare_cached("INSERT INTO ledger_accounts (name) VALUES (?1)")
            .and_then(|mut insert| insert.insert([account.to_string()]))
            .inspect(|number| self.known.set_number(account, *number))
            .map_err(|e| medium("write an account", &e))
    }

    /// Writes the balances that changed.
    pub(crate) fn finish(self, conn: &Connection) -> Result<(), StoreError> {
        let mut changed = self.known.changed();
        changed.try_for_each(|(account, unit, balance)| balance_put(conn, account, unit, balance))
    }
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
