//! Budgets, allocations and prices: rows, and the entries that go with them.

use super::enter;
use crate::bank::{Answer, check_grant, must};
use crate::sqlite::convert::{medium, rows};
use crate::sqlite::ledger::page::Page;
use crate::{StoreError, list};
use madang_ledger::{
    AcceleratorPrice, Account, Exchange, Fault, Price, Purse, budget_entry,
    check_accelerator_price, check_budget, check_exchange, check_price, fill, grant_entry,
    take_back_entry,
};
use madang_types::{
    Allocation, AllocationId, CeilingId, Class, MicroWon, Micros, ProgrammeBudget, ProgrammeId,
    TenantId, Unit,
};
use rusqlite::types::Value;
use rusqlite::{Connection, params};

/// Sets a budget. What it grows by comes from outside, what it shrinks by must not be allocated.
pub(super) fn budget_put(
    conn: &Connection,
    page: &mut Page,
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
    let before =
        budget_of(conn, (programme, *unit, class.as_ref()))?.map_or(0, |budget| budget.amount);
    if let Some(entry) = budget_entry(before, budget, at)
        && let Err(fault) = enter(conn, page, &entry)?
    {
        return Ok(Answer::Refused(format!(
            "the budget cannot be {amount}: {fault}"
        )));
    }
    conn.execute(
        "INSERT INTO budgets (programme, unit, model_class, amount, concentration_permille_max) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (programme, unit, model_class) DO UPDATE
         SET amount = excluded.amount, concentration_permille_max = excluded.concentration_permille_max",
        params![
            programme.as_str(),
            unit.as_str(),
            class.as_ref().map(Class::as_str).unwrap_or_default(),
            amount,
            concentration_permille_max
        ],
    )
    .map_err(|e| medium("write a budget", &e))?;
    Ok(Answer::Done)
}

pub(super) fn budgets(conn: &Connection) -> Result<Vec<ProgrammeBudget>, StoreError> {
    let sql = "SELECT programme, unit, nullif(model_class, ''), amount, concentration_permille_max FROM budgets
        ORDER BY programme, unit, model_class";
    rows(conn, sql, &[], |columns| {
        Ok(ProgrammeBudget {
            programme: columns.word()?,
            unit: columns.word()?,
            class: columns.word_opt()?,
            amount: columns.get()?,
            concentration_permille_max: columns.number()?,
        })
    })
}

fn budget_of(
    conn: &Connection,
    of: (&ProgrammeId, Unit, Option<&Class>),
) -> Result<Option<ProgrammeBudget>, StoreError> {
    let all = budgets(conn)?;
    Ok(all
        .into_iter()
        .find(|budget| of == (&budget.programme, budget.unit, budget.class.as_ref())))
}

/// Grants an allocation.
pub(super) fn allocation_insert(
    conn: &Connection,
    page: &mut Page,
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
    let others = allocations(conn, (Some(programme), None))?;
    let budget = budget_of(conn, (programme, *unit, class.as_ref()))?;
    let is_there = allocation(conn, id)?.is_some();
    if let Err(why) = check_grant(new, is_there, (budget.as_ref(), &others)) {
        return Ok(Answer::Refused(why));
    }
    if let Err(fault) = enter(conn, page, &grant_entry(new))? {
        return Ok(Answer::Refused(format!(
            "the programme cannot grant it: {fault}"
        )));
    }
    conn.execute(
        "INSERT INTO allocations
         (id, programme, tenant, unit, model_class, amount, hard, starts_at, tranches, until_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            id.as_str(),
            programme.as_str(),
            tenant.as_str(),
            unit.as_str(),
            class.as_ref().map(Class::as_str),
            amount,
            hard,
            from.0,
            list::join(tranches),
            until.0,
            created_at.0
        ],
    )
    .map_err(|e| medium("write an allocation", &e))?;
    Ok(Answer::Done)
}

/// Allocations by id.
pub(super) fn allocations(
    conn: &Connection,
    (programme, tenant): (Option<&ProgrammeId>, Option<&TenantId>),
) -> Result<Vec<Allocation>, StoreError> {
    let text = |name: Option<&str>| name.map_or(Value::Null, |name| name.to_owned().into());
    allocations_where(
        conn,
        "(:programme IS NULL OR programme = :programme) AND (:tenant IS NULL OR tenant = :tenant)",
        &[
            (":programme", text(programme.map(ProgrammeId::as_str))),
            (":tenant", text(tenant.map(TenantId::as_str))),
        ],
    )
}

/// One allocation.
pub(super) fn allocation(
    conn: &Connection,
    id: &AllocationId,
) -> Result<Option<Allocation>, StoreError> {
    let found = allocations_where(conn, "id = :id", &[(":id", id.as_str().to_owned().into())])?;
    Ok(found.into_iter().next())
}

fn allocations_where(
    conn: &Connection,
    condition: &str,
    about: &[(&'static str, Value)],
) -> Result<Vec<Allocation>, StoreError> {
    let sql = format!(
        "SELECT id, programme, tenant, unit, model_class, amount, hard, starts_at, tranches, until_at, created_at,
            recalled_at
         FROM allocations WHERE {condition} ORDER BY id"
    );
    rows(conn, &sql, about, |columns| {
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
    })
}

/// Ends an allocation, and takes back what no gateway holds where that is now.
pub(super) fn allocation_recall(
    conn: &Connection,
    page: &mut Page,
    (id, ends_at, at): (&AllocationId, Micros, Micros),
) -> Result<Answer, StoreError> {
    conn.execute(
        "UPDATE allocations SET recalled_at = ?2 WHERE id = ?1 AND ifnull(recalled_at > ?2, true)",
        params![id.as_str(), ends_at.0],
    )
    .map_err(|e| medium("recall an allocation", &e))?;
    let Some(recalled) = allocation(conn, id)? else {
        return Err(StoreError::Absent(format!("the allocation '{id}'")));
    };
    if recalled.ends_at() <= at {
        take_back(conn, page, (&recalled, at))?;
    }
    Ok(Answer::Allocation(Box::new(recalled)))
}

/// Moves what is left of allocations that are over back to their programmes.
pub(super) fn sweep(conn: &Connection, page: &mut Page, at: Micros) -> Result<u64, StoreError> {
    let over = "min(until_at, ifnull(recalled_at, until_at)) <= :now";
    let mut count = 0;
    for allocation in allocations_where(conn, over, &[(":now", at.0.into())])? {
        count += u64::from(take_back(conn, page, (&allocation, at))?);
    }
    Ok(count)
}

/// Whether something was left.
fn take_back(
    conn: &Connection,
    page: &mut Page,
    (allocation, at): (&Allocation, Micros),
) -> Result<bool, StoreError> {
    let account = Account::Purse(Purse::Allocation(allocation.id.clone()));
    let left = page.available(conn, (&account, allocation.unit))?;
    if left <= 0 {
        return Ok(false);
    }
    must(enter(conn, page, &take_back_entry(allocation, left, at))?).map(|()| true)
}

/// Fills a ceiling up to its limit, or raises it to there.
pub(super) fn ceiling_fill(
    conn: &Connection,
    page: &mut Page,
    (id, limit, at): (&CeilingId, MicroWon, Micros),
) -> Result<Answer, StoreError> {
    let sql = "SELECT filled_micro_won FROM ceilings WHERE id = :id";
    let about = [(":id", id.as_str().to_owned().into())];
    let filled = rows(conn, sql, &about, |columns| columns.get().map(MicroWon))?;
    let filled = filled.first().copied().unwrap_or_default();
    let Some(entry) = fill(id, (filled, limit), at) else {
        return Ok(Answer::Done);
    };
    match enter(conn, page, &entry)? {
        // An earlier schema has filled it, and has no row of that.
        Err(Fault::Conflict(_)) if filled.0 == 0 => {}
        entered => must(entered)?,
    }
    conn.execute(
        "INSERT INTO ceilings (id, filled_micro_won) VALUES (?1, ?2)
         ON CONFLICT (id) DO UPDATE SET filled_micro_won = excluded.filled_micro_won",
        params![id.as_str(), limit.0],
    )
    .map_err(|e| medium("write a ceiling", &e))?;
    Ok(Answer::Done)
}

/// Adds a price.
pub(super) fn price_insert(
    conn: &Connection,
    (price, at): (&Price, Micros),
) -> Result<Answer, StoreError> {
    if let Err(why) = check_price(price, (at, 0)) {
        return Ok(Answer::Refused(why));
    }
    let place = price.place.as_ref().map_or("", |place| place.as_str());
    let added = conn
        .execute(
            "INSERT INTO prices (model, place, starts_at, currency, uncached, cached, output)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            params![
                price.model.as_str(),
                place,
                price.from.0,
                price.currency.as_str(),
                price.uncached,
                price.cached,
                price.output
            ],
        )
        .map_err(|e| medium("write a price", &e))?;
    Ok(added_or(
        added,
        "a price of this model at this place from this instant exists already",
    ))
}

fn added_or(rows: usize, why: &str) -> Answer {
    match rows {
        0 => Answer::Refused(why.to_owned()),
        _ => Answer::Done,
    }
}

pub(super) fn prices(conn: &Connection) -> Result<Vec<Price>, StoreError> {
    let sql =
        "SELECT model, nullif(place, ''), starts_at, currency, uncached, cached, output FROM prices
        ORDER BY model, place, starts_at";
    rows(conn, sql, &[], |columns| {
        Ok(Price {
            model: columns.word()?,
            place: columns.word_opt()?,
            from: Micros(columns.get()?),
            currency: columns.word()?,
            uncached: columns.get()?,
            cached: columns.get()?,
            output: columns.get()?,
        })
    })
}

/// Adds a price of accelerator time.
pub(super) fn accelerator_price_insert(
    conn: &Connection,
    (price, at): (&AcceleratorPrice, Micros),
) -> Result<Answer, StoreError> {
    if let Err(why) = check_accelerator_price(price, (at, 0)) {
        return Ok(Answer::Refused(why));
    }
    let site = price.site.as_ref().map_or("", |site| site.as_str());
    let added = conn
        .execute(
            "INSERT INTO accelerator_prices (accelerator, site, starts_at, hour_micro_won) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO NOTHING",
            params![price.accelerator.as_str(), site, price.from.0, price.hour.0],
        )
        .map_err(|e| medium("write a price", &e))?;
    Ok(added_or(
        added,
        "a price of this accelerator at this site from this instant exists already",
    ))
}

pub(super) fn accelerator_prices(conn: &Connection) -> Result<Vec<AcceleratorPrice>, StoreError> {
    let sql =
        "SELECT accelerator, nullif(site, ''), starts_at, hour_micro_won FROM accelerator_prices
        ORDER BY accelerator, site, starts_at";
    rows(conn, sql, &[], |columns| {
        Ok(AcceleratorPrice {
            accelerator: columns.word()?,
            site: columns.word_opt()?,
            from: Micros(columns.get()?),
            hour: MicroWon(columns.get()?),
        })
    })
}

/// Adds a rate of exchange.
pub(super) fn exchange_insert(
    conn: &Connection,
    (exchange, at): (&Exchange, Micros),
) -> Result<Answer, StoreError> {
    if let Err(why) = check_exchange(exchange, (at, 0)) {
        return Ok(Answer::Refused(why));
    }
    let added = conn
        .execute(
            "INSERT INTO exchanges (currency, starts_at, won) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![exchange.currency.as_str(), exchange.from.0, exchange.won.0],
        )
        .map_err(|e| medium("write a rate of exchange", &e))?;
    Ok(added_or(
        added,
        "a rate of this currency from this instant exists already",
    ))
}

pub(super) fn exchanges(conn: &Connection) -> Result<Vec<Exchange>, StoreError> {
    let sql = "SELECT currency, starts_at, won FROM exchanges ORDER BY currency, starts_at";
    rows(conn, sql, &[], |columns| {
        Ok(Exchange {
            currency: columns.word()?,
            from: Micros(columns.get()?),
            won: MicroWon(columns.get()?),
        })
    })
}
