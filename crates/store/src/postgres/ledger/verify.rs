//! The ledger read from end to end, in one snapshot, beside whoever writes.

use super::rows::{read_balance_row, read_head, read_legs};
use crate::StoreError;
use crate::ledger::checksum::checksum;
use crate::ledger::codes;
use crate::ledger::verify::{place, words};
use crate::postgres::connect::medium;
use crate::postgres::row::{Columns, rows};
use deadpool_postgres::{Object, Transaction};
use futures_util::TryStreamExt;
use madang_ledger::{Account, Entry, EntryId, Finding, Report, Verifier};
use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;
use tokio_postgres::IsolationLevel;
use uuid::Uuid;

/// How long it may read: a hundred million entries take minutes.
pub(super) const WAIT_MAX: Duration = Duration::from_hours(2);

/// What keeps the ledger as it is, by the table that has it: triggers and unique indexes.
const GUARDS: [(&str, &str); 6] = [
    ("ledger_accounts", "ledger_accounts_by_name"),
    ("ledger_accounts", "ledger_is_final"),
    ("ledger_balances", "ledger_balances_pkey"),
    ("ledger_entries", "ledger_entries_by_id"),
    ("ledger_entries", "ledger_entries_pkey"),
    ("ledger_entries", "ledger_is_final"),
];

/// Those of them that stand: triggers that are on, with their function as it was made, and indexes that are whole.
const STANDING: &str = "SELECT t.tgrelid::regclass::text, t.tgname::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
         WHERE t.tgenabled IN ('O', 'A') AND t.tgtype = 58 AND p.prosrc LIKE '%RAISE EXCEPTION%'
           AND p.pronamespace = 'madang'::regnamespace
     UNION ALL
     SELECT i.indrelid::regclass::text, c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
         WHERE i.indisunique AND i.indisvalid AND i.indislive AND c.relnamespace = 'madang'::regnamespace";

/// Reads all of it and says what breaks a rule.
pub(super) async fn verify(client: &mut Object) -> Result<Report, StoreError> {
    // One snapshot for all that follows: those who write go on beside it.
    let snapshot = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(|e| failed(&e))?;
    let patience = format!("SET LOCAL statement_timeout TO {}", WAIT_MAX.as_millis());
    let patience = snapshot.batch_execute(&patience).await;
    patience.map_err(|e| failed(&e))?;
    let missing = missing_guards(&snapshot).await?;
    let mut walk = Walk {
        tx: snapshot,
        verifier: Verifier::default(),
        accounts: BTreeMap::new(),
    };
    for name in missing {
        walk.verifier.find(Finding::Schema { name });
    }
    walk.accounts().await?;
    walk.entries().await?;
    walk.ids().await?;
    walk.balances().await?;
    walk.apart().await?;
    Ok(walk.verifier.finish())
}

fn failed(error: &tokio_postgres::Error) -> StoreError {
    medium("read the ledger", error)
}

async fn missing_guards(tx: &Transaction<'_>) -> Result<Vec<String>, StoreError> {
    let standing = rows(tx, ("read the schema", STANDING), &[], |columns| {
        Ok((columns.get::<String>()?, columns.get::<String>()?))
    });
    let standing = standing.await?;
    let stands = |(table, name): &(&str, &str)| {
        let mut all = standing.iter();
        all.any(|(of, guard)| of.trim_start_matches("madang.") == *table && guard == name)
    };
    let missing = GUARDS.iter().filter(|guard| !stands(guard));
    Ok(missing
        .map(|(table, name)| format!("{table}: {name}"))
        .collect())
}

struct Walk<'a> {
    tx: Transaction<'a>,
    verifier: Verifier,
    accounts: BTreeMap<i64, Account>,
}

impl Walk<'_> {
    fn unreadable(&mut self, place: String, error: StoreError) {
        let text = words(error);
        self.verifier.find(Finding::Unreadable { place, text });
    }

    async fn accounts(&mut self) -> Result<(), StoreError> {
        self.each("SELECT id, name FROM ledger_accounts", |walk, columns| {
            let number: i64 = columns.get()?;
            match columns.word() {
                Ok(account) => {
                    walk.accounts.insert(number, account);
                }
                Err(error) => walk.unreadable(format!("account number {number}"), error),
            }
            Ok(())
        })
        .await
    }

    async fn entries(&mut self) -> Result<(), StoreError> {
        self.each(
            "SELECT seq, checksum, id, phase, at, about, subject, units, amounts, from_accounts, to_accounts
             FROM ledger_entries ORDER BY seq",
            |walk, columns| {
                let (seq, written): (i64, i64) = (columns.get()?, columns.get()?);
                let entry = walk.read(columns);
                if let Ok(entry) = &entry
                    && checksum(seq, entry) != written
                {
                    let (seq, id) = (place(seq), entry.id);
                    walk.verifier.find(Finding::Changed { seq, id });
                }
                walk.verifier.entry(place(seq), entry.map_err(words));
                Ok(())
            },
        )
        .await
    }

    fn read(&self, columns: &mut Columns<'_>) -> Result<Entry, StoreError> {
        let head = read_head(columns)?;
        let lists = (columns.get()?, columns.get()?);
        let numbers: (Vec<i64>, Vec<i64>) = (columns.get()?, columns.get()?);
        let legs = read_legs(lists, numbers, |number| {
            let account = self.accounts.get(&number).cloned();
            account
                .ok_or_else(|| StoreError::Damaged(format!("there is no account number {number}")))
        })?;
        Ok(Entry { legs, ..head })
    }

    async fn ids(&mut self) -> Result<(), StoreError> {
        self.each(
            "SELECT seq, id, phase FROM ledger_entries ORDER BY id, phase",
            |walk, columns| {
                let seq = place(columns.get()?);
                let id = EntryId(columns.get::<Uuid>()?.as_u128());
                // What cannot be read was found in the order of writing.
                if let Ok(phase) = columns.code(codes::phase) {
                    walk.verifier.id(id, phase, seq);
                }
                Ok(())
            },
        )
        .await
    }

    async fn balances(&mut self) -> Result<(), StoreError> {
        self.each(
            "SELECT account, unit, total_in, total_out, reserved_out FROM ledger_balances",
            |walk, columns| {
                match read_balance_row(columns) {
                    Ok(row) => walk.verifier.balance(row.account, row.unit, row.balance),
                    Err(error) => walk.unreadable("a balance".into(), error),
                }
                Ok(())
            },
        )
        .await
    }

    /// Entries of requests that were refused.
    async fn apart(&mut self) -> Result<(), StoreError> {
        self.each(
            "SELECT id, fault FROM refused_entries ORDER BY id",
            |walk, columns| {
                let id = EntryId(columns.get::<Uuid>()?.as_u128());
                let text = columns.get()?;
                walk.verifier.find(Finding::Apart { id, text });
                Ok(())
            },
        )
        .await
    }

    /// Visits rows one after the other as they come, in memory for a few.
    async fn each(
        &mut self,
        sql: &str,
        mut visit: impl FnMut(&mut Self, &mut Columns<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let rows = self.tx.query_raw(sql, std::iter::empty::<i64>()).await;
        let mut rows = pin!(rows.map_err(|e| failed(&e))?);
        while let Some(row) = rows.try_next().await.map_err(|e| failed(&e))? {
            visit(self, &mut Columns::new(&row))?;
        }
        Ok(())
    }
}
