//! Runs of gateways, and the rights that each holds.

use super::enter;
use super::grants::allocation;
use crate::StoreError;
use crate::bank::{Answer, GATEWAY_ABSENT_MS, GatewayRow, Moved, check_absent, must};
use crate::sqlite::convert::{medium, rows};
use crate::sqlite::ledger::page::Page;
use madang_ledger::{Account, Holder, LastOrder, Order, Purse, unreleased};
use madang_types::{GatewayId, Micros, Unit};
use rusqlite::{Connection, OptionalExtension, params};

/// A run's hold on a purse.
struct Lease {
    holder: Holder,
    purse: Purse,
    unit: Unit,
}

/// Begins a run: what the one before it held goes back.
pub(super) fn run_begin(
    conn: &Connection,
    page: &mut Page,
    (gateway, at): (&GatewayId, Micros),
) -> Result<Holder, StoreError> {
    let failed = |e: rusqlite::Error| medium("begin a run", &e);
    for lease in leases(conn, "gateway = :name", gateway.as_str())? {
        let left = left(conn, page, &lease)?;
        if left > 0 {
            let entry = lease.holder.close(at, &lease.purse, (lease.unit, left));
            must(enter(conn, page, &entry)?)?;
        }
    }
    conn.execute("DELETE FROM leases WHERE gateway = ?1", [gateway.as_str()])
        .map_err(failed)?;
    let epoch = conn
        .query_row(
            "INSERT INTO runs (gateway, epoch, begun_at, seen_at) VALUES (?1, 1, ?2, ?2) ON CONFLICT (gateway) DO UPDATE
             SET epoch = epoch + 1, begun_at = excluded.begun_at, seen_at = excluded.seen_at RETURNING epoch",
            params![gateway.as_str(), at.0],
            |row| row.get(0),
        )
        .map_err(failed)?;
    Ok(Holder {
        gateway: gateway.clone(),
        epoch,
    })
}

/// Notes that a run is alive; `false` where it holds nothing any more.
pub(super) fn run_seen(
    conn: &Connection,
    (holder, at): (&Holder, Micros),
) -> Result<bool, StoreError> {
    let seen = conn
        .prepare_cached(
            "UPDATE runs SET seen_at = max(seen_at, ?3) WHERE gateway = ?1 AND epoch = ?2",
        )
        .and_then(|mut update| update.execute(params![holder.gateway.as_str(), holder.epoch, at.0]))
        .map_err(|e| medium("note a run", &e))?;
    Ok(seen == 1)
}

/// Puts in suspense what a gateway holds, and ends its run.
pub(super) fn give_up(
    conn: &Connection,
    page: &mut Page,
    (gateway, at): (&GatewayId, Micros),
) -> Result<Answer, StoreError> {
    let failed = |e: rusqlite::Error| medium("give a gateway up", &e);
    let seen_at = conn
        .query_row(
            "SELECT seen_at FROM runs WHERE gateway = ?1",
            [gateway.as_str()],
            |row| row.get(0).map(Micros),
        )
        .optional()
        .map_err(failed)?;
    let seen_at = seen_at.ok_or_else(|| StoreError::Absent(format!("the gateway '{gateway}'")))?;
    if let Err(why) = check_absent(gateway, seen_at, at) {
        return Ok(Answer::Refused(why));
    }
    let mut purses = 0;
    for lease in leases(conn, "gateway = :name", gateway.as_str())? {
        let held = left(conn, page, &lease)?;
        if held > 0 {
            let entry = lease.holder.give_up(at, &lease.purse, (lease.unit, held));
            must(enter(conn, page, &entry)?)?;
            purses += 1;
        }
    }
    let name = [gateway.as_str()];
    conn.execute("DELETE FROM leases WHERE gateway = ?1", name)
        .and_then(|_| {
            let over = "UPDATE runs SET epoch = epoch + 1, seen_at = 0 WHERE gateway = ?1";
            conn.execute(over, name)
        })
        .map_err(failed)?;
    Ok(Answer::Count(purses))
}

/// All gateways by name.
pub(super) fn gateways(conn: &Connection) -> Result<Vec<GatewayRow>, StoreError> {
    let sql = "SELECT gateway, epoch, begun_at, seen_at,
         (SELECT count(*) FROM leases l WHERE l.gateway = r.gateway) FROM runs r ORDER BY gateway";
    rows(conn, sql, &[], |columns| {
        Ok(GatewayRow {
            holder: Holder {
                gateway: columns.word()?,
                epoch: columns.number()?,
            },
            begun_at: Micros(columns.get()?),
            seen_at: Micros(columns.get()?),
            purses: columns.number()?,
        })
    })
}

/// Whether a run is its gateway's latest.
fn is_latest(conn: &Connection, holder: &Holder) -> Result<bool, StoreError> {
    conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM runs WHERE gateway = ?1 AND epoch = ?2)")
        .and_then(|mut select| {
            let about = params![holder.gateway.as_str(), holder.epoch];
            select.query_row(about, |row| row.get(0))
        })
        .map_err(|e| medium("find a run", &e))
}

/// Carries an order out, once.
pub(super) fn order(
    conn: &Connection,
    page: &mut Page,
    (holder, order, at): (&Holder, &Order, Micros),
) -> Result<Moved, StoreError> {
    let Order {
        number,
        purse,
        unit,
        kind,
    } = order;
    let waits = waiting(conn, purse, at)?;
    let mut last = last_order(conn, (holder, purse))?;
    // A run that is over has nothing that could be moved, and whoever waited for it is gone.
    if *number > last.number && is_latest(conn, holder)? {
        let available = page.available(conn, (&Account::Purse(purse.clone()), *unit))?;
        let moved = kind.moves(available.saturating_sub(waits), present(conn, at)?);
        if moved != 0 {
            let entry = holder.moves((holder.order_id(*number), at), purse, (*unit, moved));
            must(enter(conn, page, &entry)?)?;
        }
        last = LastOrder {
            number: *number,
            moved,
        };
        put_order(conn, (holder, order), last)?;
    }
    Ok(Moved {
        moved: last.moved.max(0),
        left: elsewhere(conn, page, (holder, purse, *unit))?
            .saturating_sub(waits)
            .max(0),
    })
}

/// What of a purse has not come yet.
fn waiting(conn: &Connection, purse: &Purse, at: Micros) -> Result<i64, StoreError> {
    let found = match purse {
        Purse::Allocation(id) => allocation(conn, id)?,
        Purse::Ceiling(_) => None,
    };
    Ok(found.map_or(0, |allocation| unreleased(&allocation, at)))
}

/// How many gateways a purse is divided among.
fn present(conn: &Connection, at: Micros) -> Result<u32, StoreError> {
    let since = Micros(at.0.saturating_sub(Micros(0).plus_ms(GATEWAY_ABSENT_MS).0));
    conn.prepare_cached("SELECT count(*) FROM runs WHERE seen_at >= ?1")
        .and_then(|mut select| select.query_row([since.0], |row| row.get(0)))
        .map_err(|e| medium("count the gateways", &e))
}

fn last_order(
    conn: &Connection,
    (holder, purse): (&Holder, &Purse),
) -> Result<LastOrder, StoreError> {
    let found = conn
        .prepare_cached(
            "SELECT number, moved FROM leases WHERE purse = ?1 AND gateway = ?2 AND epoch = ?3",
        )
        .and_then(|mut select| {
            let about = params![purse.to_string(), holder.gateway.as_str(), holder.epoch];
            select
                .query_row(about, |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))
                .optional()
        })
        .map_err(|e| medium("find an order", &e))?;
    let (number, moved) = found.unwrap_or_default();
    Ok(LastOrder {
        number: number.unsigned_abs(),
        moved,
    })
}

fn put_order(
    conn: &Connection,
    (holder, order): (&Holder, &Order),
    last: LastOrder,
) -> Result<(), StoreError> {
    let number = crate::sqlite::convert::count("number", last.number)?;
    conn.prepare_cached(
        "INSERT INTO leases (purse, gateway, epoch, unit, number, moved) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (purse, gateway, epoch) DO UPDATE SET number = excluded.number, moved = excluded.moved",
    )
    .and_then(|mut put| {
        put.execute(params![
            order.purse.to_string(),
            holder.gateway.as_str(),
            holder.epoch,
            order.unit.as_str(),
            number,
            last.moved
        ])
    })
    .map(drop)
    .map_err(|e| medium("note an order", &e))
}

/// What there is of a purse that this run does not hold: nobody's yet, or another run's.
fn elsewhere(
    conn: &Connection,
    page: &mut Page,
    (holder, purse, unit): (&Holder, &Purse, Unit),
) -> Result<i64, StoreError> {
    let mine = page.available(conn, (&holder.lease(purse), unit))?;
    Ok(left_of(conn, page, (purse, unit))?.saturating_sub(mine))
}

/// What of a purse nobody has spent.
pub(super) fn left_of(
    conn: &Connection,
    page: &mut Page,
    (purse, unit): (&Purse, Unit),
) -> Result<i64, StoreError> {
    let mut sum = page.available(conn, (&Account::Purse(purse.clone()), unit))?;
    for lease in leases(conn, "purse = :name", &purse.to_string())? {
        sum = sum.saturating_add(left(conn, page, &lease)?);
    }
    Ok(sum)
}

fn left(conn: &Connection, page: &mut Page, lease: &Lease) -> Result<i64, StoreError> {
    let account = lease.holder.lease(&lease.purse);
    page.available(conn, (&account, lease.unit))
}

/// Holds on purses for which a condition about `:name` is true.
fn leases(conn: &Connection, condition: &str, name: &str) -> Result<Vec<Lease>, StoreError> {
    let sql = format!(
        "SELECT purse, gateway, epoch, unit FROM leases WHERE {condition} ORDER BY purse, gateway, epoch"
    );
    rows(
        conn,
        &sql,
        &[(":name", name.to_owned().into())],
        |columns| {
            Ok(Lease {
                purse: columns.word()?,
                holder: Holder {
                    gateway: columns.word()?,
                    epoch: columns.number()?,
                },
                unit: columns.word()?,
            })
        },
    )
}
