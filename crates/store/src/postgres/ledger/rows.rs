//! Entries and balances as rows.

use crate::ledger::codes;
use crate::postgres::row::{Columns, Param, rows};
use crate::{BalanceRow, EntryFilter, EntryRow, LEDGER_LIST_COUNT_MAX, StoreError};
use deadpool_postgres::GenericClient;
use madang_ledger::{Account, Balance, Entry, EntryId, Leg, Subject};
use madang_types::{Micros, RequestId, Unit};
use std::collections::BTreeMap;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// An entry with the names of its accounts in place of their numbers.
const ENTRY: &str = "e.seq, e.id, e.phase, e.at, e.about, e.subject, e.units, e.amounts,
    ARRAY(SELECT a.name FROM unnest(e.from_accounts) WITH ORDINALITY n (id, leg)
        LEFT JOIN ledger_accounts a USING (id) ORDER BY leg),
    ARRAY(SELECT a.name FROM unnest(e.to_accounts) WITH ORDINALITY n (id, leg)
        LEFT JOIN ledger_accounts a USING (id) ORDER BY leg)";

/// The column `subject`.
pub(super) fn subject_text(entry: &Entry) -> Option<String> {
    match &entry.subject {
        Subject::Request(RequestId(id)) if *id == entry.id.0 => None,
        subject => whole_subject(subject),
    }
}

/// The same, with nothing left out that the entry's id says already.
fn whole_subject(subject: &Subject) -> Option<String> {
    Some(match subject {
        Subject::Budget(id) => id.as_str().to_owned(),
        Subject::Allocation(id) => id.as_str().to_owned(),
        Subject::Job(id) => id.to_string(),
        Subject::Energy(site) => site.as_str().to_owned(),
        Subject::Request(RequestId(id)) => Uuid::from_u128(*id).to_string(),
        Subject::Lease => return None,
    })
}

/// An entry's columns from its id to its subject.
pub(super) fn read_head(columns: &mut Columns<'_>) -> Result<Entry, StoreError> {
    let id = EntryId(columns.get::<Uuid>()?.as_u128());
    let phase = columns.code(codes::phase)?;
    let at = Micros(columns.get()?);
    let about: i64 = columns.get()?;
    let subject = match about {
        codes::ABOUT_BUDGET => Subject::Budget(columns.word()?),
        codes::ABOUT_ALLOCATION => Subject::Allocation(columns.word()?),
        codes::ABOUT_JOB => Subject::Job(columns.word()?),
        codes::ABOUT_ENERGY => Subject::Energy(columns.word()?),
        codes::ABOUT_LEASE if columns.get::<Option<String>>()?.is_none() => Subject::Lease,
        codes::ABOUT_REQUEST => {
            let other: Option<Uuid> = columns.word_opt()?;
            Subject::Request(RequestId(other.map_or(id.0, |id| id.as_u128())))
        }
        _ => {
            return Err(StoreError::Damaged(format!(
                "column about holds '{about}', which is not allowed there"
            )));
        }
    };
    Ok(Entry {
        id,
        phase,
        at,
        subject,
        legs: Vec::new(),
    })
}

/// An entry's legs from four lists, of which the last two are read by `account`.
pub(super) fn read_legs<T>(
    (units, amounts): (Vec<i64>, Vec<i64>),
    (from, to): (Vec<T>, Vec<T>),
    account: impl Fn(T) -> Result<Account, StoreError>,
) -> Result<Vec<Leg>, StoreError> {
    let count = units.len();
    if [amounts.len(), from.len(), to.len()] != [count; 3] {
        return Err(StoreError::Damaged(
            "its lists of units, amounts and accounts are not of one length".into(),
        ));
    }
    let legs = units.into_iter().zip(amounts).zip(from.into_iter().zip(to));
    legs.map(|((unit, amount), (from, to))| {
        let unit = codes::unit(unit)
            .ok_or_else(|| StoreError::Damaged(format!("there is no unit number {unit}")))?;
        Ok(Leg {
            unit,
            amount,
            from: account(from)?,
            to: account(to)?,
        })
    })
    .collect()
}

fn read_row(columns: &mut Columns<'_>) -> Result<EntryRow, StoreError> {
    let seq = columns.number()?;
    let entry = read_head(columns)?;
    let lists = (columns.get()?, columns.get()?);
    let names: (Vec<Option<String>>, _) = (columns.get()?, columns.get()?);
    let legs = read_legs(lists, names, |name| {
        let name = name.unwrap_or_default();
        let wrong = |_| StoreError::Damaged(format!("'{name}' is no account"));
        name.parse().map_err(wrong)
    })?;
    let entry = Entry { legs, ..entry };
    Ok(EntryRow { seq, entry })
}

/// All entries of some ids, in the order of writing.
pub(super) async fn of_ids(
    client: &impl GenericClient,
    ids: &[EntryId],
) -> Result<Vec<EntryRow>, StoreError> {
    let sql = format!("SELECT {ENTRY} FROM ledger_entries e WHERE e.id = ANY($1) ORDER BY e.seq");
    let ids: Vec<Uuid> = ids.iter().map(|id| Uuid::from_u128(id.0)).collect();
    rows(client, ("find entries", &sql), &[&ids], read_row).await
}

/// Entries, the last written first.
pub(super) async fn list(
    client: &impl GenericClient,
    filter: &EntryFilter,
    (before, count_max): (Option<u64>, u32),
) -> Result<Vec<EntryRow>, StoreError> {
    let EntryFilter {
        account,
        subject,
        from,
        until,
    } = filter;
    let mut params: Vec<Box<dyn ToSql + Sync + Send>> = Vec::new();
    let mut conditions = Vec::new();
    let mut bind = |value: Box<dyn ToSql + Sync + Send>| {
        params.push(value);
        format!("${}", params.len())
    };
    if let Some(account) = account {
        let name = bind(Box::new(account.to_string()));
        // An account that no entry names has no number, and an empty list is in every other.
        conditions.push(format!(
            "(e.from_accounts || e.to_accounts) @> ARRAY[coalesce((SELECT id FROM ledger_accounts WHERE name = {name}), 0)]"
        ));
    }
    if let Some(subject) = subject {
        let about = bind(Box::new(codes::about_code(subject)));
        let mut condition = format!("e.about = {about}");
        if let Some(text) = whole_subject(subject) {
            let text = bind(Box::new(text));
            condition.push_str(&match subject {
                // A request's own entries carry its id and not its subject.
                Subject::Request(RequestId(id)) => {
                    let id = bind(Box::new(Uuid::from_u128(*id)));
                    format!(" AND (e.subject = {text} OR e.id = {id} AND e.subject IS NULL)")
                }
                _ => format!(" AND e.subject = {text}"),
            });
        }
        conditions.push(condition);
    }
    if let Some(Micros(from)) = from {
        conditions.push(format!("e.at >= {}", bind(Box::new(*from))));
    }
    if let Some(Micros(until)) = until {
        conditions.push(format!("e.at < {}", bind(Box::new(*until))));
    }
    if let Some(before) = before {
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        conditions.push(format!("e.seq < {}", bind(Box::new(before))));
    }
    let limit = bind(Box::new(i64::from(count_max.min(LEDGER_LIST_COUNT_MAX))));
    let filter = match &conditions[..] {
        [] => String::new(),
        all => format!("WHERE {}", all.join(" AND ")),
    };
    let sql = format!(
        "SELECT {ENTRY} FROM (SELECT * FROM ledger_entries e {filter} ORDER BY e.seq DESC LIMIT {limit}) e
         ORDER BY e.seq DESC"
    );
    let params: Vec<Param<'_>> = params.iter().map(|value| &**value as Param<'_>).collect();
    rows(client, ("list entries", &sql), &params, read_row).await
}

/// The place of the last entry; 0 where there is none.
pub(super) async fn last_seq(client: &impl GenericClient) -> Result<i64, StoreError> {
    let sql = "SELECT coalesce(max(seq), 0) FROM ledger_entries";
    let found = rows(client, ("find the last entry", sql), &[], |columns| {
        columns.get()
    });
    Ok(found.await?.first().copied().unwrap_or(0))
}

/// An account as it stands in the books.
#[derive(Default)]
pub(super) struct Standing {
    /// Its number, where an entry names it.
    pub number: Option<i64>,
    pub balances: BTreeMap<Unit, Balance>,
}

/// Some accounts, by name; those that no entry names too.
pub(super) async fn accounts(
    client: &impl GenericClient,
    names: &[String],
) -> Result<BTreeMap<String, Standing>, StoreError> {
    let sql = "SELECT n.name, a.id, b.unit, b.total_in, b.total_out, b.reserved_out FROM unnest($1::text[]) n (name)
         LEFT JOIN ledger_accounts a ON a.name = n.name COLLATE \"C\"
         LEFT JOIN ledger_balances b ON b.account = n.name COLLATE \"C\"";
    let found = rows(client, ("read accounts", sql), &[&names], |columns| {
        let name: String = columns.get()?;
        let number: Option<i64> = columns.get()?;
        let unit: Option<i64> = columns.get()?;
        let balance = match unit {
            Some(unit) => {
                let unit = codes::unit(unit).ok_or_else(|| {
                    StoreError::Damaged(format!("there is no unit number {unit}"))
                })?;
                Some((unit, read_balance(columns)?))
            }
            None => None,
        };
        Ok((name, number, balance))
    })
    .await?;
    let mut accounts: BTreeMap<String, Standing> = BTreeMap::new();
    for (name, number, balance) in found {
        let standing = accounts.entry(name).or_default();
        standing.number = number;
        standing.balances.extend(balance);
    }
    Ok(accounts)
}

/// Balances of the accounts whose name begins so, by name and unit.
pub(super) async fn balances(
    client: &impl GenericClient,
    prefix: &str,
    (after, count_max): (Option<(Account, Unit)>, u32),
) -> Result<Vec<BalanceRow>, StoreError> {
    let (account, unit) = after.map_or((String::new(), 0), |(account, unit)| {
        (account.to_string(), codes::unit_code(unit))
    });
    let sql = "SELECT account, unit, total_in, total_out, reserved_out FROM ledger_balances
         WHERE account >= $1 AND account < $2 AND (account, unit) > ($3, $4) ORDER BY account, unit LIMIT $5";
    // Names are ASCII: this comes after all that begin with the prefix.
    let end = format!("{prefix}\u{7f}");
    let limit = i64::from(count_max.min(LEDGER_LIST_COUNT_MAX));
    let about: [Param<'_>; 5] = [&prefix, &end, &account, &unit, &limit];
    rows(client, ("read balances", sql), &about, read_balance_row).await
}

/// A row of balances, from all columns.
pub(super) fn read_balance_row(columns: &mut Columns<'_>) -> Result<BalanceRow, StoreError> {
    Ok(BalanceRow {
        account: columns.word()?,
        unit: columns.code(codes::unit)?,
        balance: read_balance(columns)?,
    })
}

fn read_balance(columns: &mut Columns<'_>) -> Result<Balance, StoreError> {
    Ok(Balance {
        total_in: columns.get()?,
        total_out: columns.get()?,
        reserved_out: columns.get()?,
    })
}
