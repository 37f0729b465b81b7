//! What a report is made of, read in one snapshot.

use super::connect::medium;
use super::row::{Columns, rows};
use super::usage::{Clause, halves};
use crate::extract::{Owners, check_count};
use crate::ledger::codes;
use crate::{StoreError, UsageFilter};
use deadpool_postgres::{GenericClient, Object};
use madang_ledger::Account;
use madang_ledger::report::{Booked, EXTRACT_ROWS_MAX, Extract, LegSum, Row, Sums, held};
use madang_types::{MicroWon, Micros, MilliJoules, Outcome};
use tokio_postgres::IsolationLevel;

/// Reads it all as it stands at one moment: a record and its entry are written together, and seen together.
pub(super) async fn extract(
    client: &mut Object,
    filter: &UsageFilter,
    offset_s: i32,
) -> Result<Extract, StoreError> {
    let failed = |e: tokio_postgres::Error| medium("read the books as they stand", &e);
    let snapshot = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true);
    let snapshot = snapshot.start().await.map_err(failed)?;
    let owners = owners(&snapshot, filter).await?;
    let span = (filter.from, filter.until);
    let theirs = |leg: &LegSum| owners.has(&leg.from) || owners.has(&leg.to);
    let is_all = filter.programme.is_none() && filter.tenant.is_none();
    let asked = |leg: &LegSum| is_all || theirs(leg);
    let extract = Extract {
        rows: record_sums(&snapshot, filter, offset_s).await?,
        legs: leg_sums(&snapshot, codes::ABOUT_REQUEST, span, &theirs).await?,
        job_legs: leg_sums(&snapshot, codes::ABOUT_JOB, span, &theirs).await?,
        energy_legs: leg_sums(&snapshot, codes::ABOUT_ENERGY, span, &asked).await?,
        tenants: owners.tenants.into_iter().collect(),
    };
    snapshot.commit().await.map_err(failed)?;
    Ok(extract)
}

async fn owners(client: &impl GenericClient, filter: &UsageFilter) -> Result<Owners, StoreError> {
    let programme = filter.programme.as_ref().map(|id| id.as_str());
    let tenant = filter.tenant.as_ref().map(|id| id.as_str());
    let tenants = "SELECT id FROM tenants WHERE ($1::text IS NULL OR programme = $1) AND ($2::text IS NULL OR id = $2)";
    let allocations =
        format!("SELECT id FROM allocations WHERE programme = $1 OR tenant IN ({tenants})");
    let (of, what) = ([&programme as _, &tenant as _], "find whose books are read");
    let tenants = rows(client, (what, tenants), &of, |columns| columns.word()).await?;
    let allocations = rows(client, (what, &allocations), &of, |columns| columns.word()).await?;
    Ok(Owners {
        tenants: tenants.into_iter().collect(),
        allocations: allocations.into_iter().collect(),
    })
}

/// Columns that are summed.
const SUMMED: [&str; 5] = [
    "uncached_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_micro_won",
    "energy_mj",
];

async fn record_sums(
    client: &impl GenericClient,
    filter: &UsageFilter,
    offset_s: i32,
) -> Result<Vec<Row>, StoreError> {
    let mut clause = Clause::new(filter);
    let offset_s = clause.bind(i64::from(offset_s));
    let finished = clause.bind(Outcome::Finished.as_str());
    // One more than there may be, so that too many show.
    let limit = clause.bind(i64::try_from(EXTRACT_ROWS_MAX).unwrap_or(i64::MAX) + 1);
    let halves = halves(SUMMED);
    let sql = format!(
        "SELECT tenant, model, site, s / 86400 - (s % 86400 < 0)::int AS day, \
           CASE WHEN paid_in_tokens THEN 1 WHEN entry IS NOT NULL THEN 0 WHEN cost_micro_won IS NOT NULL THEN 3 \
             WHEN uncached_tokens > 0 OR cached_tokens > 0 OR output_tokens > 0 THEN 2 ELSE 0 END::bigint AS booked, \
           count(*), count(*) FILTER (WHERE outcome = {finished}), count(*) FILTER (WHERE tokens_estimated), {halves} \
         FROM (SELECT u.*, arrived_at / 1000000 - (arrived_at % 1000000 < 0)::int + {offset_s}::bigint AS s, \
             e.seq AS entry, 2 = ANY (e.units) AS paid_in_tokens \
           FROM usage u LEFT JOIN ledger_entries e ON e.id = u.id AND e.phase IN (1, 3) AND e.about = 4 {}) told \
         GROUP BY tenant, model, site, day, booked LIMIT {limit}",
        clause.text()
    );
    let mut found = rows(client, ("sum usage", &sql), &clause.params(), read).await?;
    check_count(found.len(), "rows of tenant, model, site and day")?;
    // As the other stores, whatever the server's collation.
    found.sort_by(|a, b| {
        let ids = (&a.tenant, &a.model, &a.site).cmp(&(&b.tenant, &b.model, &b.site));
        ids.then((a.day, a.booked).cmp(&(b.day, b.booked)))
    });
    Ok(found)
}

fn read(columns: &mut Columns<'_>) -> Result<Row, StoreError> {
    let (tenant, model, site) = (columns.word()?, columns.word_opt()?, columns.word_opt()?);
    let day = columns.get()?;
    let booked = columns.code(booked)?;
    let [requests, finished, estimated] = [columns.number()?, columns.number()?, columns.number()?];
    let mut whole = || -> Result<i128, StoreError> {
        let (high, low): (i64, i64) = (columns.get()?, columns.get()?);
        Ok((i128::from(high) << 32) + i128::from(low))
    };
    let count = |whole: i128| u64::try_from(whole).unwrap_or(u64::MAX);
    let sums = Sums {
        requests,
        finished,
        estimated,
        uncached_tokens: count(whole()?),
        cached_tokens: count(whole()?),
        output_tokens: count(whole()?),
        cost: MicroWon(held(whole()?)),
        energy: MilliJoules(held(whole()?)),
    };
    Ok(Row {
        tenant,
        model,
        site,
        day,
        booked,
        sums,
    })
}

/// What the ledger says of a record, by the number that the query gives it.
fn booked(code: i64) -> Option<Booked> {
    Some(match code {
        0 => Booked::Won,
        1 => Booked::Tokens,
        2 => Booked::Unmetered,
        3 => Booked::Missing,
        _ => return None,
    })
}

/// The sums of what concerns them. What is only set aside has not moved.
async fn leg_sums(
    client: &impl GenericClient,
    about: i64,
    (from, until): (Option<Micros>, Option<Micros>),
    is_asked: &(dyn Fn(&LegSum) -> bool + Sync),
) -> Result<Vec<LegSum>, StoreError> {
    let sql = "SELECT unit, f.name, t.name, high, low FROM ( \
          SELECT unit, from_id, to_id, sum(amount >> 32)::bigint AS high, sum(amount & 4294967295)::bigint AS low \
          FROM (SELECT unnest(units) AS unit, unnest(amounts) AS amount, \
              unnest(from_accounts) AS from_id, unnest(to_accounts) AS to_id \
            FROM ledger_entries WHERE at >= $1 AND at < $2 AND about = $3 AND phase IN (1, 3)) leg \
          GROUP BY unit, from_id, to_id) moved \
        LEFT JOIN ledger_accounts f ON f.id = from_id LEFT JOIN ledger_accounts t ON t.id = to_id";
    let from = from.map_or(i64::MIN, |at| at.0);
    let until = until.map_or(i64::MAX, |at| at.0);
    let read = |columns: &mut Columns<'_>| {
        let unit = columns.code(codes::unit)?;
        let (from, to): (Account, Account) = (columns.word()?, columns.word()?);
        let (high, low): (i64, i64) = (columns.get()?, columns.get()?);
        let amount = held((i128::from(high) << 32) + i128::from(low));
        let leg = LegSum {
            unit,
            from,
            to,
            amount,
        };
        Ok(is_asked(&leg).then_some(leg))
    };
    let found = rows(client, ("sum legs", sql), &[&from, &until, &about], read).await?;
    let found: Vec<LegSum> = found.into_iter().flatten().collect();
    check_count(found.len(), "sums of legs")?;
    Ok(found)
}
