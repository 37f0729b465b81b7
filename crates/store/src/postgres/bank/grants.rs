//! Budgets, allocations and prices: rows, and the entries that go with them.

use crate::bank::{Answer, check_grant, must};
use crate::postgres::ledger::page::Turn;
use crate::postgres::row::{Param, execute, rows};
use crate::{StoreError, list};
use deadpool_postgres::GenericClient;
use madang_ledger::{
    AcceleratorPrice, Account, Exchange, Price, Purse, budget_entry, check_accelerator_price,
    check_budget, check_exchange, check_price, fill, grant_entry, take_back_entry,
};
use madang_types::{
    Allocation, AllocationId, CeilingId, Class, MicroWon, Micros, ProgrammeBudget, ProgrammeId,
    TenantId, Unit,
};

/// How long before it begins a price must be written: gateways look every second for what was changed.
pub(super) const NOTICE_MS: u64 = 5_000;

/// Sets a budget. What it grows by comes from outside, what it shrinks by must not be allocated.
pub(super) async fn budget_put(
    turn: &mut Turn<'_>,
    (budget, at): (&ProgrammeBudget, Micros),
) -> Result<Answer, StoreError> {
    let ProgrammeBudget {
        programme,
        unit,
        class,
        amount,
        concentration_permille_max,
    } = budget;
    if let Err(why) = check_budget(budget) {
        return Ok(Answer::Refused(why));
    }
    let before = budget_of(&turn.tx, (programme, *unit, class.as_ref())).await?;
    let before = before.map_or(0, |budget| budget.amount);
    if let Some(entry) = budget_entry(before, budget, at)
        && let Err(fault) = turn.enter(entry).await?
    {
        return Ok(Answer::Refused(format!(
            "the budget cannot be {amount}: {fault}"
        )));
    }
    let sql =
        "INSERT INTO budgets (programme, unit, model_class, amount, concentration_permille_max) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (programme, unit, model_class) DO UPDATE
         SET amount = excluded.amount, concentration_permille_max = excluded.concentration_permille_max";
    let row: [Param<'_>; 5] = [
        &programme.as_str(),
        &unit.as_str(),
        &class.as_ref().map(Class::as_str).unwrap_or_default(),
        amount,
        &i64::from(*concentration_permille_max),
    ];
    execute(&turn.tx, ("write a budget", sql), &row).await?;
    Ok(Answer::Done)
}

pub(super) async fn budgets(
    client: &impl GenericClient,
) -> Result<Vec<ProgrammeBudget>, StoreError> {
    let sql = "SELECT programme, unit, nullif(model_class, ''), amount, concentration_permille_max FROM budgets
        ORDER BY programme, unit, model_class";
    let found = rows(client, ("read the budgets", sql), &[], |columns| {
        Ok(ProgrammeBudget {
            programme: columns.word()?,
            unit: columns.word()?,
            class: columns.word_opt()?,
            amount: columns.get()?,
            concentration_permille_max: columns.number()?,
        })
    });
    found.await
}

async fn budget_of(
    client: &impl GenericClient,
    of: (&ProgrammeId, Unit, Option<&Class>),
) -> Result<Option<ProgrammeBudget>, StoreError> {
    let all = budgets(client).await?;
    Ok(all
        .into_iter()
        .find(|budget| of == (&budget.programme, budget.unit, budget.class.as_ref())))
}

/// Grants an allocation.
pub(super) async fn allocation_insert(
    turn: &mut Turn<'_>,
    new: &Allocation,
) -> Result<Answer, StoreError> {
    let Allocation {
        id,
        programme,
        tenant,
        unit,
        class,
        amount,
        hard,
        from,
        tranches,
        until,
        created_at,
        recalled_at: _,
    } = new;
    let others = allocations(&turn.tx, (Some(programme), None)).await?;
    let budget = budget_of(&turn.tx, (programme, *unit, class.as_ref())).await?;
    let is_there = allocation(&turn.tx, id).await?.is_some();
    if let Err(why) = check_grant(new, is_there, (budget.as_ref(), &others)) {
        return Ok(Answer::Refused(why));
    }
    if let Err(fault) = turn.enter(grant_entry(new)).await? {
        return Ok(Answer::Refused(format!(
            "the programme cannot grant it: {fault}"
        )));
    }
    let sql = "INSERT INTO allocations
         (id, programme, tenant, unit, model_class, amount, hard, starts_at, tranches, until_at, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let row: [Param<'_>; 11] = [
        &id.as_str(),
        &programme.as_str(),
        &tenant.as_str(),
        &unit.as_str(),
        &class.as_ref().map(Class::as_str),
        amount,
        hard,
        &from.0,
        &list::join(tranches),
        &until.0,
        &created_at.0,
    ];
    execute(&turn.tx, ("write an allocation", sql), &row).await?;
    Ok(Answer::Done)
}

/// Allocations by id.
pub(super) async fn allocations(
    client: &impl GenericClient,
    (programme, tenant): (Option<&ProgrammeId>, Option<&TenantId>),
) -> Result<Vec<Allocation>, StoreError> {
    let about: [Param<'_>; 2] = [
        &programme.map(ProgrammeId::as_str),
        &tenant.map(TenantId::as_str),
    ];
    let condition = "($1::text IS NULL OR programme = $1) AND ($2::text IS NULL OR tenant = $2)";
    allocations_where(client, condition, &about).await
}

/// One allocation.
pub(super) async fn allocation(
    client: &impl GenericClient,
    id: &AllocationId,
) -> Result<Option<Allocation>, StoreError> {
    let found = allocations_where(client, "id = $1", &[&id.as_str()]).await?;
    Ok(found.into_iter().next())
}

async fn allocations_where(
    client: &impl GenericClient,
    condition: &str,
    about: &[Param<'_>],
) -> Result<Vec<Allocation>, StoreError> {
    let sql = format!(
        "SELECT id, programme, tenant, unit, model_class, amount, hard, starts_at, tranches, until_at, created_at,
            recalled_at
         FROM allocations WHERE {condition} ORDER BY id"
    );
    let found = rows(client, ("read the allocations", &sql), about, |columns| {
        Ok(Allocation {
            id: columns.word()?,
            programme: columns.word()?,
            tenant: columns.word()?,
            unit: columns.word()?,
            class: columns.word_opt()?,
            amount: columns.get()?,
            hard: columns.get()?,
            from: Micros(columns.get()?),
            tranches: columns.list()?,
            until: Micros(columns.get()?),
            created_at: Micros(columns.get()?),
            recalled_at: columns.get::<Option<i64>>()?.map(Micros),
        })
    });
    found.await
}

/// Ends an allocation, and takes back what no gateway holds where that is now.
pub(super) async fn allocation_recall(
    turn: &mut Turn<'_>,
    (id, ends_at, at): (&AllocationId, Micros, Micros),
) -> Result<Answer, StoreError> {
    let sql = "UPDATE allocations SET recalled_at = $2 WHERE id = $1 AND coalesce(recalled_at > $2, true)";
    execute(
        &turn.tx,
        ("recall an allocation", sql),
        &[&id.as_str(), &ends_at.0],
    )
    .await?;
    let Some(recalled) = allocation(&turn.tx, id).await? else {
        return Err(StoreError::Absent(format!("the allocation '{id}'")));
    };
    if recalled.ends_at() <= at {
        take_back(turn, (&recalled, at)).await?;
    }
    Ok(Answer::Allocation(Box::new(recalled)))
}

/// Moves what is left of allocations that are over back to their programmes.
pub(super) async fn sweep(turn: &mut Turn<'_>, at: Micros) -> Result<u64, StoreError> {
    let over = "least(until_at, coalesce(recalled_at, until_at)) <= $1";
    let over = allocations_where(&turn.tx, over, &[&at.0]).await?;
    let purses = over.iter().map(purse_of);
    turn.hold(purses.collect()).await?;
    let mut count = 0;
    for allocation in over {
        count += u64::from(take_back(turn, (&allocation, at)).await?);
    }
    Ok(count)
}

fn purse_of(allocation: &Allocation) -> Account {
    Account::Purse(Purse::Allocation(allocation.id.clone()))
}

/// Whether something was left.
async fn take_back(
    turn: &mut Turn<'_>,
    (allocation, at): (&Allocation, Micros),
) -> Result<bool, StoreError> {
    let left = turn
        .available(purse_of(allocation), allocation.unit)
        .await?;
    if left <= 0 {
        return Ok(false);
    }
    let entry = take_back_entry(allocation, left, at);
    must(turn.enter(entry).await?).map(|()| true)
}

/// Fills a ceiling up to its limit, or raises it to there.
pub(super) async fn ceiling_fill(
    turn: &mut Turn<'_>,
    (id, limit, at): (&CeilingId, MicroWon, Micros),
) -> Result<Answer, StoreError> {
    let sql = "SELECT filled_micro_won FROM ceilings WHERE id = $1";
    let name = id.as_str();
    let filled = rows(&turn.tx, ("read a ceiling", sql), &[&name], |columns| {
        columns.get().map(MicroWon)
    })
    .await?;
    let filled = filled.first().copied().unwrap_or_default();
    let Some(entry) = fill(id, (filled, limit), at) else {
        return Ok(Answer::Done);
    };
    must(turn.enter(entry).await?)?;
    let sql = "INSERT INTO ceilings (id, filled_micro_won) VALUES ($1, $2)
         ON CONFLICT (id) DO UPDATE SET filled_micro_won = excluded.filled_micro_won";
    execute(&turn.tx, ("write a ceiling", sql), &[&name, &limit.0]).await?;
    Ok(Answer::Done)
}

/// Adds a price.
pub(super) async fn price_insert(
    client: &impl GenericClient,
    (price, at): (&Price, Micros),
) -> Result<Answer, StoreError> {
    if let Err(why) = check_price(price, (at, NOTICE_MS)) {
        return Ok(Answer::Refused(why));
    }
    let sql = "INSERT INTO prices (model, place, starts_at, currency, uncached, cached, output)
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    let place = price.place.as_ref().map_or("", |place| place.as_str());
    let row: [Param<'_>; 7] = [
        &price.model.as_str(),
        &place,
        &price.from.0,
        &price.currency.as_str(),
        &price.uncached,
        &price.cached,
        &price.output,
    ];
    let added = execute(client, ("write a price", sql), &row).await?;
    Ok(added_or(
        added,
        "a price of this model at this place from this instant exists already",
    ))
}

fn added_or(rows: u64, why: &str) -> Answer {
    match rows {
        0 => Answer::Refused(why.to_owned()),
        _ => Answer::Done,
    }
}

pub(super) async fn prices(client: &impl GenericClient) -> Result<Vec<Price>, StoreError> {
    let sql =
        "SELECT model, nullif(place, ''), starts_at, currency, uncached, cached, output FROM prices
         ORDER BY model, place, starts_at";
    let found = rows(client, ("read the prices", sql), &[], |columns| {
        Ok(Price {
            model: columns.word()?,
            place: columns.word_opt()?,
            from: Micros(columns.get()?),
            currency: columns.word()?,
            uncached: columns.get()?,
            cached: columns.get()?,
            output: columns.get()?,
        })
    });
    found.await
}

/// Adds a price of accelerator time.
pub(super) async fn accelerator_price_insert(
    client: &impl GenericClient,
    (price, at): (&AcceleratorPrice, Micros),
) -> Result<Answer, StoreError> {
    if let Err(why) = check_accelerator_price(price, (at, NOTICE_MS)) {
        return Ok(Answer::Refused(why));
    }
    let sql = "INSERT INTO accelerator_prices (accelerator, site, starts_at, hour_micro_won) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING";
    let site = price.site.as_ref().map_or("", |site| site.as_str());
    let row: [Param<'_>; 4] = [
        &price.accelerator.as_str(),
        &site,
        &price.from.0,
        &price.hour.0,
    ];
    let added = execute(client, ("write a price", sql), &row).await?;
    Ok(added_or(
        added,
        "a price of this accelerator at this site from this instant exists already",
    ))
}

pub(super) async fn accelerator_prices(
    client: &impl GenericClient,
) -> Result<Vec<AcceleratorPrice>, StoreError> {
    let sql =
        "SELECT accelerator, nullif(site, ''), starts_at, hour_micro_won FROM accelerator_prices
         ORDER BY accelerator, site, starts_at";
    let found = rows(client, ("read the prices", sql), &[], |columns| {
        Ok(AcceleratorPrice {
            accelerator: columns.word()?,
            site: columns.word_opt()?,
            from: Micros(columns.get()?),
            hour: MicroWon(columns.get()?),
        })
    });
    found.await
}

/// Adds a rate of exchange.
pub(super) async fn exchange_insert(
    client: &impl GenericClient,
    (exchange, at): (&Exchange, Micros),
) -> Result<Answer, StoreError> {
    if let Err(why) = check_exchange(exchange, (at, NOTICE_MS)) {
        return Ok(Answer::Refused(why));
    }
    let sql = "INSERT INTO exchanges (currency, starts_at, won) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    let row: [Param<'_>; 3] = [
        &exchange.currency.as_str(),
        &exchange.from.0,
        &exchange.won.0,
    ];
    let added = execute(client, ("write a rate of exchange", sql), &row).await?;
    Ok(added_or(
        added,
        "a rate of this currency from this instant exists already",
    ))
}

pub(super) async fn exchanges(client: &impl GenericClient) -> Result<Vec<Exchange>, StoreError> {
    let sql = "SELECT currency, starts_at, won FROM exchanges ORDER BY currency, starts_at";
    let found = rows(
        client,
        ("read the rates of exchange", sql),
        &[],
        |columns| {
            Ok(Exchange {
                currency: columns.word()?,
                from: Micros(columns.get()?),
                won: MicroWon(columns.get()?),
            })
        },
    );
    found.await
}
