//! What a report is made of, read in one snapshot.

use super::convert::{Columns, each, medium, rows};
use super::usage::Clause;
use crate::day::day_number;
use crate::extract::{Owners, check_count};
use crate::ledger::codes;
use crate::{StoreError, UsageFilter, is_finished};
use madang_ledger::Account;
use madang_ledger::report::{Booked, Extract, LegSum, Row, Sums};
use madang_types::{MicroWon, Micros, MilliJoules, ModelId, SiteId, TenantId};
use rusqlite::Connection;
use rusqlite::types::Value;
use std::collections::BTreeMap;

/// Reads it all as it stands at one moment: a record and its entry are written together, and seen together.
pub(super) fn extract(
    conn: &Connection,
    filter: &UsageFilter,
    offset_s: i32,
) -> Result<Extract, StoreError> {
    let failed = |e: rusqlite::Error| medium("read the books as they stand", &e);
    let snapshot = conn.unchecked_transaction().map_err(failed)?;
    let owners = owners(&snapshot, filter)?;
    let span = (filter.from, filter.until);
    let theirs = |leg: &LegSum| owners.has(&leg.from) || owners.has(&leg.to);
    let is_all = filter.programme.is_none() && filter.tenant.is_none();
    let legs_about = |about| leg_sums(&snapshot, about, span, &theirs);
    let extract = Extract {
        rows: record_sums(&snapshot, filter, offset_s)?,
        legs: legs_about(codes::ABOUT_REQUEST)?,
        job_legs: legs_about(codes::ABOUT_JOB)?,
        energy_legs: leg_sums(&snapshot, codes::ABOUT_ENERGY, span, &|leg| {
            is_all || theirs(leg)
        })?,
        tenants: owners.tenants.into_iter().collect(),
    };
    snapshot.finish().map_err(failed)?;
    Ok(extract)
}

fn owners(conn: &Connection, filter: &UsageFilter) -> Result<Owners, StoreError> {
    let text = |id: Option<&str>| id.map_or(Value::Null, |id| id.to_owned().into());
    let of = [
        (
            ":programme",
            text(filter.programme.as_ref().map(|id| id.as_str())),
        ),
        (
            ":tenant",
            text(filter.tenant.as_ref().map(|id| id.as_str())),
        ),
    ];
    let tenants = "SELECT id FROM tenants \
        WHERE (:programme IS NULL OR programme = :programme) AND (:tenant IS NULL OR id = :tenant)";
    let allocations =
        format!("SELECT id FROM allocations WHERE programme = :programme OR tenant IN ({tenants})");
    let tenants = rows(conn, tenants, &of, |columns| columns.word())?;
    let allocations = rows(conn, &allocations, &of, |columns| columns.word())?;
    Ok(Owners {
        tenants: tenants.into_iter().collect(),
        allocations: allocations.into_iter().collect(),
    })
}

/// What rows are told apart by: tenant, model, site, day, and what the ledger says.
type Key = (TenantId, Option<ModelId>, Option<SiteId>, i64, Booked);

/// Summed here and not by SQLite, which would sort all records first. The entry of a request has its id; of one id there is one
/// that moves.
fn record_sums(
    conn: &Connection,
    filter: &UsageFilter,
    offset_s: i32,
) -> Result<Vec<Row>, StoreError> {
    let clause = Clause::new(filter);
    let sql = format!(
        "SELECT tenant, model, site, arrived_at, outcome, tokens_estimated, uncached_tokens, cached_tokens, output_tokens, \
           cost_micro_won, energy_mj, \
           CASE WHEN e.seq IS NOT NULL THEN EXISTS (SELECT 1 FROM ledger_legs l WHERE l.seq = e.seq AND l.unit = 2) END \
         FROM usage u LEFT JOIN ledger_entries e ON e.id = u.id AND e.phase IN (1, 3) AND e.about = 4 {}",
        clause.text()
    );
    let mut found: BTreeMap<Key, Sums> = BTreeMap::new();
    each(conn, &sql, &clause.params, |columns| {
        let (key, sums) = read(columns, offset_s)?;
        let sum = found.entry(key).or_default();
        *sum = sum.plus(sums);
        check_count(found.len(), "rows of tenant, model, site and day")
    })?;
    let rows = found.into_iter().map(|(key, sums)| {
        let (tenant, model, site, day, booked) = key;
        Row {
            tenant,
            model,
            site,
            day,
            booked,
            sums,
        }
    });
    Ok(rows.collect())
}

fn read(columns: &mut Columns<'_>, offset_s: i32) -> Result<(Key, Sums), StoreError> {
    let (tenant, model, site) = (columns.word()?, columns.word_opt()?, columns.word_opt()?);
    let day = day_number(Micros(columns.get()?), offset_s);
    let mut sums = Sums {
        requests: 1,
        finished: is_finished(columns.word()?).into(),
        estimated: columns.get::<bool>()?.into(),
        uncached_tokens: columns.number()?,
        cached_tokens: columns.number()?,
        output_tokens: columns.number()?,
        ..Sums::default()
    };
    let cost: Option<i64> = columns.get()?;
    sums.cost = MicroWon(cost.unwrap_or(0));
    sums.energy = MilliJoules(columns.get::<Option<i64>>()?.unwrap_or(0));
    let booked = match columns.get()? {
        Some(true) => Booked::Tokens,
        Some(false) => Booked::Won,
        None if cost.is_some() => Booked::Missing,
        None if sums.tokens() > 0 => Booked::Unmetered,
        None => Booked::Won,
    };
    Ok(((tenant, model, site, day, booked), sums))
}

/// The sums of what concerns them, taken here for the same reason. What is only set aside has not moved.
fn leg_sums(
    conn: &Connection,
    about: i64,
    (from, until): (Option<Micros>, Option<Micros>),
    is_asked: &dyn Fn(&LegSum) -> bool,
) -> Result<Vec<LegSum>, StoreError> {
    let accounts = rows(
        conn,
        "SELECT id, name FROM ledger_accounts",
        &[],
        |columns| Ok((columns.get()?, columns.word()?)),
    )?;
    let accounts: BTreeMap<i64, Account> = accounts.into_iter().collect();
    let mut sums: BTreeMap<(i64, i64, i64), i64> = BTreeMap::new();
    each(
        conn,
        "SELECT l.from_account, l.to_account, l.unit, l.amount FROM ledger_entries e JOIN ledger_legs l ON l.seq = e.seq \
         WHERE e.at >= :from AND e.at < :until AND e.about = :about AND e.phase IN (1, 3)",
        &[
            (":about", about.into()),
            (":from", from.map_or(i64::MIN, |at| at.0).into()),
            (":until", until.map_or(i64::MAX, |at| at.0).into()),
        ],
        |columns| {
            let key = (columns.get()?, columns.get()?, columns.get()?);
            let sum = sums.entry(key).or_default();
            *sum = sum.saturating_add(columns.get()?);
            Ok(())
        },
    )?;
    let mut found = Vec::new();
    for ((from, to, unit), amount) in sums {
        let named = (accounts.get(&from), accounts.get(&to), codes::unit(unit));
        let (Some(from), Some(to), Some(unit)) = named else {
            let text = format!("a leg of unit {unit} from account {from} to {to} means nothing");
            return Err(StoreError::Damaged(text));
        };
        let leg = LegSum {
            unit,
            from: from.clone(),
            to: to.clone(),
            amount,
        };
        found.extend(is_asked(&leg).then_some(leg));
    }
    check_count(found.len(), "sums of legs")?;
    Ok(found)
}
