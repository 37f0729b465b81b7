//! What waits of gateways that were given up: released, or paying what they report late.

use crate::StoreError;
use crate::bank::{Answer, Part, check_parts, must};
use crate::sqlite::convert::medium;
use crate::sqlite::ledger::page::Page;
use madang_ledger::{Account, Entry, Fault, Lacking, suspended};
use madang_types::{GatewayId, Micros, TenantId};
use rusqlite::Connection;

/// Gives back to its purses what waits of a gateway.
pub(super) fn release(
    conn: &Connection,
    page: &mut Page,
    (gateway, at): (&GatewayId, Micros),
) -> Result<Answer, StoreError> {
    let known = conn
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM runs WHERE gateway = ?1)",
            [gateway.as_str()],
            |row| row.get::<_, bool>(0),
        )
        .map_err(|e| medium("find a gateway", &e))?;
    if !known {
        return Err(StoreError::Absent(format!("the gateway '{gateway}'")));
    }
    let parts = parts_of(conn, gateway)?;
    if let Err(why) = check_parts(gateway, &parts, at) {
        return Ok(Answer::Refused(why));
    }
    let mut count = 0;
    for (purse, holder, part) in parts {
        // What earlier versions booked late does not say whose part it took.
        let suspense = Account::Suspense(purse.clone());
        let left = part.left.min(page.available(conn, (&suspense, part.unit))?);
        if left > 0 {
            let entry = holder.release(at, &purse, (part.unit, left));
            must(page.append_one(conn, &entry)?.map(drop))?;
            count += 1;
        }
    }
    Ok(Answer::Count(count))
}

/// What of a gateway waits, purse by purse and run by run.
fn parts_of(conn: &Connection, gateway: &GatewayId) -> Result<Vec<Part>, StoreError> {
    let mut parts = Vec::new();
    for purse in Page::suspended(conn)? {
        let entries = Page::entries_of(conn, &Account::Suspense(purse.clone()))?;
        for (holder, part) in suspended(&purse, &entries) {
            if holder.gateway == *gateway && part.left > 0 {
                parts.push((purse.clone(), holder, part));
            }
        }
    }
    Ok(parts)
}

/// An entry of a request that was refused, once more where a gateway reports it that was given up: paid from what waits of it, and owed
/// where that was released.
pub(in crate::sqlite) fn cover(
    conn: &Connection,
    page: &mut Page,
    (entry, tenant): (&Entry, &TenantId),
    mut entered: Result<(), Fault>,
) -> Result<Result<(), Fault>, StoreError> {
    let mut entry = entry.clone();
    // It ends: a covered account lacks nothing any more, and an entry has few.
    while let Some(lacking) = entered.as_ref().err().and_then(Lacking::of) {
        let Lacking {
            holder,
            purse,
            unit,
            ..
        } = &lacking;
        if !page.has_entry(conn, holder.suspense_id(purse))? {
            break;
        }
        let waits = if page.has_entry(conn, holder.release_id(purse))? {
            0
        } else {
            page.available(conn, (&Account::Suspense(purse.clone()), *unit))?
        };
        entry = lacking.cover(entry, waits, tenant);
        entered = page.append_one(conn, &entry)?.map(drop);
    }
    Ok(entered)
}
