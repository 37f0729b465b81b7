//! Writing: what one transaction does to the ledger.

use super::rows;
use crate::StoreError;
use crate::ledger::SUSPENSE;
use crate::ledger::checksum::checksum;
use crate::ledger::codes::{about_code, phase_code, unit_code};
use crate::ledger::known::Known;
use crate::postgres::connect::medium;
use crate::postgres::row::{Param, column, execute, rows as found};
use crate::{BalanceRow, EntryFilter, LEDGER_LIST_COUNT_MAX};
use deadpool_postgres::{Object, Transaction};
use madang_ledger::{Account, Applied, Entry, EntryId, Fault, Leg, Purse};
use madang_types::Unit;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// "MDNL" in ASCII: who holds this lock writes the ledger. One at a time, so that entries stand in one order and each is judged by
/// the balances that those before it left.
const LOCK: i64 = 0x4d44_4e4c;

/// How long a connection that falls silent may hold the ledger up, in milliseconds. A gateway has up to three that take turns, and
/// each of them may.
const SILENT_MS_MAX: u64 = 2_000;

/// A transaction that writes the ledger, alone.
pub(crate) struct Turn<'a> {
    /// The transaction.
    pub tx: Transaction<'a>,
    /// What it does to the ledger.
    pub page: Page,
}

/// The part of the ledger that one transaction touches: what it needs is read for many entries at once, and written by
/// [`Turn::commit`].
#[derive(Default)]
pub(crate) struct Page {
    known: Known,
    written: Vec<Entry>,
}

impl<'a> Turn<'a> {
    /// Waits for the ledger. From then on the others wait, so a connection that falls silent is given up by the server.
    pub async fn begin(client: &'a mut Object) -> Result<Self, StoreError> {
        let failed = |e: tokio_postgres::Error| medium("begin a transaction", &e);
        let tx = client.transaction().await.map_err(failed)?;
        let sql = format!(
            "SET LOCAL idle_in_transaction_session_timeout TO {SILENT_MS_MAX}; SELECT pg_advisory_xact_lock({LOCK})"
        );
        let held = tx.batch_execute(&sql).await;
        held.map_err(|e| medium("wait for the ledger", &e))?;
        let page = Page::default();
        Ok(Self { tx, page })
    }

    /// Writes all that was done here.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.page.finish(&self.tx).await?;
        let committed = self.tx.commit().await;
        committed.map_err(|e| medium("commit", &e))
    }

    /// Writes entries in this order; each is written whole or refused.
    pub async fn append(
        &mut self,
        entries: &[Entry],
    ) -> Result<Vec<Result<Applied, Fault>>, StoreError> {
        self.read(entries).await?;
        let page = &mut self.page;
        Ok(entries.iter().map(|entry| page.judge(entry)).collect())
    }

    /// Writes one entry; says why where the rules refuse it.
    pub async fn enter(&mut self, entry: Entry) -> Result<Result<(), Fault>, StoreError> {
        let judged = self.append(std::slice::from_ref(&entry)).await?;
        Ok(judged.into_iter().try_for_each(|applied| applied.map(drop)))
    }

    /// What an account has and nobody set aside, after all that was written here.
    pub async fn available(&mut self, account: Account, unit: Unit) -> Result<i64, StoreError> {
        self.hold([account.clone()].into()).await?;
        Ok(self.page.known.balance(&account, unit).available())
    }

    /// Whether entries of an id stand in the books, or were written here.
    pub async fn has_entry(&mut self, id: EntryId) -> Result<bool, StoreError> {
        self.read_ids([id].into()).await?;
        Ok(self.page.known.has_entry(id))
    }

    /// The purses of which a part waits in suspense.
    pub async fn suspended(&self) -> Result<Vec<Purse>, StoreError> {
        let mut purses = Vec::new();
        let mut after = None;
        loop {
            let of = (after.take(), LEDGER_LIST_COUNT_MAX);
            let page = rows::balances(&self.tx, SUSPENSE, of).await?;
            let Some(last) = page.last() else {
                return Ok(purses);
            };
            after = Some((last.account.clone(), last.unit));
            purses.extend(page.into_iter().filter_map(BalanceRow::suspended));
        }
    }

    /// All entries of an account that were written before, the last first.
    pub async fn entries_of(&self, account: &Account) -> Result<Vec<Entry>, StoreError> {
        let filter = EntryFilter {
            account: Some(account.clone()),
            ..EntryFilter::default()
        };
        let mut entries = Vec::new();
        let mut before = None;
        loop {
            let page = rows::list(&self.tx, &filter, (before, LEDGER_LIST_COUNT_MAX)).await?;
            let Some(last) = page.last() else {
                return Ok(entries);
            };
            before = Some(last.seq);
            entries.extend(page.into_iter().map(|row| row.entry));
        }
    }

    /// What the rules will ask for.
    async fn read(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        // What is not well formed may be of any length, and nothing is read for it.
        let sound = || entries.iter().filter(|entry| entry.check().is_ok());
        self.read_ids(sound().map(|entry| entry.id).collect())
            .await?;
        let known = &self.page.known;
        let named = sound().flat_map(|entry| known.accounts_of(entry));
        let named: BTreeSet<Account> = named.cloned().collect();
        self.hold(named).await
    }

    async fn read_ids(&mut self, mut ids: BTreeSet<EntryId>) -> Result<(), StoreError> {
        let known = &mut self.page.known;
        ids.retain(|id| !known.has_id(*id));
        if ids.is_empty() {
            return Ok(());
        }
        let ids: Vec<EntryId> = ids.into_iter().collect();
        let mut earlier: BTreeMap<EntryId, Vec<Entry>> = BTreeMap::new();
        for row in rows::of_ids(&self.tx, &ids).await? {
            earlier.entry(row.entry.id).or_default().push(row.entry);
        }
        for id in ids {
            known.put_earlier(id, earlier.remove(&id).unwrap_or_default());
        }
        Ok(())
    }

    /// Reads accounts, each once.
    pub async fn hold(&mut self, mut accounts: BTreeSet<Account>) -> Result<(), StoreError> {
        let known = &mut self.page.known;
        accounts.retain(|account| !known.has_account(account));
        if accounts.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = accounts.iter().map(Account::to_string).collect();
        let mut standing = rows::accounts(&self.tx, &names).await?;
        for (account, name) in accounts.into_iter().zip(names) {
            let rows::Standing { number, balances } = standing.remove(&name).unwrap_or_default();
            known.put_account(account, number, balances);
        }
        Ok(())
    }
}

impl Page {
    fn judge(&mut self, entry: &Entry) -> Result<Applied, Fault> {
        entry.check()?;
        let applied = self.known.judge(entry)?;
        if let Applied::New(_) = &applied {
            self.written.push(entry.clone());
        }
        Ok(applied)
    }

    async fn finish(mut self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        if self.written.is_empty() {
            return Ok(());
        }
        self.number_accounts(tx).await?;
        self.put_entries(tx).await?;
        self.put_balances(tx).await
    }

    /// Gives those their number that no entry named before.
    async fn number_accounts(&mut self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        let legs = self.written.iter().flat_map(|entry| &entry.legs);
        let named = legs.flat_map(|leg| [&leg.from, &leg.to]);
        let new: BTreeSet<&Account> = named
            .filter(|account| self.known.number(account).is_none())
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = new.into_iter().map(Account::to_string).collect();
        let sql = "INSERT INTO ledger_accounts (name) SELECT unnest($1::text[]) RETURNING name, id";
        let numbers = found(tx, ("write accounts", sql), &[&names], |columns| {
            Ok((columns.word()?, columns.get()?))
        })
        .await?;
        for (account, number) in numbers {
            self.known.set_number(&account, number);
        }
        Ok(())
    }

    /// By one statement and not by a COPY: a server that waits for a COPY's rows waits without end, and no timeout of its own counts.
    async fn put_entries(&self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        let last = rows::last_seq(tx).await?;
        let seqs: Vec<i64> = (last + 1..).take(self.written.len()).collect();
        let entries = || self.written.iter();
        let legs = |get: &dyn Fn(&Leg) -> i64| -> Vec<String> {
            entries().map(|entry| array(entry, get)).collect()
        };
        // All have a number by now; 0 is nobody's and would be found by whoever verifies.
        let number = |account: &Account| self.known.number(account).unwrap_or_default();
        let sql = "INSERT INTO ledger_entries (seq, id, phase, at, about, subject, checksum, units, amounts, from_accounts, to_accounts)
             SELECT seq, id, phase, at, about, subject, checksum, units::bigint[], amounts::bigint[], froms::bigint[], tos::bigint[]
             FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::text[],
                 $9::text[], $10::text[], $11::text[])
                 AS new (seq, id, phase, at, about, subject, checksum, units, amounts, froms, tos)";
        let params: &[Param<'_>] = &[
            &seqs,
            &column(entries(), |entry| Uuid::from_u128(entry.id.0)),
            &column(entries(), |entry| phase_code(entry.phase)),
            &column(entries(), |entry| entry.at.0),
            &column(entries(), |entry| about_code(&entry.subject)),
            &column(entries(), rows::subject_text),
            &column(seqs.iter().zip(entries()), |(seq, entry)| {
                checksum(*seq, entry)
            }),
            &legs(&|leg| unit_code(leg.unit)),
            &legs(&|leg| leg.amount),
            &legs(&|leg| number(&leg.from)),
            &legs(&|leg| number(&leg.to)),
        ];
        execute(tx, ("write entries", sql), params).await.map(drop)
    }

    async fn put_balances(&self, tx: &Transaction<'_>) -> Result<(), StoreError> {
        let mut columns: (Vec<String>, [Vec<i64>; 4]) = Default::default();
        for (account, unit, balance) in self.known.changed() {
            columns.0.push(account.to_string());
            let numbers = [
                unit_code(unit),
                balance.total_in,
                balance.total_out,
                balance.reserved_out,
            ];
            for (column, number) in columns.1.iter_mut().zip(numbers) {
                column.push(number);
            }
        }
        let (accounts, [units, ins, outs, reserved]) = &columns;
        let sql = "INSERT INTO ledger_balances (account, unit, total_in, total_out, reserved_out)
             SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
             ON CONFLICT (account, unit) DO UPDATE
             SET total_in = excluded.total_in, total_out = excluded.total_out, reserved_out = excluded.reserved_out";
        execute(
            tx,
            ("write balances", sql),
            &[accounts, units, ins, outs, reserved],
        )
        .await
        .map(drop)
    }
}

/// What the legs of an entry have in one column, as the text of an array: PostgreSQL's arrays of arrays are rectangles.
fn array(entry: &Entry, get: &dyn Fn(&Leg) -> i64) -> String {
    let values: Vec<String> = column(&entry.legs, |leg| get(leg).to_string());
    format!("{{{}}}", values.join(","))
}
