//! The ledger read from end to end, in one snapshot, beside whoever writes.

use super::rows::{BLOCK_ENTRIES, read_balance_row, read_entry};
use crate::StoreError;
use crate::ledger::checksum::checksum;
use crate::ledger::codes;
use crate::ledger::verify::{place, words};
use crate::sqlite::convert::{Columns, medium};
use crate::sqlite::migrate::{MIGRATIONS, migrate};
use madang_ledger::{Account, Entry, EntryId, Finding, Leg, Report, Verifier};
use rusqlite::{Connection, Row, Rows};
use std::collections::{BTreeMap, BTreeSet};

/// Reads all of it and says what breaks a rule.
pub(super) fn verify(conn: &Connection) -> Result<Report, StoreError> {
    // One snapshot for all that follows: the writer goes on beside it.
    let snapshot = conn.unchecked_transaction().map_err(failed)?;
    let changed = changed_objects(&snapshot)?;
    if !changed.is_empty() {
        // Nothing can be said of rows whose tables and indexes mean something else.
        let mut report = Report::default();
        for name in changed {
            report.find(Finding::Schema { name });
        }
        return Ok(report);
    }
    let mut walk = Walk {
        conn: &snapshot,
        verifier: Verifier::default(),
        accounts: BTreeMap::new(),
    };
    walk.accounts()?;
    walk.entries()?;
    walk.ids()?;
    walk.balances()?;
    walk.listings()?;
    walk.apart()?;
    Ok(walk.verifier.finish())
}

fn failed(error: rusqlite::Error) -> StoreError {
    medium("read the ledger", &error)
}

/// The tables, indexes and triggers of the ledger that are not as the migrations make them.
fn changed_objects(conn: &Connection) -> Result<BTreeSet<String>, StoreError> {
    let mut fresh = Connection::open_in_memory().map_err(failed)?;
    migrate(&mut fresh, MIGRATIONS)?;
    let objects = |conn: &Connection| -> rusqlite::Result<BTreeMap<String, Option<String>>> {
        conn.prepare(
            "SELECT type || ' ' || name, sql FROM sqlite_schema WHERE tbl_name GLOB 'ledger_*'",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
    };
    let [ours, made] = [
        objects(conn).map_err(failed)?,
        objects(&fresh).map_err(failed)?,
    ];
    let names = ours.keys().chain(made.keys());
    Ok(names
        .filter(|name| ours.get(*name) != made.get(*name))
        .cloned()
        .collect())
}

impl Walk<'_> {
    /// Entries of requests that were refused.
    fn apart(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT id, fault FROM refused_entries ORDER BY id";
        let mut select = self.conn.prepare(sql).map_err(failed)?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        for row in rows.map_err(failed)? {
            let (id, text) = row.map_err(failed)?;
            let id = EntryId(u128::from_be_bytes(id));
            self.verifier.find(Finding::Apart { id, text });
        }
        Ok(())
    }
}

struct Walk<'a> {
    conn: &'a Connection,
    verifier: Verifier,
    accounts: BTreeMap<i64, Named>,
}

/// An account, and the entries that name it less those of its list: how many, and the sum of their places.
struct Named {
    account: Account,
    unlisted: (i64, i64),
}

impl Named {
    fn count(&mut self, seq: i64, sign: i64) {
        let (count, places) = self.unlisted;
        self.unlisted = (
            count.wrapping_add(sign),
            places.wrapping_add(seq.wrapping_mul(sign)),
        );
    }
}

impl Walk<'_> {
    fn unreadable(&mut self, place: String, error: StoreError) {
        let text = words(error);
        self.verifier.find(Finding::Unreadable { place, text });
    }

    fn accounts(&mut self) -> Result<(), StoreError> {
        self.each("SELECT id, name FROM ledger_accounts", |walk, row| {
            let mut columns = Columns::new(row);
            let number: i64 = columns.get()?;
            match columns.word() {
                Ok(account) => {
                    let unlisted = (0, 0);
                    walk.accounts.insert(number, Named { account, unlisted });
                }
                Err(error) => walk.unreadable(format!("account number {number}"), error),
            }
            Ok(())
        })
    }

    /// Two scans side by side, as both tables are in the order of writing: so a leg without an entry shows too.
    fn entries(&mut self) -> Result<(), StoreError> {
        let mut select = self
            .conn
            .prepare("SELECT seq, leg, unit, amount, from_account, to_account FROM ledger_legs ORDER BY seq, leg")
            .map_err(failed)?;
        let mut legs = Legs {
            rows: select.query([]).map_err(failed)?,
            next: None,
        };
        legs.step(self)?;
        self.each(
            "SELECT seq, checksum, id, phase, at, about, subject FROM ledger_entries ORDER BY seq",
            |walk, row| {
                let mut columns = Columns::new(row);
                let (seq, written): (i64, i64) = (columns.get()?, columns.get()?);
                let entry = read_entry(&mut columns);
                let own = legs.of(walk, seq)?;
                let whole = entry.and_then(|entry| {
                    Ok(Entry {
                        legs: own?,
                        ..entry
                    })
                });
                if let Ok(entry) = &whole
                    && checksum(seq, entry) != written
                {
                    let (seq, id) = (place(seq), entry.id);
                    walk.verifier.find(Finding::Changed { seq, id });
                }
                walk.verifier.entry(place(seq), whole.map_err(words));
                Ok(())
            },
        )?;
        legs.of(self, i64::MAX).map(drop)
    }

    fn ids(&mut self) -> Result<(), StoreError> {
        // From the index alone, which is thereby compared with the table.
        self.each(
            "SELECT seq, id, phase FROM ledger_entries INDEXED BY ledger_entries_by_id ORDER BY id, phase",
            |walk, row| {
                let mut columns = Columns::new(row);
                let seq = place(columns.get()?);
                // What cannot be read was found in the order of writing.
                if let (Ok(id), Ok(phase)) = (columns.get(), columns.code(codes::phase)) {
                    let id = EntryId(u128::from_be_bytes(id));
                    walk.verifier.id(id, phase, seq);
                }
                Ok(())
            },
        )
    }

    fn balances(&mut self) -> Result<(), StoreError> {
        self.each(
            "SELECT account, unit, total_in, total_out, reserved_out FROM ledger_balances",
            |walk, row| {
                match read_balance_row(&mut Columns::new(row)) {
                    Ok(row) => walk.verifier.balance(row.account, row.unit, row.balance),
                    Err(error) => {
                        let name: String = row.get(0).map_err(failed)?;
                        walk.unreadable(format!("balance of '{name}'"), error);
                    }
                }
                Ok(())
            },
        )
    }

    fn listings(&mut self) -> Result<(), StoreError> {
        self.each(
            "SELECT block, account, seq FROM ledger_account_entries",
            |walk, row| {
                let mut columns = Columns::new(row);
                let [block, number, seq]: [i64; 3] =
                    [columns.get()?, columns.get()?, columns.get()?];
                match walk.accounts.get_mut(&number) {
                    // In a wrong block nobody finds it: as if it were not there.
                    Some(named) if block == seq / BLOCK_ENTRIES => named.count(seq, -1),
                    Some(_) => {}
                    None => {
                        let error = StoreError::Damaged("there is no such account".into());
                        walk.unreadable(format!("list of account number {number}"), error);
                    }
                }
                Ok(())
            },
        )?;
        for Named { account, unlisted } in std::mem::take(&mut self.accounts).into_values() {
            if unlisted != (0, 0) {
                self.verifier.find(Finding::Listing { account });
            }
        }
        Ok(())
    }

    fn each(
        &mut self,
        sql: &str,
        mut visit: impl FnMut(&mut Self, &Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let conn = self.conn;
        let mut select = conn.prepare(sql).map_err(failed)?;
        let mut rows = select.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            visit(self, row)?;
        }
        Ok(())
    }
}

/// The scan of the legs, one ahead.
struct Legs<'a> {
    rows: Rows<'a>,
    /// The entry and place of the next, and the leg itself with the numbers of its accounts.
    next: Option<NextLeg>,
}

struct NextLeg {
    seq: i64,
    place: i64,
    leg: Result<(Leg, [i64; 2]), StoreError>,
}

impl Legs<'_> {
    fn step(&mut self, walk: &Walk<'_>) -> Result<Option<NextLeg>, StoreError> {
        let next = match self.rows.next().map_err(failed)? {
            Some(row) => {
                let mut columns = Columns::new(row);
                Some(NextLeg {
                    seq: columns.get()?,
                    place: columns.get()?,
                    leg: read_leg(&mut columns, &walk.accounts),
                })
            }
            None => None,
        };
        Ok(std::mem::replace(&mut self.next, next))
    }

    /// The legs of an entry; the outer error is the medium's. Legs before them belong to no entry.
    fn of(
        &mut self,
        walk: &mut Walk<'_>,
        seq: i64,
    ) -> Result<Result<Vec<Leg>, StoreError>, StoreError> {
        let mut legs = Ok(Vec::new());
        let mut named = BTreeSet::new();
        while self.next.as_ref().is_some_and(|next| next.seq <= seq) {
            let Some(NextLeg {
                seq: of,
                place,
                leg,
            }) = self.step(walk)?
            else {
                break;
            };
            if of < seq {
                let error = StoreError::Damaged("the leg belongs to no entry".into());
                walk.unreadable(format!("leg {place} of entry {of}"), error);
                continue;
            }
            legs = legs.and_then(|mut legs: Vec<Leg>| {
                let (leg, accounts) = leg?;
                if i64::try_from(legs.len()) != Ok(place) {
                    let text = format!("leg {} is missing", legs.len());
                    return Err(StoreError::Damaged(text));
                }
                legs.push(leg);
                named.extend(accounts);
                Ok(legs)
            });
        }
        for number in named {
            if let Some(named) = walk.accounts.get_mut(&number) {
                named.count(seq, 1);
            }
        }
        Ok(legs)
    }
}

fn read_leg(
    columns: &mut Columns<'_>,
    accounts: &BTreeMap<i64, Named>,
) -> Result<(Leg, [i64; 2]), StoreError> {
    let unit = columns.code(codes::unit)?;
    let amount = columns.get()?;
    let numbers = [columns.get()?, columns.get()?];
    let [from, to] = numbers.map(|number| {
        accounts
            .get(&number)
            .map(|named| named.account.clone())
            .ok_or_else(|| StoreError::Damaged(format!("there is no account number {number}")))
    });
    let leg = Leg {
        unit,
        amount,
        from: from?,
        to: to?,
    };
    Ok((leg, numbers))
}
