//! Entries and balances as rows.
//!
//! What an append asks for is sorted here and not by SQLite: rusqlite clears the bindings of a statement that it keeps, and for
//! that SQLite compiles one that has both a parameter and an ORDER BY anew each time, which costs more than its answer.

use crate::ledger::codes;
use crate::sqlite::convert::{Columns, medium, rows};
use crate::{BalanceRow, EntryFilter, EntryRow, LEDGER_LIST_COUNT_MAX, StoreError};
use madang_ledger::{Account, Balance, Entry, EntryId, Leg, Subject};
use madang_types::{Micros, RequestId, Unit};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension};

/// Entries of one block of the accounts' lists.
pub(super) const BLOCK_ENTRIES: i64 = 4096;

const ENTRY: &str = "e.seq, e.id, e.phase, e.at, e.about, e.subject";

/// The column `subject`.
pub(super) fn subject_value(entry: &Entry) -> Value {
    match &entry.subject {
        Subject::Lease => Value::Null,
        Subject::Request(RequestId(id)) if *id == entry.id.0 => Value::Null,
        subject => whole_subject(subject),
    }
}

/// The same, with nothing left out that the entry's id says already.
fn whole_subject(subject: &Subject) -> Value {
    match subject {
        Subject::Budget(id) => id.as_str().to_owned().into(),
        Subject::Allocation(id) => id.as_str().to_owned().into(),
        Subject::Job(id) => id.to_string().into(),
        Subject::Energy(site) => site.as_str().to_owned().into(),
        Subject::Request(RequestId(id)) => id.to_be_bytes().to_vec().into(),
        Subject::Lease => Value::Null,
    }
}

/// An entry without its legs, from all columns but its place.
pub(super) fn read_entry(columns: &mut Columns<'_>) -> Result<Entry, StoreError> {
    let id = EntryId(u128::from_be_bytes(columns.get()?));
    let phase = columns.code(codes::phase)?;
    let at = Micros(columns.get()?);
    let about: i64 = columns.get()?;
    let subject = match about {
        codes::ABOUT_BUDGET => Subject::Budget(columns.word()?),
        codes::ABOUT_ALLOCATION => Subject::Allocation(columns.word()?),
        codes::ABOUT_JOB => Subject::Job(columns.word()?),
        codes::ABOUT_ENERGY => Subject::Energy(columns.word()?),
        codes::ABOUT_LEASE if columns.get::<Value>()? == Value::Null => Subject::Lease,
        codes::ABOUT_REQUEST => {
            let other: Option<[u8; 16]> = columns.get()?;
            Subject::Request(RequestId(other.map_or(id.0, u128::from_be_bytes)))
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

fn read_row(columns: &mut Columns<'_>) -> Result<EntryRow, StoreError> {
    Ok(EntryRow {
        seq: columns.number()?,
        entry: read_entry(columns)?,
    })
}

fn with_legs(conn: &Connection, mut found: Vec<EntryRow>) -> Result<Vec<EntryRow>, StoreError> {
    for row in &mut found {
        let seq = i64::try_from(row.seq).unwrap_or(i64::MAX);
        let mut legs = rows(
            conn,
            "SELECT l.leg, l.unit, l.amount, f.name, t.name FROM ledger_legs l
             LEFT JOIN ledger_accounts f ON f.id = l.from_account LEFT JOIN ledger_accounts t ON t.id = l.to_account
             WHERE l.seq = :seq",
            &[(":seq", seq.into())],
            |columns| {
                let place: i64 = columns.get()?;
                let leg = Leg {
                    unit: columns.code(codes::unit)?,
                    amount: columns.get()?,
                    from: columns.word()?,
                    to: columns.word()?,
                };
                Ok((place, leg))
            },
        )?;
        legs.sort_by_key(|(place, _)| *place);
        row.entry.legs = legs.into_iter().map(|(_, leg)| leg).collect();
    }
    Ok(found)
}

/// All entries of an id, in the order of writing.
pub(super) fn of_id(conn: &Connection, id: EntryId) -> Result<Vec<EntryRow>, StoreError> {
    let sql = format!("SELECT {ENTRY} FROM ledger_entries e WHERE e.id = :id");
    let id = id.0.to_be_bytes().to_vec();
    let mut found = rows(conn, &sql, &[(":id", id.into())], read_row)?;
    found.sort_by_key(|row| row.seq);
    with_legs(conn, found)
}

/// All entries of these ids, in the order of writing.
pub(super) fn of_ids(conn: &Connection, ids: &[EntryId]) -> Result<Vec<EntryRow>, StoreError> {
    let mut found = Vec::new();
    for id in ids {
        found.extend(of_id(conn, *id)?);
    }
    found.sort_by_key(|row| row.seq);
    Ok(found)
}

/// Entries, the last written first.
pub(super) fn list(
    conn: &Connection,
    filter: &EntryFilter,
    before: Option<u64>,
    count_max: u32,
) -> Result<Vec<EntryRow>, StoreError> {
    let count_max = count_max.min(LEDGER_LIST_COUNT_MAX);
    let before = before.map(|before| i64::try_from(before).unwrap_or(i64::MAX));
    let found = match (&filter.account, &filter.subject) {
        (Some(account), None | Some(Subject::Lease)) => {
            list_of_account(conn, account, (filter, before, count_max))?
        }
        // What is about one thing is little: an account is looked for among it.
        (None, _) | (Some(_), Some(_)) => {
            let mut params: Vec<(&str, Value)> = vec![(":count_max", i64::from(count_max).into())];
            let sql = list_sql(filter, before, &mut params);
            rows(conn, &sql, &params, read_row)?
        }
    };
    with_legs(conn, found)
}

/// Block by block from the newest back, until there are enough.
fn list_of_account(
    conn: &Connection,
    account: &Account,
    (filter, before, count_max): (&EntryFilter, Option<i64>, u32),
) -> Result<Vec<EntryRow>, StoreError> {
    let mut found = Vec::new();
    let Some(account) = account_number(conn, account)? else {
        return Ok(found);
    };
    let count_max = count_max as usize;
    let last = last_seq(conn)?;
    let mut end = before.map_or(last + 1, |before| before.min(last + 1));
    while end > 0 && found.len() < count_max {
        let block = (end - 1) / BLOCK_ENTRIES;
        let mut seqs: Vec<i64> = rows(
            conn,
            "SELECT seq FROM ledger_account_entries WHERE block = :block AND account = :account AND seq < :end",
            &[
                (":block", block.into()),
                (":account", account.into()),
                (":end", end.into()),
            ],
            |columns| columns.get(),
        )?;
        seqs.sort_unstable_by(|a, b| b.cmp(a));
        for seq in seqs {
            if found.len() == count_max {
                break;
            }
            let sql = format!("SELECT {ENTRY} FROM ledger_entries e WHERE e.seq = :seq");
            let row = rows(conn, &sql, &[(":seq", seq.into())], read_row)?;
            found.extend(
                row.into_iter()
                    .filter(|row| is_asked_for(filter, &row.entry)),
            );
        }
        end = block * BLOCK_ENTRIES;
    }
    Ok(found)
}

/// What a filter asks beside the account.
fn is_asked_for(filter: &EntryFilter, entry: &Entry) -> bool {
    let EntryFilter {
        account: _,
        subject,
        from,
        until,
    } = filter;
    subject
        .as_ref()
        .is_none_or(|subject| *subject == entry.subject)
        && from.is_none_or(|from| entry.at >= from)
        && until.is_none_or(|until| entry.at < until)
}

/// The number of an account, where an entry names it.
pub(super) fn account_number(
    conn: &Connection,
    account: &Account,
) -> Result<Option<i64>, StoreError> {
    conn.prepare_cached("SELECT id FROM ledger_accounts WHERE name = ?1")
        .and_then(|mut select| {
            select
                .query_row([account.to_string()], |row| row.get(0))
                .optional()
        })
        .map_err(|e| medium("find an account", &e))
}

/// The place of the last entry; 0 where there is none.
pub(super) fn last_seq(conn: &Connection) -> Result<i64, StoreError> {
    conn.query_row(
        "SELECT ifnull(max(seq), 0) FROM ledger_entries",
        [],
        |row| row.get(0),
    )
    .map_err(|e| medium("find the last entry", &e))
}

/// The query of a list: only the conditions that are asked for, so that the planner can take their index.
pub(super) fn list_sql(
    filter: &EntryFilter,
    before: Option<i64>,
    params: &mut Vec<(&'static str, Value)>,
) -> String {
    let EntryFilter {
        account,
        subject,
        from,
        until,
    } = filter;
    let mut conditions = Vec::new();
    if let Some(account) = account {
        conditions.push(
            "EXISTS (SELECT 1 FROM ledger_legs l JOIN ledger_accounts a ON a.id IN (l.from_account, l.to_account)
             WHERE l.seq = e.seq AND a.name = :account)",
        );
        params.push((":account", account.to_string().into()));
    }
    if let Some(subject) = subject {
        params.push((":about", codes::about_code(subject).into()));
        conditions.push(match subject {
            Subject::Lease => "e.about = :about",
            // A request's own entries carry its id and not its subject.
            Subject::Request(_) => {
                "(e.about = :about AND e.subject = :subject OR e.id = :subject AND e.about = :about AND e.subject IS NULL)"
            }
            Subject::Budget(_)
            | Subject::Allocation(_)
            | Subject::Job(_)
            | Subject::Energy(_) => {
                "e.about = :about AND e.subject = :subject"
            }
        });
        if *subject != Subject::Lease {
            params.push((":subject", whole_subject(subject)));
        }
    }
    if let Some(Micros(from)) = from {
        conditions.push("e.at >= :from");
        params.push((":from", (*from).into()));
    }
    if let Some(Micros(until)) = until {
        conditions.push("e.at < :until");
        params.push((":until", (*until).into()));
    }
    if let Some(before) = before {
        conditions.push("e.seq < :before");
        params.push((":before", before.into()));
    }
    let filter = match &conditions[..] {
        [] => String::new(),
        all => format!("WHERE {}", all.join(" AND ")),
    };
    format!("SELECT {ENTRY} FROM ledger_entries e {filter} ORDER BY e.seq DESC LIMIT :count_max")
}

/// The balances of one account.
pub(super) fn balances_of(
    conn: &Connection,
    account: &Account,
) -> Result<Vec<(Unit, Balance)>, StoreError> {
    let mut found = rows(
        conn,
        "SELECT unit, total_in, total_out, reserved_out FROM ledger_balances WHERE account = :account",
        &[(":account", account.to_string().into())],
        |columns| Ok((columns.code(codes::unit)?, read_balance(columns)?)),
    )?;
    found.sort_by_key(|(unit, _)| *unit);
    Ok(found)
}

/// Balances of the accounts whose name begins so, by name and unit.
pub(super) fn balances(
    conn: &Connection,
    prefix: &str,
    after: Option<(Account, Unit)>,
    count_max: u32,
) -> Result<Vec<BalanceRow>, StoreError> {
    let (account, unit) = after.map_or((String::new(), 0), |(account, unit)| {
        (account.to_string(), codes::unit_code(unit))
    });
    rows(
        conn,
        "SELECT account, unit, total_in, total_out, reserved_out FROM ledger_balances
         WHERE account >= :prefix AND account < :end AND (account, unit) > (:account, :unit)
         ORDER BY account, unit LIMIT :count_max",
        &[
            (":prefix", prefix.to_owned().into()),
            // Names are ASCII: this comes after all that begin with the prefix.
            (":end", format!("{prefix}\u{7f}").into()),
            (":account", account.into()),
            (":unit", unit.into()),
            (
                ":count_max",
                i64::from(count_max.min(LEDGER_LIST_COUNT_MAX)).into(),
            ),
        ],
        read_balance_row,
    )
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
