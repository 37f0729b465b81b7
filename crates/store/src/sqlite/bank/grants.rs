//! Budgets, allocations and prices: rows, and the entries that go with them.

use super::{Answer, enter};
use crate::sqlite::convert::{medium, rows};
use crate::sqlite::ledger::page::Page;
use crate::{StoreError, list};
use madang_ledger::{
    Account, Entry, EntryId, Exchange, Fault, Leg, Phase, Price, Purse, Subject, check_allocation,
    check_budget, check_exchange, check_price, fill,
};
use madang_types::{
    Allocation, AllocationId, CeilingId, MicroWon, Micros, ProgrammeBudget, ProgrammeId, TenantId,
    Unit,
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
        amount,
        concentration_permille_max,
    } = budget;
    if let Err(why) = check_budget(budget) {
        return Ok(Answer::Refused(why));
    }
    let before = budget_of(conn, (programme, *unit))?.map_or(0, |budget| budget.amount);
    let account = Account::Programme(programme.clone());
    let (from, to) = if *amount >= before {
        (Account::World, account)
    } else {
        (account, Account::World)
    };
    let moved = amount.abs_diff(before);
    let entry = Entry {
        id: EntryId::named(&format!("budget:{programme}:{unit}:{}", at.0)),
        phase: Phase::Direct,
        at,
        subject: Subject::Budget(programme.clone()),
        legs: vec![Leg {
            unit: *unit,
            amount: i64::try_from(moved).unwrap_or(i64::MAX),
            from,
            to,
        }],
    };
    if moved > 0
        && let Err(fault) = enter(conn, page, &entry)?
    {
        return Ok(Answer::Refused(format!(
            "the budget cannot be {amount}: {fault}"
        )));
    }
    conn.execute(
        "INSERT INTO budgets (programme, unit, amount, concentration_permille_max) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (programme, unit) DO UPDATE
         SET amount = excluded.amount, concentration_permille_max = excluded.concentration_permille_max",
        params![programme.as_str(), unit.as_str(), amount, concentration_permille_max],
    )
    .map_err(|e| medium("write a budget", &e))?;
    Ok(Answer::Done)
}

pub(super) fn budgets(conn: &Connection) -> Result<Vec<ProgrammeBudget>, StoreError> {
    let sql = "SELECT programme, unit, amount, concentration_permille_max FROM budgets ORDER BY programme, unit";
    rows(conn, sql, &[], |columns| {
        Ok(ProgrammeBudget {
            programme: columns.word()?,
            unit: columns.word()?,
            amount: columns.get()?,
            concentration_permille_max: columns.number()?,
        })
    })
}

fn budget_of(
    conn: &Connection,
    (programme, unit): (&ProgrammeId, Unit),
) -> Result<Option<ProgrammeBudget>, StoreError> {
    let all = budgets(conn)?;
    Ok(all
        .into_iter()
        .find(|budget| (&budget.programme, budget.unit) == (programme, unit)))
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
        amount,
        hard,
        from,
        tranches,
        until,
        created_at,
        recalled_at: _,
    } = new;
    let others = allocations(conn, (Some(programme), None))?;
    let budget = budget_of(conn, (programme, *unit))?;
    let refusal = if allocation(conn, id)?.is_some() {
        Some(format!("the allocation '{id}' exists already"))
    } else {
        check_allocation(new, budget.as_ref(), &others).err()
    };
    if let Some(why) = refusal {
        return Ok(Answer::Refused(why));
    }
    let entry = Entry {
        id: EntryId::named(&format!("allocation:{id}")),
        phase: Phase::Direct,
        at: *created_at,
        subject: Subject::Allocation(id.clone()),
        legs: vec![Leg {
            unit: *unit,
            amount: *amount,
            from: Account::Programme(programme.clone()),
            to: Account::Purse(Purse::Allocation(id.clone())),
        }],
    };
    if let Err(fault) = enter(conn, page, &entry)? {
        return Ok(Answer::Refused(format!(
            "the programme cannot grant it: {fault}"
        )));
    }
    conn.execute(
        "INSERT INTO allocations (id, programme, tenant, unit, amount, hard, starts_at, tranches, until_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            id.as_str(),
            programme.as_str(),
            tenant.as_str(),
            unit.as_str(),
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
        "SELECT id, programme, tenant, unit, amount, hard, starts_at, tranches, until_at, created_at, recalled_at
         FROM allocations WHERE {condition} ORDER BY id"
    );
    rows(conn, &sql, about, |columns| {
        Ok(Allocation {
            id: columns.word()?,
            programme: columns.word()?,
            tenant: columns.word()?,
            unit: columns.word()?,
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

/// Ends an allocation now and takes back what no gateway holds.
pub(super) fn allocation_recall(
    conn: &Connection,
    page: &mut Page,
    (id, at): (&AllocationId, Micros),
) -> Result<Answer, StoreError> {
    conn.execute(
        "UPDATE allocations SET recalled_at = ?2 WHERE id = ?1 AND recalled_at IS NULL",
        params![id.as_str(), at.0],
    )
    .map_err(|e| medium("recall an allocation", &e))?;
    let Some(recalled) = allocation(conn, id)? else {
        return Err(StoreError::Absent(format!("the allocation '{id}'")));
    };
    take_back(conn, page, (&recalled, at))?;
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
    let Allocation {
        id,
        programme,
        unit,
        ..
    } = allocation;
    let account = Account::Purse(Purse::Allocation(id.clone()));
    let left = page.available(conn, (&account, *unit))?;
    if left <= 0 {
        return Ok(false);
    }
    let entry = Entry {
        id: EntryId::named(&format!("return:{id}:{}", at.0)),
        phase: Phase::Direct,
        at,
        subject: Subject::Allocation(id.clone()),
        legs: vec![Leg {
            unit: *unit,
            amount: left,
            from: account,
            to: Account::Programme(programme.clone()),
        }],
    };
    enter(conn, page, &entry)?.map(|()| true).map_err(|fault| {
        StoreError::Damaged(format!("the ledger refused to take back '{id}': {fault}"))
    })
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
        Ok(()) => {}
        // An earlier schema has filled it, and has no row of that.
        Err(Fault::Conflict(_)) if filled.0 == 0 => {}
        Err(fault) => {
            return Err(StoreError::Damaged(format!(
                "the ledger refused to fill '{id}': {fault}"
            )));
        }
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
    if let Err(why) = check_price(price, at) {
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

/// Adds a rate of exchange.
pub(super) fn exchange_insert(
    conn: &Connection,
    (exchange, at): (&Exchange, Micros),
) -> Result<Answer, StoreError> {
    if let Err(why) = check_exchange(exchange, at) {
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
