//! What waits of gateways that were given up: released, or paying what they report late.

use crate::StoreError;
use crate::bank::{Answer, Part, check_parts, must};
use crate::postgres::ledger::page::Turn;
use crate::postgres::row::rows;
use madang_ledger::{Account, Entry, Fault, Lacking, suspended};
use madang_types::{GatewayId, Micros, TenantId};

/// Gives back to its purses what waits of a gateway.
pub(super) async fn release(
    turn: &mut Turn<'_>,
    (gateway, at): (&GatewayId, Micros),
) -> Result<Answer, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM runs WHERE gateway = $1)";
    let name = gateway.as_str();
    let known = rows(&turn.tx, ("find a gateway", sql), &[&name], |columns| {
        columns.get::<bool>()
    })
    .await?;
    if known != [true] {
        return Err(StoreError::Absent(format!("the gateway '{gateway}'")));
    }
    let parts = parts_of(turn, gateway).await?;
    if let Err(why) = check_parts(gateway, &parts, at) {
        return Ok(Answer::Refused(why));
    }
    let mut count = 0;
    for (purse, holder, part) in parts {
        // What earlier versions booked late does not say whose part it took.
        let suspense = Account::Suspense(purse.clone());
        let left = part.left.min(turn.available(suspense, part.unit).await?);
        if left > 0 {
            let entry = holder.release(at, &purse, (part.unit, left));
            must(turn.enter(entry).await?)?;
            count += 1;
        }
    }
    Ok(Answer::Count(count))
}

/// What of a gateway waits, purse by purse and run by run.
async fn parts_of(turn: &mut Turn<'_>, gateway: &GatewayId) -> Result<Vec<Part>, StoreError> {
    let mut parts = Vec::new();
    for purse in turn.suspended().await? {
        let entries = turn.entries_of(&Account::Suspense(purse.clone())).await?;
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
pub(in crate::postgres) async fn cover(
    turn: &mut Turn<'_>,
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
        if !turn.has_entry(holder.suspense_id(purse)).await? {
            break;
        }
        let waits = if turn.has_entry(holder.release_id(purse)).await? {
            0
        } else {
            let suspense = Account::Suspense(purse.clone());
            turn.available(suspense, *unit).await?
        };
        entry = lacking.cover(entry, waits, tenant);
        entered = turn.enter(entry.clone()).await?;
    }
    Ok(entered)
}
