//! Runs of gateways, and the rights that each holds.

use super::grants;
use crate::StoreError;
use crate::bank::{Answer, GATEWAY_ABSENT_MS, GatewayRow, Moved, check_absent, must};
use crate::count::count;
use crate::postgres::ledger::page::Turn;
use crate::postgres::row::{Param, execute, rows};
use deadpool_postgres::GenericClient;
use madang_ledger::{Account, Holder, LastOrder, Order, Purse, unreleased};
use madang_types::{GatewayId, Micros, Unit};
use std::collections::BTreeSet;

/// A run's hold on a purse.
struct Lease {
    holder: Holder,
    purse: Purse,
    unit: Unit,
}

impl Lease {
    fn account(&self) -> Account {
        self.holder.lease(&self.purse)
    }
}

/// Begins a run: what the one before it held goes back.
pub(super) async fn run_begin(
    turn: &mut Turn<'_>,
    (gateway, at): (&GatewayId, Micros),
) -> Result<Holder, StoreError> {
    for (lease, left) in held(turn, gateway).await? {
        let entry = lease.holder.close(at, &lease.purse, (lease.unit, left));
        must(turn.enter(entry).await?)?;
    }
    forget(turn, gateway).await?;
    let sql = "INSERT INTO runs (gateway, epoch, begun_at, seen_at) VALUES ($1, 1, $2, $2) ON CONFLICT (gateway) DO UPDATE
         SET epoch = runs.epoch + 1, begun_at = excluded.begun_at, seen_at = excluded.seen_at RETURNING epoch";
    let about: [Param<'_>; 2] = [&gateway.as_str(), &at.0];
    let begun = rows(&turn.tx, ("begin a run", sql), &about, |columns| {
        columns.number()
    });
    let epoch = begun.await?.first().copied();
    Ok(Holder {
        gateway: gateway.clone(),
        epoch: epoch.ok_or_else(|| StoreError::Damaged("a run that began has no number".into()))?,
    })
}

/// Puts in suspense what a gateway holds, and ends its run.
pub(super) async fn give_up(
    turn: &mut Turn<'_>,
    (gateway, at): (&GatewayId, Micros),
) -> Result<Answer, StoreError> {
    let name = gateway.as_str();
    let sql = "SELECT seen_at FROM runs WHERE gateway = $1";
    let seen_at = rows(&turn.tx, ("find a gateway", sql), &[&name], |columns| {
        columns.get().map(Micros)
    })
    .await?;
    let Some(seen_at) = seen_at.first() else {
        return Err(StoreError::Absent(format!("the gateway '{gateway}'")));
    };
    if let Err(why) = check_absent(gateway, *seen_at, at) {
        return Ok(Answer::Refused(why));
    }
    let mut purses = 0;
    for (lease, left) in held(turn, gateway).await? {
        let entry = lease.holder.give_up(at, &lease.purse, (lease.unit, left));
        must(turn.enter(entry).await?)?;
        purses += 1;
    }
    forget(turn, gateway).await?;
    let sql = "UPDATE runs SET epoch = epoch + 1, seen_at = 0 WHERE gateway = $1";
    execute(&turn.tx, ("give a gateway up", sql), &[&name]).await?;
    Ok(Answer::Count(purses))
}

/// What a gateway's runs have left, where they have any.
async fn held(turn: &mut Turn<'_>, gateway: &GatewayId) -> Result<Vec<(Lease, i64)>, StoreError> {
    let all = leases(&turn.tx, ("gateway", gateway.as_str())).await?;
    turn.hold(all.iter().map(Lease::account).collect()).await?;
    let mut held = Vec::with_capacity(all.len());
    for lease in all {
        let left = turn.available(lease.account(), lease.unit).await?;
        if left > 0 {
            held.push((lease, left));
        }
    }
    Ok(held)
}

async fn forget(turn: &Turn<'_>, gateway: &GatewayId) -> Result<(), StoreError> {
    let sql = "DELETE FROM leases WHERE gateway = $1";
    let name = gateway.as_str();
    execute(&turn.tx, ("end a gateway's leases", sql), &[&name])
        .await
        .map(drop)
}

/// All gateways by name.
pub(super) async fn gateways(client: &impl GenericClient) -> Result<Vec<GatewayRow>, StoreError> {
    let sql = "SELECT gateway, epoch, begun_at, seen_at,
         (SELECT count(*) FROM leases l WHERE l.gateway = r.gateway) FROM runs r ORDER BY gateway";
    let found = rows(client, ("read the gateways", sql), &[], |columns| {
        Ok(GatewayRow {
            holder: Holder {
                gateway: columns.word()?,
                epoch: columns.number()?,
            },
            begun_at: Micros(columns.get()?),
            seen_at: Micros(columns.get()?),
            purses: columns.number()?,
        })
    });
    found.await
}

/// Notes that a run is alive; `false` where it holds nothing any more.
pub(super) async fn run_seen(
    client: &impl GenericClient,
    (holder, at): (&Holder, Micros),
) -> Result<bool, StoreError> {
    let sql = "UPDATE runs SET seen_at = greatest(seen_at, $3) WHERE gateway = $1 AND epoch = $2";
    let about: [Param<'_>; 3] = [&holder.gateway.as_str(), &i64::from(holder.epoch), &at.0];
    let seen = execute(client, ("note a run", sql), &about).await?;
    Ok(seen == 1)
}

/// Carries an order out, once.
pub(super) async fn order(
    turn: &mut Turn<'_>,
    (holder, order, at): (&Holder, &Order, Micros),
) -> Result<Moved, StoreError> {
    let Order {
        number,
        purse,
        unit,
        kind,
    } = order;
    let waits = waiting(&turn.tx, purse, at).await?;
    let shares = leases(&turn.tx, ("purse", &purse.to_string())).await?;
    let mut accounts: BTreeSet<Account> = shares.iter().map(Lease::account).collect();
    accounts.extend([Account::Purse(purse.clone()), holder.lease(purse)]);
    turn.hold(accounts).await?;
    let Standing {
        mut last,
        is_latest,
        gateways,
    } = standing(&turn.tx, (holder, purse), at).await?;
    // A run that is over has nothing that could be moved, and whoever waited for it is gone.
    if *number > last.number && is_latest {
        let available = turn.available(Account::Purse(purse.clone()), *unit).await?;
        let moved = kind.moves(available.saturating_sub(waits), gateways);
        if moved != 0 {
            let entry = holder.moves((holder.order_id(*number), at), purse, (*unit, moved));
            must(turn.enter(entry).await?)?;
        }
        last = LastOrder {
            number: *number,
            moved,
        };
        put_order(&turn.tx, (holder, order), last).await?;
    }
    let mut left = turn.available(Account::Purse(purse.clone()), *unit).await?;
    for lease in shares.iter().filter(|lease| lease.holder != *holder) {
        left = left.saturating_add(turn.available(lease.account(), lease.unit).await?);
    }
    Ok(Moved {
        moved: last.moved.max(0),
        left: left.saturating_sub(waits).max(0),
    })
}

/// What of a purse has not come yet.
async fn waiting(
    client: &impl GenericClient,
    purse: &Purse,
    at: Micros,
) -> Result<i64, StoreError> {
    let found = match purse {
        Purse::Allocation(id) => grants::allocation(client, id).await?,
        Purse::Ceiling(_) => None,
    };
    Ok(found.map_or(0, |allocation| unreleased(&allocation, at)))
}

/// How an order finds its run.
struct Standing {
    last: LastOrder,
    is_latest: bool,
    /// Among how many a purse is divided.
    gateways: u32,
}

async fn standing(
    client: &impl GenericClient,
    (holder, purse): (&Holder, &Purse),
    at: Micros,
) -> Result<Standing, StoreError> {
    let since = at.0.saturating_sub(Micros(0).plus_ms(GATEWAY_ABSENT_MS).0);
    let sql = "SELECT coalesce(l.number, 0), coalesce(l.moved, 0),
             EXISTS (SELECT 1 FROM runs WHERE gateway = $1 AND epoch = $2), (SELECT count(*) FROM runs WHERE seen_at >= $4)
         FROM (SELECT 1) one LEFT JOIN leases l ON l.gateway = $1 AND l.epoch = $2 AND l.purse = $3";
    let about: [Param<'_>; 4] = [
        &holder.gateway.as_str(),
        &i64::from(holder.epoch),
        &purse.to_string(),
        &since,
    ];
    let found = rows(client, ("find an order", sql), &about, |columns| {
        Ok(Standing {
            last: LastOrder {
                number: columns.number()?,
                moved: columns.get()?,
            },
            is_latest: columns.get()?,
            gateways: columns.number()?,
        })
    });
    let one = found.await?.into_iter().next();
    one.ok_or_else(|| StoreError::Damaged("a row of constants is not there".into()))
}

async fn put_order(
    client: &impl GenericClient,
    (holder, order): (&Holder, &Order),
    last: LastOrder,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO leases (purse, gateway, epoch, unit, number, moved) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (purse, gateway, epoch) DO UPDATE SET number = excluded.number, moved = excluded.moved";
    let about: [Param<'_>; 6] = [
        &order.purse.to_string(),
        &holder.gateway.as_str(),
        &i64::from(holder.epoch),
        &order.unit.as_str(),
        &count("number", last.number)?,
        &last.moved,
    ];
    execute(client, ("note an order", sql), &about)
        .await
        .map(drop)
}

/// What of a purse nobody has spent.
pub(super) async fn left_of(
    turn: &mut Turn<'_>,
    (purse, unit): (&Purse, Unit),
) -> Result<i64, StoreError> {
    let shares = leases(&turn.tx, ("purse", &purse.to_string())).await?;
    turn.hold(shares.iter().map(Lease::account).collect())
        .await?;
    let mut sum = turn.available(Account::Purse(purse.clone()), unit).await?;
    for lease in shares {
        sum = sum.saturating_add(turn.available(lease.account(), lease.unit).await?);
    }
    Ok(sum)
}

/// Holds on purses, by the `purse` or the `gateway` of that name.
async fn leases(
    client: &impl GenericClient,
    (by, name): (&'static str, &str),
) -> Result<Vec<Lease>, StoreError> {
    let sql = format!(
        "SELECT purse, gateway, epoch, unit FROM leases WHERE {by} = $1 ORDER BY purse, gateway, epoch"
    );
    rows(client, ("read the leases", &sql), &[&name], |columns| {
        Ok(Lease {
            purse: columns.word()?,
            holder: Holder {
                gateway: columns.word()?,
                epoch: columns.number()?,
            },
            unit: columns.word()?,
        })
    })
    .await
}
